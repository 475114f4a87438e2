//! Item `source.tables`: what the task names exists and is visible.

use super::super::Facts;
use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, facts: &Facts) -> Item {
    let id = "source.tables";
    let found =
        |pattern: &&crate::config::Pattern| facts.tables.iter().any(|table| pattern.covers(&table.schema, &table.name));
    let (empty, _): (Vec<_>, Vec<_>) = task.objects.include.iter().partition(|pattern| !found(pattern));
    let (exact, wild): (Vec<_>, Vec<_>) = empty.into_iter().partition(|pattern| pattern.exact().is_some());
    let names =
        |patterns: &[&crate::config::Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !exact.is_empty() {
        let mend = "-- create it, grant USAGE on its schema, or take it out of objects.include (case counts)";
        return Item::failed(id, format!("no such table: {}", names(&exact)), mend);
    }
    if !wild.is_empty() {
        return Item::alarm(id, format!("no table yet for {}", names(&wild)), "-- nothing to do if they are to come");
    }
    Item::passed(id, format!("{} selected", super::super::selected(task, facts).len()))
}
