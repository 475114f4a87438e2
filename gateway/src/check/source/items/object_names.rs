//! Item `source.object_names`: names that the managed service takes.

use super::super::{Table, listed};
use crate::{
    check::Item,
    config::{ILLEGAL_IN_OBJECT, Task},
};

pub(in crate::check) fn judge(task: &Task, selected: &[&Table]) -> Item {
    let id = "source.object_names";
    let odd: Vec<&Table> = selected
        .iter()
        .copied()
        .filter(|table| table.schema.contains(ILLEGAL_IN_OBJECT) || table.name.contains(ILLEGAL_IN_OBJECT))
        .collect();
    if odd.is_empty() {
        return Item::passed(id, "no character that the managed service refuses");
    }
    let reason = format!("the managed service refuses the names of {}; consumers may not expect them", listed(&odd));
    Item::tolerated(task, id, reason, "-- rename them, exclude them, or set route.sanitize = true for their topics")
}
