//! The demo's destination: librdkafka's mock cluster, a broker inside this process with real listeners on loopback.
//!
//! Owns the topics and reading them back. The mock keeps at most 5 MiB per partition and knows no admin requests, so the topics
//! are made here and the gateway is told not to. It is no oracle for exactly-once; the demo does not use it as one.

use millrace_batch::Failure;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Partitions of each topic: enough to show that keys are spread and stay where they are.
pub const PARTITIONS: i32 = 3;

/// The mock drops the oldest batches of a partition above this many bytes (rdkafka_mock.c, fixed in code).
pub const KEPT_BYTES_PER_PARTITION: u64 = 5 * 1024 * 1024;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A record read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Topic it is in.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Record key as text; `None` for a null key.
    pub key: Option<String>,
    /// Record value as text, empty for a tombstone.
    pub value: String,
}

/// The embedded broker.
pub struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    topics: Vec<String>,
}

impl Broker {
    /// Starts one broker on a free loopback port and makes the topics.
    ///
    /// # Errors
    /// `demo_broker` with what librdkafka said.
    pub fn start(topics: Vec<String>) -> Result<Broker, Failure> {
        let cluster = MockCluster::new(1).map_err(|e| failed("starting the embedded broker", &e))?;
        for topic in &topics {
            cluster
                .create_topic(topic, PARTITIONS, 1)
                .map_err(|e| failed("making a topic in the embedded broker", &e))?;
        }
        Ok(Broker { cluster, topics })
    }

    /// `host:port` of the broker.
    pub fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// A reader of this broker's topics.
    ///
    /// # Errors
    /// `demo_broker` with what librdkafka said.
    pub fn reader(&self) -> Result<Reader, Failure> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address())
            // Asked for by the client, not used: partitions are assigned by hand and nothing is committed.
            .set("group.id", "millrace-demo")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .create()
            .map_err(|e| failed("starting a consumer", &e))?;
        Ok(Reader { consumer, topics: self.topics.clone() })
    }
}

/// Reads the topics back.
pub struct Reader {
    consumer: BaseConsumer,
    topics: Vec<String>,
}

impl Reader {
    /// Records in all topics, without reading them.
    ///
    /// # Errors
    /// `demo_broker`.
    pub fn count(&self) -> Result<u64, Failure> {
        let ends = self.ends()?;
        Ok(ends.values().map(|end| u64::try_from(*end).unwrap_or(0)).sum())
    }

    /// All records, each partition's in its order.
    ///
    /// # Errors
    /// `demo_broker`: also when the broker gives no record for five seconds although there are more.
    pub fn read_all(&self) -> Result<Vec<Record>, Failure> {
        let mut ends = self.ends()?;
        ends.retain(|_, end| *end > 0);
        let mut assignment = TopicPartitionList::new();
        for (topic, partition) in ends.keys() {
            assignment
                .add_partition_offset(topic, *partition, Offset::Offset(0))
                .map_err(|e| failed("choosing the partitions to read", &e))?;
        }
        self.consumer.assign(&assignment).map_err(|e| failed("reading the topics back", &e))?;
        let mut records = Vec::new();
        let mut last = Instant::now();
        while !ends.is_empty() {
            let Some(message) = self.consumer.poll(Duration::from_millis(100)) else {
                if last.elapsed() > TIMEOUT {
                    return Err(Failure::definite(
                        "demo_broker",
                        "reading the topics back",
                        format!("no record for {TIMEOUT:?}, {} partitions not read to their end", ends.len()),
                        "run the demo again; if it happens again, report it",
                    ));
                }
                continue;
            };
            let message = message.map_err(|e| failed("reading the topics back", &e))?;
            last = Instant::now();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            records.push(Record {
                topic: message.topic().to_owned(),
                partition: message.partition(),
                key: message.key().map(text),
                value: message.payload().map(text).unwrap_or_default(),
            });
            let place = (message.topic().to_owned(), message.partition());
            if ends.get(&place).is_some_and(|end| message.offset() + 1 >= *end) {
                ends.remove(&place);
            }
        }
        Ok(records)
    }

    /// The offset after the last record, by topic and partition.
    fn ends(&self) -> Result<BTreeMap<(String, i32), i64>, Failure> {
        let mut ends = BTreeMap::new();
        for topic in &self.topics {
            for partition in 0..PARTITIONS {
                let (_, end) = self
                    .consumer
                    .fetch_watermarks(topic, partition, TIMEOUT)
                    .map_err(|e| failed("asking for the end of a partition", &e))?;
                ends.insert((topic.clone(), partition), end);
            }
        }
        Ok(ends)
    }
}

fn failed(tried: &str, error: &KafkaError) -> Failure {
    Failure::definite("demo_broker", tried, error.to_string(), "run the demo again; if it happens again, report it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    #[test]
    fn what_was_produced_is_read_back_in_partition_order() {
        let broker = Broker::start(vec!["a".into(), "b".into()]).unwrap();
        let reader = broker.reader().unwrap();
        assert_eq!(reader.count().unwrap(), 0);
        assert_eq!(reader.read_all().unwrap(), []);
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap();
        for n in 0..10 {
            let (key, value) = (format!("k{n}"), format!("v{n}"));
            producer.send(BaseRecord::to("b").partition(2).key(&key).payload(&value)).unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
        assert_eq!(reader.count().unwrap(), 10);
        let records = reader.read_all().unwrap();
        let expected =
            |n: usize| Record { topic: "b".into(), partition: 2, key: Some(format!("k{n}")), value: format!("v{n}") };
        assert_eq!(records, (0..10).map(expected).collect::<Vec<_>>());
    }
}
