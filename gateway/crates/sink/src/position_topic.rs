//! A shard's position in a compacted topic, written by one fenced owner.
//!
//! Owns the topic's layout and the transactional producer. The order of opening is what makes it safe: first the transactional id is
//! taken, which fences an earlier owner and ends its open transaction, then the record is read. A position read before could be overtaken by
//! the earlier owner's last write.
//!
//! Layout: one partition, `cleanup.policy=compact`, key `task/shard`, value [`PositionRecord`] as JSON; and key
//! `task/shard/opened`, written when a shard is opened, whose value is only looked for: once it is read back, everything
//! committed before it has been read.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use millrace_batch::Failure;
use millrace_position::{PositionRecord, PositionStore};
use rdkafka::{
    config::FromClientConfigAndContext,
    error::KafkaError,
    producer::{BaseRecord, Producer as _, ThreadedProducer},
    types::RDKafkaErrorCode as Code,
};

use crate::{
    KafkaConfig, TopicWanted, Topics,
    admin::{bad_config, code_of},
    events::{Deliveries, Reports},
    failure::of_code,
    producer::flush_native,
    read_back::read_record,
};

/// Longest a transaction may stay open before the brokers end it. A dead owner's transaction holds up readers of the topic for as long.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest any step of opening or writing may take; the failure is transient.
const PATIENCE: Duration = Duration::from_secs(30);
/// One look at whether a callback told of a failure.
const SLICE: Duration = Duration::from_secs(1);

/// Which position, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionTopicOptions {
    /// The compacted topic; shared by any number of tasks.
    pub topic: String,
    /// Task name.
    pub task: String,
    /// Shard.
    pub shard: u16,
    /// Replicas, where the topic is created; -1: the brokers' default.
    pub replication_factor: i32,
}

impl PositionTopicOptions {
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.task, self.shard)
    }

    /// The transactional id of this shard's owner.
    pub fn transactional_id(&self) -> String {
        format!("millrace-{}-{}", self.task, self.shard)
    }
}

/// The owner's hold on one shard's position. All calls block.
pub struct PositionTopic {
    native: ThreadedProducer<Reports>,
    reports: Reports,
    options: PositionTopicOptions,
    sent: u64,
    /// After an error nobody knows what was kept: the store has to be opened again.
    spent: Option<Failure>,
}

impl PositionTopic {
    /// Creates the topic if it is missing, takes over the shard, and reads its record (`None`: there is none).
    ///
    /// Errors: definite `position_topic_unfit` where an existing topic would lose positions, those of
    /// [`RecordError`](millrace_position::RecordError) for a record this build cannot use; transient where the cluster did not answer
    /// in time.
    pub fn open(
        config: &KafkaConfig,
        options: &PositionTopicOptions,
    ) -> Result<(PositionTopic, Option<PositionRecord>), Failure> {
        ensure_topic(config, options)?;
        let mut client = config.client()?;
        // Follows the transaction's time-out; a longer one would be refused.
        client.remove("socket.timeout.ms");
        client.set("transactional.id", options.transactional_id());
        client.set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string());
        client.set("message.max.bytes", "1048588");
        client.set("linger.ms", "0");
        // A transaction that begins while the broker still completes the one before is told to come again; a swap that drains waits for it.
        client.set("retry.backoff.ms", "5");
        let reports = Reports::new(config, Arc::new(Deliveries::new(64)), "writing the position");
        let native =
            ThreadedProducer::from_config_and_context(&client, reports.clone()).map_err(|error| bad_config(&error))?;
        let mut store = PositionTopic { native, reports, options: options.clone(), sent: 0, spent: None };
        store.fence()?;
        let mark = mark();
        store.transaction(&format!("{}/opened", options.key()), Some(mark.as_bytes()))?;
        let record = read_record(config, options, mark.as_bytes(), PATIENCE)?;
        Ok((store, record))
    }

    /// Takes the transactional id.
    fn fence(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.native.init_transactions(left.min(SLICE)) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && !left.is_zero() && self.reports.deliveries.failure().is_none() => {}
                Err(error) => return Err(self.explain(&error)),
            }
        }
    }

    /// One record in a transaction of its own; durable when it returns `Ok`.
    fn transaction(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), Failure> {
        if let Some(failure) = &self.spent {
            return Err(failure.clone());
        }
        let done = self.attempt(key, value);
        if let Err(failure) = &done {
            self.spent = Some(failure.clone());
        }
        done
    }

    fn attempt(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        self.native.begin_transaction().map_err(|error| self.explain(&error))?;
        let topic = self.options.topic.clone();
        let mut record = BaseRecord::with_opaque_to(&topic, self.sent as usize).partition(0).key(key.as_bytes());
        record.payload = value;
        self.reports.deliveries.note_sent(self.sent, 0);
        self.native.send(record).map_err(|(error, _)| self.explain(&error))?;
        self.sent += 1;
        // rd_kafka_flush first, or the wrapper's commit polls in steps of 100 ms.
        while !flush_native(&self.native, SLICE) {
            if Instant::now() >= deadline || self.reports.deliveries.failure().is_some() {
                return Err(self.give_up(of_code(Code::OperationTimedOut, self.reports.tried, "no acknowledgement")));
            }
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.native.commit_transaction(left.min(SLICE)) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() => {}
                Err(error) => return Err(self.give_up(self.explain(&error))),
            }
        }
    }

    /// Ends the open transaction as well as that goes, so that it does not hold up readers, and gives the cause.
    fn give_up(&self, otherwise: Failure) -> Failure {
        let cause = match self.native.client().fatal_error() {
            Some((code, reason)) => of_code(code, self.reports.tried, reason),
            None => self.reports.deliveries.failure().unwrap_or(otherwise),
        };
        if cause.code != "position_fenced" {
            let _ = self.native.abort_transaction(SLICE);
        }
        cause
    }

    fn explain(&self, error: &KafkaError) -> Failure {
        match self.native.client().fatal_error() {
            Some((code, reason)) => of_code(code, self.reports.tried, reason),
            None => self.reports.explain(code_of(error), error.to_string()),
        }
    }
}

impl PositionStore for PositionTopic {
    fn write(&mut self, record: &PositionRecord) -> Result<(), Failure> {
        let own = record.task == self.options.task && record.position.shard == self.options.shard;
        assert!(own, "a store keeps the position of the shard it was opened for");
        let bytes = record.encode().map_err(|error| error.failure(&format!("topic {}", self.options.topic)))?;
        self.transaction(&self.options.key(), Some(&bytes))
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.transaction(&self.options.key(), None)
    }
}

fn ensure_topic(config: &KafkaConfig, options: &PositionTopicOptions) -> Result<(), Failure> {
    // Small segments, cleaned early: a start reads little.
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "16777216"),
        ("segment.ms", "3600000"),
        ("min.cleanable.dirty.ratio", "0.1"),
    ];
    let wanted = TopicWanted {
        name: options.topic.clone(),
        partitions: 1,
        replication_factor: options.replication_factor,
        settings: settings
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    };
    let found = Topics::connect(config)?.ensure(&[wanted])?;
    let policy = found[0].cleanup_policy.as_deref();
    if found[0].partitions != 1 || policy.is_some_and(|policy| policy != "compact") {
        return Err(Failure::definite(
            "position_topic_unfit",
            format!("opening the position topic {}", options.topic),
            format!("it has {} partitions and cleanup.policy {}", found[0].partitions, policy.unwrap_or("unknown")),
            "name another topic, or make this one with 1 partition and cleanup.policy=compact; any other would lose positions",
        ));
    }
    Ok(())
}

/// A value nobody else writes.
fn mark() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:09} {}", now.as_secs(), now.subsec_nanos(), std::process::id())
}
