//! Why the first record to a partition travels alone (I1, I3).
//!
//! A broker that knows nothing of a producer yet accepts any sequence number from it (`ProducerAppendInfo.checkSequence`: there may
//! have been records that retention removed). So where the first request R1 to a partition fails with a retriable error (a partition
//! just created whose leader is not up, too few in-sync replicas) and R2, in flight behind it, is accepted, R1 is out of order from
//! then on. librdkafka reads the success of R2 as proof that R1 is there too and reports it delivered: R1 is lost, silently. Once one
//! request was accepted the broker knows the producer and refuses what does not follow it.
//!
//! Owns, per partition, whether the broker is known to know this producer. Must not wait.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// After this long without a record a partition counts as new again: a broker forgets idle producers
/// (`producer.id.expiration.ms`, one day by default, and an operator may choose less).
const IDLE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
struct Gate {
    /// Number of the record that travels alone, until it is acknowledged.
    first: Option<u64>,
    /// When the last record was sent.
    used: Instant,
}

/// The gates of one topic of one producer.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<Vec<Option<Gate>>>);

impl Gates {
    /// Whether a record may be sent to the partition now: not while its first one is on its way. `watermark`: every number
    /// below it is acknowledged.
    pub(crate) fn admits(&self, partition: i32, watermark: u64) -> bool {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match gates.get_mut(partition as usize) {
            Some(Some(gate)) => {
                gate.first = gate.first.filter(|first| *first >= watermark);
                gate.first.is_none()
            }
            _ => true,
        }
    }

    /// A record was sent to the partition.
    pub(crate) fn sent(&self, partition: i32, seq: u64) {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = partition as usize;
        if gates.len() <= index {
            gates.resize(index + 1, None);
        }
        let used = Instant::now();
        let known = gates[index].is_some_and(|gate| used.duration_since(gate.used) < IDLE);
        gates[index] = Some(Gate { first: (!known).then_some(seq), used });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_record_waits_for_the_first_to_be_acknowledged() {
        let gates = Gates::default();
        assert!(gates.admits(2, 0));
        gates.sent(2, 5);
        assert!(gates.admits(0, 0) && gates.admits(9, 0), "other partitions do not wait");
        assert!(!gates.admits(2, 5));
        assert!(gates.admits(2, 6));
        gates.sent(2, 7);
        assert!(gates.admits(2, 6), "known from now on");
    }

    #[test]
    fn a_partition_long_unused_is_new_again() {
        let gates = Gates::default();
        gates.sent(0, 0);
        assert!(gates.admits(0, 1));
        let long_ago = Instant::now().checked_sub(IDLE);
        if let (Some(Some(gate)), Some(long_ago)) = (gates.0.lock().expect("unpoisoned").get_mut(0), long_ago) {
            gate.used = long_ago;
        }
        gates.sent(0, 1);
        assert!(!gates.admits(0, 1));
    }
}
