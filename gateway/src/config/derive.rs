//! What must be there, and defaults that follow from other keys.
//!
//! Works on the TOML table before it becomes a [`super::Task`], so that the task has plain fields and `config print` shows
//! what really holds.

use std::str::FromStr;

use toml::{Table, Value};

use super::{Problems, SlotName, TaskName, TopicPolicy};

/// Keys without a default, with a legal value that stands in for a missing or refused one while the rest is judged.
const REQUIRED: [(&str, &str, &str); 6] = [
    ("task", "name", "unset"),
    ("source", "kind", "postgresql"),
    ("source", "hosts", ""),
    ("source", "database", "unset"),
    ("source", "user", "unset"),
    ("sink", "kind", "kafka"),
];

/// Keys whose default follows from other keys or from the machine: [`fill`] writes it, no schema can say it.
pub(super) const DERIVED: [(&str, &str); 8] = [
    ("source", "slot"),
    ("source", "decoding"),
    ("source", "publication"),
    ("route", "partition_policy"),
    ("route", "create_topics"),
    ("format", "db_type"),
    ("position", "store"),
    ("pipeline", "workers"),
];

/// Every section; a missing one is an empty one.
const SECTIONS: [&str; 12] = [
    "task",
    "source",
    "objects",
    "check",
    "route",
    "format",
    "modules",
    "sink",
    "position",
    "pipeline",
    "admin",
    "monitoring",
];

/// A constant of this program in its checked form. The tests parse each of them.
pub(super) fn parsed<T: FromStr>(text: &str) -> T {
    match text.parse() {
        Ok(value) => value,
        Err(_) => unreachable!("the default {text:?} is legal"),
    }
}

fn text<'a>(table: &'a Table, section: &str, key: &str) -> Option<&'a str> {
    table.get(section)?.get(key)?.as_str()
}

/// Adds the sections that are missing and says which are no tables.
pub(super) fn sections(table: &mut Table, problems: &mut Problems) {
    for section in SECTIONS {
        match table.get(section) {
            None => {}
            Some(Value::Table(_)) => continue,
            Some(_) => problems.add(section, "must be a table", None),
        }
        table.insert(section.to_owned(), Value::Table(Table::new()));
    }
}

/// Puts the stand-in where a required key is missing.
pub(super) fn required(table: &mut Table, problems: &mut Problems) {
    for (section, key, stand_in) in REQUIRED {
        let Some(Value::Table(keys)) = table.get_mut(section) else { continue };
        if !keys.contains_key(key) {
            problems.refuse(&[&format!("{section}.{key}")], "is missing");
            let value = if key == "hosts" { Value::Array(Vec::new()) } else { Value::String(stand_in.to_owned()) };
            keys.insert(key.to_owned(), value);
        }
    }
}

/// Writes the defaults that depend on other keys.
pub(super) fn fill(table: &mut Table) {
    let kafka = text(table, "sink", "kind").is_none_or(|kind| kind == "kafka");
    let gaussdb = text(table, "source", "kind") == Some("gaussdb");
    let slot = text(table, "task", "name")
        .and_then(|name| name.parse::<TaskName>().ok())
        .map(|name| format!("millrace_{}", name.as_str().to_ascii_lowercase().replace('-', "_")));
    let route = table.get("route");
    let policy = route.and_then(|r| r.get("topic_policy")?.as_integer()).and_then(|n| TopicPolicy::try_from(n).ok());
    let policy = policy.unwrap_or(TopicPolicy::PerTable);
    // Rows spread by key where the managed service permits it; else a table stays in one partition.
    let by_key = matches!(policy, TopicPolicy::Single | TopicPolicy::PerTable);

    let mut default = |section: &str, key: &str, value: Value| {
        if let Some(Value::Table(keys)) = table.get_mut(section) {
            keys.entry(key).or_insert(value);
        }
    };
    if let Some(slot) = slot {
        default("source", "slot", Value::String(slot));
    }
    default("route", "partition_policy", Value::Integer(if by_key { 2 } else { 0 }));
    default("route", "create_topics", Value::Boolean(policy != TopicPolicy::Single));
    if policy != TopicPolicy::Single {
        default("route", "topic_name_format", Value::String(policy.default_format().to_owned()));
    }
    default("source", "decoding", Value::String(if gaussdb { "serial" } else { "pgoutput" }.to_owned()));
    let family = if gaussdb { super::SourceKind::Gaussdb } else { super::SourceKind::Postgresql };
    default("format", "db_type", Value::String(family.db_type().to_owned()));
    default("position", "store", Value::String(if kafka { "topic" } else { "file" }.to_owned()));
    default("pipeline", "workers", Value::Integer(default_workers()));
    if let Some(cache) = std::env::var("XDG_CACHE_HOME").ok().filter(|cache| cache.starts_with('/')) {
        default("modules", "cache", Value::String(format!("{cache}/millrace")));
    }
    if let Some(slot) = text(table, "source", "slot").filter(|slot| slot.parse::<SlotName>().is_ok()) {
        let slot = Value::String(slot.to_owned());
        if let Some(Value::Table(source)) = table.get_mut("source") {
            source.entry("publication").or_insert(slot);
        }
    }
    // An empty path means none: what a template leaves open must not become a file of that name.
    if text(table, "admin", "status_file") == Some("")
        && let Some(Value::Table(admin)) = table.get_mut("admin")
    {
        admin.remove("status_file");
    }
}

/// Half the cores, at least 1: the other half belongs to decoding, the producer and the peers on the same machine.
fn default_workers() -> i64 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    i64::try_from(cores / 2).unwrap_or(1).clamp(1, 256)
}
