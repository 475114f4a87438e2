//! Item `source.wal_senders`: there is room for a connection that streams for every slot, this task's included.

use super::super::Facts;
use crate::check::Item;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let id = "source.wal_senders";
    let most: u64 = super::setting(facts, "max_wal_senders").parse().unwrap_or(0);
    let needed = facts.slots_used + u64::from(facts.slot.is_none());
    let reason = format!("max_wal_senders = {most}, {needed} slots will be read");
    if needed <= most {
        return Item::passed(id, reason);
    }
    let mend = format!("gs_guc set -I all -N all -c \"max_wal_senders={}\"   -- then restart the server", needed + 4);
    Item::failed(id, reason, mend)
}
