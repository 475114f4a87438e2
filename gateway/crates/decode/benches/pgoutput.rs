//! Time from a pgoutput payload to a row in the batch.

#[path = "../tests/pgoutput/encode.rs"]
mod encode;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use encode::{Value, text};
use millrace_batch::{Batch, Lsn, RelationLog};
use millrace_decode::pgoutput::{PgOutput, Start, Step};
use std::hint::black_box;

/// Rows per iteration: about what one batch holds.
const ROWS: usize = 1000;

/// An order line: 12 columns, 106 bytes of text.
fn row(number: usize) -> [Value; 12] {
    [
        text(&format!("{}", 1_000_000 + number)),
        text("4711"),
        text("customer-000042"),
        text("2026-11-24 09:51:36.123456"),
        text("12.50"),
        text("EUR"),
        text("t"),
        Value::Null,
        text("shipped"),
        text("a note of some length"),
        text("3"),
        text("0.19"),
    ]
}

const COLUMNS: [encode::Column<'static>; 12] = [
    ("id", 20, true),
    ("article", 23, false),
    ("customer", 1043, false),
    ("at", 1114, false),
    ("price", 1700, false),
    ("currency", 1042, false),
    ("paid", 16, false),
    ("voucher", 25, false),
    ("state", 1043, false),
    ("note", 25, false),
    ("amount", 23, false),
    ("tax", 1700, false),
];

fn decoder(columns: &[encode::Column<'_>], identity: u8) -> PgOutput {
    let start = Start { shard: 0, shards: 1, database: "db".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let mut decoder = PgOutput::new(start, RelationLog::new());
    let mut batch = Batch::new(0);
    let described = encode::relation(1, "public", "orders", identity, columns);
    for payload in [encode::begin(100, 0, 7), described] {
        if let Step::KeysNeeded { oid } = decoder.message(Lsn(0), &payload, &mut batch).expect("a valid message") {
            decoder.set_keys(oid, &["id".to_owned()]).expect("the key of the stream");
        }
    }
    decoder
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("pgoutput");
    group.throughput(Throughput::Elements(ROWS as u64));
    let mut case = |name: &str, columns: &[encode::Column<'_>], identity: u8, payload: &dyn Fn(usize) -> Vec<u8>| {
        let payloads: Vec<Vec<u8>> = (0..ROWS).map(payload).collect();
        let mut batch = Batch::new(0);
        let mut decode = |mut decoder: PgOutput| {
            batch.clear();
            for payload in &payloads {
                black_box(decoder.message(Lsn(1), black_box(payload), &mut batch)).expect("a valid row");
            }
            decoder
        };
        group.bench_function(name, |b| {
            b.iter_batched(|| decoder(columns, identity), &mut decode, BatchSize::LargeInput);
        });
    };
    let insert = |n: usize| encode::row(b'I', 1, &[(b'N', &row(n)[..])]);
    case("insert_12_columns", &COLUMNS, b'd', &insert);
    case("insert_10_columns", &COLUMNS[..10], b'd', &|n| encode::row(b'I', 1, &[(b'N', &row(n)[..10])]));
    case("update_12_columns", &COLUMNS, b'd', &|n| encode::row(b'U', 1, &[(b'N', &row(n)[..])]));
    let full = COLUMNS.map(|(name, oid, _)| (name, oid, true));
    case("update_12_columns_full_identity", &full, b'f', &|n| {
        encode::row(b'U', 1, &[(b'O', &row(n)[..]), (b'N', &row(n + 1)[..])])
    });
    let key = |n: usize| std::array::from_fn::<_, 12, _>(|i| if i == 0 { row(n)[0].clone() } else { Value::Null });
    case("delete_by_key", &COLUMNS, b'd', &|n| encode::row(b'D', 1, &[(b'K', &key(n)[..])]));
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
