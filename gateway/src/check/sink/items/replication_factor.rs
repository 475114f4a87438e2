//! Item `sink.replication_factor`: not more replicas than brokers.

use super::super::{Facts, Wanted};
use crate::{
    check::Item,
    config::{PositionStore, Task},
};

pub(in crate::check) fn judge(task: &Task, facts: &Facts, wanted: &Wanted) -> Item {
    let id = "sink.replication_factor";
    let creates = task.route.create_topics
        && (wanted.unknown.is_some() || wanted.legal.keys().any(|n| !facts.topics.contains_key(n)));
    let positions =
        task.position.store == PositionStore::Topic && !facts.topics.contains_key(task.position.topic.as_str());
    for (key, factor, matters) in [
        ("route.replication_factor", task.route.replication_factor.to_usize(), creates),
        ("position.replication_factor", task.position.replication_factor.to_usize(), positions),
    ] {
        if matters && factor > facts.brokers {
            let reason = format!("{key} = {factor}, but there are {} brokers", facts.brokers);
            let mend = format!("-- set {key} to at most {}", facts.brokers);
            return Item { code: Some("replication_factor"), ..Item::failed(id, reason, mend) };
        }
    }
    Item::passed(id, "not more than there are brokers")
}
