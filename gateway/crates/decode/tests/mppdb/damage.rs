//! Damaged recordings: never a panic, and a refused record leaves the decoder usable.

use crate::recording;
use millrace_batch::{Batch, Lsn, RelationLog, ReplicaIdentity};
use millrace_decode::Start;
use millrace_decode::mppdb::{CatalogueTable, Layout, Limits, Mppdb, Record, Row, Step, frames, parse};
use proptest::prelude::*;
use std::sync::LazyLock;

static CORPUS: LazyLock<Vec<(Layout, Vec<Vec<u8>>)>> = LazyLock::new(|| {
    let styles = [
        ("serial", Layout::Serial),
        ("parallel-b", Layout::Binary),
        ("parallel-j", Layout::Json),
        ("parallel-t", Layout::Text),
    ];
    let load = |(style, layout)| {
        let payloads =
            ["pg", "b"].iter().flat_map(|database| recording::payloads(&format!("{database}-{style}.jsonl")));
        (layout, payloads.map(|payload| payload.bytes).collect())
    };
    styles.into_iter().map(load).collect()
});

proptest! {
    #[test]
    fn damaged_streams_never_panic(
        style in 0..4usize, batched: bool,
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 1..8),
    ) {
        let (layout, mut payloads) = CORPUS[style].clone();
        for (at, place, kind, byte) in damages {
            let at = at.index(payloads.len());
            let place = place.index(payloads[at].len() + 1);
            match kind {
                0 => payloads[at].truncate(place),
                1 => payloads[at].insert(place, byte),
                2 => drop(payloads.remove(at)),
                _ => {
                    if let Some(target) = payloads[at].get_mut(place) {
                        *target = byte;
                    }
                }
            }
        }
        let start = Start { shard: 0, shards: 1, database: "og".to_owned(), end_lsn: Lsn(0), next_id: 0 };
        let mut decoder = Mppdb::new(layout, start, RelationLog::new(), Limits { transaction_bytes: 1 << 20 });
        let mut batch = Batch::new(0);
        for (n, payload) in payloads.iter().enumerate() {
            for frame in frames(layout, batched, payload) {
                let Ok(frame) = frame else { break };
                let next = decoder.next_id();
                let mut step = decoder.record(Lsn(n as u64 + 1), frame);
                if step == Ok(Step::TableNeeded) {
                    let (schema, table) = decoder.needed().map(|(s, t)| (s.to_owned(), t.to_owned())).unwrap();
                    let (columns, key_columns) = (Vec::new(), Vec::new());
                    let answer = CatalogueTable { oid: 0, identity: ReplicaIdentity::Full, columns, key_columns };
                    decoder.set_table(&schema, &table, answer);
                    step = decoder.record(Lsn(n as u64 + 1), frame);
                    prop_assert_ne!(&step, &Ok(Step::TableNeeded));
                }
                match step {
                    Ok(Step::Commit) => {
                        prop_assert!(decoder.release(&mut batch, usize::MAX));
                        prop_assert_eq!(batch.len() as u64, decoder.next_id() - next);
                        batch.clear();
                    }
                    _ => prop_assert_eq!(decoder.next_id(), next),
                }
            }
        }
    }

    /// A record that reads, reads the same behind any other: scratch space carries nothing over.
    #[test]
    fn records_do_not_depend_on_what_was_read_before(style in 0..4usize, first: prop::sample::Index, second: prop::sample::Index) {
        let (layout, payloads) = &CORPUS[style];
        let read = |row: &mut Row, payload: &[u8]| {
            let frame = frames(*layout, false, payload).next().unwrap().unwrap();
            let record = parse(*layout, frame, row).unwrap();
            let columns = |row: &Row| format!("{:?}", row.new_image().chain(row.old_image()).collect::<Vec<_>>());
            let text = if record == Record::Row { columns(row) } else { String::new() };
            (record, text)
        };
        let mut used = Row::default();
        read(&mut used, &payloads[first.index(payloads.len())]);
        let second = &payloads[second.index(payloads.len())];
        prop_assert_eq!(read(&mut used, second), read(&mut Row::default(), second));
    }
}
