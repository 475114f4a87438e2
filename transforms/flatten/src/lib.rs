//! Format: one flat JSON object per row, the columns at its top, for readers that want rows and no envelope.
//!
//! What Debezium users know as event flattening, with its names for what becomes of a delete. Knows nothing of topics.

mod config;
mod row;

use config::{Config, Deletes, RecordKey};
use millrace_guest::{Change, Escape, Format, FormatPlan, Interest, JsonWriter, Key, Module, Op, Records, Relation};
use row::Row;

/// The module.
pub struct Flatten {
    config: Config,
    /// Room for a record key.
    key: Vec<u8>,
}

impl Module for Flatten {
    const NAME: &'static str = "flatten";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Format for Flatten {
    type Table = Row;

    fn init(config: &str) -> Result<Self, String> {
        Ok(Self { config: millrace_guest::config::parse(config)?, key: Vec::new() })
    }

    fn announce(&mut self, table: &Relation) -> Result<(FormatPlan, Row), String> {
        Ok((Interest::ALL.into(), Row::new(&self.config, table)?))
    }

    fn format(&mut self, row: &Row, change: &Change<'_>, out: &mut Records) -> Result<(), String> {
        let deleted = change.op() == Op::Delete;
        if change.op() == Op::Truncate || (deleted && self.config.deletes == Deletes::Drop) {
            return Ok(());
        }
        self.key.clear();
        let key = match self.config.key {
            RecordKey::Hashed => Key::Hashed,
            RecordKey::Json if row.write_key(change, &mut JsonWriter::new(&mut self.key, Escape::Plain))? => {
                Key::Bytes(&self.key)
            }
            RecordKey::Json => Key::None,
        };
        if !deleted || matches!(self.config.deletes, Deletes::Rewrite | Deletes::RewriteWithTombstone) {
            let mut record = out.begin(key);
            row.write(change, &mut JsonWriter::new(record.value(), Escape::Plain))?;
            record.finish();
        }
        // Without a key there is nothing a tombstone could stand for.
        let tombstone = matches!(self.config.deletes, Deletes::Tombstone | Deletes::RewriteWithTombstone);
        if deleted && tombstone && key != Key::None {
            let mut record = out.begin(key);
            record.tombstone();
            record.finish();
        }
        Ok(())
    }
}

millrace_guest::export!(Flatten: format);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        millrace_guest::golden::format::<Flatten>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }
}
