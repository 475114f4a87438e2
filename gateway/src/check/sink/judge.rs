//! The topics a task will use, and the order of the items about brokers, topics and the position store.

use std::collections::{BTreeMap, BTreeSet};

use millrace_host::MappedTo;

use super::{Facts, items};
use crate::{
    check::{Item, source::Table},
    config::{Task, TopicPolicy, is_legal_topic},
};

/// Ids of [`judge`]'s items, for a report without a connection.
pub(in crate::check) const IDS: [&str; 9] = [
    "sink.brokers",
    "sink.version",
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
    pub(super) legal: BTreeMap<String, Vec<String>>,
    pub(super) illegal: Vec<String>,
    /// Those that a list of tables names.
    pub(super) mapped: BTreeSet<String>,
    /// Why nobody knows the topics before the first change.
    pub(super) unknown: Option<&'static str>,
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
        items::version::judge(&facts.broker),
        items::topic_names::judge(task, wanted),
        items::topics::judge(task, facts, wanted),
        items::topic_settings::judge(task, facts, wanted),
        items::replication_factor::judge(task, facts, wanted),
        items::auto_create::judge(facts),
        items::message_size::judge(task, facts, wanted),
        items::position_store::judge(task, facts),
    ]
}

/// A few of many.
pub(super) fn some(texts: &[String]) -> String {
    match texts.len() {
        0..=5 => texts.join("; "),
        more => format!("{}; and {} more", texts[..5].join("; "), more - 5),
    }
}
