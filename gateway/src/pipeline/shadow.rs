//! A new version beside the one at work: it sees every batch and nothing of what it makes is sent.
//!
//! Owns its instances and the report. A worker does both one after the other, so a shadow costs its time in the stream.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use millrace_batch::{Batch, RelationLog};
use millrace_host::Records;

use super::Prepared;
use crate::swap::Report;

/// A version on the side, shared by the workers of a session.
pub struct Shadow {
    /// Number, rising through the life of the process.
    pub number: u64,
    chains: Mutex<Vec<Prepared>>,
    report: Arc<Mutex<Report>>,
}

impl Shadow {
    /// With one chain for each worker; what is found goes into `report`.
    pub fn new(number: u64, chains: Vec<Prepared>, report: Arc<Mutex<Report>>) -> Shadow {
        Shadow { number, chains: Mutex::new(chains), report }
    }
}

/// A worker's part of a shadow.
pub(crate) struct Beside {
    shadow: Arc<Shadow>,
    prepared: Prepared,
    records: Records,
}

impl Beside {
    /// Takes a chain of the shadow; `None` where it has none left.
    pub fn take(shadow: Arc<Shadow>) -> Option<Beside> {
        let prepared = shadow.chains.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Beside { shadow, prepared, records: Records::new() })
    }

    /// Its chain, to be taken down.
    pub fn into_chain(self) -> millrace_host::Chain {
        self.prepared.chain
    }

    /// Makes its own records of a batch and compares them with those that are sent.
    pub fn try_on(&mut self, batch: &Batch, now: i64, relations: &RelationLog, sent: &Records, took: Duration) {
        let began = Instant::now();
        let made =
            self.prepared.announce(relations).and_then(|()| self.prepared.chain.process(batch, now, &mut self.records));
        let own = began.elapsed();
        let mut report = self.shadow.report.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok(_) => {
                report.compare(batch, relations, sent, &self.records);
                report.old_us += took.as_micros() as u64;
                report.new_us += own.as_micros() as u64;
            }
            Err(error) => report.failed(error.failure()),
        }
    }
}
