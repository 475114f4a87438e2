//! What the simulator committed against what a consumer reads.
//!
//! A change is known by shard, end of its transaction and its place in it, as the record header says. Every one must be there, first
//! occurrences in commit order within each partition and shard, and a repeat must carry the id of the first.

use millrace_gaussdb_sim::{Cell, Op, Truth};
use millrace_tests::topics::Record;
use std::collections::{BTreeMap, HashMap};

/// Shard, end of the transaction, place in it.
type Place = (u16, u64, u32);

/// What should arrive once.
#[derive(Debug)]
struct Expected {
    table: String,
    op: &'static str,
    /// Column and text of those whose text is the same everywhere.
    row: Vec<(String, Option<String>)>,
}

/// What a comparison found besides agreement.
#[derive(Debug, Clone, Copy)]
pub struct Agreement {
    pub changes: usize,
    pub repeats: usize,
}

/// The changes of these tables (`schema.table`), replicated ones from the first node only. A place counts all changes of a transaction
/// that the server sends: with a white list these are those of the tables of the task, without (`all_sent`) all.
fn expected(truth: &[Truth], tables: &[&str], behind: &[u64], all_sent: bool) -> BTreeMap<Place, Expected> {
    let mut expected = BTreeMap::new();
    for (shard, node) in truth.iter().enumerate() {
        for transaction in node.transactions.iter().filter(|transaction| transaction.end_lsn.0 > behind[shard]) {
            let named = |table: &millrace_gaussdb_sim::Table| format!("{}.{}", table.schema, table.name);
            let wanted = |table: &millrace_gaussdb_sim::Table| tables.contains(&named(table).as_str());
            let sent = transaction.changes.iter().filter(|change| all_sent || wanted(&change.table));
            for (ordinal, change) in sent.enumerate().filter(|(_, change)| wanted(&change.table)) {
                let replicated = change.table.locator == millrace_gaussdb_sim::Locator::Replicated;
                if replicated && shard > 0 {
                    continue;
                }
                let image = if change.op == Op::Delete { &[][..] } else { &change.new[..] };
                let plain = |kind: &str| matches!(kind, "bigint" | "integer" | "text" | "character varying");
                let cells = change.table.columns.iter().zip(image).filter(|(column, _)| plain(&column.type_name));
                let row =
                    cells.map(|(column, cell): (_, &Cell)| (column.name.clone(), cell.as_deref().map(str::to_owned)));
                let (table, op, row) = (named(&change.table), change.op.name(), row.collect());
                expected.insert((shard as u16, transaction.end_lsn.0, ordinal as u32), Expected { table, op, row });
            }
        }
    }
    expected
}

/// Changes that should arrive of transactions behind these positions.
pub fn count(truth: &[Truth], tables: &[&str], behind: &[u64]) -> usize {
    expected(truth, tables, behind, false).len()
}

/// How many different changes are there.
pub fn distinct(records: &[Record]) -> usize {
    let places = records.iter().filter_map(Record::position).map(|at| (at.shard, at.commit_lsn, at.ordinal));
    places.collect::<std::collections::HashSet<_>>().len()
}

/// Compares; panics where they disagree.
pub fn compare(truth: &[Truth], tables: &[&str], behind: &[u64], all_sent: bool, records: &[Record]) -> Agreement {
    let expected = expected(truth, tables, behind, all_sent);
    let mut seen: HashMap<Place, u64> = HashMap::new();
    let mut last: HashMap<(String, i32, u16), Place> = HashMap::new();
    let mut repeats = 0;
    for record in records {
        let at = record.position().expect("a record header");
        let place = (at.shard, at.commit_lsn, at.ordinal);
        let envelope = record.json();
        let id = envelope["id"].as_u64().expect("an id");
        let known = expected.get(&place).unwrap_or_else(|| panic!("{place:?} was never committed: {envelope}"));
        assert_eq!(id % truth.len() as u64, u64::from(at.shard), "the id names its shard");
        if let Some(first) = seen.insert(place, id) {
            assert_eq!(first, id, "{place:?} came again with another id");
            repeats += 1;
            continue;
        }
        if let Some(before) = last.insert((record.topic.clone(), record.partition, at.shard), place) {
            assert!(
                before < place,
                "{place:?} came behind {before:?} in partition {} of {}",
                record.partition,
                record.topic
            );
        }
        let (schema, table) = known.table.split_once('.').expect("schema.table");
        assert_eq!(
            (envelope["schema"].as_str(), envelope["table"].as_str()),
            (Some(schema), Some(table)),
            "{envelope}"
        );
        assert_eq!(envelope["type"], known.op, "{envelope}");
        for (column, cell) in &known.row {
            assert_eq!(envelope["data"][0][column].as_str(), cell.as_deref(), "{column} at {place:?}: {envelope}");
        }
    }
    let missing: Vec<&Place> = expected.keys().filter(|place| !seen.contains_key(place)).take(5).collect();
    assert!(
        missing.is_empty(),
        "{} of {} changes are missing: {missing:?}",
        expected.len() - seen.len(),
        expected.len()
    );
    Agreement { changes: seen.len(), repeats }
}
