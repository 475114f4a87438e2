//! Captured events: the lines of `*.events.jsonl` and of a capture.
//!
//! Owns the one form that golden files, captures, replay and dry runs share, its reader and writer, and the packing of changes into
//! batches. The kit for Rust reads the same form (`guest-sdk/rust/src/golden`). Must not know where events come from or what a module
//! makes of them.

mod line;
mod pack;
mod read;
mod write;

pub use pack::{BATCH_CHANGES, Pack, Packer, Step, append};
pub use read::{EventsError, LINE_LIMIT, Reader, open};
pub use write::{Writer, change_of, event_json, relation_json};
pub(crate) use write::{text_json, value_json};

use millrace_batch::{ChangeStamp, Commit, Relation};
use millrace_host::Value;

/// Where a capture comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Capture {
    /// Version of the form; this is 1.
    pub version: u32,
    /// Name of the task.
    pub task: String,
    /// Kind of the source.
    pub source: String,
    /// Shard the events come from.
    #[serde(default)]
    pub shard: u16,
    /// Whether values were replaced.
    #[serde(default)]
    pub masked: bool,
    /// Version of the gateway that wrote it.
    #[serde(default)]
    pub millrace: String,
}

/// One change with its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Everything but the cells.
    pub stamp: ChangeStamp,
    /// The row after the change.
    pub new: Option<Vec<Value>>,
    /// The row before it.
    pub old: Option<Vec<Value>>,
    /// Of the old image only the replica identity was sent.
    pub key_only: bool,
    /// Commit sequence number, where the source has one; else 0.
    pub csn: u64,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Where the events come from.
    Capture(Capture),
    /// The configuration of a module under test, JSON.
    Config(serde_json::Value),
    /// The clock of what follows, microseconds since the Unix epoch.
    Now(i64),
    /// A version of a table; comes before its changes.
    Relation(Relation),
    /// A change.
    Change(Box<Change>),
    /// The end of a transaction; `after` means nothing here.
    Commit(Commit),
}
