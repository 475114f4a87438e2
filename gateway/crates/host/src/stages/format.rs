//! The format stage: records.

use super::route::intern;
use super::{check_length, check_rising};
use crate::contract::{format, types};
use crate::records::{Bytes, Header, Records, Routed, Row};
use crate::schema::{Schema, SchemaLanguage, SchemaTable, Schemas};
use crate::stage::Reject;
use crate::topic::{TopicId, TopicTable};
use crate::usage::LimitKind;
use crate::view::Interest;

/// Bits of an element of `marks`, as the contract numbers them.
pub(crate) const NO_KEY: u8 = 1;
pub(crate) const NULL_VALUE: u8 = 2;
pub(crate) const ROUTED_KEY: u8 = 4;

/// A format's plan for a table.
#[derive(Debug)]
pub(crate) struct FormatPlan {
    pub(crate) reads: Interest,
    pub(crate) schemas: Schemas,
}

impl FormatPlan {
    pub(crate) fn check(
        plan: &format::Plan,
        relation: &types::Relation,
        keys: &[u16],
        known: &SchemaTable,
    ) -> Result<FormatPlan, String> {
        let schema = |what: &str, schema: &Option<format::Schema>| {
            let Some(format::Schema { language, name, text }) = schema else { return Ok(None) };
            let language = match language {
                format::SchemaLanguage::Avro => SchemaLanguage::Avro,
                format::SchemaLanguage::Json => SchemaLanguage::Json,
                format::SchemaLanguage::Protobuf => SchemaLanguage::Protobuf,
            };
            let id = known.intern(Schema { language, name: name.clone(), text: text.clone() });
            id.map(Some).map_err(|why| format!("{what}: {why}"))
        };
        Ok(FormatPlan {
            reads: Interest::check(&plan.reads, relation.columns.len(), keys)?,
            schemas: Schemas {
                key: schema("key-schema", &plan.key_schema)?,
                value: schema("value-schema", &plan.value_schema)?,
            },
        })
    }
}

/// Where the records of one change go, what they are written in, and its index in the batch the chain was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) to: Routed,
    pub(crate) schemas: Schemas,
    pub(crate) origin: u32,
}

/// Checks an answer for `changes` changes, of at most `limit` records and headers; the numbers of its topics.
pub(crate) fn check(
    answer: &format::Records,
    changes: usize,
    limit: usize,
    topics: &TopicTable,
) -> Result<Vec<TopicId>, Reject> {
    let count = answer.changes.len();
    let made = count.saturating_add(answer.headers.record_of.len());
    if made > limit {
        let why = format!("it made {made} records and headers in one call, the limit is {limit}");
        return Err(Reject(why, Some(LimitKind::Records)));
    }
    check_length("key-ends", answer.key_ends.len(), count)?;
    check_length("value-ends", answer.value_ends.len(), count)?;
    check_length("topic-of", answer.topic_of.len(), count)?;
    check_length("marks", answer.marks.len(), count)?;
    let ids = intern(&answer.topics, topics)?;
    let (mut change, mut start) = (0, 0);
    for index in 0..count {
        if answer.changes[index] < change || answer.changes[index] as usize >= changes {
            let found = answer.changes[index];
            return Err(Reject::bad(
                "changes",
                format_args!("record {index} is of change {found}: not in order, or not there"),
            ));
        }
        change = answer.changes[index];
        let (key, value) = (answer.key_ends[index], answer.value_ends[index]);
        if key < start || value < key {
            return Err(Reject::bad("key-ends and value-ends", format_args!("they do not rise at record {index}")));
        }
        let marks = answer.marks[index];
        let keyless = marks & (NO_KEY | ROUTED_KEY);
        if marks > NO_KEY | NULL_VALUE | ROUTED_KEY || keyless == NO_KEY | ROUTED_KEY {
            return Err(Reject::bad("marks", format_args!("record {index} has {marks}")));
        }
        if (keyless != 0 && key != start) || (marks & NULL_VALUE != 0 && value != key) {
            return Err(Reject::bad(
                "marks",
                format_args!("record {index} has bytes where its marks say there are none"),
            ));
        }
        let topic = answer.topic_of[index];
        if topic < -1 || topic >= ids.len() as i32 {
            return Err(Reject::bad("topic-of", format_args!("record {index} has {topic} of {} topics", ids.len())));
        }
        start = value;
    }
    if start as usize != answer.arena.len() {
        return Err(Reject::bad(
            "value-ends",
            format_args!("they end at {start}, the arena has {} bytes", answer.arena.len()),
        ));
    }
    check_headers(&answer.headers, count)?;
    Ok(ids)
}

fn check_headers(headers: &format::Headers, records: usize) -> Result<(), Reject> {
    let count = headers.record_of.len();
    check_length("headers.name-of", headers.name_of.len(), count)?;
    check_length("headers.value-ends", headers.value_ends.len(), count)?;
    check_rising("headers.value-ends", headers.value_ends.iter().copied(), headers.arena.len())?;
    if headers.record_of.windows(2).any(|pair| pair[0] > pair[1])
        || headers.record_of.last().is_some_and(|last| *last as usize >= records)
    {
        return Err(Reject::bad("headers.record-of", "not in order, or no such record"));
    }
    if headers.name_of.iter().any(|name| *name as usize >= headers.names.len()) {
        return Err(Reject::bad("headers.name-of", "no such name"));
    }
    Ok(())
}

/// Takes a checked answer but for the records of faulty changes (rising). `address` tells of each change of the call.
pub(crate) fn take(
    answer: format::Records,
    ids: &[TopicId],
    faulty: &[u32],
    address: impl Fn(usize) -> Address,
    out: &mut Records,
) -> Result<(), Reject> {
    // Most batches are one call, whose arena is kept as it came.
    let base = u32::try_from(out.arena.len())
        .ok()
        .filter(|base| u32::try_from(answer.arena.len()).is_ok_and(|n| base.checked_add(n).is_some()));
    let Some(base) = base else { return Err(Reject::bad("arena", "the records of the batch pass 4 GiB")) };
    let header_base = out.headers.len();
    let mut header = 0;
    let mut start = base;
    for index in 0..answer.changes.len() {
        let first_header = header;
        while answer.headers.record_of.get(header).is_some_and(|record| *record as usize <= index) {
            header += 1;
        }
        let (key_end, value_end) = (base + answer.key_ends[index], base + answer.value_ends[index]);
        let begin = std::mem::replace(&mut start, value_end);
        if !faulty.is_empty() && faulty.binary_search(&answer.changes[index]).is_ok() {
            continue;
        }
        let Address { to, schemas, origin } = address(answer.changes[index] as usize);
        let marks = answer.marks[index];
        let key = if marks & ROUTED_KEY != 0 {
            to.key.map_or(Bytes::None, |(start, end)| Bytes::Key(start, end))
        } else if marks & NO_KEY != 0 {
            Bytes::None
        } else {
            Bytes::Arena(begin, key_end)
        };
        let value = if marks & NULL_VALUE != 0 { Bytes::None } else { Bytes::Arena(key_end, value_end) };
        let topic =
            usize::try_from(answer.topic_of[index]).ok().and_then(|at| ids.get(at)).copied().unwrap_or(to.topic);
        out.rows.push(Row {
            change: origin,
            topic,
            partition: to.partition,
            key,
            value,
            schemas: Schemas {
                key: schemas.key.filter(|_| matches!(key, Bytes::Arena(..))),
                value: schemas.value.filter(|_| matches!(value, Bytes::Arena(..))),
            },
            headers: ((header_base + first_header) as u32, (header_base + header) as u32),
        });
    }
    take_headers(answer.headers, out);
    if out.arena.is_empty() {
        out.arena = answer.arena;
    } else {
        out.arena.extend_from_slice(&answer.arena);
    }
    Ok(())
}

fn take_headers(headers: format::Headers, out: &mut Records) {
    if headers.record_of.is_empty() {
        return;
    }
    let (names, base) = (out.header_names.len() as u32, out.header_arena.len() as u32);
    let mut start = base;
    for (name, end) in headers.name_of.iter().zip(&headers.value_ends) {
        out.headers.push(Header { name: names + name, start, end: base + end });
        start = base + end;
    }
    out.header_names.extend(headers.names);
    out.header_arena.extend_from_slice(&headers.arena);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::PartitionChoice;

    fn good() -> format::Records {
        format::Records {
            arena: b"k1v1v2".to_vec(),
            changes: vec![0, 1, 1],
            key_ends: vec![2, 4, 6],
            value_ends: vec![4, 6, 6],
            topic_of: vec![-1, 0, -1],
            marks: vec![0, ROUTED_KEY, NO_KEY | NULL_VALUE],
            topics: vec!["other".into()],
            headers: format::Headers {
                names: vec!["h".into(), "i".into()],
                arena: b"abc".to_vec(),
                record_of: vec![0, 2, 2],
                name_of: vec![0, 1, 0],
                value_ends: vec![1, 1, 3],
            },
            faults: Vec::new(),
        }
    }

    #[test]
    fn records_come_out_as_they_were_given() {
        let topics = TopicTable::new();
        let usual = topics.intern("usual").unwrap();
        let known = SchemaTable::default();
        let schema = |name: &str| {
            let schema = Schema { language: SchemaLanguage::Avro, name: name.into(), text: "{}".into() };
            Some(known.intern(schema).unwrap())
        };
        let schemas = Schemas { key: schema("key"), value: schema("value") };
        let mut out = Records::new();
        out.keys.extend_from_slice(b"rk");
        // Twice, as when a batch passes in parts.
        for part in 0..2 {
            let ids = check(&good(), 2, 100, &topics).map_err(|_| "refused").unwrap();
            let to = Routed { topic: usual, partition: PartitionChoice::Hash(9), key: Some((0, 2)) };
            let address = |change| Address { to, schemas, origin: part * 10 + change as u32 };
            assert!(take(good(), &ids, &[], address, &mut out).is_ok());
        }
        let seen: Vec<_> = out
            .iter()
            .map(|r| {
                let headers: Vec<_> = r.headers().collect();
                (r.change, topics.name(r.topic).unwrap().to_string(), r.key, r.value, headers)
            })
            .collect();
        let part = |n: u32| {
            [
                (n, "usual".to_owned(), Some(&b"k1"[..]), Some(&b"v1"[..]), vec![("h", &b"a"[..])]),
                (n + 1, "other".to_owned(), Some(&b"rk"[..]), Some(&b"v2"[..]), vec![]),
                (n + 1, "usual".to_owned(), None, None, vec![("i", &b""[..]), ("h", &b"bc"[..])]),
            ]
        };
        assert_eq!(seen, [part(0), part(10)].concat());
        // Only what the module wrote itself is in its schema.
        let seen: Vec<_> = out.iter().take(3).map(|record| record.schemas).collect();
        assert_eq!(seen, [schemas, Schemas { key: None, ..schemas }, Schemas::default()]);
    }

    #[test]
    fn records_of_a_faulty_change_are_left_out_with_their_headers() {
        let topics = TopicTable::new();
        let to = Routed { topic: topics.intern("usual").unwrap(), partition: PartitionChoice::Hash(9), key: None };
        let ids = check(&good(), 2, 100, &topics).unwrap();
        let seen = |faulty: &[u32]| {
            let mut out = Records::new();
            let address = |change| Address { to, schemas: Schemas::default(), origin: change as u32 };
            take(good(), &ids, faulty, address, &mut out).unwrap();
            let row = |r: crate::Record<'_>| (r.change, r.value.map(<[u8]>::to_vec), r.headers().count());
            out.iter().map(row).collect::<Vec<_>>()
        };
        assert_eq!(seen(&[1]), [(0, Some(b"v1".to_vec()), 1)]);
        assert_eq!(seen(&[0]), [(1, Some(b"v2".to_vec()), 0), (1, None, 2)]);
        assert!(seen(&[0, 1]).is_empty());
        // Three records and three headers.
        assert!(check(&good(), 2, 6, &topics).is_ok());
        assert!(matches!(check(&good(), 2, 5, &topics), Err(Reject(_, Some(LimitKind::Records)))));
    }

    #[test]
    fn answers_that_do_not_fit_are_refused() {
        let topics = TopicTable::new();
        let spoil: [fn(&mut format::Records); 18] = [
            |a| a.changes[2] = 2,
            |a| a.changes[1] = 0,
            |a| a.key_ends.truncate(1),
            |a| a.value_ends.truncate(1),
            |a| a.topic_of.truncate(1),
            |a| a.marks.truncate(1),
            |a| a.key_ends[1] = 3,
            |a| a.value_ends[2] = 5,
            |a| a.value_ends[2] = 7,
            |a| a.arena.push(0),
            |a| a.topic_of[0] = 1,
            |a| a.topic_of[0] = -2,
            |a| a.marks[0] = 8,
            |a| a.marks[0] = NO_KEY,
            |a| a.marks[1] = NULL_VALUE,
            |a| a.headers.record_of[2] = 3,
            |a| a.headers.name_of[0] = 2,
            |a| a.headers.value_ends[1] = 9,
        ];
        for (n, spoil) in spoil.into_iter().enumerate() {
            let mut bad = good();
            spoil(&mut bad);
            // The second is still in order: record 1 then belongs to change 0.
            assert_eq!(matches!(check(&bad, 2, 100, &topics), Err(Reject(..))), n != 1, "{n}: {bad:?}");
        }
    }
}
