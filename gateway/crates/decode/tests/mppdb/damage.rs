//! Damaged recordings: never a panic, and a refused record leaves the decoder usable.

use crate::{check, recording};
use millrace_decode::mppdb::{Layout, Record, Row, frames, parse};
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
    fn damaged_streams_hold_what_the_fuzz_target_checks(
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
        check::payloads(layout, batched, &payloads);
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

#[test]
fn the_corpus_of_the_fuzz_target_holds() {
    let folder = [env!("CARGO_MANIFEST_DIR"), "fuzz/corpus/mppdb"].iter().collect::<std::path::PathBuf>();
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 8);
    for file in files {
        check::mppdb(&std::fs::read(file).unwrap());
    }
}
