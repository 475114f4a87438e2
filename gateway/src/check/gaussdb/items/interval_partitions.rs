//! Item `source.interval_partitions`: no selected table is partitioned by intervals.

use millrace_replication::catalog::gauss::CheckedTable;

use crate::{
    check::Item,
    config::{Decoding, Task},
};

pub(in crate::check) fn judge(task: &Task, selected: &[&CheckedTable]) -> Item {
    let id = "source.interval_partitions";
    let found: Vec<&CheckedTable> = selected.iter().copied().filter(|table| table.interval_partitioned).collect();
    if found.is_empty() {
        return Item::passed(id, "none");
    }
    let reason = format!("partitioned by intervals: {}", super::listed(&found));
    if task.source.decoding == Decoding::Parallel {
        let reason = format!("{reason}; an insert that creates a partition is lost");
        return Item::failed(id, reason, "-- take them out with objects.exclude, or set source.decoding = \"serial\"");
    }
    Item::tolerated(
        task,
        id,
        format!("{reason}; the managed service does not replicate them"),
        "-- compare before relying on them",
    )
}
