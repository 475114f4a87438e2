//! The route stage: topic and partition.
//!
//! What a plan settles per table is decided here without a call, hashing included.

use super::{check_length, check_rising};
use crate::contract::{route, types};
use crate::murmur::positive_murmur2;
use crate::records::{PartitionChoice, Routed};
use crate::stage::Reject;
use crate::topic::{TopicId, TopicTable};
use crate::view::{Interest, View, check_columns};
use millrace_batch::{Cell, Op};

/// A router's plan for a table.
#[derive(Debug)]
pub(crate) enum RoutePlan {
    Fixed { topic: TopicId, partition: PartitionChoice, key: Option<Box<[u8]>> },
    ByColumns { topic: TopicId, columns: Box<[u16]>, names: Box<[Box<str>]>, rowless: Box<[u8]> },
    PerChange(Interest),
}

impl RoutePlan {
    pub(crate) fn check(
        plan: &route::Plan,
        relation: &types::Relation,
        keys: &[u16],
        topics: &TopicTable,
    ) -> Result<RoutePlan, String> {
        let intern = |name: &str| topics.intern(name).map_err(|error| error.to_string());
        Ok(match plan {
            route::Plan::Fixed(target) => {
                let topic = intern(&target.topic)?;
                match &target.partition {
                    route::Partition::Number(number) => {
                        RoutePlan::Fixed { topic, partition: explicit(i64::from(*number))?, key: None }
                    }
                    route::Partition::HashOf(bytes) => RoutePlan::Fixed {
                        topic,
                        partition: PartitionChoice::Hash(positive_murmur2(bytes)),
                        key: Some(bytes.as_slice().into()),
                    },
                }
            }
            route::Plan::ByColumns(hashed) => {
                let columns = check_columns(&hashed.columns, relation.columns.len())?;
                if columns.is_empty() {
                    return Err("it routes by columns and names none".into());
                }
                RoutePlan::ByColumns {
                    topic: intern(&hashed.topic)?,
                    columns: columns.into(),
                    names: columns.iter().map(|c| relation.columns[usize::from(*c)].name.as_str().into()).collect(),
                    // As the documented policy does for a table without a key.
                    rowless: format!("{}.{}.{}", relation.database, relation.schema, relation.table)
                        .into_bytes()
                        .into(),
                }
            }
            route::Plan::PerChange(raw) => RoutePlan::PerChange(Interest::check(raw, relation.columns.len(), keys)?),
        })
    }

    /// The same plan with another topic, for a table that the task maps to one.
    pub(crate) fn with_topic(self, name: &str, topics: &TopicTable) -> Result<RoutePlan, String> {
        let topic = topics.intern(name).map_err(|error| error.to_string())?;
        match self {
            RoutePlan::Fixed { partition, key, .. } => Ok(RoutePlan::Fixed { topic, partition, key }),
            RoutePlan::ByColumns { columns, names, rowless, .. } => {
                Ok(RoutePlan::ByColumns { topic, columns, names, rowless })
            }
            RoutePlan::PerChange(_) => {
                Err(format!("it routes this table change by change, and the task maps it to topic {name}"))
            }
        }
    }

    /// The topic, where one is known before the first change.
    pub(crate) fn topic(&self) -> Option<TopicId> {
        match self {
            RoutePlan::Fixed { topic, .. } | RoutePlan::ByColumns { topic, .. } => Some(*topic),
            RoutePlan::PerChange(_) => None,
        }
    }
}

/// Kafka's partition numbers are non-negative 32-bit integers.
fn explicit(number: i64) -> Result<PartitionChoice, String> {
    match u32::try_from(number) {
        Ok(partition) if partition <= i32::MAX as u32 => Ok(PartitionChoice::Explicit(partition)),
        _ => Err(format!("partition {number} is outside 0 to {}", i32::MAX)),
    }
}

/// Appends routing bytes; None where 32 bits no longer address them.
pub(crate) fn push_key(keys: &mut Vec<u8>, bytes: &[u8]) -> Option<(u32, u32)> {
    let start = u32::try_from(keys.len()).ok()?;
    let end = u32::try_from(keys.len() + bytes.len()).ok()?;
    keys.extend_from_slice(bytes);
    Some((start, end))
}

/// Routes one change by its columns. The bytes: of one column its cell text, of several a compact JSON array of strings and null;
/// of the new image, of the old one on delete. A truncate has no row: it goes by `database.schema.table`.
///
/// A NULL in a single column has no text: it hashes as no bytes and the record has no key from here. A cell that was not sent is
/// taken from the old image, which has the same value, or is an error: guessing would break the order of the key.
pub(crate) fn by_columns(
    view: &View<'_>,
    change: usize,
    columns: &[u16],
    names: &[Box<str>],
    rowless: &[u8],
    keys: &mut Vec<u8>,
) -> Result<(PartitionChoice, Option<(u32, u32)>), String> {
    let start = u32::try_from(keys.len()).map_err(|_| too_long())?;
    let op = view.ops[change];
    if op == Op::Truncate as u8 {
        keys.extend_from_slice(rowless);
    } else if let [column] = columns {
        match find(view, change, *column, op)? {
            Cell::Text(text) => keys.extend_from_slice(text),
            Cell::Null => return Ok((PartitionChoice::Hash(positive_murmur2(&[])), None)),
            Cell::Unsent => return Err(unsent(&names[0])),
        }
    } else {
        for (at, column) in columns.iter().enumerate() {
            keys.push(if at == 0 { b'[' } else { b',' });
            match find(view, change, *column, op)? {
                Cell::Text(text) => push_json(text, keys).map_err(|()| {
                    format!("key column {} is not valid UTF-8, so the key cannot be a JSON array", names[at])
                })?,
                Cell::Null => keys.extend_from_slice(b"null"),
                Cell::Unsent => return Err(unsent(&names[at])),
            }
        }
        keys.push(b']');
    }
    let end = u32::try_from(keys.len()).map_err(|_| too_long())?;
    let hash = positive_murmur2(&keys[start as usize..]);
    Ok((PartitionChoice::Hash(hash), Some((start, end))))
}

fn too_long() -> String {
    "the routing keys of the batch pass 4 GiB".into()
}

fn unsent(column: &str) -> String {
    format!("the source did not send key column {column}; set a replica identity that covers it")
}

fn find<'a>(view: &View<'a>, change: usize, column: u16, op: u8) -> Result<Cell<'a>, String> {
    let cell = |old: bool| {
        let (first, count) = view.image(change, old);
        if usize::from(column) < count { view.cell(first + usize::from(column)) } else { Cell::Unsent }
    };
    if op == Op::Delete as u8 {
        return Ok(cell(true));
    }
    Ok(match cell(false) {
        // An unchanged TOAST value.
        Cell::Unsent if op == Op::Update as u8 => cell(true),
        found => found,
    })
}

/// Appends a JSON string.
fn push_json(text: &[u8], out: &mut Vec<u8>) -> Result<(), ()> {
    let plain = |b: &u8| *b >= 0x20 && *b != b'"' && *b != b'\\' && b.is_ascii();
    if text.iter().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
        return Ok(());
    }
    let text = std::str::from_utf8(text).map_err(|_| ())?;
    serde_json::to_writer(out, text).map_err(|_| ())
}

/// Checks a router's answer for `changes` changes; the numbers of its topics.
pub(crate) fn check(answer: &route::Routes, changes: usize, topics: &TopicTable) -> Result<Vec<TopicId>, Reject> {
    check_length("topic-of", answer.topic_of.len(), changes)?;
    check_length("partitions", answer.partitions.len(), changes)?;
    check_length("hash-ends", answer.hash_ends.len(), changes)?;
    check_rising("hash-ends", answer.hash_ends.iter().copied(), answer.arena.len())?;
    let ids = intern(&answer.topics, topics)?;
    if let Some(topic) = answer.topic_of.iter().find(|topic| **topic as usize >= ids.len()) {
        return Err(Reject::bad("topic-of", format_args!("index {topic} of {} topics", ids.len())));
    }
    let mut start = 0;
    for (&partition, &end) in answer.partitions.iter().zip(&answer.hash_ends) {
        if partition < -1 {
            return Err(Reject::bad("partitions", format_args!("{partition} is neither a number nor -1")));
        }
        if partition >= 0 && end != start {
            return Err(Reject::bad("hash-ends", "a change with an explicit partition has bytes to hash"));
        }
        start = end;
    }
    Ok(ids)
}

/// Numbers of the topics an answer names.
pub(crate) fn intern(names: &[String], topics: &TopicTable) -> Result<Vec<TopicId>, Reject> {
    names.iter().map(|name| topics.intern(name).map_err(|error| Reject::bad("topics", error))).collect()
}

/// One change of a checked answer.
pub(crate) fn routed(answer: &route::Routes, ids: &[TopicId], change: usize, keys: &mut Vec<u8>) -> Option<Routed> {
    let topic = *ids.get(*answer.topic_of.get(change)? as usize)?;
    let partition = *answer.partitions.get(change)?;
    if let Ok(number) = u32::try_from(partition) {
        return Some(Routed { topic, partition: PartitionChoice::Explicit(number), key: None });
    }
    let start = change.checked_sub(1).map_or(0, |before| answer.hash_ends[before] as usize);
    let bytes = answer.arena.get(start..*answer.hash_ends.get(change)? as usize)?;
    let key = push_key(keys, bytes)?;
    Some(Routed { topic, partition: PartitionChoice::Hash(positive_murmur2(bytes)), key: Some(key) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_batch::{Batch, ChangeStamp, Lsn, marks};
    use proptest::prelude::*;

    fn batch(op: Op, new: &[Cell<'_>], old: &[Cell<'_>]) -> Batch {
        let mut batch = Batch::new(0);
        batch.begin_change(ChangeStamp {
            id: 0,
            commit_lsn: Lsn(1),
            xid: 1,
            commit_time: 0,
            ordinal: 0,
            relation: 0,
            op,
        });
        for cell in new.iter().chain(old) {
            match cell {
                Cell::Null => batch.push_null(),
                Cell::Unsent => batch.push_unsent(),
                Cell::Text(text) => assert!(batch.push_text(text)),
            }
        }
        let present = |cells: &[Cell<'_>], bit| if cells.is_empty() { 0 } else { bit };
        batch.finish_change(new.len() as u16, old.len() as u16, present(new, marks::NEW) | present(old, marks::OLD));
        batch
    }

    fn route(batch: &Batch, columns: &[u16]) -> Result<Option<String>, String> {
        let mut keys = b"before".to_vec();
        let names: Vec<Box<str>> = columns.iter().map(|c| format!("c{c}").into()).collect();
        let (choice, range) = by_columns(&View::source(batch, 0), 0, columns, &names, b"d.s.t", &mut keys)?;
        let bytes = range.map(|(start, end)| keys[start as usize..end as usize].to_vec());
        assert_eq!(choice, PartitionChoice::Hash(positive_murmur2(bytes.as_deref().unwrap_or_default())));
        Ok(bytes.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    const A: Cell<'static> = Cell::Text(b"a\"1");
    const B: Cell<'static> = Cell::Text(b"b");

    #[test]
    fn bytes_of_one_and_of_several_columns() {
        let insert = batch(Op::Insert, &[A, Cell::Null, B], &[]);
        assert_eq!(route(&insert, &[0]), Ok(Some("a\"1".into())));
        assert_eq!(route(&insert, &[1]), Ok(None));
        assert_eq!(route(&insert, &[2, 1, 0]), Ok(Some(r#"["b",null,"a\"1"]"#.into())));
    }

    #[test]
    fn which_image_counts() {
        assert_eq!(route(&batch(Op::Update, &[A], &[B]), &[0]), Ok(Some("a\"1".into())));
        assert_eq!(route(&batch(Op::Update, &[Cell::Unsent], &[B]), &[0]), Ok(Some("b".into())));
        assert_eq!(route(&batch(Op::Delete, &[], &[B]), &[0]), Ok(Some("b".into())));
        assert_eq!(route(&batch(Op::Truncate, &[], &[]), &[0]), Ok(Some("d.s.t".into())));
        assert!(route(&batch(Op::Update, &[Cell::Unsent], &[]), &[0]).unwrap_err().contains("c0"));
        assert!(route(&batch(Op::Delete, &[], &[B, Cell::Unsent]), &[0, 1]).unwrap_err().contains("c1"));
        assert!(route(&batch(Op::Insert, &[Cell::Text(b"\xff"), A], &[]), &[0, 1]).unwrap_err().contains("UTF-8"));
    }

    proptest! {
        #[test]
        fn several_columns_are_the_json_of_a_standard_writer(cells in prop::collection::vec(prop::option::of(".{0,12}"), 2..5)) {
            let row: Vec<Cell<'_>> =
                cells.iter().map(|cell| cell.as_ref().map_or(Cell::Null, |text| Cell::Text(text.as_bytes()))).collect();
            let columns: Vec<u16> = (0..cells.len() as u16).collect();
            let expected = serde_json::to_string(&cells).unwrap();
            prop_assert_eq!(route(&batch(Op::Insert, &row, &[]), &columns), Ok(Some(expected)));
        }
    }

    #[test]
    fn answers_that_do_not_fit_are_refused() {
        let good = route::Routes {
            topics: vec!["t".into()],
            arena: b"key".to_vec(),
            topic_of: vec![0, 0],
            partitions: vec![5, -1],
            hash_ends: vec![0, 3],
            faults: Vec::new(),
        };
        let topics = TopicTable::new();
        let ids = check(&good, 2, &topics).map_err(|_| "refused").unwrap();
        let mut keys = Vec::new();
        let second = routed(&good, &ids, 1, &mut keys).unwrap();
        assert_eq!((second.key, keys.as_slice()), (Some((0, 3)), &b"key"[..]));
        let spoil: [fn(&mut route::Routes); 8] = [
            |a| a.topic_of[1] = 1,
            |a| a.topic_of.truncate(1),
            |a| a.partitions[0] = -2,
            |a| a.partitions.truncate(1),
            |a| a.hash_ends[1] = 4,
            |a| a.hash_ends[0] = 1,
            |a| a.hash_ends.truncate(1),
            |a| a.topics[0] = "no topic".into(),
        ];
        for spoil in spoil {
            let mut bad = good.clone();
            spoil(&mut bad);
            assert!(matches!(check(&bad, 2, &topics), Err(Reject(..))), "{bad:?}");
        }
        assert!(matches!(check(&good, 3, &topics), Err(Reject(..))));
    }
}
