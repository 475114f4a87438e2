//! What a batch became.
//!
//! Owns the columnar output of a chain: bytes back to back, one row of numbers per record. Must not know stages, or what a broker
//! does with a record.

use crate::error::Fault;
use crate::schema::Schemas;
use crate::topic::TopicId;

/// Where a record goes within its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionChoice {
    /// This partition.
    Explicit(u32),
    /// Positive murmur2 of the routing bytes; the partition is this modulo the topic's partition count.
    Hash(u32),
}

/// Where one change goes: what a route stage decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed {
    pub(crate) topic: TopicId,
    pub(crate) partition: PartitionChoice,
    /// The routing bytes in `Records::keys`.
    pub(crate) key: Option<(u32, u32)>,
}

/// Bytes of a record: where they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bytes {
    None,
    /// In the arena of the format stage.
    Arena(u32, u32),
    /// Among the routing bytes.
    Key(u32, u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) change: u32,
    pub(crate) topic: TopicId,
    pub(crate) partition: PartitionChoice,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) schemas: Schemas,
    /// The record's headers: the first, and the one behind the last.
    pub(crate) headers: (u32, u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) name: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// The records of one batch, in the order of its changes. Reused from batch to batch.
#[derive(Debug, Default)]
pub struct Records {
    pub(crate) arena: Vec<u8>,
    pub(crate) keys: Vec<u8>,
    pub(crate) rows: Vec<Row>,
    pub(crate) headers: Vec<Header>,
    pub(crate) header_names: Vec<String>,
    pub(crate) header_arena: Vec<u8>,
    pub(crate) faults: Vec<Fault>,
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Index of the change in the batch it was made from; rising, and the same for all records of one change.
    pub change: u32,
    /// Its topic.
    pub topic: TopicId,
    /// Its partition.
    pub partition: PartitionChoice,
    /// Its key; None is a null key.
    pub key: Option<&'a [u8]>,
    /// Its value; None is a null value (a tombstone).
    pub value: Option<&'a [u8]>,
    /// What key and value are written in; none for a key that is the router's bytes, and for what is null.
    pub schemas: Schemas,
    headers: &'a [Header],
    records: &'a Records,
}

impl<'a> Record<'a> {
    /// Names and values of its headers, in the module's order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let records = self.records;
        self.headers.iter().map(move |header| {
            let name = records.header_names.get(header.name as usize).map_or("", String::as_str);
            (name, slice(&records.header_arena, header.start, header.end))
        })
    }
}

fn slice(bytes: &[u8], start: u32, end: u32) -> &[u8] {
    bytes.get(start as usize..end as usize).unwrap_or_default()
}

impl Records {
    /// No records.
    pub fn new() -> Records {
        Records::default()
    }

    /// Empties it and keeps its buffers.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.keys.clear();
        self.rows.clear();
        self.headers.clear();
        self.header_names.clear();
        self.header_arena.clear();
        self.faults.clear();
    }

    /// The changes of the batch that a stage could not handle and whose policy is not to halt, in the order of the changes. Such a
    /// change has no record.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without a record.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of keys, values and headers it holds: what a byte budget counts.
    pub fn weight(&self) -> usize {
        self.arena.len() + self.keys.len() + self.header_arena.len() + std::mem::size_of::<Row>() * self.rows.len()
    }

    /// The records in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.rows.iter().map(|row| {
            let bytes = |bytes: Bytes| match bytes {
                Bytes::None => None,
                Bytes::Arena(start, end) => Some(slice(&self.arena, start, end)),
                Bytes::Key(start, end) => Some(slice(&self.keys, start, end)),
            };
            Record {
                change: row.change,
                topic: row.topic,
                partition: row.partition,
                key: bytes(row.key),
                value: bytes(row.value),
                schemas: row.schemas,
                headers: self.headers.get(row.headers.0 as usize..row.headers.1 as usize).unwrap_or_default(),
                records: self,
            }
        })
    }
}
