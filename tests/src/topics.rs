//! Records as consumers see them.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// One record of a topic.
#[derive(Debug, Clone)]
pub struct Record {
    /// Topic it was read from.
    pub topic: String,
    /// Partition it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Milliseconds since the Unix epoch: the producer's clock, or the broker's for topics set to LogAppendTime.
    pub timestamp: Option<i64>,
    /// Record key.
    pub key: Option<Vec<u8>>,
    /// Record value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// The value as JSON; panics where it is none.
    pub fn json(&self) -> Value {
        let value = self.value.as_deref().unwrap_or_else(|| panic!("a tombstone where a value belongs: {self:?}"));
        serde_json::from_slice(value).unwrap_or_else(|e| panic!("no JSON ({e}): {}", String::from_utf8_lossy(value)))
    }

    /// The position in the gateway's record header, `None` where the record has no such header.
    pub fn position(&self) -> Option<HeaderPosition> {
        let (_, bytes) = self.headers.iter().find(|(name, _)| name == "millrace")?;
        HeaderPosition::parse(bytes)
    }

    /// The key as text.
    pub fn key_text(&self) -> String {
        self.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default()
    }
}

/// The record header `millrace`, version 1: big-endian shard, commit LSN, ordinal, first 8 bytes of the chain's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderPosition {
    /// Shard the change came from.
    pub shard: u16,
    /// LSN of its transaction's commit.
    pub commit_lsn: u64,
    /// Its place in the transaction.
    pub ordinal: u32,
    /// Which module chain made the record.
    pub modules: [u8; 8],
}

impl HeaderPosition {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 23] = bytes.try_into().ok()?;
        let (version, rest) = bytes.split_first()?;
        let (shard, rest) = rest.split_first_chunk()?;
        let (commit_lsn, rest) = rest.split_first_chunk()?;
        let (ordinal, rest) = rest.split_first_chunk()?;
        (*version == 1).then_some(Self {
            shard: u16::from_be_bytes(*shard),
            commit_lsn: u64::from_be_bytes(*commit_lsn),
            ordinal: u32::from_be_bytes(*ordinal),
            modules: rest.try_into().ok()?,
        })
    }
}

/// Reads topics from their beginning and keeps what it read.
pub struct Reader {
    consumer: BaseConsumer,
    wanted: BTreeSet<String>,
    /// Topic to partitions being read.
    assigned: BTreeMap<String, usize>,
    records: Vec<Record>,
}

impl Reader {
    pub(crate) fn new(consumer: BaseConsumer, topics: &[&str]) -> Self {
        let wanted = topics.iter().map(|&topic| topic.to_owned()).collect();
        Self { consumer, wanted, assigned: BTreeMap::new(), records: Vec::new() }
    }

    /// Takes up wanted topics that have appeared.
    fn assign(&mut self) {
        let Ok(metadata) = self.consumer.fetch_metadata(None, Duration::from_secs(5)) else { return };
        let mut new = TopicPartitionList::new();
        for topic in metadata.topics() {
            let name = topic.name();
            if self.wanted.contains(name) && !self.assigned.contains_key(name) && !topic.partitions().is_empty() {
                for partition in topic.partitions() {
                    new.add_partition_offset(name, partition.id(), Offset::Beginning).expect("a list of partitions");
                }
                self.assigned.insert(name.to_owned(), topic.partitions().len());
            }
        }
        if new.count() > 0 {
            self.consumer.incremental_assign(&new).expect("assign partitions");
        }
    }

    /// Reads until nothing has come for `quiet`; every partition's end is reached by then on a broker that answers.
    fn read(&mut self, quiet: Duration) {
        if self.assigned.len() < self.wanted.len() {
            self.assign();
        }
        if self.assigned.is_empty() {
            std::thread::sleep(quiet);
            return;
        }
        // The consumer says once per partition that it stands at the end.
        while let Some(polled) = self.consumer.poll(quiet) {
            match polled {
                Ok(message) => {
                    let headers = message.headers().map_or_else(Vec::new, |headers| {
                        headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()
                    });
                    self.records.push(Record {
                        topic: message.topic().to_owned(),
                        partition: message.partition(),
                        offset: message.offset(),
                        timestamp: message.timestamp().to_millis(),
                        key: message.key().map(<[u8]>::to_vec),
                        value: message.payload().map(<[u8]>::to_vec),
                        headers,
                    });
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                // A broker that is down or a topic that has gone: who reads decides by what is missing.
                Err(_) => return,
            }
        }
    }

    /// Everything read so far, per partition in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Reads until `enough` says so and gives what was read; panics when `limit` has passed.
    pub fn until(&mut self, what: &str, limit: Duration, mut enough: impl FnMut(&[Record]) -> bool) -> &[Record] {
        let start = Instant::now();
        loop {
            self.read(Duration::from_millis(50));
            if enough(&self.records) {
                return &self.records;
            }
            assert!(
                start.elapsed() < limit,
                "{what}: not within {limit:?}; {} records read from {:?} of {:?}",
                self.records.len(),
                self.assigned,
                self.wanted
            );
        }
    }

    /// Reads until there are `count` records, and makes sure that no more follow.
    pub fn exactly(&mut self, count: usize, limit: Duration) -> &[Record] {
        self.until(&format!("{count} records"), limit, |records| records.len() >= count);
        self.read(Duration::from_millis(300));
        let values = || self.records.iter().map(|r| String::from_utf8_lossy(r.value.as_deref().unwrap_or_default()));
        assert!(
            self.records.len() == count,
            "{} records instead of {count}, the last: {:?}",
            self.records.len(),
            values().rev().take(3).collect::<Vec<_>>()
        );
        &self.records
    }
}
