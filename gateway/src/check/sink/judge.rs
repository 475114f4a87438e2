//! The verdicts about brokers, topics and the position store.

use std::collections::{BTreeMap, BTreeSet};

use millrace_host::MappedTo;

use super::Facts;
use crate::{
    check::{Item, source::Table},
    config::{PositionStore, Task, TopicPolicy, is_legal_topic},
};

/// Ids of [`judge`]'s items, for a report without a connection.
pub(in crate::check) const IDS: [&str; 8] = [
    "sink.brokers",
    "sink.topic_names",
    "sink.topics",
    "sink.topic_settings",
    "sink.replication_factor",
    "sink.auto_create",
    "sink.message_size",
    "position.store",
];

/// The topics of the tables that are sent: legal names with the tables that go there, and the names Kafka would refuse.
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct Wanted {
    legal: BTreeMap<String, Vec<String>>,
    illegal: Vec<String>,
    /// Those that a list of tables names.
    mapped: BTreeSet<String>,
    /// Why nobody knows the topics before the first change.
    unknown: Option<&'static str>,
}

impl Wanted {
    /// Every name worth asking the brokers about, sorted.
    pub(in crate::check) fn names(&self, task: &Task) -> Vec<String> {
        let mut names: Vec<String> = self.legal.keys().cloned().collect();
        names.push(task.position.topic.to_string());
        names.sort();
        names
    }
}

/// What the default router would make of the tables that are sent; none where the source could not be asked.
pub(in crate::check) fn wanted_topics(task: &Task, sent: Option<&[&Table]>) -> Wanted {
    let mut wanted = Wanted::default();
    if task.modules.route.is_some() {
        wanted.unknown = Some("modules.route chooses the topics");
        return wanted;
    }
    let mapping = task.mapping();
    if let (TopicPolicy::Single, Some(topic)) = (task.route.topic_policy, &task.route.topic) {
        wanted.legal.insert(topic.to_string(), Vec::new());
    }
    let Some(sent) = sent else {
        if wanted.legal.is_empty() {
            wanted.unknown = Some("the tables are not known");
        }
        return wanted;
    };
    let format = task.route.topic_name_format.as_deref().unwrap_or_default();
    for table in sent {
        let (mut schema, mut own) = (table.schema.as_str(), table.name.as_str());
        match mapping.of(schema, own) {
            Some(MappedTo::Topic(topic)) => {
                wanted.mapped.insert(topic.clone());
                wanted.legal.entry(topic.clone()).or_default();
                continue;
            }
            Some(MappedTo::Table { schema: other, table }) => (schema, own) = (other, table),
            None => {}
        }
        if task.route.topic_policy == TopicPolicy::Single {
            continue;
        }
        let name = format
            .replace("$database$", task.source.database.as_str())
            .replace("$schema$", schema)
            .replace("$tablename$", own);
        if is_legal_topic(&name) {
            wanted.legal.entry(name).or_default().push(table.qualified());
        } else {
            wanted.illegal.push(format!("{} -> {name:?}", table.qualified()));
        }
    }
    wanted
}

/// Every item, in order.
pub(in crate::check) fn judge(task: &Task, facts: &Facts, wanted: &Wanted) -> Vec<Item> {
    vec![
        Item::passed("sink.brokers", format!("{} up", facts.brokers)),
        names(task, wanted),
        topics(task, facts, wanted),
        settings(task, facts, wanted),
        replication_factor(task, facts, wanted),
        auto_create(facts),
        message_size(task, facts, wanted),
        position_store(task, facts),
    ]
}

fn names(task: &Task, wanted: &Wanted) -> Item {
    let id = "sink.topic_names";
    if let Some(why) = wanted.unknown {
        return Item::skipped(id, why);
    }
    if !wanted.illegal.is_empty() {
        let names = some(&wanted.illegal);
        return if task.route.sanitize {
            Item::alarm(id, format!("rewritten, as route.sanitize says: {names}"), "-- tell the consumers")
        } else {
            Item::failed(id, format!("Kafka refuses {names}"), "-- set route.sanitize = true, or exclude these tables")
        };
    }
    // Two tables in one topic under policy 1; or names that differ only in '.' and '_', which collide in Kafka's metrics.
    let mut by_metric: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in wanted.legal.keys() {
        by_metric.entry(name.replace('.', "_")).or_default().push(name);
    }
    let mut shared: Vec<String> =
        by_metric.into_values().filter(|names| names.len() > 1).map(|n| n.join(" and ")).collect();
    if !shared.is_empty() {
        let mend = "-- change route.topic_name_format: the brokers refuse a topic whose metric name another one has";
        return Item::failed(id, format!("'.' and '_' are one in metric names: {}", some(&shared)), mend);
    }
    if task.route.topic_policy == TopicPolicy::PerTable {
        let many = wanted.legal.iter().filter(|(name, tables)| tables.len() > 1 && !wanted.mapped.contains(*name));
        shared = many.map(|(name, tables)| format!("{name} takes {}", tables.join(", "))).collect();
    }
    if !shared.is_empty() {
        let mend = "-- use $database$-$schema$-$tablename$, or another separator than one that names contain";
        return Item::failed(id, format!("several tables in one topic: {}", some(&shared)), mend);
    }
    Item::passed(id, format!("{} topics, all legal", wanted.legal.len()))
}

fn topics(task: &Task, facts: &Facts, wanted: &Wanted) -> Item {
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

/// Existing topics are used as they are; where they differ from the task file, a person should know.
fn settings(task: &Task, facts: &Facts, wanted: &Wanted) -> Item {
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

fn replication_factor(task: &Task, facts: &Facts, wanted: &Wanted) -> Item {
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

fn auto_create(facts: &Facts) -> Item {
    let id = "sink.auto_create";
    match facts.broker.get("auto.create.topics.enable").map(String::as_str) {
        None => Item::skipped(id, "the brokers do not show their settings to this user"),
        Some("true") => Item::alarm(
            id,
            "the brokers create topics by themselves, with their own partition count, for whoever asks first",
            "auto.create.topics.enable=false  # in the brokers' server.properties",
        ),
        Some(_) => Item::passed(id, "off"),
    }
}

fn message_size(task: &Task, facts: &Facts, wanted: &Wanted) -> Item {
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

fn position_store(task: &Task, facts: &Facts) -> Item {
    let id = "position.store";
    if task.position.store == PositionStore::File {
        return super::super::position::file(task);
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

/// A few of many.
fn some(texts: &[String]) -> String {
    match texts.len() {
        0..=5 => texts.join("; "),
        more => format!("{}; and {} more", texts[..5].join("; "), more - 5),
    }
}
