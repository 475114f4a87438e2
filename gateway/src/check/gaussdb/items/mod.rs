//! One item a file: what it looks at, its verdict, and the statement that mends it. Pure; the questions are asked by `super`.

mod decoding;
mod encoding;
mod generated_columns;
mod interval_partitions;
mod long_transactions;
mod object_names;
mod replica_identity;
mod replication_slots;
mod role;
mod schema_usage;
mod select_privilege;
mod session_settings;
mod slot;
mod slot_log;
mod table_kinds;
mod tables;
mod unlogged_tables;
mod version;
mod wal_level;
mod wal_senders;

use millrace_replication::{catalog::gauss::CheckedTable, quote_qualified};

use super::Facts;
use crate::{
    check::{
        Item,
        source::{Stored, Table, items as shared},
    },
    config::Task,
};

/// Ids of [`items`], for a node that could not be asked.
pub(super) const IDS: [&str; 23] = [
    "source.version",
    "source.encoding",
    "source.wal_level",
    "source.slot_log",
    "source.role",
    "source.slot_name",
    "source.replication_slots",
    "source.wal_senders",
    "source.decoding",
    "source.session_settings",
    "source.tables",
    "source.table_kinds",
    "source.unlogged_tables",
    "source.interval_partitions",
    "source.replica_identity",
    "source.object_names",
    "source.generated_columns",
    "source.deferrable_constraints",
    "source.column_types",
    "source.schema_usage",
    "source.select_privilege",
    "source.slot",
    "source.long_transactions",
];

/// Every item of a node, in the order in which they are mended.
pub(super) fn items(task: &Task, facts: &Facts, stored: Result<Option<Stored>, String>) -> Vec<Item> {
    let selected = selected(task, &facts.tables);
    vec![
        version::judge(facts),
        encoding::judge(facts),
        wal_level::judge(facts),
        slot_log::judge(facts),
        role::judge(task, facts),
        shared::slot_name::judge(task.source.slot.as_str()),
        replication_slots::judge(facts),
        wal_senders::judge(facts),
        decoding::judge(task, facts),
        session_settings::judge(task, facts),
        tables::judge(task, &facts.tables),
        table_kinds::judge(&selected),
        unlogged_tables::judge(&selected),
        interval_partitions::judge(task, &selected),
        replica_identity::judge(task, &selected),
        object_names::judge(&selected),
        generated_columns::judge(task, facts),
        shared::deferrable_constraints::judge(task, &facts.deferrable),
        shared::column_types::judge(task, &facts.types),
        schema_usage::judge(task, &selected),
        select_privilege::judge(task, &selected),
        slot::judge(task, facts, stored),
        long_transactions::judge(facts),
    ]
}

fn setting<'a>(facts: &'a Facts, name: &str) -> &'a str {
    facts.settings.get(name).map_or("", String::as_str)
}

fn qualified(table: &CheckedTable) -> String {
    quote_qualified(&table.schema, &table.name)
}

fn listed(tables: &[&CheckedTable]) -> String {
    let names: Vec<String> = tables.iter().take(5).map(|table| qualified(table)).collect();
    let more = tables.len().saturating_sub(5);
    if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
}

fn statements(tables: &[&CheckedTable], statement: impl Fn(&CheckedTable) -> String) -> String {
    tables.iter().take(100).map(|table| statement(table)).collect::<Vec<_>>().join("\n")
}

/// The tables the task selects.
fn selected<'a>(task: &Task, tables: &'a [CheckedTable]) -> Vec<&'a CheckedTable> {
    tables.iter().filter(|table| task.selects(&table.schema, &table.name)).collect()
}

/// The selected tables whose changes come, for the items about topics.
pub(super) fn sent(task: &Task, tables: &[CheckedTable]) -> Vec<Table> {
    let sent = selected(task, tables).into_iter().filter(|table| table.is_decoded());
    sent.map(|table| Table { schema: table.schema.clone(), name: table.name.clone(), ..Table::default() }).collect()
}
