//! Keys that do not exist, with the one that was probably meant.
//!
//! Walks the task file along the JSON Schema of [`super::Task`], so that all unknown keys are found at once, and takes them out
//! so that they do not hide other problems.

use serde_json::Value as Schema;
use toml::{Table, Value};

use super::Problems;

/// Reports and removes every key that the schema does not know.
pub(super) fn unknown(table: &mut Table, schema: &Schema, problems: &mut Problems) {
    walk(table, schema, schema, "", problems);
}

/// The part of a schema that lists keys: behind the "or null" of optional ones.
fn with_properties(schema: &Schema) -> Option<&Schema> {
    if schema.get("properties").is_some() {
        return Some(schema);
    }
    schema.get("anyOf")?.as_array()?.iter().find(|part| part.get("properties").is_some())
}

fn walk(table: &mut Table, schema: &Schema, root: &Schema, path: &str, problems: &mut Problems) {
    // Free tables (a module's configuration, properties) have no list of keys.
    let Some(properties) = with_properties(schema).and_then(|s| s.get("properties")?.as_object()) else { return };
    table.retain(|key, value| {
        let here = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let Some(schema) = properties.get(key) else {
            problems.add(here, rule(key, properties.keys(), path, root), None);
            return false;
        };
        match value {
            Value::Table(inner) => walk(inner, schema, root, &here, problems),
            Value::Array(list) => {
                for (index, item) in list.iter_mut().enumerate() {
                    if let (Value::Table(inner), Some(schema)) = (item, schema.get("items")) {
                        walk(inner, schema, root, &format!("{here}[{index}]"), problems);
                    }
                }
            }
            _ => {}
        }
        true
    });
}

/// What to say about an unknown key: the nearest key here, or the section that has it.
fn rule<'a>(key: &str, known: impl Iterator<Item = &'a String>, path: &str, root: &Schema) -> String {
    // A key cut short is near whatever its length.
    let far = |known: &str| if key.len() >= 3 && known.starts_with(key) { 1 } else { distance(key, known) };
    let nearest = known.map(|known| (far(known), known)).min();
    if let Some((distance, known)) = nearest
        && distance <= 1 + known.len() / 4
    {
        return format!("is no key; did you mean {known}?");
    }
    let sections = root.get("properties").and_then(Schema::as_object);
    let elsewhere = sections
        .into_iter()
        .flatten()
        .find(|(_, section)| with_properties(section).is_some_and(|section| section["properties"].get(key).is_some()));
    match elsewhere {
        Some((section, _)) if section != path => format!("is no key here; [{section}] has one of this name"),
        _ => "is no key".to_owned(),
    }
}

/// Levenshtein's distance, without regard to case; keys are short, an absurdly long one is far from all.
pub(super) fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 {
        return a.len();
    }
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("nmae", "name", 2), ("Name", "name", 0), ("host", "hosts", 1), ("", "abc", 3)]
        {
            assert_eq!(super::distance(a, b), expected, "{a} {b}");
        }
    }
}
