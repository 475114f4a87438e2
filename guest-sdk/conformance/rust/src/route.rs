//! Route: by the value of `region`, else by the key, else by the table.

use millrace_guest::{
    Cell, Change, Hashed, Interest, Partition, Relation, Route, RoutePlan, Routes, Selection, Target,
};

use crate::{Conformance, not_sent, other_stage, settings};

impl Route for Conformance {
    /// `schema.table`.
    type Table = String;

    fn init(config: &str) -> Result<Self, String> {
        let members = settings::read(config, &["topic"])?;
        let topic = members.get("topic").ok_or("topic: missing")?.as_str().ok_or("topic: not a string")?;
        Ok(Self::Route { topic: topic.to_owned() })
    }

    fn announce(&mut self, table: &Relation) -> Result<(RoutePlan, String), String> {
        let Self::Route { topic } = self else { return Err(other_stage()) };
        let (topic, name, key) = (topic.clone(), format!("{}.{}", table.schema, table.table), table.key());
        let region = (0..).zip(&table.columns).find(|(_, column)| column.name == "region");
        let plan = if table.schema == "pinned" {
            RoutePlan::Fixed(Target { topic, partition: Partition::Number(3) })
        } else if let Some((index, _)) = region {
            let of = || Selection::Listed(vec![index]);
            RoutePlan::PerChange(Interest { new: of(), old: of() })
        } else if key.is_empty() {
            RoutePlan::Fixed(Target { topic, partition: Partition::HashOf(name.clone().into_bytes()) })
        } else {
            RoutePlan::ByColumns(Hashed { topic, columns: key })
        };
        Ok((plan, name))
    }

    fn route(&mut self, name: &String, change: &Change<'_>, to: &mut Routes) -> Result<(), String> {
        let Self::Route { topic } = self else { return Err(other_stage()) };
        match change.row().and_then(|row| row.get(0)) {
            // A truncate has no row.
            None => to.hash_of(topic, name.as_bytes()),
            Some(Cell::Null) => to.number(topic, 0),
            Some(Cell::Unchanged) => return Err(not_sent("region")),
            Some(Cell::Text(b"")) => return Err("region: empty".to_owned()),
            Some(Cell::Text(text)) => {
                let region = std::str::from_utf8(text).map_err(|_| "region: not UTF-8")?;
                to.hash_of(&format!("{topic}.{region}"), text);
            }
        }
        Ok(())
    }
}
