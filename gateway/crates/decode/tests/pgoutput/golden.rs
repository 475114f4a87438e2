//! Recordings of PostgreSQL 15 (`tests/golden/record.sh`) come out as the reviewed `.expected` files say.

pub use crate::check::flagged;
use crate::render;
use millrace_batch::{Batch, Lsn, RelationLog};
use millrace_decode::pgoutput::{Message, PgOutput, Start, Step};
use std::{collections::HashMap, fmt::Write, path::PathBuf};

pub const CASES: [&str; 7] = ["types", "toast", "identities", "truncate", "alter", "transactions", "streamed"];

pub struct Recording {
    pub keys: HashMap<u32, Vec<String>>,
    pub messages: Vec<(Lsn, Vec<u8>)>,
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden", name].iter().collect()
}

pub fn recording(case: &str) -> Recording {
    let text = std::fs::read_to_string(path(&format!("{case}.jsonl"))).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let header = lines.next().unwrap();
    let keys = header["keys"].as_object().unwrap().iter().map(|(oid, names)| {
        let names = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        (oid.parse().unwrap(), names.collect())
    });
    let messages = lines.map(|line| {
        let hex = line["hex"].as_str().unwrap();
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        (line["lsn"].as_str().unwrap().parse().unwrap(), bytes.collect())
    });
    Recording { keys: keys.collect(), messages: messages.collect() }
}

pub fn start(end_lsn: Lsn) -> Start {
    Start { shard: 0, shards: 1, database: "golden".to_owned(), end_lsn, next_id: 0 }
}

/// Decodes a recording from a position; the text has tables, answers, changes and ends in stream order.
fn decode(recording: &Recording, end_lsn: Lsn) -> String {
    let log = RelationLog::new();
    let mut decoder = PgOutput::new(start(end_lsn), log.clone());
    let mut batch = Batch::new(0);
    let mut out = String::new();
    for (lsn, payload) in &recording.messages {
        let known = log.len();
        match decoder.message(*lsn, payload, &mut batch) {
            Ok(Step::KeysNeeded { oid }) => {
                let keys = recording.keys.get(&oid).cloned().unwrap_or_default();
                if let Err(error) = decoder.set_keys(oid, &keys) {
                    writeln!(out, "refused: [{}] {error}", error.code()).unwrap();
                    decoder.set_keys(oid, &flagged(payload)).unwrap();
                }
            }
            Ok(Step::LogicalMessage { lsn, transactional }) => {
                writeln!(out, "message {lsn} transactional {transactional}").unwrap();
            }
            Ok(_) => {}
            Err(error) => writeln!(out, "refused: [{}] {error}", error.code()).unwrap(),
        }
        for id in known..log.len() {
            render::relation(&log.get(id as u32).unwrap(), &mut out);
        }
        render::render(&batch, &log, &mut out);
        batch.clear();
    }
    assert!(!decoder.in_transaction());
    out
}

fn check(case: &str) -> String {
    let text = decode(&recording(case), Lsn(0));
    let file = path(&format!("{case}.expected"));
    if std::env::var_os("MILLRACE_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap();
    for (got, expected) in text.lines().zip(expected.lines()) {
        assert_eq!(got, expected, "case {case}");
    }
    assert_eq!(text.lines().count(), expected.lines().count(), "case {case}");
    text
}

#[test]
fn types() {
    let text = check("types");
    assert!(text.contains("b=\"true\"") && text.contains("by=\"00ff10\""));
    // Domains read as their base types.
    assert!(text.contains("yn=\"false\", bl=\"dead\""));
}

#[test]
fn toast() {
    check("toast");
}

#[test]
fn identities() {
    check("identities");
}

#[test]
fn truncate() {
    check("truncate");
}

#[test]
fn alter() {
    let text = check("alter");
    assert!(text.contains("refused: [key_disagreement]"));
}

#[test]
fn transactions() {
    check("transactions");
}

/// Read message by message, refused as a stream: the gateway does not ask for it.
#[test]
fn streamed() {
    let recording = recording("streamed");
    let mut streaming = false;
    let mut tags = std::collections::BTreeMap::new();
    for (_, payload) in &recording.messages {
        let message = Message::parse(payload, streaming).unwrap();
        match message {
            Message::StreamStart { .. } => streaming = true,
            Message::StreamStop => streaming = false,
            Message::Insert { xid, ref new, .. } => {
                assert_eq!(xid.is_some(), streaming);
                assert_eq!(new.columns().count(), 2);
            }
            Message::Type { oid, name, .. } => assert!(oid > 16000 && name == "mood"),
            _ => {}
        }
        *tags.entry(payload[0]).or_insert(0) += 1;
    }
    for tag in *b"SERYIUDTMAcBC" {
        assert!(tags.contains_key(&tag), "the recording lacks {:?}", char::from(tag));
    }
    let mut decoder = PgOutput::new(start(Lsn(0)), RelationLog::new());
    let error = decoder.message(Lsn(0), &recording.messages[0].1, &mut Batch::new(0)).unwrap_err();
    assert_eq!(error.code(), "streaming_not_requested");
}

/// A stream that starts behind any of its transactions is the rest of the whole, with the same ids.
#[test]
fn a_resumed_stream_gives_the_same_ids() {
    for case in ["identities", "alter", "transactions", "truncate"] {
        let recording = recording(case);
        let mut batch = Batch::new(0);
        let replay = |start: Start, batch: &mut Batch| {
            let mut decoder = PgOutput::new(start, RelationLog::new());
            for (lsn, payload) in &recording.messages {
                if let Step::KeysNeeded { oid } = decoder.message(*lsn, payload, batch).unwrap() {
                    decoder.set_keys(oid, &flagged(payload)).or_else(|_| decoder.set_keys(oid, &[])).unwrap();
                }
            }
            decoder.next_id()
        };
        let next = replay(start(Lsn(0)), &mut batch);
        assert!(batch.commits().len() > 1);
        for commit in batch.commits() {
            let mut rest = Batch::new(0);
            let from = Start { next_id: commit.next_id, ..start(commit.end_lsn) };
            assert_eq!(replay(from, &mut rest), next);
            assert_eq!(rest.ids(), &batch.ids()[commit.after as usize..]);
            assert_eq!(rest.ordinals(), &batch.ordinals()[commit.after as usize..]);
            assert_eq!(rest.commit_lsns(), &batch.commit_lsns()[commit.after as usize..]);
        }
    }
}
