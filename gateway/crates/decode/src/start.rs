//! Where a stream starts.
//!
//! Owns what every decoder must be told of the past. Must not know where it was kept.

use millrace_batch::Lsn;

/// Where a shard's stream starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Number of the shard, below `shards`.
    pub shard: u16,
    /// Number of shards of the task, fixed for its life.
    pub shards: u16,
    /// Database the stream comes from.
    pub database: String,
    /// End of the last complete transaction: transactions that commit before it are skipped and consume no ids. Zero skips none.
    pub end_lsn: Lsn,
    /// The `n` of the next id.
    pub next_id: u64,
}
