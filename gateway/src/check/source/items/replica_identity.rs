//! Item `source.replica_identity`: old rows come whole.

use super::super::{Table, listed, statements};
use crate::{check::Item, config::Task};

/// What the old image of an update or delete holds. Without a key and without FULL the server refuses updates and deletes of
/// a published table.
pub(in crate::check) fn judge(task: &Task, selected: &[&Table]) -> Item {
    let id = "source.replica_identity";
    let full = |table: &&&Table| table.identity == "f";
    let keyless = |table: &&&Table| table.identity == "n" || (table.identity == "d" && !table.primary_key);
    let without: Vec<&Table> = selected.iter().filter(keyless).copied().collect();
    let partial: Vec<&Table> = selected.iter().filter(|t| !full(t) && !keyless(t)).copied().collect();
    let alter = |tables: &[&Table]| {
        statements(tables, |table| format!("ALTER TABLE {} REPLICA IDENTITY FULL;", table.qualified()))
    };
    if !without.is_empty() {
        let reason = format!("updates and deletes of {} fail at the source: no key and not FULL", listed(&without));
        return Item::failed(id, reason, alter(&without));
    }
    if !partial.is_empty() {
        let reason = format!("old values beside the key are missing for {}", listed(&partial));
        return Item::tolerated(task, id, reason, alter(&partial));
    }
    Item::passed(id, "FULL on every selected table")
}
