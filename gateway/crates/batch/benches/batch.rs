//! What filling and reading a batch costs per change of 12 cells.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_batch::{Batch, Cell, ChangeStamp, Lsn, Op, marks};

const CHANGES: u64 = 256;
const CELL: &[u8] = b"a value of 18 byte";

fn fill(batch: &mut Batch) {
    batch.clear();
    for id in 0..CHANGES {
        let stamp = ChangeStamp {
            id,
            commit_lsn: Lsn(1),
            xid: 1,
            commit_time: 1,
            ordinal: id as u32,
            relation: 0,
            op: Op::Insert,
        };
        batch.begin_change(stamp);
        for _ in 0..12 {
            assert!(batch.push_text(black_box(CELL)));
        }
        batch.finish_change(12, 0, marks::NEW);
    }
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(CHANGES));
    let mut batch = Batch::new(0);
    group.bench_function("fill", |b| b.iter(|| fill(&mut batch)));
    group.bench_function("read", |b| {
        b.iter(|| {
            let cells = (0..batch.cell_count()).map(|index| match batch.cell(index) {
                Cell::Text(text) => text.len(),
                Cell::Null | Cell::Unsent => 0,
            });
            black_box(cells.sum::<usize>())
        });
    });
    group.finish();
}

criterion_group!(batch, benches);
criterion_main!(batch);
