//! Reads the recordings.

use millrace_batch::Lsn;
use millrace_decode::mppdb::{Frame, Layout, Record, Row, frames, parse};

/// One payload.
#[derive(Clone, Debug)]
pub struct Payload {
    pub case: String,
    pub txn: u64,
    pub style: String,
    pub options: serde_json::Value,
    pub wal_start: Lsn,
    pub bytes: Vec<u8>,
}

pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub fn lines(name: &str) -> Vec<serde_json::Value> {
    let path: std::path::PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/recordings", name].iter().collect();
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The payloads of a file; the options of a case stand at its first one.
pub fn payloads(name: &str) -> Vec<Payload> {
    let mut last = (String::new(), serde_json::Value::Null);
    let read = lines(name).into_iter().filter_map(|line| {
        let case = line["case"].as_str().unwrap().to_owned();
        if case != last.0 {
            last = (case.clone(), serde_json::Value::Null);
        }
        if !line["options"].is_null() {
            last.1 = line["options"].clone();
        }
        let body = hex(line["hex"].as_str()?);
        assert_eq!(body[0], b'w');
        Some(Payload {
            case,
            txn: line["txn"].as_u64().unwrap_or(0),
            style: line["style"].as_str().unwrap_or_default().to_owned(),
            options: last.1.clone(),
            wal_start: Lsn(u64::from_be_bytes(body[1..9].try_into().unwrap())),
            bytes: body[25..].to_vec(),
        })
    });
    read.collect()
}

/// Layout and batching a payload's options ask for.
pub fn layout(options: &serde_json::Value) -> (Layout, bool) {
    // Where the client asks for nothing, a server may be set to parallel decoding.
    let preset = options.get("GUC logical_decode_options_default").is_some();
    let parallel = options["parallel-decode-num"].as_str().map_or(preset, |number| number != "1");
    let batched = options["sending-batch"] == "1";
    match options["decode-style"].as_str() {
        _ if !parallel => (Layout::Serial, false),
        Some(style) if style.starts_with('j') => (Layout::Json, batched),
        Some(style) if style.starts_with('t') => (Layout::Text, batched),
        _ => (Layout::Binary, batched),
    }
}

/// A column, owned: name, type name, type OID, value.
pub type Column = (String, String, u32, Option<String>);

/// A record, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned {
    Other(Record),
    Row { op: u8, table: String, new: Vec<Column>, old: Vec<Column> },
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All records of a payload.
pub fn records(layout: Layout, batched: bool, payload: &[u8]) -> Vec<Owned> {
    let mut row = Row::default();
    let read = frames(layout, batched, payload).map(|frame| {
        let frame: Frame<'_> = frame.unwrap();
        match parse(layout, frame, &mut row).unwrap_or_else(|error| panic!("{error}: {}", text(frame.bytes))) {
            Record::Row => {
                let own = |column: millrace_decode::mppdb::RowColumn<'_>| {
                    (text(column.name), text(column.type_name), column.type_oid, column.value.map(text))
                };
                Owned::Row {
                    op: row.op() as u8,
                    table: format!("{}.{}", text(row.schema()), text(row.table())),
                    new: row.new_image().map(own).collect(),
                    old: row.old_image().map(own).collect(),
                }
            }
            other => Owned::Other(other),
        }
    });
    read.collect()
}
