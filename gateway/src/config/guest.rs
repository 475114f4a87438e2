//! The configuration of the default modules, as their `init` gets it.
//!
//! Owns the step from the task file's sections to the JSON documents of `select`, `topic-router`, `drs-json` and `drs-avro`; the modules
//! own what the documents mean.

use millrace_host::{MappedTo, Mapping};
use millrace_objects::{HELPER_TABLES, SYSTEM_SCHEMAS};
use serde_json::{Map, Value, json};

use super::{FormatKind, SourceKind, Task, TopicPolicy};

impl Task {
    /// Configuration of the default filter: the tables to keep.
    pub fn select_config(&self) -> String {
        let mut exclude: Vec<String> = self.objects.exclude.iter().map(ToString::to_string).collect();
        let wild = self.objects.include.iter().any(|pattern| pattern.exact().is_none());
        if self.source.kind == SourceKind::Gaussdb && wild {
            exclude.extend(SYSTEM_SCHEMAS.iter().map(|schema| format!("{schema}.*")));
            exclude.extend(["pg_temp_*.*", "pg_toast_temp_*.*"].map(str::to_owned));
            exclude.extend(HELPER_TABLES.iter().map(|table| format!("public.{table}")));
        }
        json!({ "include": self.objects.include, "exclude": exclude }).to_string()
    }

    /// Whether a table is read: it is selected, and it is none of the server's own.
    pub fn selects(&self, schema: &str, table: &str) -> bool {
        self.objects.selects(schema, table) && !super::is_system(self.source.kind, schema, table)
    }

    /// What the list of tables maps them to.
    pub fn mapping(&self) -> Mapping {
        let Some(import) = &self.objects.imported else { return Mapping::default() };
        let mapped = import.rows.iter().filter_map(|row| {
            let target = row.target.as_ref()?;
            let to = match import.mapping {
                millrace_objects::Mapping::Topic => MappedTo::Topic(target.clone()),
                millrace_objects::Mapping::Table => {
                    let (schema, table) = target.split_once('.')?;
                    MappedTo::Table { schema: schema.to_owned(), table: table.to_owned() }
                }
            };
            Some(((row.schema.clone(), row.table.clone()), to))
        });
        mapped.collect()
    }

    /// Everything that decides which tables are read and under which names, for telling two selections apart.
    pub(crate) fn selection(&self) -> String {
        let mut selection = self.select_config();
        let imported = self.objects.imported.iter().flat_map(|import| &import.rows);
        for row in imported.filter(|row| row.target.is_some()) {
            selection.push_str(&json!([row.schema, row.table, row.target]).to_string());
        }
        selection
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
