//! One record on its way out, the topic it goes to, and how large it is.

use std::{fmt, sync::Arc};

use millrace_batch::Failure;

use crate::producer::NativeTopic;

/// A header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Name.
    pub name: &'a str,
    /// Value.
    pub value: &'a [u8],
}

/// A record to be produced; its bytes are copied before `send` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutRecord<'a> {
    /// Partition, from 0.
    pub partition: i32,
    /// Key, or none.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: &'a [Header<'a>],
    /// Milliseconds since the Unix epoch; 0: now.
    pub timestamp_ms: i64,
    /// Number of the record in this sink: 0, 1, 2, ... in the order of `send`.
    pub seq: u64,
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The queue is full: send the same record again a little later.
    QueueFull,
    /// The sink failed; it takes nothing any more, except where the record alone was refused (`message_too_large`).
    Failed(Failure),
}

/// A topic as a sink's `send` takes it; made by the sink it is used with.
#[derive(Clone)]
pub struct TopicHandle {
    pub(crate) name: Arc<str>,
    /// Largest record, see [`record_size`].
    pub(crate) limit: usize,
    /// `None` for a sink that has no topics.
    pub(crate) native: Option<Arc<NativeTopic>>,
}

impl TopicHandle {
    /// Name of the topic.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Largest record the topic takes, in bytes as [`record_size`] counts.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Refuses a record that the broker would refuse; the key is not printed.
    pub(crate) fn check(&self, record: &OutRecord<'_>) -> Result<(), Failure> {
        let size = record_size(record.key, record.value, record.headers);
        if size <= self.limit {
            return Ok(());
        }
        Err(Failure::definite(
            "message_too_large",
            format!("producing to topic {}", self.name),
            format!("the record takes {size} bytes, the limit is {}", self.limit),
            "raise max.message.bytes of the topic and the sink's largest message, or make the record smaller in a module",
        ))
    }
}

impl fmt::Debug for TopicHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicHandle").field("name", &self.name).field("limit", &self.limit).finish()
    }
}

/// Bytes of a record batch before its records (Kafka message format 2, `RecordBatch`).
const BATCH_OVERHEAD: usize = 61;
/// Most bytes a record takes beside key, value and headers: `RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD` of librdkafka (length 5,
/// attributes 1, timestamp 10, offset 5, lengths of key and value 5 each, number of headers 5).
const RECORD_OVERHEAD: usize = 36;
/// Most bytes a header takes beside name and value: two lengths.
const HEADER_OVERHEAD: usize = 10;

/// What a record counts against `max.message.bytes`: a batch that holds nothing else, uncompressed, with every variable-length
/// number at its longest. At most 31 bytes (and 8 per header) more than the broker counts, so what passes is never refused there.
pub fn record_size(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> usize {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize = headers.iter().map(|header| HEADER_OVERHEAD + header.name.len() + header.value.len()).sum();
    BATCH_OVERHEAD + RECORD_OVERHEAD + len(key) + len(value) + headers
}
