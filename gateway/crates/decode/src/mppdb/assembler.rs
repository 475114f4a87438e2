//! A transaction whose end is not known yet.
//!
//! Owns its changes, in memory under a byte cap, and their way into the caller's batches once the end is known: only then have
//! they commit LSN, time and ids. Must not know layouts. (A spill folder for what passes the cap is not built yet.)

use millrace_batch::{Batch, Cell, ChangeStamp, Commit, Lsn, Op};

/// The changes of one transaction.
#[derive(Debug)]
pub(super) struct Assembler {
    changes: Batch,
    /// Bytes the changes may take.
    cap: usize,
    release: Option<Release>,
}

#[derive(Debug)]
struct Release {
    commit: Commit,
    /// The next change to hand on.
    next: usize,
}

impl Assembler {
    pub(super) fn new(cap: usize) -> Assembler {
        Assembler { changes: Batch::new(0), cap, release: None }
    }

    /// Whether the cap is reached: then nothing more is taken.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.changes.weight() >= self.cap
    }

    /// Changes held.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Drops everything held.
    pub(super) fn clear(&mut self) {
        self.changes.clear();
        self.release = None;
    }

    /// Starts a change of a relation; its cells go to the batch given back, which must finish or abandon it.
    #[inline]
    pub(super) fn begin(&mut self, relation: u32, op: Op) -> &mut Batch {
        let ordinal = self.changes.len() as u32;
        let stamp = ChangeStamp { id: 0, commit_lsn: Lsn(0), xid: 0, commit_time: 0, ordinal, relation, op };
        self.changes.begin_change(stamp);
        &mut self.changes
    }

    /// The batch a change was begun in.
    #[inline]
    pub(super) fn changes(&mut self) -> &mut Batch {
        &mut self.changes
    }

    /// The transaction has ended; `commit.next_id` is the `n` behind its last change.
    pub(super) fn end(&mut self, commit: Commit) {
        self.release = Some(Release { commit, next: 0 });
    }

    /// Whether changes wait to be handed on.
    pub(super) fn is_releasing(&self) -> bool {
        self.release.is_some()
    }

    /// Moves changes into the batch until it weighs `weight` bytes; one at least, if the batch has room. True when all and the
    /// transaction's end are there. `id` gives the id of an `n`.
    pub(super) fn release(&mut self, batch: &mut Batch, weight: usize, id: impl Fn(u64) -> u64) -> bool {
        let Some(Release { commit, next }) = &mut self.release else { return true };
        let first = commit.next_id - self.changes.len() as u64;
        while *next < self.changes.len() {
            if (batch.weight() >= weight && !batch.is_empty()) || !copy(&self.changes, *next, commit, first, batch, &id)
            {
                return false;
            }
            *next += 1;
        }
        batch.push_commit(*commit);
        self.clear();
        true
    }
}

/// False, and nothing copied, where the batch has no room.
fn copy(from: &Batch, change: usize, commit: &Commit, first: u64, batch: &mut Batch, id: impl Fn(u64) -> u64) -> bool {
    let (new, old) = (from.new_cells()[change], from.old_cells()[change]);
    batch.begin_change(ChangeStamp {
        id: id(first + change as u64),
        commit_lsn: commit.commit_lsn,
        xid: commit.xid,
        commit_time: commit.commit_time,
        ordinal: from.ordinals()[change],
        relation: from.relations()[change],
        op: match from.ops()[change] {
            0 => Op::Insert,
            1 => Op::Update,
            2 => Op::Delete,
            _ => Op::Truncate,
        },
    });
    let start = from.first_cells()[change] as usize;
    for index in start..start + usize::from(new) + usize::from(old) {
        match from.cell(index) {
            Cell::Null => batch.push_null(),
            Cell::Unsent => batch.push_unsent(),
            Cell::Text(text) => {
                if !batch.push_text(text) {
                    batch.abandon_change();
                    return false;
                }
            }
        }
    }
    batch.finish_change(new, old, from.marks()[change]);
    true
}
