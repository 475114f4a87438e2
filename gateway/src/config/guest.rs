//! The configuration of the default modules, as their `init` gets it.
//!
//! Owns the step from the task file's sections to the JSON documents of `select`, `topic-router`, `drs-json` and `drs-avro`; the modules
//! own what the documents mean.

use serde_json::{Map, Value, json};

use super::{FormatKind, Task, TopicPolicy};

impl Task {
    /// Configuration of the default filter: the tables to keep.
    pub fn select_config(&self) -> String {
        json!({ "include": self.objects.include, "exclude": self.objects.exclude }).to_string()
    }

    /// Configuration of the default router: only the keys its policy reads.
    pub fn router_config(&self) -> String {
        let mut config = json!({
            "topic_policy": self.route.topic_policy,
            "partition_policy": self.route.partition_policy,
            "sanitize": self.route.sanitize,
        });
        if self.route.topic_policy == TopicPolicy::Single {
            config["topic"] = json!(self.route.topic);
        } else {
            config["topic_name_format"] = json!(self.route.topic_name_format);
        }
        config.to_string()
    }

    /// Configuration of the default format.
    pub fn format_config(&self) -> String {
        let format = &self.format;
        match format.kind {
            FormatKind::Json => json!({
                "profile": format.profile,
                "db_type": format.db_type,
                "sql_type": format.sql_type,
                "html_escape": format.html_escape,
                "binary": format.binary,
                "money": format.money,
            }),
            FormatKind::Avro => {
                json!({ "db_type": format.db_type, "binary": format.binary, "money": format.money })
            }
        }
        .to_string()
    }
}

/// A module's own configuration as JSON. TOML's dates become their text: JSON has none.
pub(super) fn json_of_table(table: &toml::Table) -> Value {
    Value::Object(table.iter().map(|(key, value)| (key.clone(), json_of(value))).collect::<Map<_, _>>())
}

fn json_of(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(n) => json!(n),
        toml::Value::Float(n) => json!(n),
        toml::Value::Boolean(b) => json!(b),
        toml::Value::Datetime(date) => json!(date.to_string()),
        toml::Value::Array(list) => list.iter().map(json_of).collect(),
        toml::Value::Table(table) => json_of_table(table),
    }
}
