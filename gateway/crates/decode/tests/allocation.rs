//! Once buffers are warm, a row costs no allocation (design: no per-event heap object before the producer).

#[path = "pgoutput/encode.rs"]
mod encode;

use encode::{Value, text};
use millrace_batch::{Batch, Lsn, RelationLog};
use millrace_decode::pgoutput::{PgOutput, Start, Step};
use std::alloc::{GlobalAlloc, Layout, System};
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
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
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
