//! Item `source.generated_columns`: no column that the source does not send.

use super::super::{Table, listed};
use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, selected: &[&Table]) -> Item {
    let id = "source.generated_columns";
    let with: Vec<&Table> = selected.iter().copied().filter(|table| table.generated_columns > 0).collect();
    if with.is_empty() {
        return Item::passed(id, "none in the selected tables");
    }
    Item::tolerated(
        task,
        id,
        format!("not sent by the source: those of {}", listed(&with)),
        "-- nothing to do if consumers can do without",
    )
}
