//! The reference of the task file: every key with its default and what it means, from the types that are the schema.

use serde::Serialize;
use serde_json::Value;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `section.key`.
    pub key: String,
    /// What holds without it; none where it must be there, follows from other keys, or is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What it means.
    pub meaning: String,
}

/// Every key, in the order of the schema. The four kinds of modules have the same keys: those of the first stand for all.
pub fn reference() -> Vec<Row> {
    let mut rows = Vec::new();
    walk(&super::schema(), "", &mut rows);
    rows.retain(|row| {
        !["modules.map.", "modules.route.", "modules.format."].iter().any(|kind| row.key.starts_with(kind))
    });
    rows
}

fn walk(schema: &Value, path: &str, into: &mut Vec<Row>) {
    let lists = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let properties = |schema: &Value| schema.get("properties").and_then(Value::as_object).cloned();
    let holder = std::iter::once(schema).chain(schema.get("items")).chain(lists).find_map(properties);
    let Some(properties) = holder else {
        let default = match schema.get("default") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(format!("{text:?}")),
            Some(value) => Some(value.to_string()),
        };
        let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        return into.push(Row { key: path.to_owned(), default, meaning });
    };
    for (key, inner) in &properties {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        walk(inner, &path, into);
    }
}

/// The reference as tables of Markdown, one for each section.
pub fn markdown() -> String {
    let mut text = String::new();
    let mut section = String::new();
    for Row { key, default, meaning } in reference() {
        let of = key.split('.').next().unwrap_or_default();
        if of != section {
            section = of.to_owned();
            text += &format!("\n## `[{section}]`\n\n| key | default | meaning |\n| --- | --- | --- |\n");
        }
        let default = default.map_or_else(|| "-".to_owned(), |default| format!("`{default}`"));
        text += &format!("| `{key}` | {default} | {meaning} |\n");
    }
    text.trim_start().to_owned()
}
