//! Versions of the chain at work: which one a batch was dispatched with, and what each worker holds of it.
//!
//! Owns the chains that were made aside for a version and their hand-over to the workers. Must not decide when a version begins
//! (the reader does, at a transaction boundary) nor whether it stays (`swap::Machine` does). The version of a batch is fixed when
//! the batch is dispatched (I5); chains of a version are made, told of every table and warmed up before its first batch.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use millrace_batch::{Failure, RelationLog};
use millrace_host::{Chain, FaultKind};
use tokio::sync::mpsc;

use super::{Canary, CanaryLane};

/// A chain with the number of table versions it has been told of.
pub struct Prepared {
    /// One worker's instances.
    pub chain: Chain,
    /// Versions of the relation log it knows: all below this number.
    pub announced: u32,
}

impl Prepared {
    /// Tells the instances every table version they have not heard of, in the order of the log.
    pub fn announce(&mut self, relations: &RelationLog) -> Result<(), millrace_host::HostError> {
        while let Some(relation) = relations.get(self.announced) {
            self.chain.announce(&relation)?;
            self.announced += 1;
        }
        Ok(())
    }
}

/// A batch a version failed on while it was on trial; the version before it made the records.
#[derive(Clone, Debug)]
pub struct TrialFault {
    /// Number of the version.
    pub version: u64,
    /// How it failed; `None` where it failed as a whole (an announcement, a start).
    pub kind: Option<FaultKind>,
    /// What happened.
    pub failure: Failure,
}

/// A version while it may still be rolled back: what it fails on is done by the version before it.
#[derive(Debug)]
pub struct Trial {
    over: AtomicBool,
    batches: AtomicU64,
    faults: mpsc::UnboundedSender<TrialFault>,
}

impl Trial {
    /// A trial whose faults go to `faults`.
    pub fn new(faults: mpsc::UnboundedSender<TrialFault>) -> Trial {
        Trial { over: AtomicBool::new(false), batches: AtomicU64::new(0), faults }
    }

    /// The version stays: from now on what it fails on meets the task's error policy.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Batches the version was tried on so far.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }
}

/// One version of the chain, shared by the batches that are dispatched with it.
pub struct Generation {
    /// Number of the version, rising through the life of the process.
    pub version: u64,
    /// Start of the digest over the chain's modules: which code made a record.
    pub digest: [u8; 8],
    /// Present while it may be rolled back.
    pub trial: Option<Trial>,
    chains: Mutex<Vec<Prepared>>,
    /// A canary beside it, with one chain for each worker.
    canary: Option<(Arc<Canary>, Mutex<Vec<Prepared>>)>,
    /// The version it took over from, while it is on trial.
    before: Mutex<Option<Arc<Generation>>>,
    /// Longest time a worker took to change over to it, in nanoseconds.
    taking: AtomicU64,
}

impl Generation {
    /// A version with one prepared chain for each worker.
    pub fn new(version: u64, digest: [u8; 8], trial: Option<Trial>, chains: Vec<Prepared>) -> Generation {
        let chains = Mutex::new(chains);
        Generation { version, digest, trial, chains, canary: None, before: Mutex::default(), taking: AtomicU64::new(0) }
    }

    /// It takes over from `before`, which no longer falls back itself.
    pub fn follows(&self, before: Arc<Generation>) {
        drop(before.take_before());
        if self.trial.is_some() {
            *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        }
    }

    fn before(&self) -> Option<Arc<Generation>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take_before(&self) -> Option<Arc<Generation>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The same with a canary beside it.
    pub fn with_canary(self, canary: Arc<Canary>, chains: Vec<Prepared>) -> Generation {
        Generation { canary: Some((canary, Mutex::new(chains))), ..self }
    }

    /// All of its chains, for a version that runs beside another and never in its place.
    pub fn take_chains(&self) -> Vec<Prepared> {
        std::mem::take(&mut *self.chains.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self) -> Option<Prepared> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn take_canary(&self) -> Option<CanaryLane> {
        let (canary, chains) = self.canary.as_ref()?;
        let prepared = chains.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(CanaryLane::new(canary.clone(), prepared))
    }

    /// Longest time a worker took so far to change over to this version.
    pub fn taking(&self) -> Duration {
        Duration::from_nanos(self.taking.load(Ordering::Relaxed))
    }

    /// Whether what it fails on is done by the version before it.
    fn on_trial(&self) -> Option<&Trial> {
        self.trial.as_ref().filter(|trial| !trial.over.load(Ordering::Acquire))
    }
}

/// A worker's instances of one version.
pub struct Lane {
    /// The version.
    pub generation: Arc<Generation>,
    prepared: Prepared,
    canary: Option<CanaryLane>,
}

impl Lane {
    /// Tells the instances every table version they have not heard of, in the order of the log.
    pub fn announce(&mut self, relations: &RelationLog) -> Result<(), millrace_host::HostError> {
        self.prepared.announce(relations)
    }

    /// The instances.
    pub fn chain(&mut self) -> &mut Chain {
        &mut self.prepared.chain
    }

    fn of(generation: Arc<Generation>) -> Option<Lane> {
        let prepared = generation.take()?;
        let canary = generation.take_canary();
        Some(Lane { generation, prepared, canary })
    }
}

/// Where chains go that are done with: taking instances down costs a worker's time, so another thread does it.
#[derive(Clone, Debug, Default)]
pub struct Retired(Arc<Mutex<Vec<Chain>>>);

impl Retired {
    /// Hands a chain over.
    pub fn put(&self, chain: Chain) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(chain);
    }

    /// Takes down what has come in.
    pub fn clear(&self) {
        let chains = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(chains);
    }
}

/// What one worker runs: the version of the last batch, and while that is on trial the version before it.
pub struct Lanes {
    current: Lane,
    before: Option<Lane>,
    retired: Retired,
}

impl Lanes {
    /// A worker's place in the version a session begins with; `None` where that has no chain left.
    pub fn new(generation: Arc<Generation>, retired: Retired) -> Option<Lanes> {
        Some(Lanes { current: Lane::of(generation)?, before: None, retired })
    }

    /// The lane for a batch of this version, after the change-over where it is a new one. Versions of a worker's batches only rise.
    pub fn turn_to(&mut self, generation: &Arc<Generation>) -> Result<&mut Lane, Failure> {
        if generation.version != self.current.generation.version {
            let began = Instant::now();
            let Some(lane) = Lane::of(generation.clone()) else {
                let why = "no chain was made for this worker";
                return Err(Failure::transient("internal", "changing modules", why, "report this with the log"));
            };
            let mut old = std::mem::replace(&mut self.current, lane);
            if let Some(canary) = old.canary.take() {
                self.retired.put(canary.into_chain());
            }
            // The one before is what a trial falls back to; after a version that is rolled back, that version is of no more use.
            // A worker that got no batch of the version before falls back to that version all the same.
            let old = match generation.before() {
                Some(before) if before.version != old.generation.version => {
                    self.retired.put(old.prepared.chain);
                    Lane::of(before)
                }
                _ => Some(old),
            };
            if let Some(older) = std::mem::replace(&mut self.before, old) {
                self.retired.put(older.prepared.chain);
            }
            let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            generation.taking.fetch_max(took, Ordering::Relaxed);
        }
        match self.current.generation.on_trial() {
            Some(trial) => {
                trial.batches.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                if let Some(before) = self.before.take() {
                    self.retired.put(before.prepared.chain);
                    drop(generation.take_before());
                }
            }
        }
        Ok(&mut self.current)
    }

    /// The lane of the version before, where the current one is on trial.
    pub fn before(&mut self) -> Option<&mut Lane> {
        self.current.generation.on_trial()?;
        self.before.as_mut()
    }

    /// Tells that the current version, on trial, failed where the one before did not.
    pub fn failed(&self, kind: Option<FaultKind>, failure: Failure) {
        if let Some(trial) = self.current.generation.on_trial() {
            let version = self.current.generation.version;
            // Nobody listens any more only where the task is ending.
            let _ = trial.faults.send(TrialFault { version, kind, failure });
        }
    }

    /// The canary of the version at work.
    pub fn canary(&mut self) -> Option<&mut CanaryLane> {
        self.current.canary.as_mut()
    }
}
