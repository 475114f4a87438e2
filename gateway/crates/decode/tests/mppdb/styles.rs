//! The same transactions, through serial decoding and three parallel styles, give the same changes in the same text.

use crate::recording::{self, Payload};
use millrace_batch::{Batch, Cell, Lsn, RelationLog, ReplicaIdentity, marks};
use millrace_decode::mppdb::{
    CatalogueColumn, CatalogueTable, Frame, Layout, Mppdb, Options, Record, Row, Step, frames, parse,
};
use millrace_decode::{NoSpill, Start};
use std::collections::{BTreeMap, HashMap};

/// Type names (of serial rows) and OIDs (of style b rows) of every column: what a catalogue would say.
#[derive(Default)]
struct Catalogue(HashMap<(String, String), Vec<CatalogueColumn>>);

impl Catalogue {
    fn learn(&mut self, layout: Layout, payloads: &[Payload]) {
        let mut row = Row::default();
        for frame in payloads.iter().flat_map(|payload| frames(layout, false, &payload.bytes)) {
            if parse(layout, frame.unwrap(), &mut row) != Ok(Record::Row) {
                continue;
            }
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let known = self.0.entry((text(row.schema()), text(row.table()))).or_default();
            for column in row.new_image().chain(row.old_image()) {
                let name = text(column.name);
                if !known.iter().any(|known| known.name == name) {
                    known.push(CatalogueColumn { name: name.clone(), ..CatalogueColumn::default() });
                }
                let known = known.iter_mut().find(|known| known.name == name).unwrap();
                if layout == Layout::Binary {
                    known.type_oid = column.type_oid;
                } else {
                    known.type_name = text(column.type_name);
                }
            }
        }
    }

    fn answer(&self, schema: &str, table: &str) -> CatalogueTable {
        let columns = self.0.get(&(schema.to_owned(), table.to_owned())).cloned().unwrap_or_default();
        CatalogueTable { oid: 1, identity: ReplicaIdentity::Full, columns, key_columns: Vec::new() }
    }
}

/// A change as text: table, operation, images with their columns' names.
fn render(batch: &Batch, n: usize, log: &RelationLog) -> String {
    let relation = log.get(batch.relations()[n]).unwrap();
    let image = |cell: &dyn Fn(usize) -> Cell<'static>| -> Vec<String> {
        let columns = relation.columns.iter().enumerate();
        columns.map(|(index, column)| format!("{} {}={}", column.name, column.type_name, show(cell(index)))).collect()
    };
    // Leaked, so that cells outlive the closure: a few hundred rows in a test.
    let batch: &'static Batch = Box::leak(Box::new(batch.clone()));
    let mut out = format!("{}.{} {} {}", relation.schema, relation.table, batch.ops()[n], batch.marks()[n]);
    if batch.marks()[n] & marks::NEW != 0 {
        out += " new ";
        out += &image(&|index| batch.new_cell(n, index)).join(", ");
    }
    if batch.marks()[n] & marks::OLD != 0 {
        out += " old ";
        out += &image(&|index| batch.old_cell(n, index)).join(", ");
    }
    out
}

fn show(cell: Cell<'_>) -> String {
    match cell {
        Cell::Text(text) => format!("{:?}", String::from_utf8(text.to_vec()).unwrap()),
        other => format!("{other:?}"),
    }
}

type Transactions = BTreeMap<(String, u64), Vec<Result<Vec<String>, &'static str>>>;

/// Changes of each transaction; `ends` gives COMMIT its LSN where the layout does not.
fn decode(
    layout: Layout,
    payloads: &[Payload],
    catalogue: &Catalogue,
    ends: &HashMap<u64, Lsn>,
) -> (Transactions, Vec<Lsn>) {
    let log = RelationLog::new();
    let start = Start { shard: 0, shards: 1, database: "og".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let mut decoder = Mppdb::new(Options::new(layout), start, log.clone(), Box::new(NoSpill));
    let mut batch = Batch::new(0);
    let mut out = Transactions::new();
    let mut order = Vec::new();
    for payload in payloads {
        let of = out.entry((payload.case.clone(), payload.txn)).or_default();
        for frame in frames(layout, false, &payload.bytes) {
            let mut frame: Frame<'_> = frame.unwrap();
            // The recordings of j and t lack what the gateway asks for: batches, which give COMMIT its LSN, and times.
            let completed = [frame.bytes, b" (at 2026-11-23 01:26:29+00)"].concat();
            if let Ok(Record::Commit { xid: Some(xid), commit_time, .. }) = parse(layout, frame, &mut Row::default()) {
                frame.lsn = frame.lsn.or(ends.get(&xid).copied());
                frame.bytes = if commit_time.is_none() { &completed } else { frame.bytes };
            }
            let mut step = decoder.record(payload.wal_start, frame);
            if step == Ok(Step::TableNeeded) {
                let (schema, table) = decoder.needed().map(|(s, t)| (s.to_owned(), t.to_owned())).unwrap();
                decoder.set_table(catalogue.answer(&schema, &table));
                step = decoder.record(payload.wal_start, frame);
            }
            match step {
                Ok(Step::Commit) => {
                    assert_eq!(decoder.release(&mut batch), Ok(true));
                    let commit = batch.commits()[0];
                    order.push(commit.end_lsn);
                    assert_eq!(commit.after as usize, batch.len());
                    assert_eq!(batch.ordinals(), (0..batch.len() as u32).collect::<Vec<_>>());
                    of.push(Ok((0..batch.len()).map(|n| render(&batch, n, &log)).collect()));
                    batch.clear();
                }
                Ok(step) => assert!(matches!(step, Step::Begin | Step::Row | Step::Truncate), "{step:?}"),
                Err(error) => of.push(Err(error.code())),
            }
        }
    }
    (out, order)
}

/// Transaction numbers and the ends of their transactions, as style b tells them.
fn ends(payloads: &[Payload]) -> HashMap<u64, Lsn> {
    let mut out = HashMap::new();
    for frame in payloads.iter().flat_map(|payload| frames(Layout::Binary, false, &payload.bytes)) {
        let frame = frame.unwrap();
        if let Ok(Record::Commit { xid: Some(xid), end_lsn: Some(end), .. }) =
            parse(Layout::Binary, frame, &mut Row::default())
        {
            out.insert(xid, end);
        }
    }
    out
}

fn compare(database: &str, same: usize, lost: &[(&str, u64)]) {
    let load = |style: &str| recording::payloads(&format!("{database}-{style}.jsonl"));
    let (serial, binary, json, text) = (load("serial"), load("parallel-b"), load("parallel-j"), load("parallel-t"));
    let mut catalogue = Catalogue::default();
    catalogue.learn(Layout::Serial, &serial);
    catalogue.learn(Layout::Binary, &binary);
    let ends = ends(&binary);
    let (of_serial, order) = decode(Layout::Serial, &serial, &catalogue, &ends);
    // Serial COMMITs stand at the end LSN that style b names.
    assert!(order.iter().filter(|end| ends.values().any(|known| known == *end)).count() * 10 > order.len() * 9);
    let mut found = 0;
    for (layout, payloads) in [(Layout::Binary, binary), (Layout::Json, json), (Layout::Text, text)] {
        let (parallel, _) = decode(layout, &payloads, &catalogue, &ends);
        let mut differ = Vec::new();
        for (transaction, changes) in &parallel {
            let Some(serial) = of_serial.get(transaction) else { panic!("{transaction:?} is not in serial") };
            if changes == serial {
                found += 1;
            } else if !lost.contains(&(&transaction.0, transaction.1)) {
                panic!("{database} {layout:?} {transaction:?}\n  {serial:#?}\n  {changes:#?}");
            } else {
                differ.push((transaction.0.as_str(), transaction.1));
            }
        }
        assert_eq!(differ, lost, "{database} {layout:?}");
    }
    assert_eq!(found, same, "{database}");
}

/// All changes of serial decoding in canonical text, as reviewed.
#[test]
fn canonical_text_is_the_reviewed_one() {
    for database in ["a", "pg", "b"] {
        let load = |style: &str| recording::payloads(&format!("{database}-{style}.jsonl"));
        let (serial, binary) = (load("serial"), load("parallel-b"));
        let mut catalogue = Catalogue::default();
        catalogue.learn(Layout::Serial, &serial);
        catalogue.learn(Layout::Binary, &binary);
        let (transactions, _) = decode(Layout::Serial, &serial, &catalogue, &ends(&binary));
        let mut text = String::new();
        for ((case, number), changes) in &transactions {
            text += &format!("# {case} {number}\n");
            for change in changes
                .iter()
                .flat_map(|changes| changes.as_ref().map_or_else(|code| vec![(*code).to_owned()], Clone::clone))
            {
                text += &change;
                text.push('\n');
            }
        }
        let file: std::path::PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "tests/recordings", &format!("{database}-serial.expected")].iter().collect();
        if std::env::var_os("MILLRACE_BLESS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let expected = std::fs::read_to_string(file).unwrap();
        for (got, expected) in text.lines().zip(expected.lines()) {
            assert_eq!(got, expected);
        }
        assert_eq!(text.lines().count(), expected.lines().count());
    }
}

/// What the parallel modes of the server lose: rows behind a catalog change of the same transaction, and the insert that makes
/// an interval partition.
#[test]
fn a_database() {
    compare("a", 330, &[("ddl", 2), ("ddl", 14), ("ddl", 19), ("partition", 7), ("truncate", 6)]);
}

#[test]
fn pg_database() {
    compare("pg", 30, &[]);
}

/// REPLACE: the parallel modes show its abandoned first try too, an insert and a delete without an image. That delete is refused.
#[test]
fn b_database() {
    compare("b", 18, &[("b_basic", 1)]);
}
