//! The module's options, checked. config.schema.json says the same to users.

use std::collections::BTreeMap;

use millrace_guest::{Pattern, topic};
use serde::Deserialize;

/// What the task file may say; every option has a default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    tables: Vec<Pattern<2>>,
    columns: Columns,
    topic: String,
    headers: BTreeMap<String, String>,
    updates: Updates,
}

/// Names of the columns, Debezium's own by default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Columns {
    pub(crate) id: String,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: String,
    pub(crate) payload: String,
}

/// What becomes of an update.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Updates {
    /// The change fails.
    Fault,
    /// No message.
    Skip,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            id: "id".to_owned(),
            aggregate_type: "aggregatetype".to_owned(),
            aggregate_id: "aggregateid".to_owned(),
            payload: "payload".to_owned(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // A pattern of two stars parses.
            tables: Pattern::try_from("*.outbox".to_owned()).into_iter().collect(),
            columns: Columns::default(),
            topic: format!("outbox.event.{VARIABLE}"),
            headers: BTreeMap::new(),
            updates: Updates::Fault,
        }
    }
}

const VARIABLE: &str = "$aggregatetype$";

/// The options, checked.
pub(crate) struct Config {
    pub(crate) tables: Vec<Pattern<2>>,
    pub(crate) columns: Columns,
    /// What stands before and behind the aggregate's type.
    pub(crate) topic: (String, String),
    /// Names of headers, and the columns their values come from.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) updates: Updates,
}

impl Config {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Options { tables, columns, topic, headers, updates } = millrace_guest::config::parse(text)?;
        if tables.is_empty() {
            return Err("tables: an empty list names no outbox".to_owned());
        }
        let (before, after) = topic.split_once(VARIABLE).ok_or_else(|| format!("topic: {topic:?} lacks {VARIABLE}"))?;
        if let Some(c) = before.chars().chain(after.chars()).find(|&c| !topic::is_legal(c)) {
            return Err(format!("topic: {topic:?} holds {c:?}, which no topic name may"));
        }
        if headers.contains_key("id") {
            return Err("headers.id: that header is the column id".to_owned());
        }
        Ok(Self { tables, topic: (before.to_owned(), after.to_owned()), columns, headers, updates })
    }
}
