//! The config, with error texts that every language can give: `PATH: rule`.

use serde_json::{Map, Value};

/// The members of the config, none other than `known`.
pub(crate) fn read(config: &str, known: &[&str]) -> Result<Map<String, Value>, String> {
    let Ok(Value::Object(members)) = serde_json::from_str(config) else {
        return Err("config: not a JSON object".to_owned());
    };
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("{name}: unknown")),
        None => Ok(members),
    }
}

/// A list of strings; empty where it is missing.
pub(crate) fn names(members: &Map<String, Value>, name: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("{name}: not a list of strings");
    let Some(value) = members.get(name) else { return Ok(Vec::new()) };
    let items = value.as_array().ok_or_else(wrong)?;
    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}
