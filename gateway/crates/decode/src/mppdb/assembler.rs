//! A transaction whose end is not known yet.
//!
//! Owns its changes, in memory up to a bound and in chunks of the spill beyond it, and their way into the caller's batches once the
//! end is known: only then have they commit LSN, time and ids. Must not know layouts, nor where the spill lies.

use crate::{Cut, Spill, mppdb::Reason};
use millrace_batch::{Batch, CELL_LIMIT, ChangeStamp, Commit, Lsn, Op};

/// The changes of one transaction.
#[derive(Debug)]
pub(super) struct Assembler {
    /// The newest changes.
    changes: Batch,
    /// Bytes the newest changes may take before they become a chunk. While a spilled transaction is released a second buffer takes
    /// as much.
    bound: usize,
    spill: Box<dyn Spill>,
    /// Places of the chunks in the spill.
    chunks: Vec<Chunk>,
    /// Changes in the chunks.
    spilled: u64,
    /// Kept, like all buffers here, for the next transaction.
    fields: Vec<u8>,
    /// The chunk that is released.
    back: Batch,
    release: Option<Release>,
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    offset: u64,
    length: u64,
}

#[derive(Debug)]
struct Release {
    commit: Commit,
    csn: u64,
    /// The `n` of the first change that is still here.
    n: u64,
    /// The chunk read last, or none yet.
    chunk: Option<usize>,
    /// The next change of that chunk, or of the newest changes behind the last chunk.
    next: usize,
}

impl Assembler {
    pub(super) fn new(bound: usize, spill: Box<dyn Spill>) -> Assembler {
        Assembler {
            changes: Batch::new(0),
            // Values of a chunk must stay addressable whatever the bound.
            bound: bound.min(CELL_LIMIT / 2),
            spill,
            chunks: Vec::new(),
            spilled: 0,
            fields: Vec::new(),
            back: Batch::new(0),
            release: None,
        }
    }

    /// Makes room for another change; false where memory and spill are full.
    #[inline]
    pub(super) fn make_room(&mut self) -> Result<bool, Reason> {
        if self.changes.weight() < self.bound || self.changes.is_empty() { Ok(true) } else { self.spill() }
    }

    /// Moves the newest changes into the spill; false where that is full.
    #[cold]
    pub(super) fn spill(&mut self) -> Result<bool, Reason> {
        self.fields.clear();
        self.changes.chunk_fields(&mut self.fields);
        let length = (self.fields.len() + self.changes.data().len()) as u64;
        if !self.spill.append(&[&self.fields, self.changes.data()]).map_err(Reason::spill)? {
            return Ok(false);
        }
        let offset = self.spilled_bytes();
        self.chunks.push(Chunk { offset, length });
        self.spilled += self.changes.len() as u64;
        // A row far beyond the bound must not keep its memory for good.
        if self.changes.data().len() > 4 * self.bound {
            self.changes = Batch::new(0)
        } else {
            self.changes.clear()
        }
        Ok(true)
    }

    /// Changes held.
    pub(super) fn len(&self) -> u64 {
        self.spilled + self.changes.len() as u64
    }

    /// Changes held in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.changes.len()
    }

    /// Bytes in the spill.
    pub(super) fn spilled_bytes(&self) -> u64 {
        self.chunks.last().map_or(0, |last| last.offset + last.length)
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        self.changes.weight() + self.back.weight()
    }

    /// Drops everything held.
    pub(super) fn clear(&mut self) -> Result<(), Reason> {
        self.release = None;
        self.changes.clear();
        self.back.clear();
        if !self.chunks.is_empty() {
            self.chunks.clear();
            self.spilled = 0;
            // A chunk of one row far beyond the bound must not keep its memory for good either.
            if self.fields.capacity() > 4 * self.bound {
                (self.fields, self.back) = (Vec::new(), Batch::new(0));
            }
            self.spill.clear().map_err(Reason::spill)?;
        }
        Ok(())
    }

    /// Starts a change of a relation; its cells go to the batch given back, which must finish or abandon it. None where the
    /// transaction has more changes than ordinals.
    #[inline]
    pub(super) fn begin(&mut self, relation: u32, op: Op) -> Option<&mut Batch> {
        let ordinal = u32::try_from(self.len()).ok()?;
        let stamp = ChangeStamp { id: 0, commit_lsn: Lsn(0), xid: 0, commit_time: 0, ordinal, relation, op };
        self.changes.begin_change(stamp);
        Some(&mut self.changes)
    }

    /// Takes back a change that was begun and not finished.
    pub(super) fn abandon(&mut self) {
        self.changes.abandon_change();
    }

    /// The transaction has ended; `commit.next_id` is the `n` behind its last change, `csn` zero where the server tells none.
    pub(super) fn end(&mut self, commit: Commit, csn: u64) {
        self.release = Some(Release { commit, csn, n: commit.next_id - self.len(), chunk: None, next: 0 });
    }

    /// Whether changes wait to be handed on.
    pub(super) fn is_releasing(&self) -> bool {
        self.release.is_some()
    }

    /// Moves changes into the batch until it is cut; one at least into an empty batch. True when all and the transaction's end are
    /// there. An id is `n * step + shard`.
    pub(super) fn release(&mut self, batch: &mut Batch, cut: Cut, step: u64, shard: u64) -> Result<bool, Reason> {
        let Some(Release { commit, csn, n, chunk, next }) = &mut self.release else { return Ok(true) };
        loop {
            let from = if self.chunks.is_empty() || *chunk == Some(self.chunks.len()) {
                &self.changes
            } else {
                if *next == self.back.len() || chunk.is_none() {
                    let following = chunk.map_or(0, |last| last + 1);
                    if let Some(place) = self.chunks.get(following) {
                        self.fields.resize(place.length as usize, 0);
                        self.spill.read(place.offset, &mut self.fields).map_err(Reason::spill)?;
                        if !self.back.read_chunk(&self.fields) {
                            return Err(Reason::Spill("what was read is not what was written".to_owned()));
                        }
                    }
                    (*chunk, *next) = (Some(following), 0);
                    continue;
                }
                &self.back
            };
            let count = fitting(from, *next, batch, cut);
            if !batch.append_changes(from, *next..*next + count, *n * step + shard, step, *csn, commit) {
                return Ok(false);
            }
            *next += count;
            *n += count as u64;
            if *next < from.len() {
                return Ok(false);
            }
            if chunk.is_none_or(|chunk| chunk == self.chunks.len()) {
                batch.push_commit(*commit);
                self.clear()?;
                return Ok(true);
            }
        }
    }
}

/// Changes from `next` on that go into the batch before it is cut.
fn fitting(from: &Batch, next: usize, batch: &Batch, cut: Cut) -> usize {
    let left = from.len() - next;
    let most = cut.changes.saturating_sub(batch.len()).min(left);
    let bytes = cut.bytes.saturating_sub(batch.data_len());
    let start = from.data_before(next);
    // The last change may pass the bound: a batch is cut behind what fills it.
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low.midpoint(high);
        if from.data_before(next + middle) - start < bytes { low = middle + 1 } else { high = middle }
    }
    low.max(usize::from(batch.is_empty() && left > 0))
}
