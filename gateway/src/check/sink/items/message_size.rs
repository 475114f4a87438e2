//! Item `sink.message_size`: brokers take the largest record.

use std::collections::BTreeMap;

use super::super::{Facts, Wanted, some};
use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, facts: &Facts, wanted: &Wanted) -> Item {
    let id = "sink.message_size";
    let most = task.sink.max_message.get();
    let number =
        |settings: &BTreeMap<String, String>, name: &str| settings.get(name).and_then(|n| n.parse::<u64>().ok());
    let mut small = Vec::new();
    let mut known = false;
    if let Some(limit) = number(&facts.broker, "message.max.bytes") {
        known = true;
        if limit < most && wanted.legal.keys().any(|name| !facts.topics.contains_key(name)) {
            small.push(format!("new topics take {limit} bytes"));
        }
    }
    for name in wanted.legal.keys() {
        if let Some(limit) = facts.topics.get(name).and_then(|topic| number(&topic.settings, "max.message.bytes")) {
            known = true;
            if limit < most {
                small.push(format!("{name} takes {limit} bytes"));
            }
        }
    }
    match (known, small.is_empty()) {
        (false, _) => Item::skipped(id, "the brokers do not show their settings to this user"),
        (true, true) => Item::passed(id, format!("{most} bytes are taken")),
        (true, false) => {
            let mend = format!(
                "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name TOPIC --add-config max.message.bytes={most}",
                task.sink.bootstrap_servers()
            );
            let reason = format!("sink.max_message is {most} bytes, but {}: larger rows halt the task", some(&small));
            Item { code: Some("message_too_large"), ..Item::alarm(id, reason, mend) }
        }
    }
}
