//! Which position may be made durable, and which LSN may be confirmed to the source (invariant I1).
//!
//! Owns the decision, for one shard. Must not know how records are sent or where positions are kept: it takes events and
//! answers questions, so every order of events can be tried in a test.
//!
//! Order of events for a transaction: [`Progress::released`] when the last of its records has been numbered (in commit order),
//! [`Progress::acked`] as Kafka acknowledges, then [`Progress::completable`] names the position to write, [`Progress::made_durable`]
//! tells that it was written, and [`Progress::confirmable`] what the slot may be told. Events of different threads may be seen late;
//! late ones only make the answers more cautious.
//!
//! A keepalive has no event of its own: the reader releases it as a transaction without records, in its place in the stream, so
//! it is complete when everything before it is, and never sooner.

use std::collections::VecDeque;

use millrace_batch::{Failure, Lsn};

use crate::Position;

/// The source broke the order that positions rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgressError {
    /// A transaction ends at or before its predecessor.
    #[error("a transaction ends at {found}, its predecessor ended at {last}")]
    Backwards {
        /// End of the transaction before.
        last: Lsn,
        /// End of this one.
        found: Lsn,
    },
    /// A position of another shard.
    #[error("a position of shard {found} in the progress of shard {own}")]
    OtherShard {
        /// Shard this progress is of.
        own: u16,
        /// Shard of the position.
        found: u16,
    },
}

impl ProgressError {
    /// The error as a person sees it.
    pub fn failure(&self) -> Failure {
        Failure::definite(
            "commit_order",
            "keeping the position",
            self.to_string(),
            "restart the task from its durable position; if it comes again, report it with the source's version",
        )
    }
}

/// Progress of one shard.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Released and not complete: (sequence number behind its last record, position behind it).
    pending: VecDeque<(u64, Position)>,
    /// Sequence number behind the last released record.
    released_seq: u64,
    watermark: u64,
    /// Position behind the newest released transaction, complete or not.
    newest: Position,
    complete: Position,
    durable: Position,
}

impl Progress {
    /// Starts from a durable position, with sequence numbers from 0.
    pub fn new(start: Position) -> Progress {
        Progress {
            pending: VecDeque::new(),
            released_seq: 0,
            watermark: 0,
            newest: start,
            complete: start,
            durable: start,
        }
    }

    /// The next transaction in commit order was released: its records have sequence numbers below `end_seq`, and none of its
    /// records, nor of those before it, is still to be numbered. A transaction without records has its predecessor's `end_seq`.
    pub fn released(&mut self, end_seq: u64, position: Position) -> Result<(), ProgressError> {
        if position.shard != self.newest.shard {
            return Err(ProgressError::OtherShard { own: self.newest.shard, found: position.shard });
        }
        if !position.is_after(&self.newest) {
            return Err(ProgressError::Backwards { last: self.newest.end_lsn, found: position.end_lsn });
        }
        assert!(end_seq >= self.released_seq, "sequence numbers are given in commit order");
        self.newest = position;
        match self.pending.back_mut() {
            // Complete at the same moment as its predecessor, so one entry serves both and empty transactions take no memory.
            Some(last) if end_seq == self.released_seq => last.1 = position,
            _ => self.pending.push_back((end_seq, position)),
        }
        self.released_seq = end_seq;
        self.advance();
        Ok(())
    }

    /// Every record with a sequence number below `watermark` is acknowledged. A watermark that falls is ignored.
    pub fn acked(&mut self, watermark: u64) {
        self.watermark = self.watermark.max(watermark);
        self.advance();
    }

    fn advance(&mut self) {
        while let Some(&(end_seq, position)) = self.pending.front() {
            if end_seq > self.watermark {
                break;
            }
            self.complete = position;
            self.pending.pop_front();
        }
    }

    /// The position to make durable next: behind the last complete transaction whose predecessors are complete too. `None` where
    /// it is durable already.
    pub fn completable(&self) -> Option<Position> {
        (self.complete != self.durable).then_some(self.complete)
    }

    /// The position was made durable.
    ///
    /// # Panics
    /// Where it is behind the durable one or ahead of the complete one: going on would confirm what may be lost.
    pub fn made_durable(&mut self, position: Position) {
        assert!(!self.durable.is_after(&position), "a durable position never goes back");
        assert!(!position.is_after(&self.complete), "only a complete position is made durable");
        assert_eq!(position.shard, self.durable.shard);
        self.durable = position;
    }

    /// What the slot may be told is flushed: the end of the durable position, nothing beyond.
    pub fn confirmable(&self) -> Lsn {
        self.durable.end_lsn
    }

    /// Position behind the newest transaction that is complete, as all before it are.
    pub fn complete(&self) -> Position {
        self.complete
    }

    /// Position behind the newest released transaction.
    pub fn newest(&self) -> Position {
        self.newest
    }

    /// The durable position.
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// Released transactions that wait for acknowledgements; several without records may count as one.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(lsn: u64) -> Position {
        Position { shard: 0, end_lsn: Lsn(lsn), ordinal: 0, next_id: lsn }
    }

    #[test]
    fn a_transaction_waits_for_its_last_record_and_for_those_before_it() {
        let mut progress = Progress::new(at(10));
        progress.released(2, at(20)).unwrap();
        progress.released(2, at(30)).unwrap();
        progress.released(5, at(40)).unwrap();
        progress.acked(1);
        assert_eq!(progress.completable(), None);
        progress.acked(2);
        // The empty transaction completes with its predecessor.
        assert_eq!(progress.completable(), Some(at(30)));
        assert_eq!(progress.confirmable(), Lsn(10));
        progress.made_durable(at(30));
        assert_eq!(progress.confirmable(), Lsn(30));
        progress.acked(9);
        assert_eq!(progress.completable(), Some(at(40)));
    }

    #[test]
    fn a_source_that_goes_back_is_an_error() {
        let mut progress = Progress::new(at(10));
        assert_eq!(progress.released(1, at(10)), Err(ProgressError::Backwards { last: Lsn(10), found: Lsn(10) }));
        let other = Position { shard: 1, ..at(20) };
        assert_eq!(progress.released(1, other), Err(ProgressError::OtherShard { own: 0, found: 1 }));
        assert!(progress.completable().is_none());
    }

    #[test]
    #[should_panic(expected = "only a complete position")]
    fn what_is_not_complete_cannot_be_called_durable() {
        let mut progress = Progress::new(at(10));
        progress.released(1, at(20)).unwrap();
        progress.made_durable(at(20));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Begin,
        Release(u8),
        AckNext,
        AckAny(u8),
        Write,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Begin),
            4 => (0u8..4).prop_map(Step::Release),
            4 => Just(Step::AckNext),
            2 => any::<u8>().prop_map(Step::AckAny),
            2 => Just(Step::Write),
        ]
    }

    proptest! {
        /// The model is naive on purpose: it remembers every transaction and every acknowledgement, and asks after each step
        /// whether what may be confirmed leaves out anything not acknowledged.
        #[test]
        fn never_confirms_what_is_not_acknowledged(steps in prop::collection::vec(step(), 0..200)) {
            let mut progress = Progress::new(at(100));
            let mut lsn = 100u64;
            let mut open: VecDeque<u64> = VecDeque::new(); // end LSNs met and not released
            let mut met: Vec<(u64, Option<(u64, u64)>)> = Vec::new(); // (end LSN, range of records once released)
            let mut acks: Vec<bool> = Vec::new();
            for step in steps {
                match step {
                    Step::Begin => {
                        lsn += 10;
                        open.push_back(lsn);
                        met.push((lsn, None));
                    }
                    Step::Release(records) => if let Some(end) = open.pop_front() {
                        let from = acks.len() as u64;
                        acks.resize(acks.len() + usize::from(records), false);
                        let to = acks.len() as u64;
                        met.iter_mut().find(|(e, _)| *e == end).unwrap().1 = Some((from, to));
                        progress.released(to, at(end)).unwrap();
                    },
                    Step::AckNext | Step::AckAny(_) => {
                        let at = match step {
                            Step::AckAny(n) if !acks.is_empty() => usize::from(n) % acks.len(),
                            _ => acks.iter().position(|a| !a).unwrap_or(usize::MAX),
                        };
                        if let Some(ack) = acks.get_mut(at) {
                            *ack = true;
                        }
                        progress.acked(acks.iter().take_while(|a| **a).count() as u64);
                    }
                    Step::Write => if let Some(position) = progress.completable() {
                        progress.made_durable(position);
                    },
                }
                let durable = progress.durable().end_lsn;
                prop_assert!(progress.confirmable() <= durable);
                prop_assert!(durable <= progress.complete().end_lsn && progress.complete().end_lsn <= progress.newest().end_lsn);
                let done = |r: &Option<(u64, u64)>| r.is_some_and(|(a, b)| acks[a as usize..b as usize].iter().all(|x| *x));
                for (end, records) in &met {
                    prop_assert!(*end > progress.complete().end_lsn.0 || done(records), "{} is not done", end);
                }
                // And it does not lag: everything done without a gap before it is completable.
                let reachable = met.iter().take_while(|(_, r)| done(r)).last().map_or(100, |(end, _)| *end);
                prop_assert!(progress.complete().end_lsn.0 >= reachable);
            }
        }
    }
}
