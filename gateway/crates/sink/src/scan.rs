//! Reading a topic once, from its beginning to where it ends now: for commands that look at records.
//!
//! Owns the consumer: no group state, no offsets kept. Must not know what the records mean.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use millrace_batch::Failure;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
    types::RDKafkaErrorCode as Code,
};

use crate::{
    KafkaConfig,
    admin::{bad_config, code_of},
    events::{Deliveries, Reports},
};

/// One look at whether the time is up.
const SLICE: Duration = Duration::from_millis(200);

/// A record of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Milliseconds since the Unix epoch, where the broker keeps a time.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; None is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Stored {
    fn of(message: &BorrowedMessage<'_>) -> Stored {
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        Stored {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map_or_else(Vec::new, |headers| headers.iter().map(header).collect()),
        }
    }
}

/// Hands every committed record that is in the topic now to `take`, in order per partition, until that says false. Blocks; `patience`
/// is for the next record, not for all.
///
/// # Errors
/// Definite `kafka_unknown_topic` without the topic; else those of a consumer.
pub fn scan_topic(
    config: &KafkaConfig,
    topic: &str,
    patience: Duration,
    mut take: impl FnMut(Stored) -> bool,
) -> Result<(), Failure> {
    let mut client = config.client()?;
    // Properties of producers mean nothing here and would only be warned of.
    client.remove("compression.level").remove("batch.num.messages");
    // librdkafka assigns only with a group; nothing is committed to it.
    client.set("group.id", "millrace-scan").set("enable.partition.eof", "true");
    client.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    client.set("isolation.level", "read_committed").set("auto.offset.reset", "error");
    client.set("queued.max.messages.kbytes", "16384");
    let reports = Reports::new(config, Arc::new(Deliveries::new(64)), "reading a topic");
    let consumer: BaseConsumer<Reports> =
        BaseConsumer::from_config_and_context(&client, reports.clone()).map_err(|error| bad_config(&error))?;
    let explain = |error: &KafkaError| reports.explain(code_of(error), error.to_string());
    let metadata = consumer.fetch_metadata(Some(topic), patience).map_err(|error| explain(&error))?;
    let mut left = BTreeMap::new();
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let (low, high) =
            consumer.fetch_watermarks(topic, partition.id(), patience).map_err(|error| explain(&error))?;
        if low < high {
            list.add_partition_offset(topic, partition.id(), Offset::Offset(low)).map_err(|error| explain(&error))?;
            left.insert(partition.id(), high);
        }
    }
    if metadata.topics().iter().all(|topic| topic.partitions().is_empty()) {
        return Err(reports.explain(Code::UnknownTopicOrPartition, "it does not exist".to_owned()));
    }
    consumer.assign(&list).map_err(|error| explain(&error))?;
    let mut heard = Instant::now();
    while !left.is_empty() {
        match consumer.poll(SLICE) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let Some(end) = left.get(&message.partition()).copied() else { continue };
                // What came after the beginning of the scan is for the next one.
                if message.offset() < end && !take(Stored::of(&message)) {
                    return Ok(());
                }
                if message.offset() + 1 >= end {
                    left.remove(&message.partition());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(left.remove(&partition)),
            Some(Err(KafkaError::MessageConsumption(code))) if is_lasting(code) => {
                return Err(reports.explain(code, code.to_string()));
            }
            _ if heard.elapsed() > patience => {
                let why =
                    "the end of the topic was not reached in time: a transaction is open, or the brokers are slow";
                return Err(reports.explain(Code::OperationTimedOut, why.to_owned()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Errors that librdkafka does not get over by itself.
fn is_lasting(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::AutoOffsetReset
    )
}
