//! What cutting a read into messages costs per message of 150 bytes, the size of a small row.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_replication::{CopyData, FrameBuffer, decode_copy_data};

const MESSAGES: usize = 400;

fn wire() -> Vec<u8> {
    let mut wire = Vec::new();
    for _ in 0..MESSAGES {
        wire.push(b'd');
        wire.extend_from_slice(&(4 + 25 + 150u32).to_be_bytes());
        wire.push(b'w');
        wire.extend_from_slice(&[0; 24]);
        wire.extend_from_slice(&[b'I'; 150]);
    }
    wire
}

fn benches(c: &mut Criterion) {
    let wire = wire();
    let mut buffer = FrameBuffer::new(256 << 10, 1 << 20);
    let mut group = c.benchmark_group("framing");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    group.bench_function("XLogData", |b| {
        b.iter(|| {
            buffer.spare()[..wire.len()].copy_from_slice(&wire);
            buffer.filled(wire.len());
            let mut bytes = 0;
            while let Ok(Some(raw)) = buffer.advance() {
                if let Ok(CopyData::XLogData { payload, .. }) = decode_copy_data(buffer.bytes(raw.body)) {
                    bytes += black_box(payload).len();
                }
            }
            assert_eq!(bytes, MESSAGES * 150);
        });
    });
    group.finish();
}

criterion_group!(framing, benches);
criterion_main!(framing);
