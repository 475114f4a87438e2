//! Default router: topics by the documented topic policies, partitions by the documented partition policies.
//!
//! Decides everything per table: three of the four partition policies are constants, the fourth (primary key) is a list of
//! columns that the host hashes itself. Knows neither partition counts nor whether a topic exists.

mod config;
mod template;

use std::collections::BTreeMap;

use config::{Config, PartitionPolicy, TopicPolicy};
use millrace_guest::{Hashed, Module, Partition, Relation, Route, RoutePlan, Target, topic};

/// The module.
pub struct TopicRouter {
    config: Config,
    /// Who has each topic so far, by the name as Kafka's metrics see it.
    owners: BTreeMap<String, (String, Owner)>,
}

/// What a derived topic stands for: database, schema and table as far as the policy tells them apart.
type Owner = [Option<String>; 3];

impl Module for TopicRouter {
    const NAME: &'static str = "topic-router";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Route for TopicRouter {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        Ok(Self { config: Config::parse(config)?, owners: BTreeMap::new() })
    }

    fn announce(&mut self, table: &Relation) -> Result<(RoutePlan, ()), String> {
        let topic = self.topic(table)?;
        let Relation { database, schema, table: name, .. } = table;
        let hash_of =
            |key: String, topic| RoutePlan::Fixed(Target { topic, partition: Partition::HashOf(key.into_bytes()) });
        let whole_table = || format!("{database}.{schema}.{name}");
        let key = table.key();
        let plan = match self.config.partition_policy {
            PartitionPolicy::Zero => RoutePlan::Fixed(Target { topic, partition: Partition::Number(0) }),
            PartitionPolicy::SchemaHash => hash_of(format!("{database}.{schema}"), topic),
            PartitionPolicy::PrimaryKey if !key.is_empty() => RoutePlan::ByColumns(Hashed { topic, columns: key }),
            PartitionPolicy::TableHash | PartitionPolicy::PrimaryKey => hash_of(whole_table(), topic),
        };
        Ok((plan, ()))
    }
}

impl TopicRouter {
    /// The table's topic, checked to be a name Kafka takes and to be no other table's.
    fn topic(&mut self, table: &Relation) -> Result<String, String> {
        let Relation { database, schema, table: name, .. } = table;
        let (format, owner) = match &self.config.topic {
            TopicPolicy::Single(topic) => return Ok(topic.clone()),
            TopicPolicy::PerTable(format) => (format, [Some(database), Some(schema), Some(name)]),
            TopicPolicy::PerDatabase(format) => (format, [Some(database), None, None]),
            TopicPolicy::PerSchema(format) => (format, [Some(database), Some(schema), None]),
        };
        let derived = format.expand(database, schema, name);
        let topic = match topic::check(&derived) {
            Ok(()) => derived,
            Err(_) if self.config.sanitize => topic::sanitize(&derived),
            Err(why) => {
                return Err(format!(
                    "topic {derived:?} of table {schema}.{name}: {why}; set sanitize = true, or rename it by topic_name_format"
                ));
            }
        };
        let owner = owner.map(Option::<&String>::cloned);
        match self.owners.get(&topic::metric_name(&topic)) {
            Some((other, of)) if *of != owner || *other != topic => Err(format!(
                "topic {topic:?} of {} would collide with topic {other:?} of {}; change topic_name_format",
                dotted(&owner),
                dotted(of)
            )),
            Some(_) => Ok(topic),
            None => {
                self.owners.insert(topic::metric_name(&topic), (topic.clone(), owner));
                Ok(topic)
            }
        }
    }
}

fn dotted(owner: &Owner) -> String {
    owner.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
}

millrace_guest::export!(TopicRouter: route);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        millrace_guest::golden::route::<TopicRouter>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }

    /// The schema names exactly the options there are.
    #[test]
    fn the_schema_is_the_config() {
        let schema: serde_json::Value = serde_json::from_str(TopicRouter::CONFIG_SCHEMA).unwrap();
        let mut named: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let error = TopicRouter::init(r#"{"nothing":1}"#).err().unwrap();
        let mut known: Vec<_> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        named.sort();
        known.sort();
        assert_eq!(named, known);
    }
}
