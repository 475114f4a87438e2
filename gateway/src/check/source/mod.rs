//! Items about the database.

mod facts;
pub(super) mod items;

pub(super) use facts::{Facts, Table, gather, tables_of};
pub(super) use items::slot::Stored;

use super::Item;
use crate::config::Task;

/// Every item that the facts decide, in the order in which they are mended. `system` is the system identifier, `stored` the
/// position, or why it could not be read.
pub(super) fn judge(task: &Task, facts: &Facts, system: &str, stored: Result<Option<&Stored>, &str>) -> Vec<Item> {
    let mut items = vec![
        items::version::judge(facts),
        items::wal_level::judge(facts),
        items::output_plugin::judge(task, facts),
        items::role::judge(task, facts),
        items::slot_name::judge(task.source.slot.as_str()),
        items::replication_slots::judge(facts),
        items::wal_senders::judge(facts),
        items::publication::judge(task, facts),
        items::operations::judge(task, facts),
    ];
    let selected = selected(task, facts);
    let sent = sent(task, facts);
    items.extend([
        items::tables::judge(task, facts),
        items::published_tables::judge(task, facts, &selected),
        items::filters::judge(&sent),
        items::replica_identity::judge(task, &sent),
        items::unlogged_tables::judge(&selected),
        items::object_names::judge(task, &sent),
        items::generated_columns::judge(task, &sent),
        items::deferrable_constraints::judge(task, &facts.deferrable),
        items::column_types::judge(task, &facts.types),
        items::schema_usage::judge(task, &sent),
        items::select_privilege::judge(task, &sent),
        items::slot::judge(task, facts, system, stored),
        items::long_transactions::judge(facts),
    ]);
    items
}

/// The tables the task selects, under the names the stream uses: partitions by their own name, unless the publication says
/// that they come under their root's.
fn selected<'a>(task: &Task, facts: &'a Facts) -> Vec<&'a Table> {
    let via_root = facts.publication.as_ref().is_some_and(|publication| publication.via_root);
    let named = |table: &&Table| if via_root { !table.is_partition } else { !table.partitioned };
    facts.tables.iter().filter(named).filter(|table| task.selects(&table.schema, &table.name)).collect()
}

/// The tables whose changes are sent, as the stream names them. What is not published, or not logged, is not sent: its
/// identity, columns and topics do not matter.
pub(super) fn sent<'a>(task: &Task, facts: &'a Facts) -> Vec<&'a Table> {
    let selected = selected(task, facts).into_iter();
    selected.filter(|table| (table.published || facts.publication.is_none()) && !table.unlogged).collect()
}

/// Ids of [`judge`]'s items, for a report without a connection.
pub(super) const IDS: [&str; 22] = [
    "source.version",
    "source.wal_level",
    "source.output_plugin",
    "source.role",
    "source.slot_name",
    "source.replication_slots",
    "source.wal_senders",
    "source.publication",
    "source.operations",
    "source.tables",
    "source.published_tables",
    "source.filters",
    "source.replica_identity",
    "source.unlogged_tables",
    "source.object_names",
    "source.generated_columns",
    "source.deferrable_constraints",
    "source.column_types",
    "source.schema_usage",
    "source.select_privilege",
    "source.slot",
    "source.long_transactions",
];

/// At most a few of many names, in one line of a reason.
fn listed<'a>(names: impl IntoIterator<Item = &'a &'a Table>) -> String {
    let names: Vec<String> = names.into_iter().map(|table| table.qualified()).collect();
    match names.len() {
        0..=5 => names.join(", "),
        more => format!("{} and {} more", names[..5].join(", "), more - 5),
    }
}

/// One statement per table, the first hundred of them.
fn statements<'a>(tables: impl IntoIterator<Item = &'a &'a Table>, statement: impl Fn(&Table) -> String) -> String {
    tables.into_iter().take(100).map(|table| statement(table)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
