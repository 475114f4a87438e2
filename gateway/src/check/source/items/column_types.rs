//! Item `source.column_types`: columns of the selected tables are of documented types. Others are delivered as the text the source has
//! for them, which the managed service refuses.

use millrace_replication::catalog::gauss::Mark;

use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, marks: &[Mark]) -> Item {
    let id = "source.column_types";
    let found: Vec<&Mark> = marks.iter().filter(|mark| task.selects(&mark.schema, &mark.table)).collect();
    if found.is_empty() {
        return Item::passed(id, "documented types only");
    }
    let named: Vec<String> =
        found.iter().take(5).map(|m| format!("{}.{}.{} ({})", m.schema, m.table, m.name, m.what)).collect();
    let reason = format!("{} columns of other types come as the source's text: {}", found.len(), named.join(", "));
    Item::tolerated(task, id, reason, "-- take these tables out with objects.exclude, or tell the consumers")
}
