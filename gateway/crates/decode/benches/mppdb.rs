//! Time from a record of mppdb_decoding to a row in the released batch, 12 columns.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_batch::{Batch, Lsn, RelationLog, ReplicaIdentity};
use millrace_decode::mppdb::{CatalogueTable, Frame, Layout, Mppdb, Options, Step};
use millrace_decode::{NoSpill, Start};
use std::hint::black_box;

/// Rows of one transaction.
const ROWS: usize = 1000;

/// Name, type, OID and value; text values are quoted in the text styles.
const COLUMNS: [(&str, &str, u32, &str); 12] = [
    ("id", "bigint", 20, "1000042"),
    ("article", "integer", 23, "4711"),
    ("customer", "character varying", 1043, "'customer-000042'"),
    ("at", "timestamp without time zone", 1114, "'2026-11-24 09:51:36.123456'"),
    ("price", "numeric", 1700, "12.50"),
    ("currency", "character", 1042, "'EUR'"),
    ("paid", "boolean", 16, "true"),
    ("voucher", "text", 25, "null"),
    ("state", "character varying", 1043, "'shipped'"),
    ("note", "text", 25, "'a note of some length'"),
    ("amount", "integer", 23, "3"),
    ("tax", "numeric", 1700, ".19"),
];

fn json() -> Vec<u8> {
    let list = |items: [&str; 12]| items.map(|item| format!("\"{item}\"")).join(",");
    format!(
        "{{\"table_name\":\"public.orders\",\"op_type\":\"INSERT\",\"columns_name\":[{}],\"columns_type\":[{}],\"columns_val\":[{}],\
         \"old_keys_name\":[],\"old_keys_type\":[],\"old_keys_val\":[]}}",
        list(COLUMNS.map(|column| column.0)),
        list(COLUMNS.map(|column| column.1)),
        list(COLUMNS.map(|column| column.3))
    )
    .into_bytes()
}

fn text() -> Vec<u8> {
    let columns = COLUMNS.map(|(name, type_name, _, value)| format!(" {name}[{type_name}]:{value}"));
    format!("table public orders INSERT:{}", columns.concat()).into_bytes()
}

fn binary() -> Vec<u8> {
    let counted = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let mut out = [b"I", &counted(b"public")[..], &counted(b"orders"), b"N", &12u16.to_be_bytes()].concat();
    for (name, _, oid, value) in COLUMNS {
        out.extend(counted(name.as_bytes()));
        out.extend(oid.to_be_bytes());
        match value.trim_matches('\'') {
            "null" => out.extend(u32::MAX.to_be_bytes()),
            value => {
                let value = if value == "true" { "t" } else { value };
                out.extend((value.len() as u32).to_be_bytes());
                out.extend(value.as_bytes());
            }
        }
    }
    out
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("mppdb");
    let begin_b = [b"B".as_slice(), &[0; 16], b"X", &5u64.to_be_bytes()].concat();
    let time = b"1970-01-01 00:00:01+00";
    let commit_b = [b"CX".as_slice(), &5u64.to_be_bytes(), b"T", &(time.len() as u32).to_be_bytes(), time].concat();
    let begin = b"BEGIN CSN: 1 first_lsn: 0/1 xid: 5".to_vec();
    let commit = b"commit xid: 5 (at 1970-01-01 00:00:01+00)".to_vec();
    let cases = [
        ("serial", Layout::Serial, begin.clone(), json(), commit.clone()),
        ("binary", Layout::Binary, begin_b, binary(), commit_b),
        ("json", Layout::Json, begin.clone(), json(), commit.clone()),
        ("text", Layout::Text, begin, text(), commit),
    ];
    for (name, layout, begin, row, commit) in cases {
        let start = Start { shard: 0, shards: 1, database: "og".to_owned(), end_lsn: Lsn(0), next_id: 0 };
        let mut decoder = Mppdb::new(Options::new(layout), start, RelationLog::new(), Box::new(NoSpill));
        let mut batch = Batch::new(0);
        let mut end = 0;
        group.throughput(Throughput::ElementsAndBytes { elements: ROWS as u64, bytes: (row.len() * ROWS) as u64 });
        group.bench_function(format!("{name}_12_columns"), |b| {
            b.iter(|| {
                end += 8;
                let mut send = |bytes: &[u8]| {
                    let frame = Frame { lsn: Some(Lsn(end)), bytes };
                    if decoder.record(Lsn(end), frame).expect("a valid record") == Step::TableNeeded {
                        let (columns, key_columns) = (Vec::new(), Vec::new());
                        let answer = CatalogueTable { oid: 1, identity: ReplicaIdentity::Full, columns, key_columns };
                        decoder.set_table(answer);
                        decoder.record(Lsn(end), frame).expect("a valid record");
                    }
                };
                send(&begin);
                (0..ROWS).for_each(|_| send(black_box(&row)));
                send(&commit);
                batch.clear();
                assert_eq!(decoder.release(&mut batch), Ok(true));
                assert_eq!(batch.len(), ROWS);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
