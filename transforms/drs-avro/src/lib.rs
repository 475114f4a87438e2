//! Default format for Avro: the event of `drs-json` as a bare datum of one published schema (schema.avsc).
//!
//! Everything a table's events share is encoded once in `announce`. Framing and registration are the sink's affair: it learns the
//! schema from the plan. Truncates become no record; the record key is what the router hashed.

mod datum;
mod event;

use event::Event;
use millrace_guest::{
    Binary, Change, Format, FormatPlan, Interest, Key, Module, Money, Op, Records, Relation, Schema, SchemaLanguage,
};
use serde::Deserialize;

/// The schema of every value this module writes.
pub const SCHEMA: &str = include_str!("../schema.avsc");

/// Its full name.
pub const NAME: &str = "io.millrace.drs.ChangedRow";

/// The module.
pub struct DrsAvro {
    config: Config,
    /// Room for one value.
    scratch: Vec<u8>,
}

/// Options; every one has a default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) db_type: String,
    pub(crate) binary: Binary,
    pub(crate) money: Money,
}

impl Default for Config {
    fn default() -> Self {
        Self { db_type: "GaussDB".to_owned(), binary: Binary::Hex, money: Money::Text }
    }
}

impl Module for DrsAvro {
    const NAME: &'static str = "drs-avro";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Format for DrsAvro {
    type Table = Event;

    fn init(config: &str) -> Result<Self, String> {
        Ok(Self { config: millrace_guest::config::parse(config)?, scratch: Vec::new() })
    }

    fn announce(&mut self, table: &Relation) -> Result<(FormatPlan, Event), String> {
        let schema = Schema { language: SchemaLanguage::Avro, name: NAME.to_owned(), text: SCHEMA.to_owned() };
        let plan = FormatPlan { reads: Interest::ALL, key_schema: None, value_schema: Some(schema) };
        Ok((plan, Event::new(&self.config, table)))
    }

    fn format(&mut self, event: &Event, change: &Change<'_>, out: &mut Records) -> Result<(), String> {
        if change.op() == Op::Truncate {
            return Ok(());
        }
        let mut record = out.begin(Key::Hashed);
        event.append(change, &mut self.scratch, record.value())?;
        record.finish();
        Ok(())
    }
}

millrace_guest::export!(DrsAvro: format);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        millrace_guest::golden::format::<DrsAvro>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }
}
