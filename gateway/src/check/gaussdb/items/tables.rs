//! Item `source.tables`: what the task names exists and is visible.

use millrace_replication::catalog::gauss::CheckedTable;

use crate::{
    check::Item,
    config::{Pattern, Task},
};

pub(in crate::check) fn judge(task: &Task, tables: &[CheckedTable]) -> Item {
    let id = "source.tables";
    let covers = |pattern: &&Pattern| tables.iter().any(|table| pattern.covers(&table.schema, &table.name));
    let missing: Vec<&Pattern> = task.objects.include.iter().filter(|pattern| !covers(pattern)).collect();
    let names = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if missing.iter().any(|pattern| pattern.exact().is_some()) {
        let mend = "-- create it, grant USAGE on its schema, or take it out of objects.include (case counts)";
        return Item::failed(id, format!("no such table: {names}"), mend);
    }
    if !missing.is_empty() {
        return Item::alarm(id, format!("no table yet for {names}"), "-- nothing to do if they are to come");
    }
    Item::passed(id, format!("{} selected", super::selected(task, tables).len()))
}
