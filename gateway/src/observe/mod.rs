//! What a person and a monitor can see: logs, metrics, the state of the task, the status line.
//!
//! Owns the numbers and the state; the pipeline updates them per batch, never per change. Must not decide anything: `task` says
//! what the state is. Nothing here may hold a row value or a secret (I9).

mod console;
pub mod log;
mod metrics;
mod report;
mod status;

use std::time::Duration;

use millrace_batch::Failure;

pub use metrics::Metrics;
pub use status::{About, LiveModule, ShardStatus, Snapshot, State, Status};

/// Metrics and state of one task, shared by every part of the process.
#[derive(Debug)]
pub struct Observe {
    /// The numbers.
    pub metrics: Metrics,
    /// The state.
    pub status: Status,
}

impl Observe {
    /// For a task that has not begun.
    pub fn new(about: About) -> Observe {
        Observe { metrics: Metrics::new(&about.task), status: Status::new(about) }
    }

    /// The task begins, or begins anew after a change of its configuration.
    pub fn starting(&self) {
        self.enter(State::Starting, None);
    }

    /// The stream flows.
    pub fn streaming(&self) {
        self.enter(State::Streaming, None);
        tracing::info!(code = "streaming", "streaming");
    }

    /// SIGTERM was received: what is under way is delivered, nothing more is read.
    pub fn draining(&self) {
        self.enter(State::Draining, None);
        tracing::info!(code = "draining", "draining: delivering what was read");
    }

    /// A transient failure: the next attempt follows after `pause`.
    pub fn retrying(&self, failure: &Failure, pause: Duration) {
        self.enter(State::Retrying, Some(failure.clone()));
        self.metrics.reconnected();
        tracing::warn!(
            code = failure.code,
            tried = %failure.tried,
            why = %failure.why,
            mend = %failure.mend,
            retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            "{failure}; trying again"
        );
    }

    /// A definite failure: nothing moves until a person has acted. Logged once, here.
    pub fn halted(&self, failure: &Failure) {
        self.enter(State::Halted, Some(failure.clone()));
        tracing::error!(
            code = failure.code,
            tried = %failure.tried,
            why = %failure.why,
            mend = %failure.mend,
            "{failure}; halted"
        );
    }

    fn enter(&self, state: State, failure: Option<Failure>) {
        self.status.enter(state, failure);
        self.metrics.state(state);
    }

    /// Everything `/v1/status` shows, as of now.
    pub fn snapshot(&self) -> Snapshot {
        self.status.snapshot(&self.metrics)
    }

    /// Whether the task does its work: streaming, and what is produced is acknowledged.
    pub fn is_ready(&self) -> bool {
        self.status.state() == State::Streaming && !self.metrics.is_stalled()
    }
}
