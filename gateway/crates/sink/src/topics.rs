//! Topics: whether they are there, with how many partitions, and making them.
//!
//! Owns creation. Must not know which table goes where. Everything here
//! blocks, within bounds; call it off the async runtime.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use millrace_batch::Failure;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication},
    config::FromClientConfigAndContext,
    metadata::Metadata,
    types::RDKafkaErrorCode as Code,
};

use crate::{
    KafkaConfig,
    admin::{Asker, bad_config},
    events::Reports,
    failure::of_code,
    wait::block_on,
};

/// How long the cluster may take to answer before the failure is told; transient ones are retried by the caller.
const PATIENCE: Duration = Duration::from_secs(15);
/// What the cluster ids of librdkafka's mock begin with (rdkafka_mock.c). It answers no admin request at all.
const MOCK_CLUSTER: &str = "mockCluster";
/// Settings asked for in one request.
const DESCRIBE_CHUNK: usize = 200;

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicWanted {
    /// Name.
    pub name: String,
    /// Partitions, where it is created.
    pub partitions: u32,
    /// Replicas of each partition, where it is created; -1: the brokers' default.
    pub replication_factor: i32,
    /// Settings, where it is created.
    pub settings: BTreeMap<String, String>,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Name.
    pub name: String,
    /// Partitions.
    pub partitions: u32,
    /// Made by this call.
    pub created: bool,
    /// `max.message.bytes`; `None` where the user may not read the topic's settings.
    pub max_message_bytes: Option<usize>,
    /// `cleanup.policy`; `None` as above.
    pub cleanup_policy: Option<String>,
}

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its id, where the brokers tell one.
    pub id: Option<String>,
    /// Brokers that are up, `host:port`.
    pub brokers: Vec<String>,
}

/// An existing topic with all that may be read of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its partitions.
    pub partitions: usize,
    /// Replicas of its first partition.
    pub replicas: usize,
    /// Its settings; empty where they may not be read.
    pub settings: BTreeMap<String, String>,
}

/// What may be read of a cluster and some of its topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Settings of one broker; empty where they may not be read.
    pub broker: BTreeMap<String, String>,
    /// Those of the topics that exist.
    pub topics: BTreeMap<String, TopicFacts>,
}

/// Access to the topics of a cluster.
pub struct Topics {
    asker: Asker,
    admin: AdminClient<Reports>,
}

impl Topics {
    /// Connects and waits for a first answer.
    ///
    /// Errors: definite `kafka_config`, `kafka_authentication`, `kafka_tls`; transient `kafka_unreachable`.
    pub fn connect(config: &KafkaConfig) -> Result<Topics, Failure> {
        let asker = Asker::new(config, "asking the Kafka cluster about topics")?;
        let admin = AdminClient::from_config_and_context(&config.client()?, asker.reports.clone())
            .map_err(|error| bad_config(&error))?;
        let topics = Topics { asker, admin };
        topics.renew_login()?;
        topics.asker.metadata(PATIENCE)?;
        Ok(topics)
    }

    /// What the cluster says about itself.
    pub fn cluster(&self) -> Result<Cluster, Failure> {
        let metadata = self.asker.metadata(PATIENCE)?;
        let brokers = metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect();
        Ok(Cluster { id: self.asker.cluster_id(PATIENCE), brokers })
    }

    /// Those of the topics that exist, in no order; none is created.
    pub fn describe(&self, names: &[&str]) -> Result<Vec<TopicState>, Failure> {
        let metadata = self.asker.metadata(PATIENCE)?;
        let mut found: Vec<TopicState> = names.iter().filter_map(|name| state(&metadata, name)).collect();
        self.read_settings(&mut found);
        Ok(found)
    }

    /// Settings of one broker and everything about those of the topics that exist. Reading settings is a right of its own: without it
    /// they are empty.
    ///
    /// Errors: those of [`Topics::connect`].
    pub fn facts(&self, names: &[String]) -> Result<ClusterFacts, Failure> {
        let metadata = self.asker.metadata(PATIENCE)?;
        let wanted = |name: &str| names.iter().any(|wanted| wanted == name);
        let found =
            metadata.topics().iter().filter(|topic| wanted(topic.name()) && topic.error().is_none()).map(|topic| {
                let replicas = topic.partitions().first().map_or(0, |partition| partition.replicas().len());
                let facts = TopicFacts { partitions: topic.partitions().len(), replicas, settings: BTreeMap::new() };
                (topic.name().to_owned(), facts)
            });
        let mut topics: BTreeMap<String, TopicFacts> = found.collect();
        self.renew_login()?;
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let known: Vec<String> = topics.keys().cloned().collect();
        let mut resources: Vec<ResourceSpecifier<'_>> =
            known.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        resources.extend(metadata.brokers().first().map(|broker| ResourceSpecifier::Broker(broker.id())));
        let mut broker = BTreeMap::new();
        let described = block_on(self.admin.describe_configs(&resources, &options)).unwrap_or_default();
        for resource in described.into_iter().flatten() {
            let settings = resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
            match resource.specifier {
                OwnedResourceSpecifier::Topic(name) => {
                    if let Some(topic) = topics.get_mut(&name) {
                        topic.settings = settings;
                    }
                }
                _ => broker = settings,
            }
        }
        Ok(ClusterFacts { broker, topics })
    }

    /// Makes the topics that are missing and gives all of them, in the order wanted. One that exists is given as it is, whatever was
    /// wanted.
    ///
    /// Errors: definite `replication_factor` where it exceeds the brokers, definite `topic_create_refused` and the authorisation codes where
    /// the cluster refuses; transient where it did not answer.
    pub fn ensure(&self, wanted: &[TopicWanted]) -> Result<Vec<TopicState>, Failure> {
        let mut metadata = self.asker.metadata(PATIENCE)?;
        let missing: Vec<&TopicWanted> =
            wanted.iter().filter(|topic| state(&metadata, &topic.name).is_none()).collect();
        let mut created = Vec::new();
        if !missing.is_empty() {
            let brokers = metadata.brokers().len();
            if let Some(topic) = missing.iter().find(|topic| topic.replication_factor > brokers as i32) {
                return Err(Failure::definite(
                    "replication_factor",
                    format!("creating topic {}", topic.name),
                    format!("replication factor {} with {brokers} brokers", topic.replication_factor),
                    format!("set a replication factor of at most {brokers}, or start more brokers"),
                ));
            }
            created = self.create(&missing)?;
            metadata = self.await_leaders(&missing)?;
        }
        let mut found = Vec::with_capacity(wanted.len());
        for topic in wanted {
            let Some(state) = state(&metadata, &topic.name) else {
                return Err(of_code(
                    Code::UnknownTopicOrPartition,
                    format!("creating topic {}", topic.name),
                    "it is not there",
                ));
            };
            found.push(TopicState { created: created.contains(&topic.name), ..state });
        }
        self.read_settings(&mut found);
        Ok(found)
    }

    /// Nothing serves the events of an admin client, so a token is given to it before it is used.
    fn renew_login(&self) -> Result<(), Failure> {
        let Some(token) = &self.asker.reports.token else { return Ok(()) };
        token.give(self.admin.inner()).map_err(|why| {
            let mend = "renew the token, or correct where it comes from";
            Failure::definite("kafka_authentication", "logging in to Kafka with a token", why, mend)
        })
    }

    fn create(&self, missing: &[&TopicWanted]) -> Result<Vec<String>, Failure> {
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .map(|topic| {
                let replication = TopicReplication::Fixed(topic.replication_factor);
                let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
                let new = NewTopic::new(&topic.name, partitions, replication);
                topic.settings.iter().fold(new, |new, (name, value)| new.set(name, value))
            })
            .collect();
        self.renew_login()?;
        let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        let results = block_on(self.admin.create_topics(&new, &options)).map_err(|error| self.asker.explain(&error))?;
        let mut created = Vec::new();
        for result in results {
            match result {
                Ok(name) => created.push(name),
                // Somebody else was quicker; what they made is looked at like any other.
                Err((_, Code::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    let failure = of_code(code, format!("creating topic {name}"), code.to_string());
                    let unclear =
                        ["kafka_delivery", "kafka_request_refused", "kafka_record_refused", "kafka_unknown_topic"];
                    return Err(if unclear.contains(&failure.code) {
                        let mend = "correct the topic's name, partitions and settings, or create it by hand";
                        Failure::definite("topic_create_refused", failure.tried, failure.why, mend)
                    } else {
                        failure
                    });
                }
            }
        }
        Ok(created)
    }

    /// Brokers learn of a new topic one after the other: waits until every partition has a leader.
    fn await_leaders(&self, made: &[&TopicWanted]) -> Result<Metadata, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metadata = self.asker.metadata(PATIENCE)?;
            let led = |wanted: &&TopicWanted| {
                let found = metadata.topics().iter().find(|topic| topic.name() == wanted.name);
                found.is_some_and(|topic| {
                    !topic.partitions().is_empty() && topic.partitions().iter().all(|part| part.leader() >= 0)
                })
            };
            if made.iter().all(led) || Instant::now() >= deadline {
                return Ok(metadata);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fills in what the user may read; reading settings is a right of its own, so its lack is told and not an error.
    fn read_settings(&self, topics: &mut [TopicState]) {
        // The demo's broker has no settings to read, and would be waited for in vain.
        if self.asker.cluster_id(Duration::from_secs(1)).is_some_and(|id| id.starts_with(MOCK_CLUSTER)) {
            return;
        }
        if let Err(failure) = self.renew_login() {
            tracing::warn!(code = failure.code, "{failure}; size limits of topics are unknown");
            return;
        }
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        for chunk in topics.chunks_mut(DESCRIBE_CHUNK) {
            let names: Vec<String> = chunk.iter().map(|topic| topic.name.clone()).collect();
            let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
            match block_on(self.admin.describe_configs(&resources, &options)) {
                Err(error) => {
                    tracing::warn!(code = "topic_settings_unread", %error, "size limits of topics are unknown")
                }
                Ok(results) => {
                    // Answers come in the order of the question.
                    for (topic, result) in chunk.iter_mut().zip(results) {
                        let value = |name: &str| result.as_ref().ok()?.get(name)?.value.clone();
                        topic.max_message_bytes = value("max.message.bytes").and_then(|text| text.parse().ok());
                        topic.cleanup_policy = value("cleanup.policy");
                    }
                }
            }
        }
    }
}

fn state(metadata: &Metadata, name: &str) -> Option<TopicState> {
    let topic = metadata.topics().iter().find(|topic| topic.name() == name)?;
    if topic.error().is_some() || topic.partitions().is_empty() {
        return None;
    }
    Some(TopicState {
        name: name.to_owned(),
        partitions: topic.partitions().len() as u32,
        created: false,
        max_message_bytes: None,
        cleanup_policy: None,
    })
}
