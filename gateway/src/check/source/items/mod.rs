//! One item a file: what it looks at, its verdict, and the statement that mends it. Pure; the questions are in `facts`.

pub(in crate::check) mod column_types;
pub(in crate::check) mod deferrable_constraints;
pub(super) mod filters;
pub(super) mod generated_columns;
pub(super) mod long_transactions;
pub(super) mod object_names;
pub(super) mod operations;
pub(super) mod output_plugin;
pub(super) mod publication;
pub(super) mod published_tables;
pub(super) mod replica_identity;
pub(super) mod replication_slots;
pub(super) mod role;
pub(super) mod schema_usage;
pub(super) mod select_privilege;
pub(super) mod slot;
pub(in crate::check) mod slot_name;
pub(super) mod tables;
pub(super) mod unlogged_tables;
pub(super) mod version;
pub(super) mod wal_level;
pub(super) mod wal_senders;

use super::Facts;

pub(super) fn limit(facts: &Facts, setting: &str) -> i64 {
    facts.settings.get(setting).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn raise(setting: &str, used: i64) -> String {
    format!("ALTER SYSTEM SET {setting} = {};\n-- then restart the server", used.max(4) * 2)
}
