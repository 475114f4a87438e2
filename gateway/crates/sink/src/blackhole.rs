//! A sink that acknowledges at once: what a measurement of everything before the brokers produces to.

use millrace_batch::Failure;

use crate::{
    events::Deliveries,
    record::{OutRecord, SendError, TopicHandle},
};

/// Takes every record and keeps none. Size limits hold all the same.
#[derive(Debug)]
pub struct Blackhole {
    pub(crate) deliveries: Deliveries,
    max_message_bytes: usize,
}

impl Blackhole {
    /// A sink that takes records up to `max_message_bytes`, see [`record_size`](crate::record_size).
    pub fn new(max_message_bytes: usize) -> Blackhole {
        Blackhole { deliveries: Deliveries::new(64), max_message_bytes }
    }

    /// A handle for any topic.
    pub fn topic(&self, name: &str) -> TopicHandle {
        TopicHandle { name: name.into(), limit: self.max_message_bytes, native: None }
    }

    /// Takes a record. By one thread at a time.
    pub fn send(&self, topic: &TopicHandle, record: &OutRecord<'_>) -> Result<(), SendError> {
        let refused: Result<(), Failure> = topic.check(record);
        refused.map_err(SendError::Failed)?;
        self.deliveries.admit(record.seq).map_err(SendError::Failed)?;
        self.deliveries.note_sent(record.seq, 0);
        self.deliveries.note_acked(record.seq, 0);
        Ok(())
    }
}
