//! A new version that answers for a part of the changes, beside the one at work.
//!
//! Owns its instances, giving it its part of a batch, and taking its records in place of those of the version at work. Begins and ends
//! with a version of the chain (`Generation`), so at a transaction boundary and, where it may choose other places, at a durable
//! position. Must not decide when that is. The version at work makes records of all changes too: they are what is compared with, and
//! what is sent of a batch that the new version fails on.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use millrace_batch::{Batch, Failure, RelationLog};
use millrace_host::{Chain, FaultKind, HostError, Records};
use tokio::sync::mpsc;

use super::{Prepared, TrialFault};
use crate::swap::{Picker, Report, Share, same_places};

/// A canary, shared by everything that runs it.
pub struct Canary {
    /// Number of the version it began with.
    pub version: u64,
    /// Start of the digest over its chain: what made a record.
    pub digest: [u8; 8],
    /// Its part of the changes.
    pub share: Share,
    /// Whether it may make records of other changes, or for other places, than the version at work.
    decides: AtomicBool,
    report: Mutex<Report>,
    faults: mpsc::UnboundedSender<TrialFault>,
}

impl Canary {
    /// With its part; what it fails on is told to `faults`.
    pub fn new(version: u64, digest: [u8; 8], share: Share, faults: mpsc::UnboundedSender<TrialFault>) -> Canary {
        Canary { version, digest, share, decides: AtomicBool::new(false), report: Mutex::default(), faults }
    }

    /// It may make records for other places: it must not end but at a durable position (I3).
    pub fn set_decides(&self) {
        self.decides.store(true, Ordering::Release);
    }

    /// Whether it may, or was seen to.
    pub fn decides(&self) -> bool {
        self.decides.load(Ordering::Acquire)
    }

    /// What it found so far.
    pub fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which changes of a batch a canary answered for.
#[derive(Debug)]
pub struct Answered {
    /// Start of the digest over its chain.
    pub digest: [u8; 8],
    /// Indexes, rising.
    pub changes: Vec<u32>,
}

/// A worker's part of a canary.
pub struct CanaryLane {
    canary: Arc<Canary>,
    prepared: Prepared,
    picker: Picker,
    picked: Vec<u32>,
    part: Batch,
    records: Records,
}

impl CanaryLane {
    /// With a chain of its own.
    pub fn new(canary: Arc<Canary>, prepared: Prepared) -> CanaryLane {
        let (picker, picked, part, records) = Default::default();
        CanaryLane { canary, prepared, picker, picked, part, records }
    }

    /// Its chain, to be taken down.
    pub fn into_chain(self) -> Chain {
        self.prepared.chain
    }

    /// Answers for its part of a batch, in the records the version at work made of the whole; `took` is that one's time.
    ///
    /// # Errors
    /// Transient `canary_failed`: it failed where the version at work would choose other places. Its earlier records may not be
    /// durable, so that version must begin at the durable position (I3): the session ends.
    pub fn answer(
        &mut self,
        batch: &Batch,
        now: i64,
        relations: &RelationLog,
        records: &mut Records,
        took: Duration,
    ) -> Result<Option<Answered>, Failure> {
        let CanaryLane { canary, prepared, picker, picked, part, records: own } = self;
        picker.pick(&canary.share, batch, relations, picked);
        if picked.is_empty() {
            return Ok(None);
        }
        part.clear();
        // A part of a batch fits where the batch did.
        let fits = picked.iter().all(|change| part.append_same(batch, *change as usize..*change as usize + 1));
        debug_assert!(fits);
        let began = Instant::now();
        let made = prepared.announce(relations).and_then(|()| prepared.chain.process(part, now, own));
        let new_took = began.elapsed();
        let new_fault = || {
            let same = |change: u32| records.faults().iter().any(|fault| fault.change == change);
            own.faults().iter().find(|fault| !same(picked[fault.change as usize]))
        };
        let error = match made {
            Err(error) => Some(error),
            // What the version at work cannot handle either is no fault of the new one.
            Ok(()) => new_fault().map(|fault| HostError::Fault(Box::new(fault.clone()))),
        };
        if let Some(error) = error {
            return canary.failed(&error).map(|()| None);
        }
        if !canary.decides() && !same_places(picked, records, own) {
            canary.set_decides();
        }
        {
            let mut report = canary.report();
            report.compare_part(batch, relations, picked, records, own);
            // Of the whole batch; the part's share of it.
            report.old_us += took.as_micros() as u64 * picked.len() as u64 / batch.len() as u64;
            report.new_us += new_took.as_micros() as u64;
        }
        if !records.overlay(own, picked) {
            let why = "its records and those of the version at work pass 4 GiB in one batch";
            return canary.failed(&HostError::BadBatch { change: 0, why }).map(|()| None);
        }
        Ok(Some(Answered { digest: canary.digest, changes: picked.clone() }))
    }
}

impl Canary {
    /// It failed on its part of a batch: the version at work answers, where it may.
    fn failed(&self, error: &HostError) -> Result<(), Failure> {
        let failure = error.failure();
        let kind: Option<FaultKind> = match error {
            HostError::Fault(fault) => Some(fault.kind),
            _ => None,
        };
        self.report().failed(failure.clone());
        // Nobody listens any more only where the task is ending.
        let _ = self.faults.send(TrialFault { version: self.version, kind, failure: failure.clone() });
        if !self.decides() {
            return Ok(());
        }
        Err(Failure::transient(
            "canary_failed",
            "answering for a part of the changes",
            format!("{} ({}): {}", failure.tried, failure.code, failure.why),
            "none is needed: the canary is over, the version at work goes on from the durable position",
        ))
    }
}
