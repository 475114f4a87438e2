//! One session of one shard: reader, workers, deliver and progress, wired together.
//!
//! Owns the threads and channels between socket and producer, and the order in which they end. Must not decide whether to
//! start, retry or halt (that is `task`), and knows no file format and no protocol.

mod aside;
mod deliver;
mod flight;
mod order;
mod reader;
mod room;
mod session;
mod spill;
mod targets;
mod worker;
mod writer;

use millrace_batch::{Batch, Failure};
use millrace_host::Records;

pub(crate) use deliver::record_header;
pub use deliver::{HEADER, HEADER_BYTES};
pub(crate) use reader::answer as catalogue_answer;
pub use reader::{Cut, ReadEnd};
pub use room::{Permit, Pool, Room};
pub use session::{Session, SessionEnd, SessionParts};
pub use spill::{SpillFile, SpillRoom};
pub use targets::{Target, Targets, Wish};

/// A batch on its way to a worker, numbered in stream order.
pub struct Work {
    /// Number of the batch in this session, from 0.
    pub sequence: u64,
    /// The changes.
    pub batch: Batch,
    /// Its room in the budget.
    pub permit: Permit,
}

/// A batch behind its worker.
pub struct Done {
    /// Number of the batch in this session.
    pub sequence: u64,
    /// The changes; their stamps become record headers.
    pub batch: Batch,
    /// The records, or why there are none.
    pub outcome: Result<Records, Failure>,
    /// Its room in the budget.
    pub permit: Permit,
}
