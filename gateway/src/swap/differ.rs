//! How the records of two versions differ.
//!
//! Owns the comparison of what two versions made of the same batch, and the report a person reads. Values are never in it (I9): a
//! difference is named by table, transaction and the place in the record.

use std::collections::BTreeMap;

use millrace_batch::{Batch, Failure, Lsn, RelationLog};
use millrace_host::{Record, Records};
use serde::Serialize;
use serde_json::Value;

/// Differences that are described; the rest is only counted.
const SAMPLES: usize = 20;

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The new version makes no such record.
    Missing,
    /// Only the new version makes this record.
    Extra,
    /// It goes to another topic.
    Topic,
    /// It goes to another partition.
    Partition,
    /// Its key.
    Key,
    /// Its value.
    Value,
    /// Its headers.
    Headers,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// What differs.
    pub what: What,
    /// Where in the value: a JSON pointer where both are JSON, else `byte N`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Table of the change, `schema.table`.
    pub table: String,
    /// Commit LSN of its transaction.
    pub commit_lsn: String,
    /// Its place in the transaction.
    pub ordinal: u32,
    /// Number of the record among those of the change.
    pub record: u32,
}

/// What a shadow has found so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Batches both versions made records of.
    pub batches: u64,
    /// Changes in them.
    pub changes: u64,
    /// Records of the version at work.
    pub records: u64,
    /// Records that differ, by what.
    pub differences: BTreeMap<What, u64>,
    /// Batches the new version failed on, by code.
    pub failures: BTreeMap<String, u64>,
    /// The last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// Time the version at work took, microseconds.
    pub old_us: u64,
    /// Time the new version took for the same batches, microseconds.
    pub new_us: u64,
    /// The first differences.
    pub samples: Vec<Sample>,
}

impl Report {
    /// The new version failed on a batch.
    pub fn failed(&mut self, failure: Failure) {
        *self.failures.entry(failure.code.to_owned()).or_default() += 1;
        self.last_failure = Some(failure);
    }

    /// Takes in what two versions made of a batch.
    pub fn compare(&mut self, batch: &Batch, relations: &RelationLog, old: &Records, new: &Records) {
        self.changes += batch.len() as u64;
        self.pair(batch, relations, old.iter(), new.iter());
    }

    /// The same where the new version was given only these changes of the batch; `new` counts them from 0.
    pub fn compare_part(&mut self, batch: &Batch, relations: &RelationLog, part: &[u32], old: &Records, new: &Records) {
        self.changes += part.len() as u64;
        self.pair(batch, relations, of_part(old, part), placed(new, part));
    }

    fn pair<'a>(
        &mut self,
        batch: &Batch,
        relations: &RelationLog,
        old: impl Iterator<Item = Record<'a>>,
        new: impl Iterator<Item = Record<'a>>,
    ) {
        self.batches += 1;
        let (differences, samples, records) = (&mut self.differences, &mut self.samples, &mut self.records);
        pairs(old.inspect(|_| *records += 1), new, |change, record, what, at| {
            *differences.entry(what).or_default() += 1;
            if samples.len() < SAMPLES {
                let at_change = change as usize;
                let relation = batch.relations().get(at_change).and_then(|id| relations.get(*id));
                samples.push(Sample {
                    what,
                    at: at(),
                    table: relation.map(|r| format!("{}.{}", r.schema, r.table)).unwrap_or_default(),
                    commit_lsn: Lsn(batch.commit_lsns().get(at_change).copied().unwrap_or_default()).to_string(),
                    ordinal: batch.ordinals().get(at_change).copied().unwrap_or_default(),
                    record,
                });
            }
        });
    }
}

/// The records of these changes.
fn of_part<'a>(records: &'a Records, part: &[u32]) -> impl Iterator<Item = Record<'a>> {
    records.iter().filter(|record| part.binary_search(&record.change).is_ok())
}

/// The records of a batch that was made of these changes, as records of these changes.
fn placed<'a>(records: &'a Records, part: &[u32]) -> impl Iterator<Item = Record<'a>> {
    records.iter().map(|mut record| {
        record.change = part.get(record.change as usize).copied().unwrap_or(u32::MAX);
        record
    })
}

/// Whether two versions make records of the same changes, for the same places. `part`: see [`Report::compare_part`].
pub fn same_places(part: &[u32], old: &Records, new: &Records) -> bool {
    let place = |record: Record<'_>| (record.change, record.topic, record.partition);
    of_part(old, part).map(place).eq(placed(new, part).map(place))
}

/// Pairs the records of each change and tells what differs; `at` says where, when asked.
fn pairs<'a>(
    old: impl Iterator<Item = Record<'a>>,
    new: impl Iterator<Item = Record<'a>>,
    mut tell: impl FnMut(u32, u32, What, &dyn Fn() -> Option<String>),
) {
    let (mut olds, mut news) = (old.peekable(), new.peekable());
    let (mut change, mut number) = (0, 0);
    loop {
        let next = [olds.peek(), news.peek()].into_iter().flatten().map(|record| record.change).min();
        let Some(next) = next else { return };
        number = if next == change { number } else { 0 };
        change = next;
        let a = olds.next_if(|record| record.change == change);
        let b = news.next_if(|record| record.change == change);
        match (&a, &b) {
            (Some(_), None) => tell(change, number, What::Missing, &|| None),
            (None, Some(_)) => tell(change, number, What::Extra, &|| None),
            (Some(a), Some(b)) => {
                if let Some(what) = first_difference(a, b) {
                    let at = || if what == What::Value { place(a.value, b.value) } else { None };
                    tell(change, number, what, &at);
                }
            }
            (None, None) => {}
        }
        number += 1;
    }
}

fn first_difference(a: &Record<'_>, b: &Record<'_>) -> Option<What> {
    match () {
        () if a.topic != b.topic => Some(What::Topic),
        () if a.partition != b.partition => Some(What::Partition),
        () if a.key != b.key => Some(What::Key),
        () if a.value != b.value => Some(What::Value),
        () if !a.headers().eq(b.headers()) => Some(What::Headers),
        () => None,
    }
}

/// Where two values differ first.
fn place(a: Option<&[u8]>, b: Option<&[u8]>) -> Option<String> {
    let (a, b) = (a?, b?);
    if let (Ok(a), Ok(b)) = (serde_json::from_slice::<Value>(a), serde_json::from_slice::<Value>(b))
        && let Some(pointer) = pointer(&a, &b)
    {
        return Some(pointer);
    }
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    Some(format!("byte {same}"))
}

/// JSON pointer (RFC 6901) of the first place where two documents differ; `None` where they are equal as JSON.
fn pointer(a: &Value, b: &Value) -> Option<String> {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    let inner = |key: String, a: Option<&Value>, b: Option<&Value>| match (a, b) {
        (Some(a), Some(b)) => pointer(a, b).map(|rest| format!("/{key}{rest}")),
        _ => Some(format!("/{key}")),
    };
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let added = y.keys().filter(|key| !x.contains_key(*key));
            x.keys().chain(added).find_map(|key| inner(escaped(key), x.get(key), y.get(key)))
        }
        (Value::Array(x), Value::Array(y)) => {
            (0..x.len().max(y.len())).find_map(|at| inner(at.to_string(), x.get(at), y.get(at)))
        }
        _ => (a != b).then(String::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_difference_has_a_pointer() {
        let at = |a: Value, b: Value| pointer(&a, &b);
        assert_eq!(at(json!({"a": [1, {"b/c": 2}]}), json!({"a": [1, {"b/c": 3}]})).as_deref(), Some("/a/1/b~1c"));
        assert_eq!(at(json!({"a": 1}), json!({"a": 1, "z": 2})).as_deref(), Some("/z"));
        assert_eq!(at(json!({"a": 1, "z": 2}), json!({"a": 1})).as_deref(), Some("/z"));
        assert_eq!(at(json!([1, 2]), json!([1])).as_deref(), Some("/1"));
        assert_eq!(at(json!(1), json!("1")).as_deref(), Some(""));
        assert_eq!(at(json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1})), None, "order is no difference of JSON");
        assert_eq!(place(Some(b"{\"a\":1}"), Some(b"{\"a\": 1}")).as_deref(), Some("byte 5"));
        assert_eq!(place(Some(b"abc"), Some(b"abd")).as_deref(), Some("byte 2"));
        assert_eq!(place(None, Some(b"x")), None);
    }
}
