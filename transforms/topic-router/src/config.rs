//! The router's options and which of them go together. config.schema.json says the same to users.
//!
//! Numbers and pairs are those of the DRS API; the two swapped format descriptions there are read by the enum: 1 is a topic
//! per table, 3 one per schema.

use millrace_guest::topic;
use serde::Deserialize;

use crate::template::Template;

/// What the task file may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default = "per_table")]
    topic_policy: u8,
    topic: Option<String>,
    topic_name_format: Option<String>,
    #[serde(default = "by_key")]
    partition_policy: u8,
    #[serde(default)]
    sanitize: bool,
}

/// A topic per table, the granularity that suits the key hash.
fn per_table() -> u8 {
    1
}

/// Keeps the order of each key and spreads the load.
fn by_key() -> u8 {
    2
}

/// The options, checked.
pub(crate) struct Config {
    pub(crate) topic: TopicPolicy,
    pub(crate) partition_policy: PartitionPolicy,
    /// Whether a name that Kafka refuses is altered instead of refused.
    pub(crate) sanitize: bool,
}

/// Policies 0 to 3, in this order.
pub(crate) enum TopicPolicy {
    Single(String),
    PerTable(Template),
    PerDatabase(Template),
    PerSchema(Template),
}

/// Policies 0 to 3, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartitionPolicy {
    TableHash,
    Zero,
    PrimaryKey,
    SchemaHash,
}

/// Partition policies that go with each topic policy: a hash of the table is no use where a topic has one table, and so on.
const PAIRS: [&[u8]; 4] = [&[0, 1, 2, 3], &[1, 2], &[0, 1, 3], &[0, 1]];

impl Config {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let options: Options = millrace_guest::config::parse(text)?;
        let Options { topic_policy, topic, topic_name_format, partition_policy, sanitize } = options;
        let allowed = PAIRS.get(usize::from(topic_policy)).ok_or_else(|| {
            let reserved = if topic_policy == 4 { "4 (per data node) is reserved; " } else { "" };
            format!("topic_policy: {reserved}it is 0 (one topic), 1 (per table), 2 (per database) or 3 (per schema)")
        })?;
        let partitioned = match partition_policy {
            0 => PartitionPolicy::TableHash,
            1 => PartitionPolicy::Zero,
            2 => PartitionPolicy::PrimaryKey,
            3 => PartitionPolicy::SchemaHash,
            _ => {
                let reserved = if partition_policy == 4 { "4 (other columns) is reserved; " } else { "" };
                return Err(format!(
                    "partition_policy: {reserved}it is 0 (table), 1 (partition 0), 2 (primary key) or 3 (schema)"
                ));
            }
        };
        if !allowed.contains(&partition_policy) {
            let allowed: Vec<_> = allowed.iter().map(u8::to_string).collect();
            let allowed = allowed.join(", ");
            return Err(format!(
                "partition_policy: {partition_policy} does not go with topic_policy {topic_policy}, which allows {allowed}"
            ));
        }
        let topic = topic_policy_of(topic_policy, topic, topic_name_format.as_deref(), sanitize)?;
        Ok(Self { topic, partition_policy: partitioned, sanitize })
    }
}

fn topic_policy_of(
    policy: u8,
    topic: Option<String>,
    format: Option<&str>,
    sanitize: bool,
) -> Result<TopicPolicy, String> {
    if policy == 0 {
        if format.is_some() {
            return Err("topic_name_format: topic_policy 0 has one topic, named by topic".to_owned());
        }
        let topic = topic.ok_or("topic: topic_policy 0 needs the name of a topic that exists")?;
        // Never altered: it names what exists.
        topic::check(&topic).map_err(|why| format!("topic: {topic:?} is no topic name: {why}"))?;
        return Ok(TopicPolicy::Single(topic));
    }
    if topic.is_some() {
        return Err(format!("topic: topic_policy {policy} derives the topics' names, by topic_name_format"));
    }
    // (default, variables that must be in it, variables that may not)
    let (default, needed, barred): (_, &[_], &[_]) = match policy {
        1 => ("$database$-$schema$-$tablename$", &["$tablename$"], &[]),
        2 => ("$database$", &["$database$"], &["$schema$", "$tablename$"]),
        _ => ("$database$-$schema$", &["$schema$"], &["$tablename$"]),
    };
    let format = format.unwrap_or(default);
    for variable in needed {
        if !format.contains(variable) {
            return Err(format!(
                "topic_name_format: {format:?} lacks {variable}, without which the topics of topic_policy {policy} are one"
            ));
        }
    }
    for variable in barred {
        if format.contains(variable) {
            return Err(format!(
                "topic_name_format: {format:?} holds {variable}, which topic_policy {policy} cannot fill"
            ));
        }
    }
    let template = Template::parse(format);
    if let (Some(c), false) = (template.literals().find(|&c| !topic::is_legal(c)), sanitize) {
        return Err(format!(
            "topic_name_format: {format:?} holds {c:?}, which no topic name may; the variables are $database$, $schema$ and \
             $tablename$"
        ));
    }
    Ok(match policy {
        1 => TopicPolicy::PerTable(template),
        2 => TopicPolicy::PerDatabase(template),
        _ => TopicPolicy::PerSchema(template),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &str) -> String {
        Config::parse(config).err().unwrap_or_else(|| panic!("{config} was taken"))
    }

    #[test]
    fn exactly_the_documented_pairs_are_taken() {
        let allowed = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 0), (2, 1), (2, 3), (3, 0), (3, 1)];
        for topic in 0..6 {
            for partition in 0..6 {
                let name = if topic == 0 { r#","topic":"t""# } else { "" };
                let config = format!(r#"{{"topic_policy":{topic},"partition_policy":{partition}{name}}}"#);
                assert_eq!(Config::parse(&config).is_ok(), allowed.contains(&(topic, partition)), "{config}");
            }
        }
        assert!(refused(r#"{"topic_policy":4}"#).starts_with("topic_policy: 4 (per data node) is reserved"));
        assert!(refused(r#"{"partition_policy":4}"#).starts_with("partition_policy: 4 (other columns) is reserved"));
    }

    #[test]
    fn the_default_is_a_topic_per_table_by_key() {
        let config = Config::parse("{}").unwrap();
        assert!(matches!(config.topic, TopicPolicy::PerTable(_)));
        assert_eq!(config.partition_policy, PartitionPolicy::PrimaryKey);
    }

    #[test]
    fn formats_that_do_not_fit_their_policy_are_refused() {
        for (config, start) in [
            (r#"{"topic_policy":1,"topic_name_format":"$database$-$schema$"}"#, "topic_name_format: "),
            (
                r#"{"topic_policy":2,"partition_policy":0,"topic_name_format":"$database$-$tablename$"}"#,
                "topic_name_format: ",
            ),
            (
                r#"{"topic_policy":2,"partition_policy":0,"topic_name_format":"$database$-$schema$"}"#,
                "topic_name_format: ",
            ),
            (r#"{"topic_policy":2,"partition_policy":0,"topic_name_format":"all"}"#, "topic_name_format: "),
            (
                r#"{"topic_policy":3,"partition_policy":0,"topic_name_format":"$schema$-$tablename$"}"#,
                "topic_name_format: ",
            ),
            (r#"{"topic_policy":3,"partition_policy":0,"topic_name_format":"$database$"}"#, "topic_name_format: "),
            (r#"{"topic_name_format":"$Database$-$tablename$"}"#, "topic_name_format: "),
            (r#"{"topic_name_format":"a b $tablename$"}"#, "topic_name_format: "),
            (r#"{"topic":"t"}"#, "topic: "),
            (r#"{"topic_policy":0}"#, "topic: "),
            (r#"{"topic_policy":0,"topic":"a/b"}"#, "topic: "),
            (r#"{"topic_policy":0,"topic":".."}"#, "topic: "),
            (r#"{"topic_policy":0,"topic":"t","topic_name_format":"$database$"}"#, "topic_name_format: "),
            (r#"{"topic_policy":"1"}"#, "topic_policy: "),
            (r#"{"partitions_num":3}"#, "partitions_num: "),
        ] {
            let error = refused(config);
            assert!(error.starts_with(start), "{config}: {error}");
        }
    }
}
