//! Damaged recordings: never a panic, and an error leaves no trace. The same check as the fuzz target, without nightly.

use crate::{check, golden};
use proptest::prelude::*;
use std::sync::LazyLock;

static CORPUS: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| {
    let messages = |case: &&str| golden::recording(case).messages.into_iter().map(|(_, payload)| payload).collect();
    golden::CASES.iter().map(messages).collect()
});

/// Where and how a message is damaged.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Swap(prop::sample::Index),
    Drop,
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => index().prop_map(Damage::Cut),
        1 => (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        1 => index().prop_map(Damage::Swap),
        1 => Just(Damage::Drop),
    ]
}

fn apply(messages: &mut [Vec<u8>], at: prop::sample::Index, damage: &Damage) {
    let at = at.index(messages.len());
    let message = &mut messages[at];
    let length = message.len().max(1);
    match damage {
        Damage::Set(place, byte) => {
            if let Some(target) = message.get_mut(place.index(length)) {
                *target = *byte;
            }
        }
        Damage::Cut(place) => message.truncate(place.index(length)),
        Damage::Insert(place, byte) => message.insert(place.index(length).min(message.len()), *byte),
        Damage::Swap(other) => {
            let other = other.index(messages.len());
            messages.swap(at, other);
        }
        Damage::Drop => message.clear(),
    }
}

proptest! {
    #[test]
    fn damaged_recordings_hold_what_the_fuzz_target_checks(
        case in 0..golden::CASES.len(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..6),
    ) {
        let mut messages = CORPUS[case].clone();
        for (at, damage) in &damages {
            apply(&mut messages, *at, damage);
        }
        check::stream(&messages);
    }
}

#[test]
fn the_corpus_of_the_fuzz_target_holds() {
    let folder = [env!("CARGO_MANIFEST_DIR"), "fuzz/corpus/pgoutput"].iter().collect::<std::path::PathBuf>();
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= golden::CASES.len());
    for file in files {
        check::pgoutput(&std::fs::read(file).unwrap());
    }
}
