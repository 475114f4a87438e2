//! The sink a task runs with: Kafka, or nothing.

use std::time::Duration;

use millrace_batch::Failure;

use crate::{Blackhole, OutRecord, Producer, SendError, TopicHandle};

/// Where records go. One thread sends; any thread asks.
pub enum Sink {
    /// To Kafka.
    Kafka(Producer),
    /// Nowhere, acknowledged at once.
    Blackhole(Blackhole),
}

impl Sink {
    /// A handle for a topic, see [`Producer::topic`].
    pub fn topic(&self, name: &str, max_message_bytes: Option<usize>) -> Result<TopicHandle, Failure> {
        match self {
            Sink::Kafka(producer) => producer.topic(name, max_message_bytes),
            Sink::Blackhole(hole) => Ok(hole.topic(name)),
        }
    }

    /// Takes a record, see [`Producer::send`].
    #[inline]
    pub fn send(&self, topic: &TopicHandle, record: &OutRecord<'_>) -> Result<(), SendError> {
        match self {
            Sink::Kafka(producer) => producer.send(topic, record),
            Sink::Blackhole(hole) => hole.send(topic, record),
        }
    }

    /// Every record numbered below this is acknowledged.
    pub fn watermark(&self) -> u64 {
        match self {
            Sink::Kafka(producer) => producer.watermark(),
            Sink::Blackhole(hole) => hole.deliveries.watermark(),
        }
    }

    /// The first failure, see [`Producer::failure`].
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Sink::Kafka(producer) => producer.failure(),
            Sink::Blackhole(hole) => hole.deliveries.failure(),
        }
    }

    /// Records sent and not below the watermark.
    pub fn in_flight(&self) -> u64 {
        match self {
            Sink::Kafka(producer) => producer.in_flight(),
            Sink::Blackhole(hole) => hole.deliveries.in_flight(),
        }
    }

    /// Bytes of keys and values that wait for their acknowledgement.
    pub fn in_flight_bytes(&self) -> u64 {
        match self {
            Sink::Kafka(producer) => producer.in_flight_bytes(),
            Sink::Blackhole(hole) => hole.deliveries.in_flight_bytes(),
        }
    }

    /// Waits for the watermark, see [`Producer::reached`].
    pub async fn reached(&self, seq: u64) -> Result<u64, Failure> {
        match self {
            Sink::Kafka(producer) => producer.reached(seq).await,
            Sink::Blackhole(hole) => hole.deliveries.reached(seq).await,
        }
    }

    /// Sends what lingers and waits for it, see [`Producer::flush`]. Blocks.
    pub fn flush(&self, patience: Duration) -> Result<u64, Failure> {
        match self {
            Sink::Kafka(producer) => producer.flush(patience),
            Sink::Blackhole(hole) => Ok(hole.deliveries.watermark()),
        }
    }

    /// Forgets what is queued, see [`Producer::purge`].
    pub fn purge(&self) {
        if let Sink::Kafka(producer) = self {
            producer.purge();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blackhole_acknowledges_at_once_and_keeps_the_size_limit() {
        let sink = Sink::Blackhole(Blackhole::new(1000));
        let topic = sink.topic("t", None).unwrap();
        let record =
            |seq, value| OutRecord { partition: 0, key: None, value: Some(value), headers: &[], timestamp_ms: 0, seq };
        for seq in 0..1000 {
            assert_eq!(sink.send(&topic, &record(seq, b"x")), Ok(()));
        }
        assert_eq!((sink.watermark(), sink.in_flight()), (1000, 0));
        let Err(SendError::Failed(failure)) = sink.send(&topic, &record(1000, &[0; 1000])) else { panic!("taken") };
        assert_eq!(failure.code, "message_too_large");
        assert_eq!(sink.send(&topic, &record(1000, b"x")), Ok(()), "a record that was refused was not numbered");
    }
}
