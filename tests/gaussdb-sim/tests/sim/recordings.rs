//! Recorded streams, read by Millrace's decoders and rendered anew: the bytes must be the recorded ones.

use millrace_decode::mppdb::{Frame, Layout, Record, Row, RowColumn, frames, parse};
use millrace_gaussdb_sim::{
    Change, Column, DecodeOptions, Identity, Literal, Lsn, Op, Renderer, Style, TYPES, Table, Transaction,
};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A recorded payload: the position in its header and what is behind it.
struct Payload {
    header: u64,
    bytes: Vec<u8>,
}

/// The payloads of each case of a file that has options, with these.
fn cases(name: &str) -> Vec<(String, Value, Vec<Payload>)> {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "../../gateway/crates/decode/tests/recordings", name].iter().collect();
    let mut cases: Vec<(String, Value, Vec<Payload>)> = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let case = line["case"].as_str().unwrap();
        if cases.last().is_none_or(|(last, ..)| last != case) {
            cases.push((case.to_owned(), Value::Null, Vec::new()));
        }
        let Some((_, options, payloads)) = cases.last_mut() else { continue };
        if !line["options"].is_null() {
            *options = line["options"].clone();
        }
        let Some(body) = line["hex"].as_str().map(bytes).filter(|body| body[0] == b'w') else { continue };
        let header = u64::from_be_bytes(body[1..9].try_into().unwrap());
        let mut bytes = body[25..].to_vec();
        // The simulator has no TRUNCATE CASCADE.
        if bytes.starts_with(b"table ") && bytes.ends_with(b": TRUNCATE: cascade") {
            bytes.truncate(bytes.len() - 7);
            bytes.extend_from_slice(b"(no-flags)");
        }
        payloads.push(Payload { header, bytes });
    }
    cases
}

/// The options of a recorded stream.
fn decode_options(options: &Value) -> (DecodeOptions, Layout) {
    let text = |name: &str| options[name].as_str();
    let parallel = text("parallel-decode-num").is_some_and(|number| number != "1");
    let (style, layout) = match text("decode-style") {
        _ if !parallel => (Style::Serial, Layout::Serial),
        Some(style) if style.starts_with('j') => (Style::Json, Layout::Json),
        Some(style) if style.starts_with('t') => (Style::Text, Layout::Text),
        _ => (Style::Binary, Layout::Binary),
    };
    // A name without a value: on for transaction numbers, off for times.
    let on = |name: &str, default| match options.get(name) {
        Some(Value::Null) => name == "include-xids",
        _ => text(name).map_or(default, |value| matches!(value, "1" | "on" | "true" | "yes")),
    };
    let defaults = DecodeOptions::new(style);
    let read = DecodeOptions {
        batch: text("sending-batch") == Some("1"),
        xids: on("include-xids", true),
        timestamp: on("include-timestamp", defaults.timestamp),
        skip_empty: on("skip-empty-xacts", false),
        // What was hidden is not in the recording; the rest is shown.
        only_local: false,
        origin: on("include-originid", false),
        ..defaults
    };
    (read, layout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A column as a record shows it. Types of users have no literal form of their own but quotes.
fn column(shown: &RowColumn<'_>) -> Column {
    let (name, type_name) = (text(shown.name), text(shown.type_name));
    let by_name = |kind: &&millrace_gaussdb_sim::Type| kind.name == type_name;
    let known = TYPES.iter().find(by_name);
    let type_oid = if shown.type_oid > 0 { shown.type_oid } else { known.map_or(0, |known| known.oid) };
    let literal = known.map_or(Literal::Quoted, |known| known.literal);
    Column { name, type_name: type_name.into(), type_oid, literal, not_null: false }
}

/// A table that shows what a row showed, with an identity that is what its old image has.
fn change(row: &Row, lsn: Lsn, layout: Layout) -> Change {
    let new: Vec<RowColumn<'_>> = row.new_image().collect();
    let old: Vec<RowColumn<'_>> = row.old_image().collect();
    let shown = if new.is_empty() { &old } else { &new };
    let columns: Vec<Column> = shown.iter().map(column).collect();
    let at = |name: &[u8]| columns.iter().position(|column| column.name.as_bytes() == name).unwrap();
    let identity = Identity::Index(old.iter().map(|column| at(column.name)).collect());
    // Values are kept as style b shows them.
    let cell = |shown: &RowColumn<'_>| {
        let boolean = layout != Layout::Binary && columns[at(shown.name)].literal == Literal::Boolean;
        shown.value.map(|value| match value {
            b"true" if boolean => "t".into(),
            b"false" if boolean => "f".into(),
            value => text(value).into(),
        })
    };
    let op = [Op::Insert, Op::Update, Op::Delete][row.op() as usize];
    let (new, old) = (new.iter().map(cell).collect(), old.iter().map(cell).collect());
    let table = Table { columns, identity, ..Table::new(&text(row.schema()), &text(row.table()), &[], 0) };
    Change { table: Arc::new(table), op, lsn, new, old }
}

/// The transactions of a recorded stream, as a log would have them.
fn transactions(payloads: &[Payload], layout: Layout, batched: bool) -> Vec<Transaction> {
    let mut row = Row::default();
    let (mut out, mut open): (Vec<Transaction>, Option<Transaction>) = (Vec::new(), None);
    for payload in payloads {
        for frame in frames(layout, batched, &payload.bytes) {
            let frame: Frame<'_> = frame.unwrap();
            let lsn = Lsn(frame.lsn.map_or(payload.header, |lsn| lsn.0));
            match parse(layout, frame, &mut row).unwrap() {
                Record::Begin { xid, csn, first_lsn, commit_time } => {
                    open = Some(Transaction {
                        xid: xid.unwrap_or(0),
                        csn: csn.unwrap_or(0),
                        time: commit_time.unwrap_or(0),
                        first_lsn: first_lsn.map_or(lsn, |lsn| Lsn(lsn.0)),
                        commit_lsn: Lsn(0),
                        end_lsn: Lsn(0),
                        origin: origin(frame.bytes, layout),
                        changes: Vec::new(),
                    });
                }
                Record::Row => open.as_mut().unwrap().changes.push(change(&row, lsn, layout)),
                Record::Truncate(tables) => {
                    for (schema, table) in tables {
                        let table = Arc::new(Table::new(&text(&schema), &text(&table), &[], 0));
                        let (new, old) = (Vec::new(), Vec::new());
                        open.as_mut().unwrap().changes.push(Change { table, op: Op::Truncate, lsn, new, old });
                    }
                }
                Record::Commit { csn, commit_time, end_lsn, .. } => {
                    let mut ended = open.take().unwrap();
                    ended.csn = csn.unwrap_or(ended.csn);
                    ended.time = commit_time.unwrap_or(ended.time);
                    // Serial decoding has the end in the header, parallel decoding the start.
                    ended.commit_lsn = Lsn(payload.header);
                    ended.end_lsn = end_lsn.map_or(Lsn(payload.header), |lsn| Lsn(lsn.0));
                    out.push(ended);
                }
            }
        }
    }
    out
}

/// Origin a BEGIN tells; the decoders have no use for it.
fn origin(record: &[u8], layout: Layout) -> u32 {
    if layout == Layout::Binary {
        let tail = record.len().checked_sub(5).map(|at| &record[at..]);
        return tail.filter(|tail| tail[0] == b'O').map_or(0, |tail| u32::from_be_bytes(tail[1..].try_into().unwrap()));
    }
    let line = String::from_utf8_lossy(record).into_owned();
    let number =
        line.split_once("ORIGIN_ID ").or_else(|| line.split_once("origin_id: ")).map(|(_, number)| number.to_owned());
    number.map_or(0, |number| number.parse().unwrap())
}

/// Renders transactions and cuts the messages apart: header position and payload of each.
fn rendered(transactions: &[Transaction], options: &DecodeOptions) -> Vec<(u64, Vec<u8>)> {
    let mut renderer = Renderer::new(options.clone());
    let mut out = Vec::new();
    transactions.iter().for_each(|transaction| renderer.transaction(transaction, &mut out));
    renderer.flush(&mut out);
    let mut messages = Vec::new();
    let mut rest = out.as_slice();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        messages.push((u64::from_be_bytes(rest[6..14].try_into().unwrap()), rest[30..1 + length].to_vec()));
        rest = &rest[1 + length..];
    }
    messages
}

/// Renders every case of a file anew. `headers`: their positions must agree too.
fn check(name: &str, headers: bool) -> usize {
    let mut count = 0;
    for (case, options, payloads) in cases(name) {
        let (options, layout) = decode_options(&options);
        let transactions = transactions(&payloads, layout, options.batch);
        // Rows a white list hid, and rows too long to be kept in the repository: the frame of the transaction is there all the same.
        let cut = options.skip_empty && transactions.iter().any(|transaction| transaction.changes.is_empty());
        let options = DecodeOptions { skip_empty: options.skip_empty && !cut, ..options };
        let rendered = rendered(&transactions, &options);
        assert_eq!(rendered.len(), payloads.len(), "{name} {case}");
        for ((header, bytes), recorded) in rendered.iter().zip(&payloads) {
            assert_eq!(
                String::from_utf8_lossy(bytes),
                String::from_utf8_lossy(&recorded.bytes),
                "{name} {case} at {:X}",
                recorded.header
            );
            assert_eq!(*bytes, recorded.bytes, "{name} {case}");
            if headers && !cut {
                assert_eq!(*header, recorded.header, "{name} {case}: header of {}", String::from_utf8_lossy(bytes));
            }
            count += 1;
        }
    }
    count
}

#[test]
fn serial_lines_are_the_recorded_ones() {
    let count: usize =
        ["a-serial.jsonl", "pg-serial.jsonl", "b-serial.jsonl"].iter().map(|name| check(name, true)).sum();
    assert!(count > 550, "{count}");
}

#[test]
fn records_of_style_b_are_the_recorded_ones() {
    let names = ["a-parallel-b.jsonl", "pg-parallel-b.jsonl", "b-parallel-b.jsonl"];
    let count: usize = names.iter().map(|name| check(name, true)).sum();
    assert!(count > 550, "{count}");
}

#[test]
fn lines_of_style_j_are_the_recorded_ones() {
    let names = ["a-parallel-j.jsonl", "pg-parallel-j.jsonl", "b-parallel-j.jsonl"];
    let count: usize = names.iter().map(|name| check(name, true)).sum();
    assert!(count > 550, "{count}");
}

#[test]
fn lines_of_style_t_are_the_recorded_ones() {
    let names = ["a-parallel-t.jsonl", "pg-parallel-t.jsonl", "b-parallel-t.jsonl"];
    let count: usize = names.iter().map(|name| check(name, true)).sum();
    assert!(count > 550, "{count}");
}

#[test]
fn every_set_of_options_gives_the_recorded_bytes() {
    let count = check("options-serial.jsonl", true) + check("options-parallel.jsonl", true);
    assert!(count > 500, "{count}");
}
