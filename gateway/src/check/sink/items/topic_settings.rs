//! Item `sink.topic_settings`: existing topics are as the task file would make them.

use super::super::{Facts, Wanted, some};
use crate::{check::Item, config::Task};

/// Existing topics are used as they are; where they differ from the task file, a person should know.
pub(in crate::check) fn judge(task: &Task, facts: &Facts, wanted: &Wanted) -> Item {
    let id = "sink.topic_settings";
    let (partitions, factor) = (task.route.partitions.to_usize(), task.route.replication_factor.to_usize());
    let mut other = Vec::new();
    for name in wanted.legal.keys() {
        let Some(topic) = facts.topics.get(name) else { continue };
        // A topic that was there before says how it is to be; only what the task file would have made otherwise is told.
        if task.route.create_topics && (topic.partitions != partitions || topic.replicas != factor) {
            other.push(format!("{name} has {} partitions, {} replicas", topic.partitions, topic.replicas));
        }
        if task.route.create_topics {
            for (key, wanted) in &task.route.topic_settings {
                if let Some(found) = topic.settings.get(key).filter(|found| *found != wanted) {
                    other.push(format!("{name} has {key} = {found}, the task file {wanted}"));
                }
            }
        }
        if topic.settings.get("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
            other.push(format!("{name} is compacted: consumers that are behind miss changes"));
        }
    }
    if other.is_empty() {
        return Item::passed(id, "existing topics are as the task file has them");
    }
    Item::alarm(id, some(&other), "-- they are used as they are; partition counts are pinned at the first use")
}
