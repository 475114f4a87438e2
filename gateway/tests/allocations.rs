//! Counts allocations from the socket's buffer up to the producer call: none per event once the buffers are warm.
//!
//! The parts are the real ones: framing, pgoutput decoder, batches, the default Wasm components, records. One thread, because
//! the counter counts the whole process.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering},
};

use millrace_batch::{Batch, Lsn, RelationLog};
use millrace_decode::pgoutput::{PgOutput, Start, Step};
use millrace_host::{Chain, ChainSpec, HostEngine, Limits, Module, Records, StageSpec, TopicTable, defaults};
use millrace_replication::{CopyData, FrameBuffer, decode_copy_data};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTER: Counting = Counting;

const COLUMNS: [(&str, u32); 10] = [
    ("id", 20),
    ("customer", 20),
    ("name", 1043),
    ("amount", 1700),
    ("state", 1042),
    ("note", 25),
    ("at", 1184),
    ("day", 1114),
    ("count", 23),
    ("paid", 16),
];

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn relation() -> Vec<u8> {
    let mut out = vec![b'R'];
    out.extend_from_slice(&7u32.to_be_bytes());
    text(&mut out, "public");
    text(&mut out, "orders");
    out.push(b'd');
    out.extend_from_slice(&(COLUMNS.len() as u16).to_be_bytes());
    for (index, (name, oid)) in COLUMNS.iter().enumerate() {
        out.push(u8::from(index == 0));
        text(&mut out, name);
        out.extend_from_slice(&oid.to_be_bytes());
        out.extend_from_slice(&(-1i32).to_be_bytes());
    }
    out
}

fn insert(id: u64) -> Vec<u8> {
    let mut out = vec![b'I'];
    out.extend_from_slice(&7u32.to_be_bytes());
    out.push(b'N');
    out.extend_from_slice(&(COLUMNS.len() as u16).to_be_bytes());
    let id = id.to_string();
    let cells = [
        &*id,
        "42",
        "a customer's name",
        "12.3400",
        "open",
        "a note with \"quotes\" and <tags>",
        "2026-11-24 08:00:00+00",
        "2026-11-24 08:00:00",
        "3",
        "t",
    ];
    for cell in cells {
        out.push(b't');
        out.extend_from_slice(&(cell.len() as u32).to_be_bytes());
        out.extend_from_slice(cell.as_bytes());
    }
    out
}

/// CopyData with XLogData around a payload, as the socket gives it.
fn frame(payload: &[u8], out: &mut Vec<u8>) {
    out.push(b'd');
    out.extend_from_slice(&(4 + 25 + payload.len() as u32).to_be_bytes());
    out.push(b'w');
    out.extend_from_slice(&[0; 24]);
    out.extend_from_slice(payload);
}

fn begin(lsn: u64) -> Vec<u8> {
    let mut out = vec![b'B'];
    out.extend_from_slice(&lsn.to_be_bytes());
    out.extend_from_slice(&0i64.to_be_bytes());
    out.extend_from_slice(&1u32.to_be_bytes());
    out
}

fn commit(lsn: u64) -> Vec<u8> {
    let mut out = vec![b'C', 0];
    out.extend_from_slice(&lsn.to_be_bytes());
    out.extend_from_slice(&(lsn + 8).to_be_bytes());
    out.extend_from_slice(&0i64.to_be_bytes());
    out
}

fn chain(topics: &TopicTable) -> Chain {
    let engine = HostEngine::new(Limits::default(), None).expect("an engine");
    let stage = |name: &str, bytes: &[u8], config: &str| {
        let module = Module::load(&engine, name, bytes, None).expect("a default module");
        StageSpec::new(name, module.into(), config)
    };
    let spec = ChainSpec {
        filters: vec![stage("select", defaults::SELECT, r#"{"include":["*.*"]}"#)],
        maps: Vec::new(),
        route: stage("route", defaults::TOPIC_ROUTER, r#"{"topic_policy":1,"partition_policy":2}"#),
        format: stage("format", defaults::DRS_JSON, "{}"),
        mapping: Default::default(),
    };
    Chain::instantiate(&spec, engine.limits(), topics).expect("a chain")
}

const EVENTS: u64 = 512;

/// All parts between the socket and the producer.
struct Path {
    buffer: FrameBuffer,
    decoder: PgOutput,
    batch: Batch,
    log: RelationLog,
    announced: u32,
    chain: Chain,
    records: Records,
}

impl Path {
    fn new() -> Path {
        let log = RelationLog::new();
        let start = Start { shard: 0, shards: 1, database: "shop".into(), end_lsn: Lsn(0), next_id: 1 };
        Path {
            buffer: FrameBuffer::new(256 << 10, 1 << 20),
            decoder: PgOutput::new(start, log.clone()),
            batch: Batch::new(0),
            log,
            announced: 0,
            chain: chain(&TopicTable::new()),
            records: Records::new(),
        }
    }

    /// Pushes one transaction of `EVENTS` inserts through all of it; gives the bytes of the records' values.
    fn round(&mut self, wire: &[u8]) -> usize {
        self.batch.clear();
        let mut sent = 0;
        while sent < wire.len() {
            let space = self.buffer.spare();
            let count = space.len().min(wire.len() - sent).min(64 << 10);
            space[..count].copy_from_slice(&wire[sent..sent + count]);
            self.buffer.filled(count);
            sent += count;
            while let Some(raw) = self.buffer.advance().expect("frames") {
                let Ok(CopyData::XLogData { wal_start, payload, .. }) = decode_copy_data(self.buffer.bytes(raw.body))
                else {
                    panic!("not XLogData");
                };
                let step = self.decoder.message(wal_start, payload, &mut self.batch).expect("a message");
                if let Step::KeysNeeded { oid } = step {
                    self.decoder.set_keys(oid, &["id".to_owned()]).expect("keys");
                }
            }
        }
        while let Some(relation) = self.log.get(self.announced) {
            self.chain.announce(&relation).expect("a plan");
            self.announced += 1;
        }
        assert_eq!(self.batch.len() as u64, EVENTS);
        self.chain.process(&self.batch, 1, &mut self.records).expect("records");
        assert_eq!(self.records.len() as u64, EVENTS);
        self.records.iter().map(|record| record.value.map_or(0, <[u8]>::len)).sum()
    }
}

#[test]
fn nothing_is_allocated_per_event_from_the_socket_to_the_producer() {
    let mut path = Path::new();
    let wires: Vec<Vec<u8>> = (0..12u64)
        .map(|n| {
            let lsn = 1000 * (n + 1);
            let mut wire = Vec::new();
            frame(&begin(lsn), &mut wire);
            if n == 0 {
                frame(&relation(), &mut wire);
            }
            (0..EVENTS).for_each(|id| frame(&insert(100_000 + id), &mut wire));
            frame(&commit(lsn), &mut wire);
            wire
        })
        .collect();
    let mut counted = Vec::new();
    for wire in &wires {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let bytes = path.round(wire);
        counted.push(ALLOCATIONS.load(Ordering::Relaxed) - before);
        assert!(bytes as u64 > 500 * EVENTS, "the records are not the events");
    }
    // The first rounds grow the buffers. After that what is left is per call into a module: a handful per batch of 512.
    let steady = &counted[6..];
    assert!(steady.iter().all(|count| *count <= 64), "allocations per batch of {EVENTS}: {counted:?}");
}
