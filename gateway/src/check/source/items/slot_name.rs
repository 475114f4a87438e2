//! Item `source.slot_name`: the slot's name is one that source and managed service take.
//!
//! The loader of the task file refuses any other; the item says so in the report.

use crate::{check::Item, config::SlotName};

pub(in crate::check) fn judge(name: &str) -> Item {
    let id = "source.slot_name";
    match name.parse::<SlotName>() {
        Ok(name) => Item::passed(id, format!("{:?}", name.as_str())),
        Err(rule) => Item::failed(id, format!("{name:?} {rule}"), "-- correct source.slot"),
    }
}
