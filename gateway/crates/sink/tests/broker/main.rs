//! The sink against brokers: librdkafka's mock for scripted faults, a real Apache Kafka for everything a mock cannot judge (fencing,
//! read_committed, admin, size limits, duplicates).

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic as the test may")]

mod faults;
mod kafka;
#[cfg(feature = "gssapi")]
mod kerberos;
mod order;
mod positions;
mod read;
mod registry;
mod security;
mod topics;

use std::time::{Duration, Instant};

use millrace_sink::{OutRecord, Producer, SendError, TopicHandle};

/// A keyless record.
fn record(seq: u64, partition: i32, value: &[u8]) -> OutRecord<'_> {
    OutRecord { partition, key: None, value: Some(value), headers: &[], timestamp_ms: 0, seq }
}

/// Sends as the gateway does: waits while the queue is full.
fn send(producer: &Producer, topic: &TopicHandle, record: &OutRecord<'_>) -> Result<(), millrace_batch::Failure> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match producer.send(topic, record) {
            Ok(()) => return Ok(()),
            Err(SendError::Failed(failure)) => return Err(failure),
            Err(SendError::QueueFull) => {
                assert!(Instant::now() < deadline, "the queue stays full");
                std::thread::sleep(Duration::from_micros(500));
            }
        }
    }
}

/// Waits until the producer has failed.
fn failure_of(producer: &Producer) -> millrace_batch::Failure {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(failure) = producer.failure() {
            return failure;
        }
        assert!(Instant::now() < deadline, "no failure in 30 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
