//! Format: Debezium's change envelope as its JSON converter writes it, with the type mapping documented for PostgreSQL.
//!
//! Everything a table's messages share is written once in `announce`. Knows nothing of topics: where a record goes is the
//! router's affair, the record key is the primary key as JSON.

mod config;
mod envelope;
mod schema;

use config::Config;
use envelope::Envelope;
use millrace_guest::{Change, Escape, Format, FormatPlan, Interest, JsonWriter, Key, Module, Op, Records, Relation};

/// The module.
pub struct DebeziumJson {
    config: Config,
    /// Room for a record key.
    key: Vec<u8>,
}

impl Module for DebeziumJson {
    const NAME: &'static str = "debezium-json";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Format for DebeziumJson {
    type Table = Envelope;

    fn init(config: &str) -> Result<Self, String> {
        Ok(Self { config: millrace_guest::config::parse(config)?, key: Vec::new() })
    }

    fn announce(&mut self, table: &Relation) -> Result<(FormatPlan, Envelope), String> {
        Ok((Interest::ALL.into(), Envelope::new(&self.config, table)))
    }

    fn format(&mut self, envelope: &Envelope, change: &Change<'_>, out: &mut Records) -> Result<(), String> {
        if change.op() == Op::Truncate && !self.config.truncate {
            return Ok(());
        }
        self.key.clear();
        let keyed = envelope.write_key(change, &mut JsonWriter::new(&mut self.key, Escape::Plain))?;
        let key = || if keyed { Key::Bytes(&self.key) } else { Key::None };
        let mut record = out.begin(key());
        envelope.write(change, &mut JsonWriter::new(record.value(), Escape::Plain))?;
        record.finish();
        // Without a key there is nothing a tombstone could stand for.
        if change.op() == Op::Delete && keyed && self.config.tombstones_on_delete {
            let mut record = out.begin(key());
            record.tombstone();
            record.finish();
        }
        Ok(())
    }
}

millrace_guest::export!(DebeziumJson: format);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        millrace_guest::golden::format::<DebeziumJson>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }
}
