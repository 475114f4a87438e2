//! Item `source.long_transactions`: nothing holds up the making of the slot, where one will be made.

use millrace_replication::quote_literal;

use super::super::Facts;
use crate::check::Item;

/// Age from which a transaction counts as long, seconds; the managed service's limit for making a slot.
const LONG_SECONDS: i64 = 300;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let id = "source.long_transactions";
    if facts.slot.is_some() {
        return Item::passed(id, "the slot is there: nothing waits for them");
    }
    let long: Vec<_> = facts.open.iter().filter(|open| open.age_seconds > LONG_SECONDS).collect();
    let Some(oldest) = long.iter().map(|open| open.age_seconds).max() else {
        return Item::passed(id, format!("none is older than {LONG_SECONDS} s"));
    };
    let mend = long.iter().map(|open| match (open.pid, &open.name) {
        (Some(pid), _) => format!("SELECT pg_terminate_backend({pid});"),
        (None, name) => format!("ROLLBACK PREPARED {};", quote_literal(name.as_deref().unwrap_or_default())),
    });
    let mend: Vec<String> = mend.collect();
    let reason = format!(
        "{} older than {LONG_SECONDS} s, the oldest {oldest} s: the slot cannot be made until they end",
        long.len()
    );
    Item::failed(id, reason, format!("-- wait for them, or end them:\n{}", mend.join("\n")))
}
