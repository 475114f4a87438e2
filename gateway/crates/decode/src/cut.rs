//! When a batch is full.
//!
//! Owns the bounds at which decoders stop filling a batch. Must not know who hands batches on.

use millrace_batch::Batch;

/// A batch is cut behind the change that reaches a bound, so a batch always takes one change, however large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Most changes; also most transaction ends.
    pub changes: usize,
    /// Bytes of cell values.
    pub bytes: usize,
}

impl Cut {
    /// Never.
    pub const NEVER: Cut = Cut { changes: usize::MAX, bytes: usize::MAX };

    /// Whether the batch has reached a bound.
    #[inline]
    pub fn is_reached(self, batch: &Batch) -> bool {
        batch.len() >= self.changes || batch.data_len() >= self.bytes || batch.commits().len() >= self.changes
    }
}
