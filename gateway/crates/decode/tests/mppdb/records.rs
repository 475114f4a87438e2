//! Every recorded and documented record reads, alone.

use crate::recording::{self, Owned};
use millrace_batch::Lsn;
use millrace_decode::mppdb::{Frame, Layout, Record, Row, frames, parse};

/// Files and the number of records in them.
const FILES: [(&str, usize); 16] = [
    ("a-serial.jsonl", 538),
    ("a-parallel-b.jsonl", 491),
    ("a-parallel-j.jsonl", 491),
    ("a-parallel-t.jsonl", 491),
    ("pg-serial.jsonl", 40),
    ("pg-parallel-b.jsonl", 40),
    ("pg-parallel-j.jsonl", 40),
    ("pg-parallel-t.jsonl", 40),
    ("b-serial.jsonl", 25),
    ("b-parallel-b.jsonl", 27),
    ("b-parallel-j.jsonl", 27),
    ("b-parallel-t.jsonl", 27),
    ("options-serial.jsonl", 501),
    ("options-parallel.jsonl", 401),
    ("decode-default.jsonl", 21),
    ("session-settings.jsonl", 211),
];

#[test]
fn every_recorded_payload_reads() {
    let mut wrong = Vec::new();
    for (file, expected) in FILES {
        let mut count = 0;
        for payload in recording::payloads(file) {
            let (layout, batched) = match payload.style.as_str() {
                "serial" => (Layout::Serial, false),
                "parallel-b" => (Layout::Binary, false),
                "parallel-j" => (Layout::Json, false),
                "parallel-t" => (Layout::Text, false),
                _ => recording::layout(&payload.options),
            };
            count += recording::records(layout, batched, &payload.bytes).len();
        }
        wrong.extend((count != expected).then_some((file, count)));
    }
    assert_eq!(wrong, []);
}

#[test]
fn documented_lines_read() {
    let mut row = Row::default();
    for line in recording::lines("documented.jsonl") {
        let layout = match line["mode"].as_str().unwrap() {
            "parallel-j" => Layout::Json,
            "parallel-t" => Layout::Text,
            _ => Layout::Serial,
        };
        let text = line["output"].as_str().unwrap();
        let frame = Frame { lsn: None, bytes: text.as_bytes() };
        let record = parse(layout, frame, &mut row).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(record == Record::Row, text.starts_with('{') || text.contains("INSERT"), "{text}");
        assert_eq!(matches!(record, Record::Truncate(_)), text.contains("TRUNCATE"), "{text}");
    }
    let commit = "COMMIT 16020 (at 2024-02-05 14:46:35.203057+08) CSN 2155";
    let frame = Frame { lsn: None, bytes: commit.as_bytes() };
    let expected =
        Record::Commit { xid: Some(16020), csn: Some(2155), commit_time: Some(1_707_115_595_203_057), end_lsn: None };
    assert_eq!(parse(Layout::Serial, frame, &mut row), Ok(expected));
}

fn columns(value: &serde_json::Value) -> Vec<recording::Column> {
    let columns = value.as_array().into_iter().flatten().map(|column| {
        let value = column[2].as_str().map(str::to_owned);
        let oid = column[1].as_u64().unwrap_or(0) as u32;
        (column[0].as_str().unwrap().to_owned(), String::new(), oid, value)
    });
    columns.collect()
}

#[test]
fn constructed_payloads_mean_what_they_say() {
    for line in recording::lines("constructed.jsonl") {
        if line["decode_style"] != "b" {
            continue;
        }
        let payload = recording::hex(line["payload_hex"].as_str().unwrap());
        let got = recording::records(Layout::Binary, line["sending_batch"] == 1, &payload);
        let expected = line["expect"].as_array().unwrap().iter().map(|record| {
            let lsn = |key: &str| record[key].as_str().map(|lsn| lsn.parse::<Lsn>().unwrap());
            let time = record["commit_time"].as_str().map(|_| 1_707_115_595_203_057);
            let (xid, csn) = (record["xid"].as_u64(), record["csn"].as_u64());
            match record["type"].as_str().unwrap() {
                "B" => Owned::Other(Record::Begin { xid, csn, first_lsn: lsn("first_lsn"), commit_time: time }),
                "C" => Owned::Other(Record::Commit { xid, csn, commit_time: time, end_lsn: lsn("lsn") }),
                kind => Owned::Row {
                    op: "IUD".find(kind).unwrap() as u8,
                    table: format!("{}.{}", record["schema"].as_str().unwrap(), record["table"].as_str().unwrap()),
                    new: columns(&record["new"]),
                    old: columns(&record["old"]),
                },
            }
        });
        assert_eq!(got, expected.collect::<Vec<_>>(), "{}", line["name"]);
    }
    let batched = recording::lines("constructed.jsonl");
    for (name, layout) in [("json_batch", Layout::Json), ("text_batch", Layout::Text)] {
        let line = batched.iter().find(|line| line["name"] == name).unwrap();
        let got = recording::records(layout, true, &recording::hex(line["payload_hex"].as_str().unwrap()));
        assert!(
            matches!(
                &got[..],
                [
                    Owned::Other(Record::Begin { csn: Some(2358), .. }),
                    Owned::Row { .. },
                    Owned::Other(Record::Commit { end_lsn: Some(Lsn(0x0CFE_63B0)), .. })
                ]
            ),
            "{got:?}"
        );
    }
}

/// Bytes of a GBK database come through whole, trail bytes that look like a backslash included.
#[test]
fn other_encodings_keep_their_bytes() {
    let mut seen = Vec::new();
    for payload in recording::payloads("encoding.jsonl") {
        if payload.bytes.starts_with(b"{") {
            let mut row = Row::default();
            let frame = Frame { lsn: None, bytes: &payload.bytes };
            if parse(Layout::Serial, frame, &mut row) == Ok(Record::Row) {
                seen.extend(row.new_image().filter_map(|column| column.value.map(<[u8]>::to_vec)));
            }
        }
    }
    // U+4E57 is 81 5C in GBK.
    assert!(seen.iter().any(|value| value == b"\x81\\\\n\"x"), "{seen:x?}");
}

#[test]
fn a_payload_ends_where_it_says() {
    let line =
        recording::lines("constructed.jsonl").into_iter().find(|line| line["name"] == "batch_timer_flush").unwrap();
    let timer = recording::hex(line["payload_hex"].as_str().unwrap());
    let codes = |payload: &[u8]| {
        frames(Layout::Binary, true, payload)
            .filter_map(|frame| frame.err())
            .map(|error| error.code())
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(&timer), [""; 0]);
    assert_eq!(codes(&[&timer[..], &[0]].concat()), ["decode_bad_message"]);
    assert_eq!(codes(&timer[..timer.len() - 1]), ["decode_truncated"]);
    let record = &timer[..timer.len() - 5];
    // A separator F ends the payload; some servers write a zero length behind it.
    assert_eq!(codes(&[record, b"F"].concat()), [""; 0]);
    assert_eq!(codes(&[record, b"F\0\0\0\0"].concat()), [""; 0]);
    assert_eq!(codes(&[record, b"F\0"].concat()), ["decode_bad_message"]);
    assert_eq!(codes(&[record, b"Q"].concat()), ["decode_bad_message"]);
    assert_eq!(codes(record), ["decode_truncated"]);
    assert_eq!(codes(&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]), ["decode_bad_message"]);
}
