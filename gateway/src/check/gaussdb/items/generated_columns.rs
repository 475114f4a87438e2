//! Item `source.generated_columns`: no selected table has generated columns.

use super::super::Facts;
use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, facts: &Facts) -> Item {
    let id = "source.generated_columns";
    let Some(marks) = &facts.generated else { return Item::skipped(id, "this build's catalogue has no mark for them") };
    let found: Vec<String> = marks
        .iter()
        .filter(|mark| task.selects(&mark.schema, &mark.table))
        .map(|mark| format!("{}.{}.{}", mark.schema, mark.table, mark.name))
        .collect();
    if found.is_empty() {
        return Item::passed(id, "none in the selected tables");
    }
    let named = found.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    Item::failed(id, format!("{} generated: {named}", found.len()), "-- take these tables out with objects.exclude")
}
