//! Item `position.store`: positions can be kept.

use super::super::Facts;
use crate::{
    check::Item,
    config::{PositionStore, Task},
};

pub(in crate::check) fn judge(task: &Task, facts: &Facts) -> Item {
    let id = "position.store";
    if task.position.store == PositionStore::File {
        return crate::check::position::file(task);
    }
    let name = task.position.topic.as_str();
    let Some(topic) = facts.topics.get(name) else {
        return Item::passed(id, format!("topic {name} is created at the first start"));
    };
    let mut wrong = Vec::new();
    if topic.partitions != 1 {
        wrong.push(format!("it has {} partitions, must have 1", topic.partitions));
    }
    if let Some(policy) = topic.settings.get("cleanup.policy").filter(|policy| policy.as_str() != "compact") {
        wrong.push(format!("cleanup.policy is {policy}, must be compact: positions would be deleted"));
    }
    if wrong.is_empty() {
        return Item::passed(id, format!("topic {name} is compacted"));
    }
    let mend = format!(
        "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {name} --add-config cleanup.policy=compact",
        task.sink.bootstrap_servers()
    );
    Item::failed(id, format!("topic {name}: {}", wrong.join("; ")), mend)
}
