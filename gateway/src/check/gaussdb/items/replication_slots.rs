//! Item `source.replication_slots`: there is room for the slot, where one will be made.

use super::super::Facts;
use crate::check::Item;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let (id, used) = ("source.replication_slots", facts.slots_used);
    let most: u64 = super::setting(facts, "max_replication_slots").parse().unwrap_or(0);
    let reason = format!("{used} of {most} in use");
    if facts.slot.is_some() || used < most {
        return Item::passed(id, reason);
    }
    Item::failed(
        id,
        reason,
        format!(
            "gs_guc set -I all -N all -c \"max_replication_slots={}\"   -- then restart the server\n\
             -- or drop a slot nobody needs: SELECT slot_name, active FROM pg_replication_slots;",
            used + 10
        ),
    )
}
