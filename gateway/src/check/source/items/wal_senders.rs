//! Item `source.wal_senders`: there is room for the connection that streams.

use super::super::Facts;
use crate::check::Item;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let (id, most, used) = ("source.wal_senders", super::limit(facts, "max_wal_senders"), facts.senders_used);
    let reason = format!("{used} of {most} in use");
    let streams = facts.slot.as_ref().is_some_and(|slot| slot.active_pid.is_some());
    if streams || used < most {
        return Item::passed(id, reason);
    }
    Item::failed(
        id,
        format!("{reason}: there is no room for the task's connection"),
        super::raise("max_wal_senders", used),
    )
}
