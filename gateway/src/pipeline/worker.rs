//! Transform threads: a batch in, records out.
//!
//! Owns the loop around one worker's module instances. Must not know Kafka or positions. A batch that fails is passed on as a
//! failure with its number, so that everything before it is still delivered and nothing after it is. What a version of the chain
//! fails on while it is on trial is done by the version before it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};
use millrace_batch::{Batch, Failure, RelationLog};
use millrace_host::{HostError, Records};

use super::{Done, Generation, Lane, Lanes, Pool, Switch, Work, shadow::Beside};
use crate::{failpoint, observe::Observe, task::now_micros};

/// One worker thread's belongings.
pub(crate) struct Worker {
    pub lanes: Lanes,
    pub switch: Arc<Switch>,
    pub beside: Option<Beside>,
    /// Number of the shadow this worker has taken note of.
    pub noted: u64,
    pub relations: RelationLog,
    pub inbox: Receiver<Work>,
    pub outbox: Sender<Done>,
    pub pool: Pool,
    pub observe: Arc<Observe>,
}

impl Worker {
    /// Runs until the reader is gone and every batch is done, or until deliver is gone.
    pub fn run(mut self) {
        while let Ok(Work { sequence, batch, permit, generation, gate }) = self.inbox.recv() {
            let started = Instant::now();
            let mut records = self.pool.records();
            let now = now_micros();
            let mut made = self.transform(&generation, &batch, now, &mut records);
            let mut answered = None;
            if made.is_ok()
                && let Some(canary) = self.lanes.canary()
            {
                match canary.answer(&batch, now, &self.relations, &mut records, started.elapsed()) {
                    Ok(part) => answered = part,
                    Err(failure) => made = Err(failure),
                }
            }
            let took = started.elapsed();
            self.observe.metrics.transformed(batch.len(), records.len(), took);
            if made.is_ok() {
                self.shadow(&batch, now, &records, took);
            }
            failpoint::pass("after_transform");
            let (outcome, generation) = match made {
                Ok(by) => (Ok(records), by),
                Err(failure) => (Err(failure), generation),
            };
            if self.outbox.send(Done { sequence, batch, outcome, generation, gate, canary: answered, permit }).is_err()
            {
                return;
            }
        }
    }

    /// Lets the shadow, where there is one, make its records of the batch too.
    fn shadow(&mut self, batch: &Batch, now: i64, records: &Records, took: Duration) {
        let wanted = self.switch.shadow_number();
        if wanted != self.noted {
            self.noted = wanted;
            if let Some(gone) = self.beside.take() {
                self.switch.retired.put(gone.into_chain());
            }
            self.beside = self.switch.shadow().filter(|shadow| shadow.number == wanted).and_then(Beside::take);
        }
        if let Some(beside) = &mut self.beside {
            beside.try_on(batch, now, &self.relations, records, took);
        }
    }

    /// Makes a batch's records; gives the version of the chain that made them.
    fn transform(
        &mut self,
        generation: &Arc<Generation>,
        batch: &Batch,
        now: i64,
        records: &mut Records,
    ) -> Result<Arc<Generation>, Failure> {
        let relations = &self.relations;
        let attempt = |lane: &mut Lane, records: &mut Records| -> Result<Arc<Generation>, HostError> {
            lane.announce(relations)?;
            lane.chain().process(batch, now, records)?;
            Ok(lane.generation.clone())
        };
        let done = attempt(self.lanes.turn_to(generation)?, records);
        let faults = records.faults().len();
        let fault = match &done {
            Ok(_) => records.faults().first().map(|fault| HostError::Fault(Box::new(fault.clone()))),
            Err(_) => None,
        };
        let Some(error) = fault.as_ref().or(done.as_ref().err()) else { return done.map_err(Failure::from) };
        let Some(before) = self.lanes.before() else { return done.map_err(Failure::from) };
        let kind = match error {
            HostError::Fault(fault) => Some(fault.kind),
            _ => None,
        };
        let failure = error.failure();
        let again = attempt(before, records);
        // Where the version before fails too, or sets as many changes aside, the events are to blame and not the new version. What
        // the version before says of them is what people know.
        if again.is_ok() && (done.is_err() || faults > records.faults().len()) {
            self.lanes.failed(kind, failure);
        }
        again.map_err(Failure::from)
    }
}
