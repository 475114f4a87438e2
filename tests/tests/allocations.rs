//! From the bytes of the source to the records for the producer nothing is allocated per change: what a batch allocates does not
//! grow with the number of its changes.
//!
//! The real decoder and the real default modules, in one thread, under an allocator that counts.

use millrace_batch::{Batch, Lsn, RelationLog};
use millrace_decode::pgoutput::{PgOutput, Start, Step};
use millrace_host::{Chain, ChainSpec, HostEngine, Limits, Module, Records, StageSpec, TopicTable, defaults};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // The thread may be past the life of its locals; then nobody asks for the count either.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every method hands its arguments unchanged to the system's allocator, which keeps the contract; counting touches a
// thread-local cell that is initialised without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout, see `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the pointer came from `System` with this layout; the caller keeps the rest of the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const OID: u32 = 16_400;
/// Columns: name, type OID, part of the identity.
const COLUMNS: [(&str, u32, bool); 5] =
    [("id", 20, true), ("name", 1043, false), ("amount", 1700, false), ("open", 16, false), ("data", 17, false)];

fn relation() -> Vec<u8> {
    let mut out = [&b"R"[..], &OID.to_be_bytes(), b"public\0ledger\0d", &[0, COLUMNS.len() as u8]].concat();
    for (name, type_oid, identity) in COLUMNS {
        out.push(u8::from(identity));
        out.extend(name.as_bytes());
        out.push(0);
        out.extend(type_oid.to_be_bytes());
        out.extend((-1i32).to_be_bytes());
    }
    out
}

fn row(tag: u8, n: u64) -> Vec<u8> {
    let id = n.to_string();
    let values: [Option<&[u8]>; 5] =
        [Some(id.as_bytes()), Some(b"O'Brien & <sons>"), Some(b"12345.67"), Some(b"t"), Some(b"\\x00ff")];
    let (kind, values): (u8, Vec<Option<&[u8]>>) = match tag {
        // Only the key of the old row is sent.
        b'D' => (b'K', vec![values[0], None, None, None, None]),
        _ => (b'N', values.to_vec()),
    };
    let mut out = [&[tag][..], &OID.to_be_bytes(), &[kind, 0, values.len() as u8]].concat();
    for value in values {
        match value {
            None => out.push(b'n'),
            Some(text) => {
                out.push(b't');
                out.extend((text.len() as u32).to_be_bytes());
                out.extend(text);
            }
        }
    }
    out
}

/// The messages of `changes` changes in transactions of ten: half inserts, four tenths updates, one tenth deletes.
fn messages(changes: u64, from_lsn: u64) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for transaction in 0..changes / 10 {
        let lsn = from_lsn + transaction * 100;
        let xid = u32::try_from(lsn & 0x7fff_ffff).expect("31 bits");
        out.push([&b"B"[..], &(lsn + 50).to_be_bytes(), &1i64.to_be_bytes(), &xid.to_be_bytes()].concat());
        out.extend(
            (0..10).map(|n| row([b'I', b'I', b'I', b'I', b'I', b'U', b'U', b'U', b'U', b'D'][n], lsn + n as u64)),
        );
        out.push([&b"C\0"[..], &(lsn + 50).to_be_bytes(), &(lsn + 60).to_be_bytes(), &1i64.to_be_bytes()].concat());
    }
    out
}

struct Way {
    decoder: PgOutput,
    chain: Chain,
    batch: Batch,
    records: Records,
}

impl Way {
    fn new() -> Self {
        let limits = Limits::default();
        let engine = HostEngine::new(limits.clone(), None).expect("an engine");
        let stage = |name: &str, bytes: &[u8], config: &str| {
            let module = Module::load(&engine, name, bytes, None).expect("a default module loads");
            StageSpec::new(name, Arc::new(module), config)
        };
        let spec = ChainSpec {
            filters: vec![stage("select", defaults::SELECT, r#"{"include":["public.*"],"exclude":[]}"#)],
            maps: Vec::new(),
            route: stage("topic-router", defaults::TOPIC_ROUTER, r#"{"topic_policy":1,"partition_policy":2}"#),
            format: stage("drs-json", defaults::DRS_JSON, "{}"),
            mapping: Default::default(),
        };
        let relations = RelationLog::new();
        let start = Start { shard: 0, shards: 1, database: "shop".to_owned(), end_lsn: Lsn(0), next_id: 0 };
        let mut decoder = PgOutput::new(start, relations.clone());
        let mut chain = Chain::instantiate(&spec, &limits, &TopicTable::new()).expect("a chain");
        let mut batch = Batch::new(0);
        let begin = &messages(10, 1000)[0];
        decoder.message(Lsn(1), begin, &mut batch).expect("begin");
        let step = decoder.message(Lsn(1), &relation(), &mut batch).expect("a relation");
        assert_eq!(step, Step::KeysNeeded { oid: OID });
        decoder.set_keys(OID, &["id".to_owned()]).expect("keys that fit");
        let commit = messages(10, 1000).pop().expect("a commit");
        decoder.message(Lsn(1), &commit, &mut batch).expect("commit");
        batch.clear();
        let relation = relations.get(0).expect("the table is known");
        chain.announce(&relation).expect("the chain takes the table");
        Self { decoder, chain, batch, records: Records::new() }
    }

    /// Allocations on the way of one batch; its records are looked at as the producer's caller does.
    fn drive(&mut self, messages: &[Vec<u8>], changes: usize) -> usize {
        let before = CALLS.get();
        self.batch.clear();
        self.records.clear();
        for message in messages {
            self.decoder.message(Lsn(1), message, &mut self.batch).expect("a message");
        }
        self.chain.process(&self.batch, 1, &mut self.records).expect("the chain takes the batch");
        let (mut seen, mut bytes) = (0, 0);
        for record in self.records.iter() {
            seen += 1;
            bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        }
        let calls = CALLS.get() - before;
        assert_eq!(seen, changes, "every change became a record");
        assert!(bytes > changes * 300, "records have their envelope");
        calls
    }
}

#[test]
fn what_a_batch_allocates_does_not_depend_on_its_changes() {
    /// Allocations of a batch besides its changes: the lists that cross into and out of the modules.
    const PER_BATCH: usize = 100;
    let mut way = Way::new();
    let mut lsn = 100_000;
    let mut least = |changes: u64| {
        // Warm: buffers have grown to their size.
        let calls = (0..20).map(|_| {
            let messages = messages(changes, lsn);
            lsn += changes * 100;
            way.drive(&messages, usize::try_from(changes).expect("a count"))
        });
        calls.skip(5).min().expect("rounds")
    };
    let (large, small) = (least(2000), least(100));
    println!("allocations a batch: {small} at 100 changes, {large} at 2000");
    assert!(large <= small + 8, "allocations grow with the changes: {small} at 100, {large} at 2000");
    assert!(large <= PER_BATCH, "{large} allocations a batch");
}
