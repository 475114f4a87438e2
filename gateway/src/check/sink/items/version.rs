//! Item `sink.version`: the brokers are Kafka 0.11 or newer, which is what record headers and idempotent producers need.
//!
//! Brokers describe their settings since 0.11, so one that shows any is new enough unless it is told to speak an older protocol.

use std::collections::BTreeMap;

use crate::check::Item;

pub(in crate::check) fn judge(broker: &BTreeMap<String, String>) -> Item {
    let id = "sink.version";
    let spoken = broker.get("inter.broker.protocol.version").or_else(|| broker.get("log.message.format.version"));
    let Some(spoken) = spoken else {
        return if broker.is_empty() {
            Item::skipped(id, "the brokers do not show their settings to this user")
        } else {
            Item::passed(id, "0.11 or newer: the brokers describe their settings")
        };
    };
    let mut parts = spoken.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) < (0, 11) {
        let mend = "-- upgrade the brokers to Kafka 0.11 or newer, and raise inter.broker.protocol.version";
        return Item::failed(id, format!("the brokers speak {spoken}; 0.11 is the oldest that serves"), mend);
    }
    Item::passed(id, format!("the brokers speak {spoken}"))
}
