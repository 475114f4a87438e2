//! From acknowledgements in any order to a contiguous watermark.
//!
//! Owns one bit per record that is in flight. Must not know Kafka. Acknowledgements come from one thread (the one that serves
//! delivery reports); the watermark is read by any.

use std::sync::atomic::{AtomicU64, Ordering};

/// Acknowledged sequence numbers in a window of fixed size above the watermark.
#[derive(Debug)]
pub struct AckRing {
    words: Box<[AtomicU64]>,
    mask: u64,
    watermark: AtomicU64,
}

impl AckRing {
    /// A ring for at least `records` in flight; memory is one bit each, rounded up to a power of two.
    pub fn new(records: usize) -> AckRing {
        let bits = records.max(64).next_power_of_two();
        AckRing {
            words: (0..bits / 64).map(|_| AtomicU64::new(0)).collect(),
            mask: bits as u64 - 1,
            watermark: AtomicU64::new(0),
        }
    }

    /// How many sequence numbers above the watermark fit.
    pub fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// True where `seq` may be put in flight.
    pub fn has_room(&self, seq: u64) -> bool {
        seq.wrapping_sub(self.watermark()) <= self.mask
    }

    /// Every record with a sequence number below this is acknowledged.
    pub fn watermark(&self) -> u64 {
        self.watermark.load(Ordering::Acquire)
    }

    /// Records an acknowledgement; to be called by one thread at a time. True where the watermark moved. A number outside the
    /// window is ignored: below, it was acknowledged before; above, it was never in flight.
    pub fn acknowledge(&self, seq: u64) -> bool {
        // Only this thread writes, so plain loads and stores do; the watermark is what others read.
        let watermark = self.watermark.load(Ordering::Relaxed);
        if seq.wrapping_sub(watermark) > self.mask {
            return false;
        }
        if seq != watermark {
            let word = self.word(seq);
            word.store(word.load(Ordering::Relaxed) | 1 << (seq % 64), Ordering::Relaxed);
            return false;
        }
        let mut next = seq + 1;
        // Bits are cleared as they are passed, so the window can come round again.
        loop {
            let word = self.word(next);
            let bits = word.load(Ordering::Relaxed);
            let run = (bits >> (next % 64)).trailing_ones();
            if run == 0 {
                break;
            }
            let passed = (u64::MAX >> (64 - run)) << (next % 64);
            word.store(bits & !passed, Ordering::Relaxed);
            next += u64::from(run);
        }
        self.watermark.store(next, Ordering::Release);
        true
    }

    fn word(&self, seq: u64) -> &AtomicU64 {
        &self.words[((seq & self.mask) / 64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_watermark_waits_for_the_first_gap() {
        let ring = AckRing::new(64);
        assert!(!ring.acknowledge(1));
        assert!(!ring.acknowledge(3));
        assert_eq!(ring.watermark(), 0);
        assert!(ring.acknowledge(0));
        assert_eq!(ring.watermark(), 2);
        assert!(!ring.acknowledge(1), "a second acknowledgement changes nothing");
        assert!(ring.acknowledge(2));
        assert_eq!(ring.watermark(), 4);
        assert!(ring.has_room(67) && !ring.has_room(68));
        assert!(!ring.acknowledge(68), "outside the window");
    }

    proptest! {
        /// Against a set, with windows that come round many times.
        #[test]
        fn agrees_with_a_set(size in 1usize..200, picks in prop::collection::vec(any::<u16>(), 0..3000)) {
            let ring = AckRing::new(size);
            let mut open: BTreeSet<u64> = BTreeSet::new();
            let mut sent = 0u64;
            for pick in picks {
                while ring.has_room(sent) && open.len() < 1 + usize::from(pick) % 300 {
                    open.insert(sent);
                    sent += 1;
                }
                let at = usize::from(pick) % open.len().max(1);
                if let Some(seq) = open.iter().copied().nth(at) {
                    open.remove(&seq);
                    ring.acknowledge(seq);
                }
                prop_assert_eq!(ring.watermark(), open.first().copied().unwrap_or(sent));
            }
        }
    }
}
