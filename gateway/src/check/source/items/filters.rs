//! Item `source.filters`: the publication sends whole tables.

use super::super::{Table, listed};
use crate::check::Item;

pub(in crate::check) fn judge(selected: &[&Table]) -> Item {
    let filtered: Vec<&Table> =
        selected.iter().copied().filter(|table| table.row_filter || table.column_list).collect();
    if filtered.is_empty() {
        return Item::passed("source.filters", "no row filters and no column lists");
    }
    let reason = format!("the publication sends only some rows or columns of {}", listed(&filtered));
    Item::alarm(
        "source.filters",
        reason,
        "-- if this is not meant: ALTER PUBLICATION ... SET TABLE without WHERE and columns",
    )
}
