//! Format: the JSON messages of Canal, which the DRS service calls JSON-C.
//!
//! Differs from `drs-json` in two things: a deleted row stands in `data`, and `old` of an update has the changed columns only.
//! Knows nothing of topics; the record key is what the router hashed.

mod message;

use message::Message;
use millrace_guest::{
    Binary, Change, Escape, Format, FormatPlan, Interest, JsonWriter, Key, Module, Money, Op, Records, Relation,
};
use serde::Deserialize;

/// The module.
pub struct CanalJson {
    config: Config,
}

/// Options; every one has a default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) database: Database,
    pub(crate) html_escape: bool,
    pub(crate) binary: Binary,
    pub(crate) money: Money,
}

/// What `database` holds: Canal's messages have one place for what are two names here.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Database {
    #[default]
    Database,
    Schema,
}

impl Config {
    pub(crate) fn escape(&self) -> Escape {
        if self.html_escape { Escape::Html } else { Escape::Plain }
    }
}

impl Module for CanalJson {
    const NAME: &'static str = "canal-json";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Format for CanalJson {
    type Table = Message;

    fn init(config: &str) -> Result<Self, String> {
        Ok(Self { config: millrace_guest::config::parse(config)? })
    }

    fn announce(&mut self, table: &Relation) -> Result<(FormatPlan, Message), String> {
        Ok((Interest::ALL.into(), Message::new(&self.config, table)))
    }

    fn format(&mut self, message: &Message, change: &Change<'_>, out: &mut Records) -> Result<(), String> {
        if change.op() == Op::Truncate {
            return Ok(());
        }
        let mut record = out.begin(Key::Hashed);
        message.write(change, &mut JsonWriter::new(record.value(), self.config.escape()))?;
        record.finish();
        Ok(())
    }
}

millrace_guest::export!(CanalJson: format);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        millrace_guest::golden::format::<CanalJson>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }
}
