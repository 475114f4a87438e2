//! What the brokers say about themselves: metadata and settings.

use std::collections::BTreeMap;

use millrace_batch::Failure;
use millrace_sink::{TopicFacts, Topics};

use crate::{config::Task, task};

/// Output of the gathering.
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct Facts {
    /// Brokers that are up.
    pub brokers: usize,
    /// Settings of one broker; empty where they may not be read.
    pub broker: BTreeMap<String, String>,
    /// Existing topics among those asked for.
    pub topics: BTreeMap<String, TopicFacts>,
}

/// Asks about the brokers, and about those of `topics` that exist.
///
/// # Errors
/// Those of [`Topics::connect`], and `secret_unavailable`.
pub(in crate::check) async fn gather(task: &Task, topics: Vec<String>) -> Result<Facts, Failure> {
    let kafka = task::topics::kafka_config(task)?;
    // librdkafka's calls block.
    let answer = tokio::task::spawn_blocking(move || {
        let cluster = Topics::connect(&kafka)?;
        let facts = cluster.facts(&topics)?;
        Ok(Facts { brokers: cluster.cluster()?.brokers.len(), broker: facts.broker, topics: facts.topics })
    });
    answer.await.unwrap_or_else(|error| {
        let tried = "asking the brokers";
        Err(Failure::transient("internal", tried, error.to_string(), "report this with the log"))
    })
}
