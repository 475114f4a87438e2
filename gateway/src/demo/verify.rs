//! The check: every committed change arrived once, as it was, in commit order for its key.
//!
//! Owns the comparison of two lists, pure: what the shop committed and what was read back. Judges by content, so a record that
//! is well-formed and wrong is found.

use super::broker::Record;
use super::shop::{Change, Row, TABLES};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the comparison found.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Row changes the shop committed.
    pub committed: usize,
    /// Records read back.
    pub records: usize,
    /// Committed changes with no record.
    pub missing: usize,
    /// Records that repeat one under the same id: what at-least-once delivery allows after a failover.
    pub repeats: usize,
    /// Records that repeat one under another id.
    pub duplicates: usize,
    /// Records nobody committed, with other values, or not in the message format.
    pub wrong: usize,
    /// Keys whose records are not in commit order, and ids that do not rise.
    pub disordered: usize,
    /// The first few findings in words.
    pub findings: Vec<String>,
}

impl Verdict {
    /// Whether all is as it must be.
    pub fn passed(&self) -> bool {
        self.missing + self.duplicates + self.wrong + self.disordered == 0
            && self.records == self.committed + self.repeats
            && self.findings.is_empty()
    }

    fn say(&mut self, text: String) {
        /// More would not help a reader.
        const SHOWN: usize = 8;
        if self.findings.len() < SHOWN {
            self.findings.push(text);
        }
    }
}

/// A record, parsed.
struct Event<'a> {
    record: &'a Record,
    id: u64,
    table: usize,
    op: String,
    data: Value,
    old: Value,
}

/// What was committed and what came for one key of one table.
#[derive(Default)]
struct OneKey<'a> {
    changes: Vec<&'a Change>,
    events: Vec<&'a Event<'a>>,
}

/// Compares. `committed` has the changes of each shard in commit order; `records` holds each partition's records in their order. Ids are
/// `n * shards + shard`.
pub fn verify(database: &str, committed: &[Vec<Change>], records: &[Record]) -> Verdict {
    let total = committed.iter().map(Vec::len).sum();
    let mut verdict = Verdict { committed: total, records: records.len(), ..Verdict::default() };
    let mut events = Vec::with_capacity(records.len());
    for record in records {
        match parse(database, record) {
            Ok(event) => events.push(event),
            Err(why) => {
                verdict.wrong += 1;
                verdict.say(format!(
                    "{} partition {}: {why}: {}",
                    record.topic,
                    record.partition,
                    shortened(&record.value)
                ));
            }
        }
    }
    first_occurrences(&mut events, &mut verdict);
    let shards = committed.len() as u64;
    ids_rise(&events, shards, &mut verdict);

    let mut keys: BTreeMap<(usize, String), OneKey> = BTreeMap::new();
    for change in committed.iter().flatten() {
        keys.entry((change.table, change.key())).or_default().changes.push(change);
    }
    for event in &events {
        let key = event.record.key.clone().unwrap_or_default();
        keys.entry((event.table, key)).or_default().events.push(event);
    }
    for ((table, key), both) in &keys {
        one_key(&format!("{} {key}", TABLES[*table].name), both, &mut verdict);
    }

    // The ids are given in commit order, so sorting by them must give the whole day of a shard back, across all tables.
    events.sort_by_key(|event| event.id);
    if verdict.passed() {
        let same = |(change, event): (&Change, &&Event)| {
            change.table == event.table && change.op() == event.op && Some(change.key()) == event.record.key
        };
        for (shard, committed) in (0..shards).zip(committed) {
            let of_shard: Vec<&Event> = events.iter().filter(|event| event.id % shards == shard).collect();
            let differs = committed.iter().zip(&of_shard).position(|pair| !same(pair));
            if differs.is_some() || of_shard.len() != committed.len() {
                verdict.disordered += 1;
                let at = differs.unwrap_or(of_shard.len().min(committed.len()));
                verdict.say(format!("by id, record {at} of shard {shard} is not change {at} of the commit order"));
            }
        }
    }
    verdict
}

/// Leaves out what came again under its own id: the consumer tells by it.
fn first_occurrences(events: &mut Vec<Event>, verdict: &mut Verdict) {
    let mut seen: HashMap<u64, String> = HashMap::new();
    events.retain(|event| {
        let content = format!("{} {:?} {} {} {}", event.table, event.record.key, event.op, event.data, event.old);
        match seen.get(&event.id) {
            Some(first) if *first == content => {
                verdict.repeats += 1;
                false
            }
            Some(_) => true,
            None => {
                seen.insert(event.id, content);
                true
            }
        }
    });
}

/// No id for two changes; those of a shard rise within each partition.
fn ids_rise(events: &[Event], shards: u64, verdict: &mut Verdict) {
    let mut seen = BTreeSet::new();
    let mut last: HashMap<(&str, i32, u64), u64> = HashMap::new();
    for event in events {
        if !seen.insert(event.id) {
            // Counted as a duplicate where the contents are compared.
            verdict.say(format!("id {} is there twice", event.id));
        }
        let last = last.entry((&event.record.topic, event.record.partition, event.id % shards)).or_default();
        if *last > event.id {
            verdict.disordered += 1;
            verdict.say(format!(
                "{} partition {}: id {} after {last}",
                event.record.topic, event.record.partition, event.id
            ));
        }
        *last = event.id;
    }
}

fn one_key(name: &str, OneKey { changes, events }: &OneKey, verdict: &mut Verdict) {
    let partitions: BTreeSet<i32> = events.iter().map(|event| event.record.partition).collect();
    if partitions.len() > 1 {
        verdict.disordered += 1;
        verdict.say(format!("{name}: in several partitions: {partitions:?}"));
    }
    let wanted: Vec<String> =
        changes.iter().map(|change| print(change.op(), &object(change.table, change.new.as_deref()))).collect();
    let got: Vec<String> = events.iter().map(|event| print(&event.op, &event.data)).collect();
    if wanted == got {
        for (change, event) in changes.iter().zip(events) {
            if !old_fits(change, &event.old) {
                verdict.wrong += 1;
                verdict.say(format!("{name}: {} with old image {}", event.op, shortened(&event.old.to_string())));
            }
        }
        return;
    }
    let mut balance: BTreeMap<&str, i64> = BTreeMap::new();
    wanted.iter().for_each(|text| *balance.entry(text).or_default() += 1);
    got.iter().for_each(|text| *balance.entry(text).or_default() -= 1);
    let before = verdict.missing + verdict.duplicates + verdict.wrong;
    for (text, balance) in balance {
        let count = usize::try_from(balance.unsigned_abs()).unwrap_or(usize::MAX);
        if balance > 0 {
            verdict.missing += count;
            verdict.say(format!("{name}: {count} missing: {}", shortened(text)));
        } else if balance < 0 && wanted.iter().any(|wanted| wanted == text) {
            verdict.duplicates += count;
            verdict.say(format!("{name}: {count} too many: {}", shortened(text)));
        } else if balance < 0 {
            verdict.wrong += count;
            verdict.say(format!("{name}: {count} that nobody committed: {}", shortened(text)));
        }
    }
    if verdict.missing + verdict.duplicates + verdict.wrong == before {
        verdict.disordered += 1;
        verdict.say(format!("{name}: all there, not in commit order"));
    }
}

fn parse<'a>(database: &str, record: &'a Record) -> Result<Event<'a>, String> {
    let mut value: Value = serde_json::from_str(&record.value).map_err(|e| format!("no JSON ({e})"))?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    if text("database") != database || text("schema") != "public" {
        return Err("database or schema is another".to_owned());
    }
    let (name, op) = (text("table"), text("type"));
    let table = TABLES.iter().position(|table| table.name == name).ok_or("a table the shop does not have")?;
    if text("opType") != op {
        return Err("type and opType differ".to_owned());
    }
    let id = value["id"].as_u64().ok_or("no id")?;
    let keys: Vec<&str> = TABLES[table].columns[..TABLES[table].key].to_vec();
    if value["pkNames"] != Value::from(keys) {
        return Err("pkNames is not the primary key".to_owned());
    }
    Ok(Event { record, id, table, op, data: one_row(&mut value["data"])?, old: one_row(&mut value["old"])? })
}

/// The row of an image: an array with one object, or null.
fn one_row(image: &mut Value) -> Result<Value, String> {
    match image.take() {
        Value::Null => Ok(Value::Null),
        Value::Array(mut rows) if rows.len() == 1 => Ok(rows.remove(0)),
        _ => Err("an image that is neither null nor one row".to_owned()),
    }
}

/// The old image holds what the replica identity makes the server log, and only true values.
fn old_fits(change: &Change, old: &Value) -> bool {
    let table = &TABLES[change.table];
    let Some(row) = change.old.as_deref() else { return old.is_null() };
    let truth = object(change.table, Some(row));
    let rekeyed = change.new.as_deref().is_some_and(|new| new[..table.key] != row[..table.key]);
    if table.full {
        return *old == truth;
    }
    if change.new.is_some() && !rekeyed && old.is_null() {
        return true;
    }
    let Some(cells) = old.as_object() else { return false };
    let key = change.new.is_none() || rekeyed;
    cells.iter().all(|(name, cell)| truth.get(name) == Some(cell))
        && (!key || table.columns[..table.key].iter().all(|name| cells.contains_key(*name)))
}

fn object(table: usize, row: Option<&Row>) -> Value {
    row.map_or(Value::Null, |row| {
        let cells = TABLES[table].columns.iter().zip(row);
        Value::Object(cells.map(|(name, cell)| ((*name).to_owned(), Value::from(cell.clone()))).collect::<Map<_, _>>())
    })
}

fn print(op: &str, data: &Value) -> String {
    format!("{op} {data}")
}

fn shortened(text: &str) -> String {
    /// Characters; about two lines.
    const SHOWN: usize = 200;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::shop::{CUSTOMERS, PAYMENTS};
    use super::*;
    use std::rc::Rc;

    type Cells = [Option<&'static str>; 4];

    fn row(cells: Cells) -> Option<Rc<Row>> {
        Some(Rc::new(cells.iter().map(|cell| cell.map(str::to_owned)).collect()))
    }

    const A: Cells = [Some("1"), Some("Zoë"), None, Some("")];
    const B: Cells = [Some("1"), Some("Zoë"), Some("null"), None];

    fn day() -> Vec<Change> {
        vec![
            Change { table: CUSTOMERS, old: None, new: row(A) },
            Change { table: CUSTOMERS, old: row(A), new: row(B) },
            Change { table: PAYMENTS, old: row(A), new: row(B) },
            Change { table: CUSTOMERS, old: row(B), new: None },
        ]
    }

    /// The records a right gateway makes.
    fn records(changes: &[Change]) -> Vec<Record> {
        let record = |(n, change): (usize, &Change)| {
            let table = &TABLES[change.table];
            let old = match (change.op(), table.full) {
                ("INSERT", _) | ("UPDATE", false) => Value::Null,
                ("DELETE", false) => serde_json::json!([{ "id": change.old.as_ref().unwrap()[0] }]),
                _ => serde_json::json!([object(change.table, change.old.as_deref())]),
            };
            let data = change.new.as_deref().map(|new| vec![object(change.table, Some(new))]);
            let value = serde_json::json!({
                "schema": "public", "opType": change.op(), "id": n + 1, "database": "shop", "table": table.name,
                "type": change.op(), "data": data, "old": old, "pkNames": &table.columns[..table.key],
            });
            let topic = format!("shop-public-{}", table.name);
            Record { topic, partition: 0, key: Some(change.key()), value: value.to_string() }
        };
        changes.iter().enumerate().map(record).collect()
    }

    #[test]
    fn a_faithful_copy_passes() {
        let verdict = verify("shop", &[day()], &records(&day()));
        assert!(verdict.passed(), "{verdict:?}");
    }

    #[test]
    fn every_fault_is_found_and_named() {
        type Fault = fn(&mut Vec<Record>);
        let cases: [(&str, Fault, [usize; 4]); 10] = [
            ("missing", |r| drop(r.remove(1)), [1, 0, 0, 0]),
            (
                "duplicate",
                |r| {
                    let again = r[1].value.replace(r#""id":2"#, r#""id":7"#);
                    r.push(Record { value: again, ..r[1].clone() });
                },
                [0, 1, 0, 0],
            ),
            ("null for empty", |r| r[0].value = r[0].value.replace(r#""note":"""#, r#""note":null"#), [1, 0, 1, 0]),
            ("wrong old", |r| r[2].value = r[2].value.replace(r#""details":"""#, r#""details":"x""#), [0, 0, 1, 0]),
            ("no old", |r| r[3].value = r[3].value.replace(r#"[{"id":"1"}]"#, "null"), [0, 0, 1, 0]),
            ("no JSON", |r| r[2].value.clear(), [1, 0, 1, 0]),
            ("other partition", |r| r[1].partition = 1, [0, 0, 0, 1]),
            ("swapped", |r| r.swap(0, 1), [0, 0, 0, 2]),
            ("other key", |r| r[2].key = Some("2".into()), [1, 0, 1, 0]),
            (
                "uncommitted",
                |r| {
                    r.push(Record {
                        value: r[0].value.replace("Zoë", "Eve").replace(r#""id":1"#, r#""id":9"#),
                        ..r[0].clone()
                    })
                },
                [0, 0, 1, 0],
            ),
        ];
        for (name, fault, expected) in cases {
            let mut records = records(&day());
            fault(&mut records);
            let found = verify("shop", &[day()], &records);
            assert_eq!([found.missing, found.duplicates, found.wrong, found.disordered], expected, "{name}: {found:?}");
            assert!(!found.passed() && !found.findings.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_comes_again_under_its_id_is_counted_and_allowed() {
        let mut records = records(&day());
        records.push(records[1].clone());
        let verdict = verify("shop", &[day()], &records);
        assert!(verdict.passed() && verdict.repeats == 1, "{verdict:?}");
        records.push(Record { value: records[1].value.replace("null", "\"x\""), ..records[1].clone() });
        assert!(!verify("shop", &[day()], &records).passed());
    }

    #[test]
    fn shards_are_ordered_each_by_itself() {
        let all = day();
        let split = [vec![all[0].clone(), all[1].clone(), all[3].clone()], vec![all[2].clone()]];
        let mut records = records(&all);
        for (record, id) in records.iter_mut().zip([2, 4, 3, 6]) {
            let at = record.value.find(r#""id":"#).unwrap();
            let end = at + record.value[at..].find(',').unwrap();
            record.value.replace_range(at..end, &format!(r#""id":{id}"#));
        }
        let verdict = verify("shop", &split, &records);
        assert!(verdict.passed(), "{verdict:?}");
        assert!(!verify("shop", &[split[1].clone(), split[0].clone()], &records).passed());
    }

    #[test]
    fn ids_must_give_the_commit_order_across_tables() {
        let mut records = records(&day());
        for (at, id) in [(1, 3), (2, 2)] {
            records[at].value = records[at].value.replace(&format!(r#""id":{}"#, at + 1), &format!(r#""id":{id}"#));
        }
        assert_eq!(verify("shop", &[day()], &records).disordered, 1);
    }
}
