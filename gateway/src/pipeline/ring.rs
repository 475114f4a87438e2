//! The last events, kept for trying a new version of the chain on them.
//!
//! Owns a bounded number of batches that are done with (I7). Must not copy: a batch goes through the ring on its way back to the pool.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use millrace_batch::Batch;

/// The last batches of a session, oldest first.
#[derive(Debug)]
pub struct Ring {
    changes: usize,
    bytes: usize,
    kept: Mutex<VecDeque<Batch>>,
}

impl Ring {
    /// Keeps batches until they hold `changes` changes or `bytes` bytes.
    pub fn new(changes: usize, bytes: usize) -> Ring {
        Ring { changes, bytes, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Batch>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self, kept: &VecDeque<Batch>) -> bool {
        kept.iter().map(Batch::len).sum::<usize>() > self.changes
            || kept.iter().map(Batch::weight).sum::<usize>() > self.bytes
    }

    /// Takes a batch in and gives back those that have no room any more.
    pub fn pass(&self, batch: Batch, mut spare: impl FnMut(Batch)) {
        if batch.is_empty() || batch.weight() > self.bytes {
            return spare(batch);
        }
        let mut kept = self.kept();
        kept.push_back(batch);
        while self.is_full(&kept) {
            match kept.pop_front() {
                Some(oldest) => spare(oldest),
                None => return,
            }
        }
    }

    /// Takes the batches out, to be tried; [`Ring::restore`] brings them back.
    pub fn take(&self) -> Vec<Batch> {
        std::mem::take(&mut *self.kept()).into()
    }

    /// Brings batches back, as far as newer ones have left room.
    pub fn restore(&self, batches: Vec<Batch>) {
        let mut kept = self.kept();
        for batch in batches.into_iter().rev() {
            kept.push_front(batch);
            if self.is_full(&kept) {
                kept.pop_front();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_batch::{ChangeStamp, Lsn, Op};

    fn batch(id: u64, changes: usize) -> Batch {
        let mut batch = Batch::new(0);
        for _ in 0..changes {
            let (commit_lsn, op) = (Lsn(1), Op::Insert);
            batch.begin_change(ChangeStamp { id, commit_lsn, xid: 1, commit_time: 0, ordinal: 0, relation: 0, op });
            batch.finish_change(0, 0, 0);
        }
        batch
    }

    fn ids(batches: &[Batch]) -> Vec<u64> {
        batches.iter().map(|batch| batch.ids()[0]).collect()
    }

    #[test]
    fn the_oldest_go_first_and_come_back_only_where_there_is_room() {
        let ring = Ring::new(10, 1 << 20);
        let mut spared = Vec::new();
        for id in 0..5 {
            ring.pass(batch(id, 4), |batch| spared.push(batch));
        }
        assert_eq!(ids(&spared), [0, 1, 2]);
        let taken = ring.take();
        assert_eq!(ids(&taken), [3, 4]);
        ring.pass(batch(5, 4), |_| panic!("there is room"));
        ring.restore(taken);
        assert_eq!(ids(&ring.take()), [4, 5]);
        let small = Ring::new(10, 10);
        small.pass(batch(6, 4), |batch| spared.push(batch));
        small.pass(Batch::new(0), |batch| spared.push(batch));
        assert_eq!((spared.len(), small.take().len()), (5, 0), "too large, or empty: back at once");
    }
}
