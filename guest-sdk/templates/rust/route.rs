//! @NAME@: one topic, the partition by the text of a column. Config: `{"topic": "orders", "column": "region"}`.

use millrace_guest::{
    Cell, Change, Interest, Module, Partition, Relation, Route, RoutePlan, Routes, Selection, Target,
};

/// The module.
pub struct @TYPE@ {
    topic: String,
    column: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    topic: Option<String>,
    column: Option<String>,
}

impl Module for @TYPE@ {
    const NAME: &'static str = "@NAME@";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Route for @TYPE@ {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        let config: Config = millrace_guest::config::parse(config)?;
        let topic = config.topic.ok_or("topic: must be a string")?;
        let column = config.column.ok_or("column: must be a string")?;
        Ok(Self { topic, column })
    }

    /// A table without the column goes to one partition, the hash of its name; no call per change is needed for that.
    fn announce(&mut self, table: &Relation) -> Result<(RoutePlan, ()), String> {
        let Some(index) = table.columns.iter().position(|column| column.name == self.column) else {
            let partition = Partition::HashOf(table.table.as_bytes().to_vec());
            return Ok((RoutePlan::Fixed(Target { topic: self.topic.clone(), partition }), ()));
        };
        // Where NULL needs no rule of its own, `RoutePlan::ByColumns` lets the host hash the column without a call per change.
        let listed = Selection::Listed(vec![index as u16]);
        Ok((RoutePlan::PerChange(Interest { new: listed.clone(), old: listed }), ()))
    }

    /// The bytes handed to `hash_of` decide the partition and are the record key, unless the format gives another.
    fn route(&mut self, (): &(), change: &Change<'_>, to: &mut Routes) -> Result<(), String> {
        match change.row().and_then(|row| row.get(0)) {
            Some(Cell::Text(text)) => to.hash_of(&self.topic, text),
            Some(Cell::Unchanged) => return Err(format!("{}: not sent by the source", self.column)),
            Some(Cell::Null) | None => to.number(&self.topic, 0),
        }
        Ok(())
    }
}

millrace_guest::export!(@TYPE@: route);

#[cfg(test)]
mod tests {
    /// The same golden files as `millrace module test`, without WebAssembly.
    #[test]
    fn golden() {
        millrace_guest::golden::route::<super::@TYPE@>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }
}
