//! Topics by number: their partition counts, pinned, and the sink's handle.
//!
//! Owns the step from a module's topic to a place in the sink, once per topic. A count is pinned in the position record when the
//! topic is first used: keys go on hashing by it when the topic grows, and a topic that shrank is refused (I3).

use std::sync::{Arc, Mutex, RwLock};

use millrace_batch::Failure;
use millrace_host::{TopicId, TopicTable};
use millrace_position::PositionRecord;
use millrace_sink::{Sink, TopicHandle, TopicState, TopicWanted, Topics};

/// A topic that is ready to be produced to.
#[derive(Clone)]
pub struct Target {
    /// The sink's handle.
    pub handle: TopicHandle,
    /// Partitions that keys are spread over: the pinned count.
    pub partitions: u32,
}

/// Topic, name, partitions, largest message.
type Found = (TopicId, Arc<str>, u32, Option<usize>);

/// What a topic must be, by name.
pub struct Wish {
    /// Whether a missing topic is created.
    pub create: bool,
    /// Most topics that are used once a topic is created.
    pub most: usize,
    /// Whether that holds for topics that were produced to before. Only a start of the process may make them anew: one that was
    /// deleted under a running task is for a person to know of.
    pub remake: bool,
    /// How.
    pub topic: Box<dyn Fn(&str) -> TopicWanted + Send + Sync>,
}

/// The topics of one session, shared: deliver asks when a topic first comes up, a swap asks for those of the new modules before.
pub struct Places {
    sink: Arc<Sink>,
    /// None for a sink without topics.
    topics: Option<Topics>,
    table: TopicTable,
    record: Arc<Mutex<PositionRecord>>,
    wish: Wish,
    known: RwLock<Vec<Option<Target>>>,
}

/// The sending thread's own list of targets, so that it takes no lock per record.
pub struct Targets {
    places: Arc<Places>,
    known: Vec<Option<Target>>,
}

fn slot<T>(list: &mut Vec<Option<T>>, topic: TopicId) -> &mut Option<T> {
    let index = topic.0 as usize;
    if list.len() <= index {
        list.resize_with(index + 1, || None);
    }
    &mut list[index]
}

impl Targets {
    /// No topic known yet.
    pub fn new(places: Arc<Places>) -> Targets {
        Targets { places, known: Vec::new() }
    }

    /// The place of a topic; asks the sink where nobody has asked before. Blocking then.
    #[inline]
    pub fn get(&mut self, topic: TopicId) -> Result<&Target, Failure> {
        let index = topic.0 as usize;
        if !matches!(self.known.get(index), Some(Some(_))) {
            *slot(&mut self.known, topic) = Some(self.places.target(topic)?);
        }
        match self.known.get(index) {
            Some(Some(target)) => Ok(target),
            _ => Err(missing()),
        }
    }
}

/// A few of many names.
fn some(names: &[&str]) -> String {
    names.iter().take(5).copied().collect::<Vec<_>>().join(", ")
}

fn missing() -> Failure {
    Failure::definite("topic_missing", "looking for a topic", "the sink has no such topic", "")
}

impl Places {
    /// No topic known yet. `record` is the position record that pins partition counts.
    pub fn new(
        sink: Arc<Sink>,
        topics: Option<Topics>,
        table: TopicTable,
        record: Arc<Mutex<PositionRecord>>,
        wish: Wish,
    ) -> Places {
        Places { sink, topics, table, record, wish, known: RwLock::default() }
    }

    /// Names and numbers of the topics.
    pub fn table(&self) -> &TopicTable {
        &self.table
    }

    fn known(&self, topic: TopicId) -> Option<Target> {
        let known = self.known.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.get(topic.0 as usize).cloned().flatten()
    }

    fn target(&self, topic: TopicId) -> Result<Target, Failure> {
        if let Some(target) = self.known(topic) {
            return Ok(target);
        }
        self.ensure(&[topic])?;
        self.known(topic).ok_or_else(missing)
    }

    /// Makes sure of several topics at once, creating what is missing where the task says so. Blocking.
    pub fn ensure(&self, topics: &[TopicId]) -> Result<(), Failure> {
        let unknown = topics.iter().filter(|topic| self.known(**topic).is_none());
        let names: Vec<(TopicId, Arc<str>)> =
            unknown.filter_map(|topic| Some((*topic, self.table.name(*topic)?))).collect();
        if names.is_empty() {
            return Ok(());
        }
        for (topic, name, found, limit) in self.ask(names)? {
            let partitions = self.pin(&name, found)?;
            let handle = self.sink.topic(&name, limit)?;
            let mut known = self.known.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            *slot(&mut known, topic) = Some(Target { handle, partitions });
        }
        Ok(())
    }

    /// Partition count and size limit of each topic. A sink without topics has what would be created.
    fn ask(&self, names: Vec<(TopicId, Arc<str>)>) -> Result<Vec<Found>, Failure> {
        let wanted: Vec<TopicWanted> = names.iter().map(|(_, name)| (self.wish.topic)(name)).collect();
        let Some(topics) = &self.topics else {
            let found = names.into_iter().zip(wanted);
            return Ok(found.map(|((topic, name), wanted)| (topic, name, wanted.partitions, None)).collect());
        };
        let asked: Vec<&str> = names.iter().map(|(_, name)| &**name).collect();
        let mut states = topics.describe(&asked)?;
        if self.wish.create && states.len() < asked.len() {
            if !self.wish.remake {
                self.all_there(&states, &asked)?;
            }
            self.within_most(&asked, asked.len() - states.len())?;
            states = topics.ensure(&wanted)?;
        }
        let mut found = Vec::with_capacity(names.len());
        for (topic, name) in names {
            let Some(state) = states.iter().find(|state| *state.name == *name) else {
                return Err(Failure::definite(
                    "topic_missing",
                    format!("looking for topic {name}"),
                    "the cluster has no such topic, and route.create_topics is false",
                    format!("create topic {name}, or set route.create_topics = true"),
                ));
            };
            if state.created {
                tracing::info!(code = "topic_created", topic = %name, partitions = state.partitions, "topic created");
            }
            found.push((topic, name, state.partitions, state.max_message_bytes));
        }
        Ok(found)
    }

    /// Refuses a topic that was produced to and is not there any more.
    fn all_there(&self, states: &[TopicState], asked: &[&str]) -> Result<(), Failure> {
        let record = self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = asked.iter().filter(|name| record.partitions.contains_key(**name));
        match known.into_iter().find(|name| !states.iter().any(|state| state.name == **name)) {
            None => Ok(()),
            Some(gone) => Err(Failure::definite(
                "kafka_unknown_topic",
                format!("looking for topic {gone}"),
                "records went to it before, and it is not there any more",
                "restore the topic, or restart the gateway to have it made anew",
            )),
        }
    }

    /// Refuses to create topics beyond the cap: a name format or a module that makes up names would fill the cluster.
    fn within_most(&self, asked: &[&str], missing: usize) -> Result<(), Failure> {
        let record = self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let new = asked.iter().filter(|name| !record.partitions.contains_key(**name)).count();
        let used = record.partitions.len() + new;
        if used <= self.wish.most {
            return Ok(());
        }
        Err(Failure::definite(
            "topic_limit",
            format!("creating {missing} topics, the first of them among {}", some(asked)),
            format!("the task would use {used} topics, route.max_topics allows {}", self.wish.most),
            "raise route.max_topics, or choose a topic policy with fewer topics",
        ))
    }

    fn pin(&self, name: &str, found: u32) -> Result<u32, Failure> {
        let mut record = self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let pinned = *record.partitions.entry(name.to_owned()).or_insert(found);
        if found < pinned {
            return Err(Failure::definite(
                "partition_count_changed",
                format!("comparing topic {name} with the position"),
                format!(
                    "the position was taken with {pinned} partitions, the topic has {found}: it was deleted and made anew"
                ),
                format!("give the topic {pinned} partitions again, or start the task anew under another name"),
            ));
        }
        if found > pinned {
            tracing::warn!(
                code = "topic_grew",
                topic = name,
                pinned,
                found,
                "the topic has more partitions than when the task began: keys stay in the first ones, so that their order holds"
            );
        }
        Ok(pinned)
    }
}
