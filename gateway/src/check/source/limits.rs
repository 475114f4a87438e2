//! What the server has room for, and what holds up the making of a slot.

use super::Facts;
use crate::check::Item;

fn limit(facts: &Facts, setting: &str) -> i64 {
    facts.settings.get(setting).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn raise(setting: &str, used: i64) -> String {
    format!("ALTER SYSTEM SET {setting} = {};\n-- then restart the server", used.max(4) * 2)
}

pub(super) fn replication_slots(facts: &Facts) -> Item {
    let (id, most, used) = ("source.replication_slots", limit(facts, "max_replication_slots"), facts.slots_used);
    let reason = format!("{used} of {most} in use");
    if facts.slot.is_some() || used < most {
        return Item::passed(id, reason);
    }
    let mend = format!(
        "SELECT slot_name, active, restart_lsn FROM pg_replication_slots;\n-- drop an unused one, or:\n{}",
        raise("max_replication_slots", used)
    );
    Item::failed(id, format!("{reason}: there is no room for the task's slot"), mend)
}

pub(super) fn wal_senders(facts: &Facts) -> Item {
    let (id, most, used) = ("source.wal_senders", limit(facts, "max_wal_senders"), facts.senders_used);
    let reason = format!("{used} of {most} in use");
    let streams = facts.slot.as_ref().is_some_and(|slot| slot.active_pid.is_some());
    if streams || used < most {
        return Item::passed(id, reason);
    }
    Item::failed(id, format!("{reason}: there is no room for the task's connection"), raise("max_wal_senders", used))
}

/// A slot becomes usable only when every transaction that was open at its start has ended.
pub(super) fn long_transactions(facts: &Facts) -> Item {
    let id = "source.long_transactions";
    if facts.slot.is_some() {
        return Item::passed(id, "the slot exists: nothing waits for them");
    }
    let Some(oldest) = facts.long_transactions.first() else {
        return Item::passed(id, "none is older than 300 s");
    };
    let mend: Vec<String> = facts
        .long_transactions
        .iter()
        .filter_map(|transaction| match (&transaction.pid, &transaction.gid) {
            (Some(pid), _) => Some(format!("SELECT pg_terminate_backend({pid});")),
            (None, Some(gid)) => Some(format!("ROLLBACK PREPARED {};", millrace_replication::quote_literal(gid))),
            (None, None) => None,
        })
        .collect();
    let count = facts.long_transactions.len();
    let reason =
        format!("{count} older than 300 s, the oldest {} s: the slot cannot be made until they end", oldest.seconds);
    Item::failed(id, reason, format!("-- wait for them, or end them:\n{}", mend.join("\n")))
}
