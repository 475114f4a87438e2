//! The module's options, by Debezium's own names. config.schema.json says the same to users.

use millrace_guest::connect::{BinaryMode, DecimalMode, IntervalMode, Options, TimePrecision};
use serde::Deserialize;

/// Options; every one has a default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// `source.name`, and the first part of schema names.
    pub(crate) topic_prefix: String,
    /// `source.connector`.
    pub(crate) connector: String,
    /// Whether each message carries its schema.
    pub(crate) schemas_enable: bool,
    /// Whether a delete is followed by a record without value.
    pub(crate) tombstones_on_delete: bool,
    /// Whether a truncate becomes a message.
    pub(crate) truncate: bool,
    decimal_handling_mode: DecimalMode,
    time_precision_mode: TimePrecision,
    interval_handling_mode: IntervalMode,
    binary_handling_mode: BinaryMode,
    unavailable_value_placeholder: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            topic_prefix: "millrace".to_owned(),
            connector: "postgresql".to_owned(),
            schemas_enable: false,
            tombstones_on_delete: true,
            truncate: false,
            decimal_handling_mode: DecimalMode::default(),
            time_precision_mode: TimePrecision::default(),
            interval_handling_mode: IntervalMode::default(),
            binary_handling_mode: BinaryMode::default(),
            unavailable_value_placeholder: "__debezium_unavailable_value".to_owned(),
        }
    }
}

impl Config {
    /// How values are written.
    pub(crate) fn options(&self) -> Options {
        Options {
            decimal: self.decimal_handling_mode,
            time: self.time_precision_mode,
            interval: self.interval_handling_mode,
            binary: self.binary_handling_mode,
            placeholder: Some(self.unavailable_value_placeholder.clone()),
        }
    }
}
