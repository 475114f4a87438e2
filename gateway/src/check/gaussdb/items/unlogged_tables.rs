//! Item `source.unlogged_tables`: no selected table is unlogged.

use millrace_replication::catalog::gauss::CheckedTable;

use crate::check::Item;

pub(in crate::check) fn judge(selected: &[&CheckedTable]) -> Item {
    let id = "source.unlogged_tables";
    let unlogged: Vec<&CheckedTable> = selected.iter().copied().filter(|table| table.unlogged).collect();
    if unlogged.is_empty() {
        return Item::passed(id, "none selected");
    }
    let mend = super::statements(&unlogged, |table| format!("ALTER TABLE {} SET LOGGED;", super::qualified(table)));
    Item::alarm(id, format!("unlogged, so nothing comes: {}", super::listed(&unlogged)), mend)
}
