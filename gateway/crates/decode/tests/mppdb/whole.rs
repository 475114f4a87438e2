//! Recordings of whole conversations: streams that were confirmed, restarted and interrupted, batches larger than a megabyte, rows of
//! the slot functions, and a GBK database.

use crate::recording::{self, Owned, hex, lines};
use millrace_batch::{Batch, Lsn, RelationLog};
use millrace_decode::mppdb::{CatalogueTable, Frame, Layout, Mppdb, Options, Payload, Record, Row, frames, parse};
use millrace_decode::{Encoding, NoSpill, Start};
use std::io::Read;

fn layout(style: &str) -> Layout {
    match style {
        "parallel-b" => Layout::Binary,
        "parallel-j" => Layout::Json,
        "parallel-t" => Layout::Text,
        _ => Layout::Serial,
    }
}

/// Ends of the transactions of serial payloads and the changes in them; the catalogue knows nothing.
fn decode(payloads: &[(Lsn, Vec<u8>)]) -> (Vec<Lsn>, usize) {
    let start = Start { shard: 0, shards: 1, database: "og".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let mut decoder = Mppdb::new(Options::new(Layout::Serial), start, RelationLog::new(), Box::new(NoSpill));
    let mut batch = Batch::new(0);
    for (wal_start, payload) in payloads {
        loop {
            match decoder.payload(*wal_start, payload, &mut batch).unwrap() {
                Payload::Done => break,
                Payload::TableNeeded => decoder.set_table(CatalogueTable::gone()),
                other => panic!("{other:?}"),
            }
        }
    }
    (batch.commits().iter().map(|commit| commit.end_lsn).collect(), batch.len())
}

/// Every stream reads; a serial one decodes, its transactions end one behind another, whatever was confirmed before it began.
#[test]
fn confirmed_restarted_and_interrupted_streams() {
    let (mut records, mut transactions, mut changes) = (0, 0, 0);
    let payloads = lines("stream.jsonl");
    let cases: std::collections::BTreeSet<String> =
        payloads.iter().map(|line| line["case"].as_str().unwrap().to_owned()).collect();
    for case in &cases {
        let of_case = || payloads.iter().filter(|line| line["case"] == case.as_str());
        let options = of_case().next().unwrap()["options"].clone();
        let style = options["style"].as_str().unwrap();
        let bodies: Vec<_> = of_case()
            .map(|line| {
                let body = hex(line["hex"].as_str().unwrap());
                (Lsn(u64::from_be_bytes(body[1..9].try_into().unwrap())), body[25..].to_vec())
            })
            .collect();
        records += bodies.iter().map(|(_, body)| recording::records(layout(style), false, body).len()).sum::<usize>();
        // The parallel streams were recorded without times, which a decoder refuses.
        if style == "serial" {
            let (ends, rows) = decode(&bodies);
            transactions += ends.len();
            changes += rows;
            assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{case}");
        }
    }
    assert_eq!((cases.len(), records, payloads.len()), (38, 255, 255));
    assert_eq!((transactions, changes), (32, 32));
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(digit).collect();
    let group = |group: &[u8]| {
        let bits = group.iter().enumerate().fold(0, |bits, (at, digit)| bits | u32::from(*digit) << (18 - 6 * at));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// Batches cut by size in the middle of a transaction, and the last one ended by the timer.
#[test]
fn batches_larger_than_a_megabyte() {
    let all = lines("batch-large.jsonl");
    for (case, layout, payloads) in
        [("batch_b", Layout::Binary, 2), ("batch_j", Layout::Json, 3), ("batch_t", Layout::Text, 2)]
    {
        let (mut ops, mut commits, mut last) = ([0; 3], 0, Lsn(0));
        let of_case: Vec<_> = all.iter().filter(|line| line["case"] == case).collect();
        assert_eq!(of_case.len(), payloads);
        for line in of_case {
            let mut body = Vec::new();
            let packed = base64(line["hex_zlib_b64"].as_str().unwrap());
            flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut body).unwrap();
            assert_eq!(body.len() as u64, line["len"].as_u64().unwrap());
            for frame in frames(layout, true, &body[25..]) {
                let lsn = frame.as_ref().unwrap().lsn.unwrap();
                assert!(lsn >= last, "{case}");
                last = lsn;
            }
            for record in recording::records(layout, true, &body[25..]) {
                match record {
                    Owned::Row { op, .. } => ops[usize::from(op)] += 1,
                    Owned::Other(Record::Commit { end_lsn, .. }) => {
                        assert!(end_lsn.is_some());
                        commits += 1;
                    }
                    Owned::Other(_) => {}
                }
            }
        }
        assert_eq!((ops, commits), ([4500, 0, 3], 3), "{case}");
    }
}

/// Rows of `pg_logical_slot_peek_changes` and its kin: the lines of serial decoding, with the location as the header's LSN.
#[test]
fn rows_of_the_slot_functions() {
    let all = lines("sql-functions.jsonl");
    let mut row = Row::default();
    for line in &all {
        let text = line["text"].as_str().unwrap();
        let record = parse(Layout::Serial, Frame { lsn: None, bytes: text.as_bytes() }, &mut row).unwrap();
        assert_eq!(record == Record::Row, text.starts_with('{'), "{text}");
    }
    let of_case = |case: &str| -> Vec<(Lsn, Vec<u8>)> {
        let of_case = all.iter().filter(|line| line["case"] == case);
        of_case
            .map(|line| {
                (
                    line["location"].as_str().unwrap().parse().unwrap(),
                    line["text"].as_str().unwrap().as_bytes().to_vec(),
                )
            })
            .collect()
    };
    let (ends, changes) = decode(&of_case("peek"));
    assert!(!ends.is_empty() && changes > ends.len(), "{ends:?} {changes}");
    assert_eq!(all.len(), 53);
}

/// Every style of a GBK database, whatever the client's encoding.
#[test]
fn values_of_a_gbk_database() {
    let encoding = Encoding::by_name("GBK").unwrap();
    let mut seen = std::collections::BTreeMap::<String, Vec<String>>::new();
    for payload in recording::payloads("encoding.jsonl") {
        let style = payload.case.trim_start_matches("gbk_").split("_client").next().unwrap().to_owned();
        let mut row = Row::default();
        for frame in frames(layout(&style), false, &payload.bytes) {
            if parse(layout(&style), frame.unwrap(), &mut row).unwrap() != Record::Row {
                continue;
            }
            for column in row.new_image().filter(|column| column.name != b"id") {
                let mut space = Vec::new();
                let value = encoding.to_utf8(column.value.unwrap_or_default(), &mut space).unwrap();
                let case = seen.entry(payload.case.clone()).or_default();
                case.push(String::from_utf8(value.to_vec()).unwrap());
            }
        }
    }
    assert_eq!(seen.len(), 5);
    let expected = ["乗\\n\"x", "中文 ok", "誠\\", "〇一"];
    for (case, values) in seen {
        for value in expected {
            assert!(values.iter().any(|seen| seen == value), "{case}: {values:?}");
        }
    }
}
