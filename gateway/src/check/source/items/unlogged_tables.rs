//! Item `source.unlogged_tables`: no selected table is unlogged.

use super::super::{Table, listed, statements};
use crate::check::Item;

pub(in crate::check) fn judge(selected: &[&Table]) -> Item {
    let unlogged: Vec<&Table> = selected.iter().copied().filter(|table| table.unlogged).collect();
    if unlogged.is_empty() {
        return Item::passed("source.unlogged_tables", "none selected");
    }
    let mend = statements(&unlogged, |table| format!("ALTER TABLE {} SET LOGGED;", table.qualified()));
    Item::alarm("source.unlogged_tables", format!("never sent: {}", listed(&unlogged)), mend)
}
