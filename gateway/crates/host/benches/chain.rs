//! What a chain costs per change, and how that depends on the size of a batch.
//!
//! The row is the one the project measures everywhere: 12 columns of mixed types, about 210 bytes of text per image. Times are of
//! the thread's CPU clock, so that other work on the machine counts less, and of one change: a batch's time over its size.

// A benchmark is a test as far as unwrapping goes.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may fail loudly and has no readers of its interface")]

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_batch::{Batch, ChangeStamp, Column, Lsn, Op, Relation, ReplicaIdentity, marks, type_by_oid};
use millrace_host::{Chain, ChainSpec, Grant, HostEngine, Limits, Module, Records, StageSpec, TopicTable, defaults};
use std::hint::black_box;
use std::sync::Arc;

const COLUMNS: [(&str, u32, &str); 12] = [
    ("id", 20, "1048576"),
    ("customer_id", 20, "77213"),
    ("order_no", 1043, "ORD-2026-0001048576"),
    ("status", 1043, "shipped"),
    ("amount", 1700, "12345.67"),
    ("currency", 1042, "EUR"),
    ("open", 16, "true"),
    ("created_at", 1114, "2026-11-24 09:58:07.123456"),
    ("updated_at", 1184, "2026-11-24 09:58:07.123456+00"),
    ("note", 25, "the usual place behind the second gate, ring twice please"),
    ("reference", 2950, "7b1c9a5e-3f0d-4c56-9d4e-2f8a1b6c0d3e"),
    ("weight", 701, "12.75"),
];

/// CPU time of this thread, in nanoseconds.
struct CpuTime;

fn cpu_now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Measurement for CpuTime {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        cpu_now()
    }

    fn end(&self, start: u64) -> u64 {
        cpu_now() - start
    }

    fn add(&self, a: &u64, b: &u64) -> u64 {
        a + b
    }

    fn zero(&self) -> u64 {
        0
    }

    fn to_f64(&self, value: &u64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for CpuTime {
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        "ns/batch"
    }

    fn scale_throughputs(&self, _typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let Throughput::Elements(size) = throughput else { return "ns/batch" };
        values.iter_mut().for_each(|value| *value /= *size as f64);
        "ns/change"
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "ns"
    }
}

fn relation() -> Relation {
    let columns = COLUMNS.iter().enumerate().map(|(index, (name, oid, _))| {
        let info = type_by_oid(*oid).unwrap();
        Column {
            name: (*name).into(),
            type_name: info.name.into(),
            type_oid: *oid,
            type_modifier: -1,
            jdbc_type: info.jdbc,
            key_position: u16::from(index == 0),
        }
    });
    Relation {
        id: 0,
        source_oid: 16384,
        database: "shop".into(),
        schema: "public".into(),
        table: "orders".into(),
        identity: ReplicaIdentity::Full,
        columns: columns.collect(),
    }
}

/// Updates with both images, as replica identity full sends them, or inserts.
fn batch(changes: usize, op: Op) -> Batch {
    let mut batch = Batch::new(0);
    for n in 0..changes as u64 {
        batch.begin_change(ChangeStamp {
            id: 4 * n + 1,
            commit_lsn: Lsn(1 << 33 | n),
            xid: 900 + n / 10,
            commit_time: 1_795_000_000_000_000,
            ordinal: (n % 10) as u32,
            relation: 0,
            op,
        });
        let images = if op == Op::Update { 2 } else { 1 };
        for _ in 0..images {
            for (_, _, text) in COLUMNS {
                assert!(batch.push_text(text.as_bytes()));
            }
        }
        let width = COLUMNS.len() as u16;
        let old = if images == 2 { width } else { 0 };
        batch.finish_change(width, old, if images == 2 { marks::NEW | marks::OLD } else { marks::NEW });
    }
    batch
}

/// A module and its configuration.
type Given<'a> = (&'a [u8], &'a str);

fn chain(engine: &HostEngine, filter: Given<'_>, map: Option<Given<'_>>, route: Given<'_>, format: Given<'_>) -> Chain {
    let stage = |name: &str, (bytes, config): Given<'_>| {
        let module = Module::load_with(engine, name, bytes, None, &[Grant::Counter]).unwrap();
        StageSpec::new(name, Arc::new(module), config)
    };
    let spec = ChainSpec {
        filters: vec![stage("filter", filter)],
        maps: map.map(|map| stage("map", map)).into_iter().collect(),
        route: stage("route", route),
        format: stage("format", format),
        mapping: Default::default(),
    };
    let mut chain = Chain::instantiate(&spec, &Limits::default(), &TopicTable::new()).unwrap();
    chain.announce(&relation()).unwrap();
    chain
}

const PROBE: &[u8] = include_bytes!("../tests/components/probe.wasm");
/// The least work in each stage, by the kit for Rust (tests/guests/costs).
const COSTS: &[u8] = include_bytes!("../tests/components/costs.wasm");
const MASK: &[u8] = include_bytes!("../../../../transforms/prebuilt/mask.wasm");
const SELECT: Given<'_> = (defaults::SELECT, "{}");
const ROUTER: Given<'_> = (defaults::TOPIC_ROUTER, "{}");
const JSON: Given<'_> = (defaults::DRS_JSON, "{}");
const FIXED: Given<'_> = (PROBE, "plan fixed t 0");
/// A format that reads nothing and writes nothing: what every chain here has to pay at least.
const NO_FORMAT: Given<'_> = (COSTS, "nothing");

fn measure(criterion: &mut Criterion<CpuTime>, name: &str, op: Op, chain: &mut Chain, sizes: &[usize]) {
    let mut group = criterion.benchmark_group(name);
    for &size in sizes {
        let batch = batch(size, op);
        let mut out = Records::new();
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                chain.process(black_box(&batch), 1_795_000_000_000_000, &mut out).unwrap();
                black_box(&out);
            });
        });
    }
    group.finish();
}

/// What plans and interests cost, and save: subtract `constant-plans` from what has one stage more.
fn contract(criterion: &mut Criterion<CpuTime>) {
    let engine = HostEngine::new(Limits::default(), None).unwrap();
    let mask = (MASK, r#"{"rules":[{"columns":["*.*.note"],"do":"redact"}]}"#);
    let mut cases = [
        ("constant-plans", chain(&engine, SELECT, None, FIXED, NO_FORMAT)),
        ("filter-key-columns", chain(&engine, (COSTS, "key"), None, FIXED, NO_FORMAT)),
        ("filter-2-listed-columns", chain(&engine, (COSTS, "listed"), None, FIXED, NO_FORMAT)),
        ("filter-all-columns", chain(&engine, (COSTS, "all"), None, FIXED, NO_FORMAT)),
        ("crossing-all-columns", chain(&engine, SELECT, None, FIXED, (COSTS, "all"))),
        ("map-writes-1-column", chain(&engine, SELECT, Some((COSTS, "nothing")), FIXED, NO_FORMAT)),
        ("mask-1-column", chain(&engine, SELECT, Some(mask), FIXED, NO_FORMAT)),
        ("route-by-columns-on-the-host", chain(&engine, SELECT, None, (PROBE, "plan columns t 0"), NO_FORMAT)),
        ("route-by-key-in-wasm", chain(&engine, SELECT, None, (COSTS, "nothing"), NO_FORMAT)),
        ("drs-json", chain(&engine, SELECT, None, FIXED, JSON)),
        ("default-chain", chain(&engine, SELECT, None, ROUTER, JSON)),
    ];
    for (name, chain) in &mut cases {
        measure(criterion, name, Op::Update, chain, &[256]);
    }
}

fn chains(criterion: &mut Criterion<CpuTime>) {
    let engine = HostEngine::new(Limits::default(), None).unwrap();
    let mut cases = [
        ("sizes-crossing", Op::Update, chain(&engine, SELECT, None, FIXED, (COSTS, "all"))),
        ("sizes-default-update", Op::Update, chain(&engine, SELECT, None, ROUTER, JSON)),
        ("sizes-default-insert", Op::Insert, chain(&engine, SELECT, None, ROUTER, JSON)),
    ];
    for (name, op, chain) in &mut cases {
        measure(criterion, name, *op, chain, &[1, 16, 64, 128, 256, 512, 1024]);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime).sample_size(20).warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(600));
    targets = contract, chains
}
criterion_main!(benches);
