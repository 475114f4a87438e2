//! Item `source.table_kinds`: rows of the selected tables are decoded.

use millrace_replication::catalog::gauss::CheckedTable;

use crate::check::Item;

/// Kinds of tables whose changes are not decoded.
pub(in crate::check) fn judge(selected: &[&CheckedTable]) -> Item {
    let id = "source.table_kinds";
    let of = |kind: fn(&CheckedTable) -> bool| -> Vec<&CheckedTable> {
        selected.iter().copied().filter(|table| kind(table)).collect()
    };
    let never = of(|table| table.columnar || table.temporary);
    if !never.is_empty() {
        let reason = format!("not decoded, being stored by column or temporary: {}", super::listed(&never));
        return Item::failed(id, reason, "-- take them out with objects.exclude");
    }
    let compressed = of(|table| table.compressed);
    if !compressed.is_empty() {
        let reason = format!(
            "compressed; some versions send their rows without columns, which stops the task: {}",
            super::listed(&compressed)
        );
        return Item::failed(id, reason, "-- take them out with objects.exclude");
    }
    Item::passed(id, "rows of all selected tables are decoded")
}
