//! The module's options. config.schema.json says the same to users.

use millrace_guest::{
    Binary, Money,
    connect::{BinaryMode, DecimalMode, IntervalMode, Options, TimePrecision},
};
use serde::Deserialize;

/// Options; every one has a default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) values: Values,
    pub(crate) deletes: Deletes,
    pub(crate) key: RecordKey,
    /// Facts about the change, as members beside the columns.
    pub(crate) add_fields: Vec<Fact>,
    /// In front of their names.
    pub(crate) add_fields_prefix: String,
    /// Stands for text and bytes that the source did not send; absent: the member is left out.
    pub(crate) placeholder: Option<String>,
    pub(crate) decimal: DecimalMode,
    pub(crate) time: TimePrecision,
    pub(crate) interval: IntervalMode,
    pub(crate) binary: BinaryMode,
    pub(crate) text_binary: Binary,
    pub(crate) money: Money,
}

/// What the values are.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Values {
    /// Numbers, booleans, arrays: as debezium-json writes them.
    Typed,
    /// Strings and null: as drs-json writes them.
    Text,
}

/// What becomes of a delete.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deletes {
    /// No record.
    Drop,
    /// A record without value.
    Tombstone,
    /// The old row with `deleted` true, and every other row with false.
    Rewrite,
    /// Both, in this order.
    RewriteWithTombstone,
}

/// What the record key is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecordKey {
    /// The bytes the router hashed.
    Hashed,
    /// The primary key as a JSON object of typed values.
    Json,
}

/// Something known of a change beside its row.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fact {
    Op,
    Database,
    Schema,
    Table,
    Id,
    Lsn,
    Txid,
    Ordinal,
    TsMs,
}

impl Fact {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Op => "op",
            Self::Database => "database",
            Self::Schema => "schema",
            Self::Table => "table",
            Self::Id => "id",
            Self::Lsn => "lsn",
            Self::Txid => "txid",
            Self::Ordinal => "ordinal",
            Self::TsMs => "ts_ms",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            values: Values::Typed,
            deletes: Deletes::Tombstone,
            key: RecordKey::Hashed,
            add_fields: Vec::new(),
            add_fields_prefix: "__".to_owned(),
            placeholder: None,
            decimal: DecimalMode::String,
            time: TimePrecision::default(),
            interval: IntervalMode::String,
            binary: BinaryMode::default(),
            text_binary: Binary::default(),
            money: Money::default(),
        }
    }
}

impl Config {
    pub(crate) fn options(&self) -> Options {
        Options {
            decimal: self.decimal,
            time: self.time,
            interval: self.interval,
            binary: self.binary,
            placeholder: self.placeholder.clone(),
        }
    }
}
