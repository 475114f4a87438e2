//! Item `source.slot_log`: standbys learn of slots.

use super::super::Facts;
use crate::check::Item;

/// The gateway sets it for its own sessions; where the server has it off, other tools' slots are still lost in a failover.
pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let (id, value) = ("source.slot_log", super::setting(facts, "enable_slot_log"));
    match value {
        "on" => Item::passed(id, "enable_slot_log = on"),
        _ => Item::failed(
            id,
            format!("enable_slot_log = {value}: standbys do not learn of slots, a failover would lose them"),
            "gs_guc reload -I all -N all -c \"enable_slot_log=on\"",
        ),
    }
}
