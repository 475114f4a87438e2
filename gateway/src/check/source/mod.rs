//! Items about the database.

mod facts;
mod limits;
mod publication;
mod server;
mod slot;
mod tables;

pub(super) use facts::{Facts, Table, gather, tables_of};
pub(super) use slot::Stored;

use super::Item;
use crate::config::Task;

/// Every item that the facts decide, in the order in which they are mended. `system` is the system identifier, `stored` the
/// position, or why it could not be read.
pub(super) fn judge(task: &Task, facts: &Facts, system: &str, stored: Result<Option<&Stored>, &str>) -> Vec<Item> {
    let mut items = vec![
        server::version(facts),
        server::wal_level(facts),
        server::output_plugin(task, facts),
        server::role(task, facts),
        limits::replication_slots(facts),
        limits::wal_senders(facts),
        publication::exists(task, facts),
        publication::operations(task, facts),
    ];
    let selected = tables::selected(task, facts);
    let sent = sent(task, facts);
    items.extend([
        tables::exist(task, facts),
        publication::coverage(task, facts, &selected),
        publication::filters(&sent),
        tables::replica_identity(&sent),
        tables::unlogged(&selected),
        tables::names(&sent),
        tables::generated_columns(&sent),
        tables::select_privilege(task, &sent),
        slot::state(task, facts, system, stored),
        limits::long_transactions(facts),
    ]);
    items
}

/// The tables whose changes are sent, as the stream names them. What is not published, or not logged, is not sent: its
/// identity, columns and topics do not matter.
pub(super) fn sent<'a>(task: &Task, facts: &'a Facts) -> Vec<&'a Table> {
    let selected = tables::selected(task, facts).into_iter();
    selected.filter(|table| (table.published || facts.publication.is_none()) && !table.unlogged).collect()
}

/// Ids of [`judge`]'s items, for a report without a connection.
pub(super) const IDS: [&str; 18] = [
    "source.version",
    "source.wal_level",
    "source.output_plugin",
    "source.role",
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
