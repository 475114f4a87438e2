//! Item `sink.topics`: the topics exist, or will be made.

use super::super::{Facts, Wanted, some};
use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, facts: &Facts, wanted: &Wanted) -> Item {
    let id = "sink.topics";
    if let Some(why) = wanted.unknown {
        return Item::skipped(id, why);
    }
    let missing: Vec<String> = wanted.legal.keys().filter(|name| !facts.topics.contains_key(*name)).cloned().collect();
    let (partitions, factor) = (task.route.partitions.get(), task.route.replication_factor.get());
    if missing.is_empty() {
        return Item::passed(id, format!("{} exist", wanted.legal.len()));
    }
    let reason = format!("{} missing: {}", missing.len(), some(&missing));
    let commands: Vec<String> = missing
        .iter()
        .take(20)
        .map(|name| {
            format!(
                "kafka-topics.sh --bootstrap-server {} --create --topic {name} --partitions {partitions} --replication-factor {factor}",
                task.sink.bootstrap_servers()
            )
        })
        .collect();
    let commands = commands.join("\n");
    if task.route.create_topics {
        return Item::alarm(
            id,
            format!("{reason}; created at their first change"),
            format!("-- to choose their settings:\n{commands}"),
        );
    }
    Item { code: Some("topic_missing"), ..Item::failed(id, reason, commands) }
}
