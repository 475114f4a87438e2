//! Item `source.long_transactions`: nothing holds up the making of the slot, where one will be made.

use super::super::Facts;
use crate::check::Item;

/// A slot becomes usable only when every transaction that was open at its start has ended.
pub(in crate::check) fn judge(facts: &Facts) -> Item {
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
