//! A client that asks the cluster about itself and hears its errors.
//!
//! Owns the blocking, bounded calls. rdkafka's admin client serves no error events, so a refused login would look like a
//! time-out; the calls go through a producer, whose thread serves them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use millrace_batch::Failure;
use rdkafka::{
    config::FromClientConfigAndContext,
    error::KafkaError,
    metadata::Metadata,
    producer::{Producer as _, ThreadedProducer},
    types::RDKafkaErrorCode as Code,
};

use crate::{
    KafkaConfig,
    events::{Deliveries, Reports},
};

/// One look at whether a callback told of a failure.
const SLICE: Duration = Duration::from_secs(1);

/// Asks for metadata.
pub(crate) struct Asker {
    client: ThreadedProducer<Reports>,
    pub reports: Reports,
}

impl Asker {
    pub fn new(config: &KafkaConfig, tried: &'static str) -> Result<Asker, Failure> {
        let reports = Reports::new(config, Arc::new(Deliveries::new(64)), tried);
        let client = ThreadedProducer::from_config_and_context(&config.client()?, reports.clone())
            .map_err(|error| bad_config(&error))?;
        Ok(Asker { client, reports })
    }

    /// Metadata of the whole cluster: asking for one topic may create it where brokers do so by themselves.
    pub fn metadata(&self, patience: Duration) -> Result<Metadata, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client.client().fetch_metadata(None, left.min(SLICE)) {
                Ok(metadata) => return Ok(metadata),
                Err(error) if left.is_zero() || self.reports.deliveries.failure().is_some() => {
                    return Err(self.explain(&error));
                }
                // An unreachable broker is told at once; the pause keeps this from spinning.
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// The cluster's id, where the brokers tell one.
    pub fn cluster_id(&self, patience: Duration) -> Option<String> {
        self.client.client().fetch_cluster_id(patience)
    }

    /// The failure for an error of librdkafka's.
    pub fn explain(&self, error: &KafkaError) -> Failure {
        self.reports.explain(code_of(error), error.to_string())
    }
}

/// The code inside an error, also where the wrapper keeps it to itself.
pub(crate) fn code_of(error: &KafkaError) -> Code {
    match error {
        KafkaError::AdminOp(code) => *code,
        KafkaError::Transaction(error) => error.code(),
        error => error.rdkafka_error_code().unwrap_or(Code::Unknown),
    }
}

pub(crate) fn bad_config(error: &KafkaError) -> Failure {
    // The text of this error holds the value of the property it is about, which may be a secret (I9).
    let why = match error {
        KafkaError::ClientConfig(_, said, property, _) => format!("{property}: {said}"),
        KafkaError::ClientCreation(said) => said.clone(),
        _ => "librdkafka does not take the settings".to_owned(),
    };
    Failure::definite("kafka_config", "making a Kafka client", why, "correct the Kafka settings")
}
