//! What the brokers say about themselves: metadata and settings.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use millrace_batch::Failure;
use millrace_sink::Topics;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier},
    client::{Client, DefaultClientContext},
    config::FromClientConfig,
    error::KafkaError,
};

use crate::{config::Task, task};

/// How long the brokers may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(10);

/// Output of the gathering.
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct Facts {
    /// Brokers that are up.
    pub brokers: usize,
    /// Settings of one broker; empty where they may not be read.
    pub broker: BTreeMap<String, String>,
    /// Existing topics among those asked for.
    pub topics: BTreeMap<String, Topic>,
}

/// An existing topic.
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct Topic {
    pub partitions: usize,
    pub replicas: usize,
    /// Its settings; empty where they may not be read.
    pub settings: BTreeMap<String, String>,
}

/// Asks about the brokers, and about those of `topics` that exist.
///
/// # Errors
/// Those of [`Topics::connect`], and `secret_unavailable`.
pub(in crate::check) async fn gather(task: &Task, topics: Vec<String>) -> Result<Facts, Failure> {
    let tried = format!("asking the brokers {}", task.sink.bootstrap_servers());
    let kafka = task::topics::kafka_config(task)?;
    let config = client_config(task)?;
    let client = AdminClient::from_config(&config).map_err(|error| unanswered(&tried, &error))?;
    let client = Arc::new(client);
    let asked = client.clone();
    // librdkafka's metadata call blocks.
    let answer = tokio::task::spawn_blocking(move || {
        // The sink's own way in says why the brokers do not let it in.
        Topics::connect(&kafka)?;
        metadata(asked.inner(), &topics).map_err(|error| unanswered(&tried, &error))
    });
    let (brokers, some_broker, mut topics) = match answer.await {
        Ok(answer) => answer?,
        Err(error) => {
            let tried = "asking the brokers";
            return Err(Failure::transient("internal", tried, error.to_string(), "report this with the log"));
        }
    };
    // Reading settings is a right of its own: without it these items are skipped, not failed.
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let mut resources: Vec<ResourceSpecifier<'_>> = topics.keys().map(|name| ResourceSpecifier::Topic(name)).collect();
    resources.extend(some_broker.map(ResourceSpecifier::Broker));
    let described = client.describe_configs(&resources, &options).await.unwrap_or_default();
    let mut broker = BTreeMap::new();
    for resource in described.into_iter().flatten() {
        settle(resource, &mut broker, &mut topics);
    }
    Ok(Facts { brokers, broker, topics })
}

fn settle(resource: ConfigResource, broker: &mut BTreeMap<String, String>, topics: &mut BTreeMap<String, Topic>) {
    let settings = resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
    match resource.specifier {
        OwnedResourceSpecifier::Topic(name) => {
            if let Some(topic) = topics.get_mut(&name) {
                topic.settings = settings;
            }
        }
        _ => *broker = settings,
    }
}

type Metadata = (usize, Option<i32>, BTreeMap<String, Topic>);

fn metadata(client: &Client<DefaultClientContext>, topics: &[String]) -> Result<Metadata, KafkaError> {
    // All topics in one answer: asking for a single one may create it where the brokers do so by themselves.
    let all = client.fetch_metadata(None, PATIENCE)?;
    let wanted = |name: &str| topics.binary_search_by(|topic| topic.as_str().cmp(name)).is_ok();
    let found = all.topics().iter().filter(|topic| wanted(topic.name()) && topic.error().is_none()).map(|topic| {
        let replicas = topic.partitions().first().map_or(0, |partition| partition.replicas().len());
        (topic.name().to_owned(), Topic { partitions: topic.partitions().len(), replicas, ..Topic::default() })
    });
    let found = found.collect();
    Ok((all.brokers().len(), all.brokers().first().map(|broker| broker.id()), found))
}

fn unanswered(tried: &str, error: &KafkaError) -> Failure {
    Failure::transient("kafka_unreachable", tried, error.to_string(), "look at the brokers' log, then check again")
}

/// The client's properties, secrets resolved.
fn client_config(task: &Task) -> Result<ClientConfig, Failure> {
    let sink = &task.sink;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", sink.bootstrap_servers()).set("security.protocol", sink.protocol.as_str());
    config
        .set("client.id", format!("millrace-check-{}", task.task.name))
        .set("socket.connection.setup.timeout.ms", "5000");
    for (name, value) in &sink.properties {
        config.set(name, value);
    }
    if let (Some(mechanism), Some(username), Some(password)) = (sink.sasl_mechanism, &sink.username, &sink.password) {
        config.set("sasl.mechanism", mechanism.as_str()).set("sasl.username", username);
        config.set("sasl.password", password.resolve()?.expose());
    }
    let files =
        [("ssl.ca.location", &sink.ca), ("ssl.certificate.location", &sink.cert), ("ssl.key.location", &sink.key)];
    for (name, path) in files {
        if let Some(path) = path {
            config.set(name, path.display().to_string());
        }
    }
    Ok(config)
}
