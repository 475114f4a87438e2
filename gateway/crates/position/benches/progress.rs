//! What the progress state machine costs per transaction: it is asked once for each, under a lock.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_batch::Lsn;
use millrace_position::{Position, Progress};

const TRANSACTIONS: u64 = 1000;

fn run() -> Option<Position> {
    let mut progress = Progress::new(Position::start(0));
    for n in 1..=TRANSACTIONS {
        let position = Position { shard: 0, end_lsn: Lsn(n * 100), ordinal: 0, next_id: n * 10 };
        // Positions rise, which is all that can be refused.
        let released = progress.released(n * 10, position);
        assert_eq!(released, Ok(()));
        // Acknowledgements come in batches, well behind.
        if n.is_multiple_of(25) {
            progress.acked(n * 10 - 100);
        }
    }
    progress.acked(TRANSACTIONS * 10);
    progress.completable()
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("progress");
    group.throughput(Throughput::Elements(TRANSACTIONS));
    group.bench_function("release and acknowledge", |b| b.iter(|| black_box(run())));
    group.finish();
}

criterion_group!(progress, benches);
criterion_main!(progress);
