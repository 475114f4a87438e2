//! Where records of a new version wait until everything before them is durable.
//!
//! Owns the wait of a swap that drains. The reader puts a gate into the stream at the transaction boundary and goes on reading, and the
//! workers go on transforming; only sending stands still here, until the position behind the boundary is durable together with the
//! modules of the new version (I3). Must not write it: the writer does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use millrace_batch::Failure;
use millrace_sink::Sink;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::Turn;

/// How long the producer is flushed at a time; between two, the answer is looked for.
const FLUSH: Duration = Duration::from_millis(2);
/// How often the answer is looked for when all records are acknowledged and only the position is missing.
const LOOK: Duration = Duration::from_micros(100);

/// A gate on its way through the stream.
pub struct Gate {
    /// Told when the position is durable with the new modules.
    pub(super) noted: oneshot::Receiver<()>,
    /// Where that was asked for.
    pub(super) turn: Arc<Turn>,
    /// Longest wait.
    pub(super) patience: Duration,
    /// Told when it is open, with the time records were held up.
    pub(super) done: oneshot::Sender<Result<Duration, Failure>>,
}

impl Gate {
    /// Waits until everything that was sent is durable. `held`: whether records are ready that could be sent.
    ///
    /// # Errors
    /// Transient `swap_drain`: not within the patience. The session must end, as what is behind the gate was made by a version that
    /// does not come.
    pub(super) fn pass(mut self, sink: &Sink, abandon: &AtomicBool, held: impl Fn() -> bool) -> Result<(), Failure> {
        let (began, mut since) = (Instant::now(), None);
        loop {
            let now = Instant::now();
            match self.noted.try_recv() {
                Ok(()) => {
                    let stood = since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
                    // Who prepared the version may have gone with the task.
                    let _ = self.done.send(Ok(stood));
                    return Ok(());
                }
                Err(TryRecvError::Empty) if now - began < self.patience && !abandon.load(Ordering::Relaxed) => {}
                Err(_) => return Err(self.give_up()),
            }
            if sink.in_flight() > 0 {
                // Nothing lingers for more records to come: none will before this is through. A failure is told by the writer.
                let _ = sink.flush(FLUSH);
                self.turn.wake();
            } else {
                std::thread::sleep(LOOK);
            }
            if since.is_none() && held() {
                since = Some(now);
            }
        }
    }

    fn give_up(self) -> Failure {
        self.turn.withdraw();
        let failure = Failure::transient(
            "swap_drain",
            "draining before a swap that may change routing",
            format!(
                "what was read before it was not acknowledged and noted within {:?}, or the session ended",
                self.patience
            ),
            "look at the brokers, then swap again; the version before it goes on",
        );
        let _ = self.done.send(Err(failure.clone()));
        failure
    }
}
