//! From ordered records to the producer.
//!
//! Owns the numbering of records, the choice of the partition, the record header, the frame before a datum, and the note of where each transaction
//! ends among the numbers. Must not decide what may be confirmed (`position::Progress` does). Records leave here in stream
//! order whatever the workers did (I3); after a failure nothing more leaves.

use std::{
    iter::Peekable,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use millrace_batch::{Batch, Commit, Failure, Lsn, RelationLog};
use millrace_host::{PartitionChoice, Record, Records};
use millrace_position::{Position, Progress};
use millrace_sink::{Header, OutRecord, SendError, Sink, TopicHandle};

use super::{
    Answered, Done, Pool, Ring,
    aside::Aside,
    flight::{Flight, Flights},
    frames::Framer,
    order::Reorder,
    targets::Targets,
};
use crate::{failpoint, observe::Observe};

/// Name of the record header that says where a record comes from.
pub const HEADER: &str = "millrace";
/// Bytes of that header, big-endian: version (1), shard (2), commit LSN (8), ordinal (4), start of the chain's digest (8).
pub const HEADER_BYTES: usize = 23;
/// Version of the header's layout.
const HEADER_VERSION: u8 = 1;
/// How long a full producer queue is left alone before the next try; the delivery thread empties it meanwhile.
const FULL_PAUSE: Duration = Duration::from_micros(500);

/// The sending side of one session.
pub(crate) struct Deliver {
    pub inbox: Receiver<Done>,
    pub sink: Arc<Sink>,
    pub targets: Targets,
    /// Joins datum and frame; none where nothing stands before a datum.
    pub framer: Option<Framer>,
    pub progress: Arc<Mutex<Progress>>,
    pub relations: RelationLog,
    /// Whether records carry a header.
    pub headers: bool,
    pub shard: u16,
    pub pool: Pool,
    /// The last events, for trying new modules on them.
    pub ring: Arc<Ring>,
    pub flights: Arc<Flights>,
    pub observe: Arc<Observe>,
    /// Set when the session gives up: a full queue is no longer waited for.
    pub abandon: Arc<AtomicBool>,
    pub next_seq: u64,
    pub ends: Vec<(u64, Position)>,
    /// Where changes go that a stage could not handle.
    pub aside: Aside,
}

impl Deliver {
    /// Runs until the workers are gone and everything is sent, or until something fails.
    pub fn run(mut self) -> Result<(), Failure> {
        let mut order = Reorder::default();
        loop {
            match self.inbox.recv_timeout(Duration::from_millis(200)) {
                Ok(done) => order.put(done.sequence, done),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) if self.abandon.load(Ordering::Relaxed) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => continue,
            }
            while let Some(Done { batch, outcome, permit, generation, gate, canary, .. }) = order.take() {
                let records = outcome?;
                if let Some(gate) = gate {
                    let inbox = &self.inbox;
                    gate.pass(&self.sink, &self.abandon, || !inbox.is_empty() || !order.is_empty())?;
                }
                let began = Instant::now();
                self.send_batch(&batch, &records, &generation.digest, canary.as_ref())?;
                self.observe.metrics.stage("deliver", began.elapsed());
                drop(permit);
                self.ring.pass(batch, |batch| self.pool.recycle_batch(batch));
                self.pool.recycle_records(records);
            }
        }
    }

    fn send_batch(
        &mut self,
        batch: &Batch,
        records: &Records,
        digest: &[u8; 8],
        canary: Option<&Answered>,
    ) -> Result<(), Failure> {
        let by = |change: u32| match canary {
            Some(canary) if canary.changes.binary_search(&change).is_ok() => &canary.digest,
            _ => digest,
        };
        let mut bytes = 0;
        let mut commits = batch.commits().iter().peekable();
        let mut faults = records.faults().iter().peekable();
        for record in records.iter() {
            // A change has records or a fault, never both.
            while let Some(fault) = faults.next_if(|fault| fault.change < record.change) {
                self.ends_before(&mut commits, fault.change);
                bytes += self.set_aside(batch, fault, by(fault.change))?;
            }
            self.ends_before(&mut commits, record.change);
            bytes += self.send(batch, &record, by(record.change))?;
        }
        for fault in faults {
            self.ends_before(&mut commits, fault.change);
            bytes += self.set_aside(batch, fault, by(fault.change))?;
        }
        for commit in commits {
            self.end(commit.end_lsn, commit.next_id);
        }
        failpoint::pass("after_produce");
        let (end_lsn, commit_time) = batch.commits().last().map_or((Lsn(0), 0), |end| (end.end_lsn, end.commit_time));
        let transactions = batch.commits().iter().filter(|end| end.commit_time > 0).count() as u64;
        let sent_at = std::time::Instant::now();
        self.flights.sent(Flight {
            end_seq: self.next_seq,
            bytes: bytes as u64,
            end_lsn,
            commit_time,
            transactions,
            sent_at,
        });
        let mut progress = self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (end_seq, position) in self.ends.drain(..) {
            progress.released(end_seq, position).map_err(|error| error.failure())?;
        }
        Ok(())
    }

    /// Notes the transactions that end before a change of the batch.
    #[inline]
    fn ends_before<'a>(&mut self, commits: &mut Peekable<impl Iterator<Item = &'a Commit>>, change: u32) {
        while let Some(commit) = commits.next_if(|commit| commit.after <= change) {
            self.end(commit.end_lsn, commit.next_id);
        }
    }

    fn end(&mut self, end_lsn: Lsn, next_id: u64) {
        self.ends.push((self.next_seq, Position { shard: self.shard, end_lsn, ordinal: 0, next_id }));
    }

    fn send(&mut self, batch: &Batch, record: &Record<'_>, digest: &[u8; 8]) -> Result<usize, Failure> {
        let change = record.change as usize;
        let header = self.header(batch, change, digest);
        let target = self.targets.get(record.topic)?;
        let partition = match record.partition {
            PartitionChoice::Hash(hash) => hash % target.partitions,
            PartitionChoice::Explicit(number) if number < target.partitions => number,
            PartitionChoice::Explicit(number) => {
                return Err(Failure::definite(
                    "partition_out_of_range",
                    format!("routing a change of {}", table(&self.relations, batch, change)),
                    format!(
                        "the router chose partition {number}, topic {} has {}",
                        target.handle.name(),
                        target.partitions
                    ),
                    "correct the route module or its configuration",
                ));
            }
        };
        let commit_lsn = batch.commit_lsns()[change];
        let ordinal = batch.ordinals()[change];
        let ours = header.as_ref().map(|header| Header { name: HEADER, value: header });
        let ours = ours.as_slice();
        // Headers of a module's own are rare; without them nothing is allocated here.
        let joined: Vec<Header<'_>>;
        let headers = if record.headers().len() == 0 {
            ours
        } else {
            let theirs = record.headers().map(|(name, value)| Header { name, value });
            joined = theirs.chain(ours.iter().copied()).collect();
            &joined
        };
        let joined = self.framer.as_mut().map_or(Ok((record.key, record.value)), |framer| framer.join(record));
        let (key, value) = joined.map_err(|failure| Failure {
            tried: format!("{} (table {})", failure.tried, table(&self.relations, batch, change)),
            ..failure
        })?;
        let out = OutRecord { partition: partition as i32, key, value, headers, timestamp_ms: 0, seq: self.next_seq };
        push(&self.sink, &self.abandon, &target.handle, &out).map_err(|failure| Failure {
            tried: format!(
                "{} (change {ordinal} of the transaction at {}, table {})",
                failure.tried,
                Lsn(commit_lsn),
                table(&self.relations, batch, change)
            ),
            ..failure
        })?;
        let size = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        self.next_seq += 1;
        Ok(size)
    }

    /// The record header of a change, where records carry one.
    #[inline]
    pub(super) fn header(&self, batch: &Batch, change: usize, digest: &[u8; 8]) -> Option<[u8; HEADER_BYTES]> {
        self.headers.then(|| record_header(batch, change, digest))
    }
}

/// The record header of a change; `digest` is the start of the chain's.
#[inline]
pub(crate) fn record_header(batch: &Batch, change: usize, digest: &[u8; 8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0] = HEADER_VERSION;
    header[1..3].copy_from_slice(&batch.shard().to_be_bytes());
    header[3..11].copy_from_slice(&batch.commit_lsns()[change].to_be_bytes());
    header[11..15].copy_from_slice(&batch.ordinals()[change].to_be_bytes());
    header[15..].copy_from_slice(digest);
    header
}

/// Hands a record to the sink, however often its queue is full.
pub(super) fn push(
    sink: &Sink,
    abandon: &AtomicBool,
    handle: &TopicHandle,
    out: &OutRecord<'_>,
) -> Result<(), Failure> {
    loop {
        match sink.send(handle, out) {
            Ok(()) => return Ok(()),
            Err(SendError::QueueFull) if abandon.load(Ordering::Relaxed) => return Err(session_ended()),
            Err(SendError::QueueFull) => {
                if let Some(failure) = sink.failure() {
                    return Err(failure);
                }
                std::thread::park_timeout(FULL_PAUSE);
            }
            Err(SendError::Failed(failure)) => return Err(failure),
        }
    }
}

fn session_ended() -> Failure {
    Failure::transient("session_ended", "waiting for room in the producer", "the session gave up", "")
}

fn table(relations: &RelationLog, batch: &Batch, change: usize) -> String {
    match batch.relations().get(change).and_then(|id| relations.get(*id)) {
        Some(relation) => format!("{}.{}", relation.schema, relation.table),
        None => "unknown".to_owned(),
    }
}
