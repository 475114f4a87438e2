//! One session of one shard: reader, workers, deliver and progress, wired together.
//!
//! Owns the threads and channels between socket and producer, and the order in which they end. Must not decide whether to
//! start, retry or halt (that is `task`), and knows no file format and no protocol.

mod aside;
mod canary;
mod deliver;
mod flight;
mod frames;
mod gate;
mod generation;
mod order;
#[cfg(test)]
mod order_model;
mod reader;
mod ring;
mod room;
mod session;
mod shadow;
mod spill;
mod switch;
mod targets;
mod turn;
mod worker;
mod writer;

use std::sync::Arc;

use millrace_batch::{Batch, Failure};
use millrace_host::Records;

pub use canary::{Answered, Canary, CanaryLane};
pub(crate) use deliver::record_header;
pub use deliver::{HEADER, HEADER_BYTES};
pub use frames::{Framer, Frames, Subject};
pub use gate::Gate;
pub use generation::{Generation, Lane, Lanes, Prepared, Retired, Trial, TrialFault};
pub use reader::{Cut, ReadEnd};
pub(crate) use reader::{answer as catalogue_answer, catalogue_column};
pub use ring::Ring;
pub use room::{Permit, Pool, Room};
pub use session::{Session, SessionEnd, SessionParts};
pub use shadow::Shadow;
pub use spill::{SpillFile, SpillRoom};
pub use switch::{Armed, Drain, Park, Switch};
pub use targets::{Places, Target, Targets, Wish};
pub use turn::Turn;

/// A batch on its way to a worker, numbered in stream order.
pub struct Work {
    /// Number of the batch in this session, from 0.
    pub sequence: u64,
    /// The changes.
    pub batch: Batch,
    /// Its room in the budget.
    pub permit: Permit,
    /// The version of the chain it is for.
    pub generation: Arc<Generation>,
    /// What it must wait for before it is sent.
    pub gate: Option<Gate>,
}

/// A batch behind its worker.
pub struct Done {
    /// Number of the batch in this session.
    pub sequence: u64,
    /// The changes; their stamps become record headers.
    pub batch: Batch,
    /// The records, or why there are none.
    pub outcome: Result<Records, Failure>,
    /// The version of the chain that made them.
    pub generation: Arc<Generation>,
    /// What it must wait for before it is sent.
    pub gate: Option<Gate>,
    /// What a canary made of them.
    pub canary: Option<Answered>,
    /// Its room in the budget.
    pub permit: Permit,
}
