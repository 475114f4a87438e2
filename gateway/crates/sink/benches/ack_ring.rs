//! Cost of an acknowledgement: in order, and as several partitions interleave their batches.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use millrace_sink::AckRing;

const RECORDS: u64 = 64 * 1024;

fn ring(c: &mut Criterion) {
    // Eight partitions take records in turn and acknowledge them in batches of 512.
    let interleaved: Vec<u64> = (0..RECORDS / 4096)
        .flat_map(|lap| (0..8).flat_map(move |part| (0..512).map(move |n| lap * 4096 + n * 8 + part)))
        .collect();
    let in_order: Vec<u64> = (0..RECORDS).collect();
    let mut group = c.benchmark_group("ack_ring");
    group.throughput(Throughput::Elements(RECORDS));
    for (name, order) in [("in_order", in_order), ("eight_partitions", interleaved)] {
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || AckRing::new(1 << 20),
                |ring| {
                    for seq in &order {
                        ring.acknowledge(*seq);
                    }
                    assert_eq!(ring.watermark(), RECORDS);
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, ring);
criterion_main!(benches);
