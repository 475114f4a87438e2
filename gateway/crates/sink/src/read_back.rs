//! Reading the position topic.
//!
//! Owns the consumer: read_committed, no group state, no offsets kept. A start needs one record of many, usually a recent one, so the end
//! of the topic is read first and more of it only while the record is not found.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use millrace_batch::Failure;
use millrace_position::PositionRecord;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    message::BorrowedMessage,
    types::RDKafkaErrorCode as Code,
};

use crate::{
    KafkaConfig, PositionTopicOptions,
    admin::{bad_config, code_of},
    events::{Deliveries, Reports},
};

/// Offsets read first; ten times as many each time the record is not among them.
const FIRST_WINDOW: i64 = 1000;
/// One look at whether a callback told of a failure, or the time is up.
const SLICE: Duration = Duration::from_millis(200);

impl ConsumerContext for Reports {}

struct Reader {
    consumer: BaseConsumer<Reports>,
    reports: Reports,
    topic: String,
    deadline: Instant,
}

impl Reader {
    fn open(config: &KafkaConfig, topic: &str, patience: Duration, extra: &[(&str, &str)]) -> Result<Reader, Failure> {
        let mut client = config.client()?;
        // Properties of producers mean nothing here and would only be warned of.
        client.remove("compression.level").remove("batch.num.messages");
        // librdkafka assigns only with a group; nothing is committed to it.
        client.set("group.id", "millrace-position-reader");
        client.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        client.set("isolation.level", "read_committed").set("auto.offset.reset", "error");
        client.set("fetch.wait.max.ms", "50").set("queued.max.messages.kbytes", "16384");
        for (name, value) in extra {
            client.set(*name, *value);
        }
        let reports = Reports::new(config, std::sync::Arc::new(Deliveries::new(64)), "reading the position");
        let consumer =
            BaseConsumer::from_config_and_context(&client, reports.clone()).map_err(|error| bad_config(&error))?;
        Ok(Reader { consumer, reports, topic: topic.to_owned(), deadline: Instant::now() + patience })
    }

    fn explain(&self, error: &KafkaError) -> Failure {
        self.reports.explain(code_of(error), error.to_string())
    }

    fn bounds(&self) -> Result<(i64, i64), Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now()).max(SLICE);
        self.consumer.fetch_watermarks(&self.topic, 0, left).map_err(|error| self.explain(&error))
    }

    fn start_at(&self, offset: i64) -> Result<(), Failure> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, 0, Offset::Offset(offset))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|error| self.explain(&error))
    }

    /// Hands messages to `take` until it is done with, or `at_end` and the end is reached.
    fn read(&self, mut take: impl FnMut(&BorrowedMessage<'_>) -> bool) -> Result<(), Failure> {
        loop {
            match self.consumer.poll(SLICE) {
                Some(Ok(message)) if take(&message) => return Ok(()),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(KafkaError::MessageConsumption(code))) if !is_passing(code) => {
                    return Err(self.reports.explain(code, code.to_string()));
                }
                _ => {}
            }
            if Instant::now() >= self.deadline || self.reports.deliveries.failure().is_some() {
                let why = "the end of the position topic was not reached in time: a transaction is open, or the brokers are slow";
                return Err(self.reports.explain(Code::OperationTimedOut, why.to_owned()));
            }
        }
    }
}

/// Errors librdkafka gets over by itself, and those of the group that is not used.
fn is_passing(code: Code) -> bool {
    !matches!(
        code,
        Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::AutoOffsetReset
    )
}

/// The newest committed record under the options' key among everything before `mark`, which is committed already.
pub(crate) fn read_record(
    config: &KafkaConfig,
    options: &PositionTopicOptions,
    mark: &[u8],
    patience: Duration,
) -> Result<Option<PositionRecord>, Failure> {
    let reader = Reader::open(config, &options.topic, patience, &[])?;
    let key = options.key();
    let mut window = FIRST_WINDOW;
    loop {
        let (low, high) = reader.bounds()?;
        let start = low.max(high - window);
        reader.start_at(start)?;
        // The last one wins; a tombstone is a record too: it says that there is none.
        let mut found: Option<Option<Vec<u8>>> = None;
        reader.read(|message| {
            if message.key() == Some(key.as_bytes()) {
                found = Some(message.payload().map(<[u8]>::to_vec));
            }
            message.payload() == Some(mark)
        })?;
        match found {
            Some(bytes) => return bytes.map(|bytes| decode(&bytes, options)).transpose(),
            None if start <= low => return Ok(None),
            None => window *= 10,
        }
    }
}

fn decode(bytes: &[u8], options: &PositionTopicOptions) -> Result<PositionRecord, Failure> {
    let place = format!("topic {} under key {}", options.topic, options.key());
    let record = PositionRecord::decode(bytes).map_err(|error| error.failure(&place))?;
    if record.task != options.task || record.position.shard != options.shard {
        let error = millrace_position::RecordError::Malformed("it names another task or shard than its key".to_owned());
        return Err(error.failure(&place));
    }
    Ok(record)
}

/// The committed positions of a task by shard, without taking anything over: for a look at a task that may be running. Blocks, up to
/// `patience`.
///
/// Errors: those of [`PositionTopic::open`](crate::PositionTopic::open); definite `kafka_unknown_topic` without the topic.
pub fn read_positions(
    config: &KafkaConfig,
    topic: &str,
    task: &str,
    patience: Duration,
) -> Result<BTreeMap<u16, PositionRecord>, Failure> {
    let reader = Reader::open(config, topic, patience, &[("enable.partition.eof", "true")])?;
    let (low, _) = reader.bounds()?;
    reader.start_at(low)?;
    let mut found: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    reader.read(|message| {
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
        let shard = key.and_then(|key| key.strip_prefix(task)?.strip_prefix('/')?.parse::<u16>().ok());
        match (shard, message.payload()) {
            (Some(shard), Some(bytes)) => drop(found.insert(shard, bytes.to_vec())),
            (Some(shard), None) => drop(found.remove(&shard)),
            _ => {}
        }
        false
    })?;
    let options =
        |shard| PositionTopicOptions { topic: topic.to_owned(), task: task.to_owned(), shard, replication_factor: 1 };
    found.into_iter().map(|(shard, bytes)| Ok((shard, decode(&bytes, &options(shard))?))).collect()
}
