//! Damaged recordings: never a panic, and an error leaves no trace. The same check as the fuzz target, without nightly.

use crate::golden;
use millrace_batch::{Batch, Lsn, RelationLog};
use millrace_decode::pgoutput::{Message, PgOutput, Step};
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

fn apply(messages: &mut Vec<Vec<u8>>, at: prop::sample::Index, damage: &Damage) {
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
    fn damaged_recordings_never_panic_and_errors_leave_no_trace(
        case in 0..golden::CASES.len() - 1,
        damages in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..6),
    ) {
        let mut messages = CORPUS[case].clone();
        for (at, damage) in &damages {
            apply(&mut messages, *at, damage);
        }
        let mut decoder = PgOutput::new(golden::start(Lsn(0)), RelationLog::new());
        let mut batch = Batch::new(0);
        for message in &messages {
            let (before, next, inside) = (batch.clone(), decoder.next_id(), decoder.in_transaction());
            match decoder.message(Lsn(1), message, &mut batch) {
                Ok(Step::KeysNeeded { oid }) => {
                    // A damaged description may be refused; its rows then are.
                    let _ = decoder.set_keys(oid, &golden::flagged(message));
                }
                Ok(step) => {
                    let changes = batch.len() - before.len();
                    prop_assert_eq!(changes > 0, matches!(step, Step::Row | Step::Truncate) && message.len() > 6);
                    prop_assert_eq!(batch.commits().len() - before.commits().len(), usize::from(step == Step::Commit));
                    prop_assert_eq!(decoder.next_id() - next, changes as u64);
                }
                Err(error) => {
                    prop_assert_eq!(&batch, &before);
                    prop_assert_eq!((decoder.next_id(), decoder.in_transaction()), (next, inside));
                    prop_assert!(error.offset() <= message.len());
                }
            }
        }
    }

    #[test]
    fn single_messages_never_panic(
        case in 0..golden::CASES.len(), at: prop::sample::Index, damage in damage(), in_stream: bool
    ) {
        let mut messages = vec![CORPUS[case][at.index(CORPUS[case].len())].clone()];
        apply(&mut messages, at, &damage);
        if let Err(error) = Message::parse(&messages[0], in_stream) {
            prop_assert!(error.offset() <= messages[0].len());
        }
    }
}
