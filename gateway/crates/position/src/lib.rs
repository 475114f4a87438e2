//! Where a shard stands, and what may be said about it to the source.
//!
//! Owns: [`Position`], its durable form [`PositionRecord`], the pure state machine [`Progress`] that decides what is complete and
//! what may be confirmed, and [`PositionFile`], the store used where the position topic may not be created.
//!
//! Must not know: Kafka, sockets, async runtimes, modules, the configuration. The Kafka topic that holds positions is written
//! by `millrace-sink`; this crate only encodes.

mod file;
mod position;
mod progress;
mod record;

pub use file::{FileError, PositionFile};
pub use position::Position;
pub use progress::{Progress, ProgressError};
pub use record::{ActiveModule, MAX_RECORD_BYTES, Over, PositionRecord, RecordError, SlotState, VERSION, version_for};

/// A place that keeps one shard's record. Writes block; they belong on a thread of their own, never on the async runtime.
pub trait PositionStore: Send {
    /// Makes the record durable. When this returns `Ok`, a crash of this process or of its machine no longer loses it; after an
    /// error nobody knows whether it was kept, so the store must be opened again before the next write.
    fn write(&mut self, record: &PositionRecord) -> Result<(), millrace_batch::Failure>;

    /// Durably forgets the record, so that the task starts anew.
    fn forget(&mut self) -> Result<(), millrace_batch::Failure>;
}
