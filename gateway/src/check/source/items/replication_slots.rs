//! Item `source.replication_slots`: there is room for the slot, where one will be made.

use super::super::Facts;
use crate::check::Item;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let (id, most, used) = ("source.replication_slots", super::limit(facts, "max_replication_slots"), facts.slots_used);
    let reason = format!("{used} of {most} in use");
    if facts.slot.is_some() || used < most {
        return Item::passed(id, reason);
    }
    let mend = format!(
        "SELECT slot_name, active, restart_lsn FROM pg_replication_slots;\n-- drop an unused one, or:\n{}",
        super::raise("max_replication_slots", used)
    );
    Item::failed(id, format!("{reason}: there is no room for the task's slot"), mend)
}
