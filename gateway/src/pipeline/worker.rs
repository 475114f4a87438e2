//! Transform threads: a batch in, records out.
//!
//! Owns the loop around one chain of module instances. Must not know Kafka or positions. A batch that fails is passed on as a
//! failure with its number, so that everything before it is still delivered and nothing after it is.

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crossbeam_channel::{Receiver, Sender};
use millrace_batch::RelationLog;
use millrace_host::Chain;

use super::{Done, Pool, Work};
use crate::{failpoint, observe::Observe};

/// One worker thread's belongings.
pub(crate) struct Worker {
    pub chain: Chain,
    pub relations: RelationLog,
    pub inbox: Receiver<Work>,
    pub outbox: Sender<Done>,
    pub pool: Pool,
    pub observe: Arc<Observe>,
}

impl Worker {
    /// Runs until the reader is gone and every batch is done, or until deliver is gone.
    pub fn run(mut self) {
        let mut announced = 0;
        while let Ok(work) = self.inbox.recv() {
            let started = Instant::now();
            let mut records = self.pool.records();
            let outcome = self
                .announce(&mut announced)
                .and_then(|()| self.chain.process(&work.batch, now_micros(), &mut records).map_err(Into::into));
            self.observe.metrics.transformed(work.batch.len(), records.len(), started.elapsed());
            failpoint::pass("after_transform");
            let outcome = outcome.map(|()| records);
            if self
                .outbox
                .send(Done { sequence: work.sequence, batch: work.batch, outcome, permit: work.permit })
                .is_err()
            {
                return;
            }
        }
    }

    /// Tells this worker's instances every table version they have not heard of, in the order of the log.
    fn announce(&mut self, announced: &mut usize) -> Result<(), millrace_batch::Failure> {
        while let Some(relation) = self.relations.get(*announced as u32) {
            self.chain.announce(&relation)?;
            *announced += 1;
        }
        Ok(())
    }
}

/// The one clock a module sees, microseconds since the Unix epoch.
fn now_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
