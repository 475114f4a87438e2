//! Random streams: what was encoded is what the batch holds, and damage leaves no trace.

use crate::encode::{self, Value};
use millrace_batch::{Batch, Cell, Lsn, RelationLog, marks};
use millrace_decode::pgoutput::{Message, PgOutput, Start, Step, TupleColumn};
use proptest::prelude::*;

const BOOLEAN: u32 = 16;
const BYTEA: u32 = 17;
const TEXT: u32 = 25;

#[derive(Clone, Debug)]
struct Column {
    type_oid: u32,
    key: bool,
}

#[derive(Clone, Debug)]
struct Table {
    identity: u8,
    columns: Vec<Column>,
}

/// A row operation with one seed byte per cell, so that values fit whatever table it meets.
#[derive(Clone, Debug)]
struct Change {
    table: prop::sample::Index,
    op: u8,
    seeds: Vec<u8>,
    with_old: bool,
}

fn table() -> impl Strategy<Value = Table> {
    let column = (prop::sample::select(vec![BOOLEAN, BYTEA, TEXT]), any::<bool>());
    let column = column.prop_map(|(type_oid, key)| Column { type_oid, key });
    (prop::sample::select(b"dfin".to_vec()), prop::collection::vec(column, 1..7))
        .prop_map(|(identity, columns)| Table { identity, columns })
}

fn change() -> impl Strategy<Value = Change> {
    (
        any::<prop::sample::Index>(),
        prop::sample::select(b"IUDT".to_vec()),
        prop::collection::vec(any::<u8>(), 12),
        any::<bool>(),
    )
        .prop_map(|(table, op, seeds, with_old)| Change { table, op, seeds, with_old })
}

fn stream() -> impl Strategy<Value = (Vec<Table>, Vec<Vec<Change>>)> {
    (prop::collection::vec(table(), 1..4), prop::collection::vec(prop::collection::vec(change(), 0..6), 0..6))
}

/// What a cell should be, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    Null,
    Unsent,
    Text(Vec<u8>),
}

impl From<Cell<'_>> for Expected {
    fn from(cell: Cell<'_>) -> Expected {
        match cell {
            Cell::Null => Expected::Null,
            Cell::Unsent => Expected::Unsent,
            Cell::Text(text) => Expected::Text(text.to_vec()),
        }
    }
}

/// The wire form of a cell and its canonical form.
fn value(type_oid: u32, seed: u8, unchanged: bool) -> (Value, Expected) {
    if seed.is_multiple_of(5) {
        return (Value::Null, Expected::Null);
    }
    if unchanged && seed.is_multiple_of(7) {
        return (Value::Unchanged, Expected::Unsent);
    }
    let (wire, canonical) = match type_oid {
        BOOLEAN if seed.is_multiple_of(2) => ("t".to_owned(), "true".to_owned()),
        BOOLEAN => ("f".to_owned(), "false".to_owned()),
        BYTEA => {
            let hex = format!("{seed:02x}").repeat(usize::from(seed % 4));
            (format!("\\x{hex}"), hex)
        }
        _ => {
            let text = char::from(seed).to_string().repeat(usize::from(seed % 9));
            (text.clone(), text)
        }
    };
    (Value::Text(wire.into_bytes()), Expected::Text(canonical.into_bytes()))
}

/// Op code, table, marks, new image, old image.
type ModelChange = (u8, usize, u8, Vec<Expected>, Vec<Expected>);

#[derive(Clone, Debug, Default)]
struct Model {
    messages: Vec<Vec<u8>>,
    changes: Vec<ModelChange>,
    ordinals: Vec<u32>,
    commits: Vec<(u64, u32)>,
}

fn model(tables: &[Table], transactions: &[Vec<Change>]) -> Model {
    let mut model = Model::default();
    let mut described = vec![false; tables.len()];
    for (number, changes) in transactions.iter().enumerate() {
        let lsn = 1000 * (number as u64 + 1);
        model.messages.push(encode::begin(lsn, number as i64, number as u32));
        for (ordinal, change) in changes.iter().enumerate() {
            let at = change.table.index(tables.len());
            let table = &tables[at];
            let oid = 20_000 + at as u32;
            if !std::mem::replace(&mut described[at], true) {
                let names: Vec<String> = (0..table.columns.len()).map(|index| format!("c{index}")).collect();
                let columns: Vec<encode::Column<'_>> = names
                    .iter()
                    .zip(&table.columns)
                    .map(|(name, column)| (name.as_str(), column.type_oid, identity(table, column)))
                    .collect();
                model.messages.push(encode::relation(oid, "s", &format!("t{at}"), table.identity, &columns));
            }
            let image = |from: usize, unchanged: bool| -> (Vec<Value>, Vec<Expected>) {
                let cells = table.columns.iter().zip(&change.seeds[from..]);
                cells.map(|(column, seed)| value(column.type_oid, *seed, unchanged)).unzip()
            };
            let (new, new_cells) = image(0, change.op == b'U');
            let (mut old, mut old_cells) = image(6, false);
            let full = table.identity == b'f';
            for (index, column) in table.columns.iter().enumerate() {
                if !identity(table, column) {
                    (old[index], old_cells[index]) = (Value::Null, Expected::Unsent);
                }
            }
            let can_old = full || table.columns.iter().any(|column| identity(table, column));
            let (kind, old_marks) = if full { (b'O', marks::OLD) } else { (b'K', marks::OLD | marks::OLD_KEY_ONLY) };
            let (op, mark, has_new, has_old, payload) = match change.op {
                b'U' if can_old && change.with_old => {
                    let payload = encode::row(b'U', oid, &[(kind, &old), (b'N', &new)]);
                    (1, marks::NEW | old_marks, true, true, payload)
                }
                b'U' => (1, marks::NEW, true, false, encode::row(b'U', oid, &[(b'N', &new)])),
                b'D' if can_old => (2, old_marks, false, true, encode::row(b'D', oid, &[(kind, &old)])),
                b'T' => (3, 0, false, false, encode::truncate(&[oid])),
                _ => {
                    let (new, new_cells) = image(0, false);
                    model.messages.push(encode::row(b'I', oid, &[(b'N', &new)]));
                    model.changes.push((0, at, marks::NEW, new_cells, Vec::new()));
                    model.ordinals.push(ordinal as u32);
                    continue;
                }
            };
            let image = |there: bool, cells: Vec<Expected>| if there { cells } else { Vec::new() };
            model.messages.push(payload);
            model.changes.push((op, at, mark, image(has_new, new_cells), image(has_old, old_cells)));
            model.ordinals.push(ordinal as u32);
        }
        model.messages.push(encode::commit(lsn, lsn + 8, number as i64));
        model.commits.push((lsn, model.changes.len() as u32));
    }
    model
}

/// What the server flags: everything under FULL, nothing under NOTHING.
fn identity(table: &Table, column: &Column) -> bool {
    table.identity == b'f' || (column.key && table.identity != b'n')
}

fn decoder(shard: u16, log: &RelationLog) -> PgOutput {
    let database = "db".to_owned();
    PgOutput::new(Start { shard, shards: 3, database, end_lsn: Lsn(0), next_id: 5 }, log.clone())
}

/// Answers a question for keys with the table's flagged columns.
fn answer(decoder: &mut PgOutput, step: Step, payload: &[u8]) {
    if let Step::KeysNeeded { oid } = step {
        decoder.set_keys(oid, &crate::golden::flagged(payload)).unwrap();
    }
}

proptest! {
    #[test]
    fn what_was_encoded_is_what_the_batch_holds((tables, transactions) in stream()) {
        let model = model(&tables, &transactions);
        let log = RelationLog::new();
        let mut decoder = decoder(2, &log);
        let mut batch = Batch::new(2);
        for payload in &model.messages {
            let step = decoder.message(Lsn(1), payload, &mut batch).unwrap();
            answer(&mut decoder, step, payload);
        }
        prop_assert_eq!(batch.len(), model.changes.len());
        prop_assert_eq!(batch.ordinals(), &model.ordinals[..]);
        let ids: Vec<u64> = (5..).take(batch.len()).map(|n| n * 3 + 2).collect();
        prop_assert_eq!(batch.ids(), &ids[..]);
        for (n, (op, table, marks, new, old)) in model.changes.iter().enumerate() {
            prop_assert_eq!((batch.ops()[n], batch.marks()[n]), (*op, *marks));
            prop_assert_eq!(&log.get(batch.relations()[n]).unwrap().table, &format!("t{table}"));
            let cells = |count: u16| 0..usize::from(count);
            let got: Vec<Expected> = cells(batch.new_cells()[n]).map(|index| batch.new_cell(n, index).into()).collect();
            prop_assert_eq!(&got, new);
            let got: Vec<Expected> = cells(batch.old_cells()[n]).map(|index| batch.old_cell(n, index).into()).collect();
            prop_assert_eq!(&got, old);
        }
        let commits: Vec<_> = batch.commits().iter().map(|commit| (commit.commit_lsn.0, commit.after)).collect();
        prop_assert_eq!(commits, model.commits);
        prop_assert_eq!(decoder.next_id(), 5 + model.changes.len() as u64);
    }

    /// The two readers, of single messages and of rows into batches, agree on every row.
    #[test]
    fn message_and_batch_agree((tables, transactions) in stream()) {
        let mut decoder = decoder(0, &RelationLog::new());
        for payload in &model(&tables, &transactions).messages {
            let mut batch = Batch::new(0);
            let step = decoder.message(Lsn(1), payload, &mut batch).unwrap();
            answer(&mut decoder, step, payload);
            let (Message::Insert { new, .. } | Message::Update { new, .. }) = Message::parse(payload, false).unwrap() else {
                continue;
            };
            prop_assert_eq!(new.len(), usize::from(batch.new_cells()[0]));
            for (index, column) in new.columns().enumerate() {
                match (column, batch.new_cell(0, index)) {
                    (TupleColumn::Null, Cell::Null) | (TupleColumn::Unchanged, Cell::Unsent) => {}
                    (TupleColumn::Text(text), Cell::Text(cell)) => {
                        prop_assert!(text == cell || text[0] == b'\\' || cell == b"true" || cell == b"false");
                    }
                    (column, cell) => prop_assert!(false, "{column:?} became {cell:?}"),
                }
            }
        }
    }

    /// Cut short anywhere, no message is read, and neither batch nor decoder change.
    #[test]
    fn a_truncated_message_leaves_no_trace((tables, transactions) in stream(), cut: prop::sample::Index) {
        let mut decoder = decoder(1, &RelationLog::new());
        let mut batch = Batch::new(1);
        for payload in &model(&tables, &transactions).messages {
            let before = batch.clone();
            let (next, inside) = (decoder.next_id(), decoder.in_transaction());
            let short = &payload[..cut.index(payload.len())];
            let error = decoder.message(Lsn(1), short, &mut batch).unwrap_err();
            prop_assert!(matches!(error.code(), "decode_truncated" | "decode_out_of_sequence"), "{error}");
            prop_assert_eq!((decoder.next_id(), decoder.in_transaction()), (next, inside));
            prop_assert_eq!(&batch, &before);
            let mut long = payload.clone();
            long.push(0);
            let error = decoder.message(Lsn(1), &long, &mut batch).unwrap_err();
            prop_assert_eq!((error.code(), error.offset()), ("decode_bad_message", payload.len()));
            prop_assert_eq!(&batch, &before);
            let step = decoder.message(Lsn(1), payload, &mut batch).unwrap();
            answer(&mut decoder, step, payload);
        }
    }
}
