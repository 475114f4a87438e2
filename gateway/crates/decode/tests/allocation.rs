//! Once buffers are warm, a row costs no allocation (design: no per-event heap object before the producer).

#[path = "pgoutput/encode.rs"]
mod encode;

use encode::{Value, text};
use millrace_batch::{Batch, Lsn, RelationLog, ReplicaIdentity};
use millrace_decode::NoSpill;
use millrace_decode::mppdb::{self, CatalogueTable, Frame, Layout, Mppdb, Options};
use millrace_decode::pgoutput::{PgOutput, Start, Step};
use std::alloc::{self, GlobalAlloc, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is going away may have lost its counter; nobody asks for it then.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system allocator with the caller's own arguments; counting touches no memory it manages
// (a const-initialised thread-local without destructor does not allocate).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: alloc::Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: alloc::Layout) {
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: alloc::Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the pointer came from `System` with this layout, the caller upholds the rest.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_row_allocates_nothing_once_buffers_are_warm() {
    let start = Start { shard: 0, shards: 1, database: "db".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let mut decoder = PgOutput::new(start, RelationLog::new());
    let mut batch = Batch::new(0);
    let row = [text("1"), text("t"), text("\\x00ff"), text("value"), Value::Null];
    let key = [text("1"), Value::Null, Value::Null, Value::Null, Value::Null];
    let columns = [("id", 23, true), ("b", 16, false), ("x", 17, false), ("v", 25, false), ("n", 20, false)];
    let mut setup = vec![encode::begin(100, 0, 7)];
    setup.extend([1, 2].map(|oid| encode::relation(oid, "s", &format!("t{oid}"), b'd', &columns)));
    for payload in &setup {
        if let Step::KeysNeeded { oid } = decoder.message(Lsn(0), payload, &mut batch).unwrap() {
            decoder.set_keys(oid, &["id".to_owned()]).unwrap();
        }
    }
    let rows: Vec<Vec<u8>> = [1, 2]
        .iter()
        .flat_map(|oid| {
            [
                encode::row(b'I', *oid, &[(b'N', &row)]),
                encode::row(b'U', *oid, &[(b'N', &row)]),
                encode::row(b'U', *oid, &[(b'K', &key), (b'N', &row)]),
                encode::row(b'D', *oid, &[(b'K', &key)]),
            ]
        })
        .collect();
    let mut fill = |batch: &mut Batch| {
        for payload in rows.iter().cycle().take(1000) {
            assert_eq!(decoder.message(Lsn(0), payload, batch), Ok(Step::Row));
        }
    };
    let before = ALLOCATIONS.get();
    fill(&mut batch);
    assert!(ALLOCATIONS.get() > before, "the counter counts the growth of cold buffers");
    batch.clear();
    let before = ALLOCATIONS.get();
    fill(&mut batch);
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert_eq!(batch.len(), 1000);
}

#[test]
fn a_transaction_of_mppdb_allocates_nothing_once_buffers_are_warm() {
    let json = br#"{"table_name":"s.t","op_type":"UPDATE","columns_name":["id","v","n","f"],"columns_type":["integer","text","numeric","double precision"],"columns_val":["1","'it''s\n'",".5",".100000000000000006"],"old_keys_name":["id"],"old_keys_type":["integer"],"old_keys_val":["1"]}"#;
    let text = b"table s t UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:1 v[text]:'it''s' n[numeric]:.5 b[boolean]:true";
    let mut binary = b"I\0\x01s\0\x01tN\0\x02\0\x02id\0\0\0\x17\0\0\0\x011\0\x03\"V\"\0\0\0\x19".to_vec();
    binary.extend(b"\xFF\xFF\xFF\xFF");
    let begin_b = [b"B".as_slice(), &[0; 16]].concat();
    let time = b"1970-01-01 00:00:01+00";
    let commit_b = [b"CX".as_slice(), &5u64.to_be_bytes(), b"T\0\0\0\x16", time].concat();
    let (begin, commit) = (b"BEGIN 5".to_vec(), b"COMMIT 5 (at 1970-01-01 00:00:01+00)".to_vec());
    for (layout, begin, row, commit) in [
        (Layout::Serial, &begin, json.to_vec(), &commit),
        (Layout::Text, &begin, text.to_vec(), &commit),
        (Layout::Binary, &begin_b, binary, &commit_b),
    ] {
        let start = Start { shard: 0, shards: 1, database: "db".to_owned(), end_lsn: Lsn(0), next_id: 0 };
        let mut decoder = Mppdb::new(Options::new(layout), start, RelationLog::new(), Box::new(NoSpill));
        let mut batch = Batch::new(0);
        let mut transaction = |end: u64| {
            let mut send = |bytes: &[u8]| {
                let frame = Frame { lsn: Some(Lsn(end)), bytes };
                if decoder.record(Lsn(end), frame).unwrap() == mppdb::Step::TableNeeded {
                    let (columns, key_columns) = (Vec::new(), Vec::new());
                    let answer = CatalogueTable { oid: 1, identity: ReplicaIdentity::Full, columns, key_columns };
                    decoder.set_table(answer);
                    assert_eq!(decoder.record(Lsn(end), frame), Ok(mppdb::Step::Row));
                }
            };
            send(begin);
            (0..500).for_each(|_| send(&row));
            send(commit);
            batch.clear();
            let before = ALLOCATIONS.get();
            assert_eq!(decoder.release(&mut batch), Ok(true));
            assert_eq!(batch.len(), 500);
            ALLOCATIONS.get() - before
        };
        assert!(transaction(10) > 0, "the counter counts the growth of a cold batch");
        let before = ALLOCATIONS.get();
        assert_eq!(transaction(20), 0);
        assert_eq!(ALLOCATIONS.get() - before, 0, "{layout:?}");
    }
}
