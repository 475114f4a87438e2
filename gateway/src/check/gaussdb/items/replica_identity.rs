//! Item `source.replica_identity`: old rows come whole.

use millrace_replication::catalog::{ReplicaIdentity, gauss::CheckedTable};

use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, selected: &[&CheckedTable]) -> Item {
    let id = "source.replica_identity";
    let keyless = |table: &&&CheckedTable| {
        table.replica_identity == ReplicaIdentity::Nothing
            || (table.replica_identity == ReplicaIdentity::Default && !table.primary_key)
    };
    let without: Vec<&CheckedTable> = selected.iter().filter(keyless).copied().collect();
    let full = |table: &&&CheckedTable| table.replica_identity == ReplicaIdentity::Full;
    let partial: Vec<&CheckedTable> =
        selected.iter().filter(|table| !full(table) && !keyless(table)).copied().collect();
    let alter = |tables: &[&CheckedTable]| {
        super::statements(tables, |table| format!("ALTER TABLE {} REPLICA IDENTITY FULL;", super::qualified(table)))
    };
    if !without.is_empty() {
        let reason = format!(
            "deletes of {} come without their row, which stops the task: no key and not FULL",
            super::listed(&without)
        );
        return Item::failed(id, reason, alter(&without));
    }
    if !partial.is_empty() {
        let reason = format!("old values beside the key are missing for {}", super::listed(&partial));
        return Item::tolerated(task, id, reason, alter(&partial));
    }
    Item::passed(id, "FULL on every selected table")
}
