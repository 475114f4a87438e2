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

    /// Takes for some changes what `other` has for them, in place of what is here. `changes`: for each change of `other` its index
    /// here, rising. False, and nothing is changed, where 32 bits no longer address the bytes of both.
    #[must_use]
    pub fn overlay(&mut self, other: &Records, changes: &[u32]) -> bool {
        let shift = |mine: usize, theirs: usize| {
            u32::try_from(mine + theirs).ok()?;
            u32::try_from(mine).ok()
        };
        let (Some(arena), Some(keys), Some(header_arena)) = (
            shift(self.arena.len(), other.arena.len()),
            shift(self.keys.len(), other.keys.len()),
            shift(self.header_arena.len(), other.header_arena.len()),
        ) else {
            return false;
        };
        let (headers, names) = (self.headers.len() as u32, self.header_names.len() as u32);
        let here = |change: u32| changes.get(change as usize).copied().unwrap_or(u32::MAX);
        let replaced = |change: u32| changes.binary_search(&change).is_ok();
        let moved = |bytes: Bytes| match bytes {
            Bytes::None => Bytes::None,
            Bytes::Arena(start, end) => Bytes::Arena(start + arena, end + arena),
            Bytes::Key(start, end) => Bytes::Key(start + keys, end + keys),
        };
        self.rows.retain(|row| !replaced(row.change));
        self.rows.extend(other.rows.iter().map(|row| Row {
            change: here(row.change),
            key: moved(row.key),
            value: moved(row.value),
            headers: (row.headers.0 + headers, row.headers.1 + headers),
            ..*row
        }));
        // Stable: the records of one change keep their order.
        self.rows.sort_by_key(|row| row.change);
        self.faults.retain(|fault| !replaced(fault.change));
        self.faults.extend(other.faults.iter().map(|fault| Fault { change: here(fault.change), ..fault.clone() }));
        self.faults.sort_by_key(|fault| fault.change);
        self.arena.extend_from_slice(&other.arena);
        self.keys.extend_from_slice(&other.keys);
        self.header_arena.extend_from_slice(&other.header_arena);
        self.header_names.extend_from_slice(&other.header_names);
        self.headers.extend(other.headers.iter().map(|header| Header {
            name: header.name + names,
            start: header.start + header_arena,
            end: header.end + header_arena,
        }));
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One record for each change, whose key, value and header are told by the text.
    fn made(texts: &[(u32, &str)]) -> Records {
        let mut records = Records::new();
        for &(change, text) in texts {
            let put = |bytes: &mut Vec<u8>| {
                let start = bytes.len() as u32;
                bytes.extend_from_slice(text.as_bytes());
                (start, bytes.len() as u32)
            };
            let (key, value, header) =
                (put(&mut records.keys), put(&mut records.arena), put(&mut records.header_arena));
            let at = records.headers.len() as u32;
            records.headers.push(Header { name: at, start: header.0, end: header.1 });
            records.header_names.push(text.to_owned());
            records.rows.push(Row {
                change,
                topic: TopicId(0),
                partition: PartitionChoice::Explicit(0),
                key: Bytes::Key(key.0, key.1),
                value: Bytes::Arena(value.0, value.1),
                schemas: Schemas::default(),
                headers: (at, at + 1),
            });
        }
        records
    }

    #[test]
    fn some_changes_are_taken_from_other_records() {
        let mut records = made(&[(0, "a"), (1, "b"), (1, "bb"), (2, "c"), (4, "e")]);
        // Of four changes the second and the fourth, which had none, and the fifth, which gets none.
        assert!(records.overlay(&made(&[(0, "B"), (0, "BB"), (1, "D")]), &[1, 3, 4]));
        let seen: Vec<(u32, String)> = records
            .iter()
            .map(|record| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let value = text(record.value.unwrap());
                assert_eq!(text(record.key.unwrap()), value);
                let headers: Vec<(&str, String)> = record.headers().map(|(name, bytes)| (name, text(bytes))).collect();
                assert_eq!(headers, [(value.as_str(), value.clone())]);
                (record.change, value)
            })
            .collect();
        let expected =
            [(0, "a"), (1, "B"), (1, "BB"), (2, "c"), (3, "D")].map(|(change, text)| (change, text.to_owned()));
        assert_eq!(seen, expected);
    }
}
