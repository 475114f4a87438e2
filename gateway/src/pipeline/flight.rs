//! What was sent and not yet acknowledged, one entry per batch: for metrics, never for positions.
//!
//! Owns sizes and commit times by sequence number. Must not be asked what may be confirmed.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use millrace_batch::Lsn;

use crate::observe::Metrics;

/// One batch under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// Number behind its last record.
    pub end_seq: u64,
    /// Bytes of its keys and values.
    pub bytes: u64,
    /// End of the last transaction that ended in it; zero where none did.
    pub end_lsn: Lsn,
    /// Commit time of that transaction, microseconds since the Unix epoch; 0 for a keepalive.
    pub commit_time: i64,
    /// Transactions that ended in it, keepalives left out.
    pub transactions: u64,
    /// When it was handed to the producer.
    pub sent_at: Instant,
}

/// Batches under way, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    batches: VecDeque<Flight>,
    bytes: u64,
    acked: u64,
}

impl Flights {
    /// A batch was sent.
    pub fn sent(&self, flight: Flight) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.bytes += flight.bytes;
        inner.batches.push_back(flight);
    }

    /// Everything below `watermark` is acknowledged: tells the metrics what that finished.
    pub fn acked(&self, watermark: u64, metrics: &Metrics) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut bytes, mut last) = (0, None);
        while let Some(flight) = inner.batches.front().filter(|flight| flight.end_seq <= watermark) {
            bytes += flight.bytes;
            metrics.applied(flight.transactions, flight.sent_at.elapsed());
            last = Some(*flight).filter(|flight| flight.end_lsn > Lsn(0)).or(last);
            inner.batches.pop_front();
        }
        inner.bytes -= bytes;
        let records = watermark.saturating_sub(inner.acked);
        inner.acked = inner.acked.max(watermark);
        let newest = inner.batches.back().map_or(inner.acked, |flight| flight.end_seq);
        metrics.in_flight(newest.saturating_sub(inner.acked), inner.bytes);
        metrics.acknowledged(records, bytes);
        if let Some(flight) = last {
            metrics.delivered(flight.end_lsn, flight.commit_time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_when_its_last_record_is_acknowledged() {
        let (flights, metrics) = (Flights::default(), Metrics::new("t"));
        for (end_seq, lsn) in [(10, 100), (20, 0), (20, 300)] {
            flights.sent(Flight {
                end_seq,
                bytes: 5,
                end_lsn: Lsn(lsn),
                commit_time: 1,
                transactions: u64::from(lsn > 0),
                sent_at: Instant::now(),
            });
        }
        flights.acked(15, &metrics);
        assert_eq!(metrics.records_in_flight(), 5);
        assert_eq!((metrics.delivered_records(), metrics.lsns()[1]), (15, Lsn(100)));
        flights.acked(20, &metrics);
        assert_eq!(metrics.records_in_flight(), 0);
        assert_eq!((metrics.delivered_records(), metrics.lsns()[1]), (20, Lsn(300)));
    }
}
