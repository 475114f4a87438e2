//! The columnar batch of changes.
//!
//! Owns the layout that the transform contract exposes (one list per field, cell values back to back) and the only ways to
//! fill it. Must not know where the bytes came from or where records go. Buffers are kept by [`Batch::clear`], so a recycled
//! batch allocates nothing.

mod split;

use crate::Lsn;
use std::ops::Range;

pub use split::Split;

/// Low bits of an element of `ends`: the end offset of the cell in `data`.
pub const END_MASK: u32 = (1 << 30) - 1;
/// Top bit of an element of `ends`: the cell is NULL.
pub const NULL_BIT: u32 = 1 << 31;
/// Second bit of an element of `ends`: the source did not send the cell (unchanged TOAST value, or outside a key-only old image).
pub const UNSENT_BIT: u32 = 1 << 30;
/// Most bytes of cell data one batch can hold: what 30 bits address.
pub const CELL_LIMIT: usize = END_MASK as usize;

/// Bits of an element of `marks`.
pub mod marks {
    /// The source sent a new image.
    pub const NEW: u8 = 1;
    /// The source sent an old image.
    pub const OLD: u8 = 2;
    /// Of the old image only the replica identity's columns were sent.
    pub const OLD_KEY_ONLY: u8 = 4;
}

/// What a change did. The code is the one of the transform contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// A row came.
    Insert = 0,
    /// A row changed.
    Update = 1,
    /// A row went.
    Delete = 2,
    /// The table was emptied.
    Truncate = 3,
}

/// One cell of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// Not sent by the source: an unchanged TOAST value, or a column outside a key-only old image.
    Unsent,
    /// Canonical text; nobody has checked that it is UTF-8.
    Text(&'a [u8]),
}

/// What a change has besides its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeStamp {
    /// Unique in the task, rising per shard, the same again on replay.
    pub id: u64,
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// Transaction number at the source.
    pub xid: u64,
    /// Commit time, microseconds since the Unix epoch.
    pub commit_time: i64,
    /// Position of the change in its transaction, from 0.
    pub ordinal: u32,
    /// Id of the relation version.
    pub relation: u32,
    /// What the change did.
    pub op: Op,
}

/// A transaction that ended in this batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Number of this batch's changes that stand before the end: the transaction's last change, if here, is `after - 1`.
    pub after: u32,
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// LSN right behind the commit record: where reading may resume.
    pub end_lsn: Lsn,
    /// Transaction number at the source.
    pub xid: u64,
    /// Commit time, microseconds since the Unix epoch.
    pub commit_time: i64,
    /// The `n` of the next id to be given (`id = n * shards + shard`).
    pub next_id: u64,
}

/// Changes of one shard in commit order. Lists have one element per change unless their accessor says otherwise; cells are
/// numbered through the whole batch, per change first the new image's, then the old image's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    data: Vec<u8>,
    ends: Vec<u32>,
    ids: Vec<u64>,
    commit_lsns: Vec<u64>,
    csns: Vec<u64>,
    xids: Vec<u64>,
    commit_times: Vec<i64>,
    ordinals: Vec<u32>,
    relations: Vec<u32>,
    first_cells: Vec<u32>,
    new_cells: Vec<u16>,
    old_cells: Vec<u16>,
    ops: Vec<u8>,
    marks: Vec<u8>,
    commits: Vec<Commit>,
    shard: u16,
}

/// The lists of a batch that a chunk holds.
pub(crate) struct Parts<Wide, Narrow, Bytes> {
    pub(crate) ordinals: Wide,
    pub(crate) relations: Wide,
    pub(crate) first_cells: Wide,
    pub(crate) ends: Wide,
    pub(crate) new_cells: Narrow,
    pub(crate) old_cells: Narrow,
    pub(crate) ops: Bytes,
    pub(crate) marks: Bytes,
    pub(crate) data: Bytes,
}

impl Batch {
    /// Fills the lists of an empty batch with so many changes; what a chunk does not hold is zero.
    pub(crate) fn restore(
        &mut self,
        changes: usize,
        fill: impl FnOnce(Parts<&mut Vec<u32>, &mut Vec<u16>, &mut Vec<u8>>),
    ) {
        fill(Parts {
            ordinals: &mut self.ordinals,
            relations: &mut self.relations,
            first_cells: &mut self.first_cells,
            ends: &mut self.ends,
            new_cells: &mut self.new_cells,
            old_cells: &mut self.old_cells,
            ops: &mut self.ops,
            marks: &mut self.marks,
            data: &mut self.data,
        });
        self.ids.resize(changes, 0);
        self.commit_lsns.resize(changes, 0);
        self.csns.resize(changes, 0);
        self.xids.resize(changes, 0);
        self.commit_times.resize(changes, 0);
    }

    /// An empty batch of a shard.
    pub fn new(shard: u16) -> Batch {
        Batch { shard, ..Batch::default() }
    }

    /// Empties the batch and keeps its buffers.
    pub fn clear(&mut self) {
        self.truncate_changes(0);
        self.ends.clear();
        self.data.clear();
        self.commits.clear();
    }

    /// Starts a change; its cells follow by the `push_` calls, new image first. Ends with [`Batch::finish_change`], or is
    /// taken back with [`Batch::abandon_change`].
    pub fn begin_change(&mut self, stamp: ChangeStamp) {
        self.ids.push(stamp.id);
        self.commit_lsns.push(stamp.commit_lsn.0);
        self.csns.push(0);
        self.xids.push(stamp.xid);
        self.commit_times.push(stamp.commit_time);
        self.ordinals.push(stamp.ordinal);
        self.relations.push(stamp.relation);
        self.first_cells.push(self.ends.len() as u32);
        self.ops.push(stamp.op as u8);
    }

    /// Sets the commit sequence number of the change begun last; without it a change has none (0).
    pub fn set_csn(&mut self, csn: u64) {
        if let Some(last) = self.csns.last_mut() {
            *last = csn;
        }
    }

    /// Bytes of cell values so far: what a reader cuts batches by.
    pub fn data_len(&self) -> usize {
        self.data.len()
    }

    /// Appends a text cell. False, and nothing written, where the batch would pass [`CELL_LIMIT`].
    #[must_use]
    #[inline]
    pub fn push_text(&mut self, text: &[u8]) -> bool {
        if text.len() > CELL_LIMIT - self.data.len() {
            return false;
        }
        self.data.extend_from_slice(text);
        self.ends.push(self.data.len() as u32);
        true
    }

    /// Appends a NULL cell.
    #[inline]
    pub fn push_null(&mut self) {
        self.ends.push(self.data.len() as u32 | NULL_BIT);
    }

    /// Appends a cell the source did not send.
    #[inline]
    pub fn push_unsent(&mut self) {
        self.ends.push(self.data.len() as u32 | UNSENT_BIT);
    }

    /// Number of cells in the batch so far.
    pub fn cell_count(&self) -> usize {
        self.ends.len()
    }

    /// Ends the change that [`Batch::begin_change`] started. `marks`: see [`marks`].
    pub fn finish_change(&mut self, new_cells: u16, old_cells: u16, marks: u8) {
        debug_assert_eq!(
            self.ends.len() - self.first_cells.last().map_or(0, |first| *first as usize),
            usize::from(new_cells) + usize::from(old_cells)
        );
        self.new_cells.push(new_cells);
        self.old_cells.push(old_cells);
        self.marks.push(marks);
    }

    /// Takes back a change that was begun and not finished; finished ones stay.
    pub fn abandon_change(&mut self) {
        self.truncate_changes(self.marks.len());
    }

    fn truncate_changes(&mut self, keep: usize) {
        if let Some(&first) = self.first_cells.get(keep) {
            let data = first.checked_sub(1).map_or(0, |last| self.ends[last as usize] & END_MASK);
            self.ends.truncate(first as usize);
            self.data.truncate(data as usize);
        }
        self.ids.truncate(keep);
        self.commit_lsns.truncate(keep);
        self.csns.truncate(keep);
        self.xids.truncate(keep);
        self.commit_times.truncate(keep);
        self.ordinals.truncate(keep);
        self.relations.truncate(keep);
        self.first_cells.truncate(keep);
        self.new_cells.truncate(keep);
        self.old_cells.truncate(keep);
        self.ops.truncate(keep);
        self.marks.truncate(keep);
    }

    /// Records the end of a transaction behind the changes so far; `after` is set here.
    pub fn push_commit(&mut self, commit: Commit) {
        self.commits.push(Commit { after: self.len() as u32, ..commit });
    }

    /// Appends changes of another batch, with what only the end of their transaction told: LSN, CSN, number and time. The first gets
    /// the id `first_id`, each further one `id_step` more. False, and nothing appended, where the batch would pass [`CELL_LIMIT`].
    #[must_use]
    pub fn append_changes(
        &mut self,
        from: &Batch,
        changes: Range<usize>,
        first_id: u64,
        id_step: u64,
        csn: u64,
        commit: &Commit,
    ) -> bool {
        let count = changes.len();
        if !self.append_images(from, changes) {
            return false;
        }
        self.ids.extend((0..count as u64).map(|n| first_id + n * id_step));
        self.commit_lsns.resize(self.commit_lsns.len() + count, commit.commit_lsn.0);
        self.csns.resize(self.csns.len() + count, csn);
        self.xids.resize(self.xids.len() + count, commit.xid);
        self.commit_times.resize(self.commit_times.len() + count, commit.commit_time);
        true
    }

    /// Appends changes of another batch as they are. False, and nothing appended, where the batch would pass [`CELL_LIMIT`].
    #[must_use]
    pub fn append_same(&mut self, from: &Batch, changes: Range<usize>) -> bool {
        if !self.append_images(from, changes.clone()) {
            return false;
        }
        self.ids.extend_from_slice(&from.ids[changes.clone()]);
        self.commit_lsns.extend_from_slice(&from.commit_lsns[changes.clone()]);
        self.csns.extend_from_slice(&from.csns[changes.clone()]);
        self.xids.extend_from_slice(&from.xids[changes.clone()]);
        self.commit_times.extend_from_slice(&from.commit_times[changes]);
        true
    }

    /// The part of appending that knows no stamps.
    fn append_images(&mut self, from: &Batch, changes: Range<usize>) -> bool {
        let cells = from.cells_before(changes.start)..from.cells_before(changes.end);
        let data = from.data_before(changes.start)..from.data_before(changes.end);
        if data.len() > CELL_LIMIT - self.data.len() {
            return false;
        }
        // Both offsets are below 2^30, so the sum cannot reach the bits above; a wrapping shift moves either way.
        let shift = (self.data.len() as u32).wrapping_sub(data.start as u32);
        let moved = |end: &u32| (end & !END_MASK) | ((end & END_MASK).wrapping_add(shift));
        let cell_shift = (self.ends.len() as u32).wrapping_sub(cells.start as u32);
        self.ends.extend(from.ends[cells].iter().map(moved));
        self.data.extend_from_slice(&from.data[data]);
        self.ordinals.extend_from_slice(&from.ordinals[changes.clone()]);
        self.relations.extend_from_slice(&from.relations[changes.clone()]);
        self.first_cells.extend(from.first_cells[changes.clone()].iter().map(|first| first.wrapping_add(cell_shift)));
        self.new_cells.extend_from_slice(&from.new_cells[changes.clone()]);
        self.old_cells.extend_from_slice(&from.old_cells[changes.clone()]);
        self.ops.extend_from_slice(&from.ops[changes.clone()]);
        self.marks.extend_from_slice(&from.marks[changes]);
        true
    }

    /// Cells in front of a finished change's; all of them for the number of changes.
    fn cells_before(&self, change: usize) -> usize {
        self.first_cells.get(change).map_or(self.ends.len(), |first| *first as usize)
    }

    /// Bytes of cell values in front of a finished change's; all of them for the number of changes.
    pub fn data_before(&self, change: usize) -> usize {
        self.cells_before(change).checked_sub(1).map_or(0, |last| (self.ends[last] & END_MASK) as usize)
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// True without a change; transaction ends may be there all the same.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Bytes the batch holds, of values and of fixed fields: what the byte budget counts.
    pub fn weight(&self) -> usize {
        self.data.len() + 4 * self.ends.len() + 58 * self.len() + std::mem::size_of::<Commit>() * self.commits.len()
    }

    /// Shard the changes come from.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// Cell values back to back.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// One element per cell: end offset in `data`, [`NULL_BIT`], [`UNSENT_BIT`].
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Ids.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// Commit LSNs.
    pub fn commit_lsns(&self) -> &[u64] {
        &self.commit_lsns
    }

    /// Commit sequence numbers, comparable between the shards of one cluster; 0 where the source has none.
    pub fn csns(&self) -> &[u64] {
        &self.csns
    }

    /// Transaction numbers.
    pub fn xids(&self) -> &[u64] {
        &self.xids
    }

    /// Commit times, microseconds since the Unix epoch.
    pub fn commit_times(&self) -> &[i64] {
        &self.commit_times
    }

    /// Positions of the changes in their transactions.
    pub fn ordinals(&self) -> &[u32] {
        &self.ordinals
    }

    /// Relation ids.
    pub fn relations(&self) -> &[u32] {
        &self.relations
    }

    /// Number of each change's first cell.
    pub fn first_cells(&self) -> &[u32] {
        &self.first_cells
    }

    /// Cells of each new image.
    pub fn new_cells(&self) -> &[u16] {
        &self.new_cells
    }

    /// Cells of each old image.
    pub fn old_cells(&self) -> &[u16] {
        &self.old_cells
    }

    /// Operation codes, see [`Op`].
    pub fn ops(&self) -> &[u8] {
        &self.ops
    }

    /// What the source sent, see [`marks`].
    pub fn marks(&self) -> &[u8] {
        &self.marks
    }

    /// Transactions that end in this batch, in order; more than one may have the same `after` (empty transactions).
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// A cell by its number in the batch; [`Cell::Unsent`] past the end.
    #[inline]
    pub fn cell(&self, index: usize) -> Cell<'_> {
        let Some(&end) = self.ends.get(index) else { return Cell::Unsent };
        if end & NULL_BIT != 0 {
            return Cell::Null;
        }
        if end & UNSENT_BIT != 0 {
            return Cell::Unsent;
        }
        let start = index.checked_sub(1).map_or(0, |before| (self.ends[before] & END_MASK) as usize);
        Cell::Text(&self.data[start..(end & END_MASK) as usize])
    }

    /// A cell of a change's new image.
    pub fn new_cell(&self, change: usize, column: usize) -> Cell<'_> {
        if column >= usize::from(self.new_cells[change]) {
            return Cell::Unsent;
        }
        self.cell(self.first_cells[change] as usize + column)
    }

    /// A cell of a change's old image.
    pub fn old_cell(&self, change: usize, column: usize) -> Cell<'_> {
        if column >= usize::from(self.old_cells[change]) {
            return Cell::Unsent;
        }
        self.cell(self.first_cells[change] as usize + usize::from(self.new_cells[change]) + column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp(id: u64) -> ChangeStamp {
        let lsn = Lsn(100 + id);
        ChangeStamp { id, commit_lsn: lsn, xid: 7, commit_time: 1, ordinal: 0, relation: 3, op: Op::Update }
    }

    fn fill(batch: &mut Batch, id: u64, cells: &[Option<Vec<u8>>]) {
        batch.begin_change(stamp(id));
        for cell in cells {
            match cell {
                Some(text) => assert!(batch.push_text(text)),
                None => batch.push_null(),
            }
        }
        batch.push_unsent();
        batch.finish_change(cells.len() as u16, 1, marks::NEW | marks::OLD);
    }

    proptest! {
        #[test]
        fn cells_come_back_and_an_abandoned_change_leaves_no_trace(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..20)), 0..6), 0..10)
        ) {
            let mut batch = Batch::new(0);
            for (n, row) in rows.iter().enumerate() {
                fill(&mut batch, n as u64, row);
                let before = batch.clone();
                batch.begin_change(stamp(99));
                prop_assert!(batch.push_text(b"half"));
                batch.abandon_change();
                prop_assert_eq!(&before, &batch);
            }
            for (n, row) in rows.iter().enumerate() {
                for (column, cell) in row.iter().enumerate() {
                    let expected = cell.as_ref().map_or(Cell::Null, |text| Cell::Text(text));
                    prop_assert_eq!(batch.new_cell(n, column), expected);
                }
                prop_assert_eq!(batch.old_cell(n, 0), Cell::Unsent);
                prop_assert_eq!(batch.new_cell(n, row.len()), Cell::Unsent);
            }
            batch.clear();
            prop_assert_eq!(batch, Batch::new(0));
        }
    }

    proptest! {
        /// Appending in parts is the same as filling.
        #[test]
        fn appended_changes_are_the_same_changes(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 0..5), 1..12),
            cut: prop::sample::Index,
        ) {
            let (mut from, mut whole) = (Batch::new(0), Batch::new(0));
            fill(&mut whole, 50, &[Some(b"before".to_vec())]);
            let mut parts = whole.clone();
            for (n, row) in rows.iter().enumerate() {
                fill(&mut from, 1, row);
                fill(&mut whole, 60 + 3 * n as u64, row);
            }
            whole.commit_lsns[1..].fill(9);
            whole.csns[1..].fill(6);
            whole.xids[1..].fill(8);
            whole.commit_times[1..].fill(7);
            let commit = Commit { after: 0, commit_lsn: Lsn(9), end_lsn: Lsn(9), xid: 8, commit_time: 7, next_id: 0 };
            let cut = cut.index(rows.len());
            prop_assert!(parts.append_changes(&from, 0..cut, 60, 3, 6, &commit));
            prop_assert!(parts.append_changes(&from, cut..rows.len(), 60 + 3 * cut as u64, 3, 6, &commit));
            prop_assert_eq!(&parts, &whole);
            // One by one, as they are.
            let mut again = Batch::new(0);
            prop_assert!((0..whole.len()).all(|at| again.append_same(&whole, at..at + 1)));
            prop_assert_eq!(again, whole);
        }
    }

    #[test]
    fn commits_stand_behind_the_changes_so_far() {
        let mut batch = Batch::new(0);
        let end = Commit { after: 9, commit_lsn: Lsn(1), end_lsn: Lsn(2), xid: 1, commit_time: 0, next_id: 5 };
        batch.push_commit(end);
        fill(&mut batch, 1, &[]);
        batch.push_commit(end);
        assert_eq!(batch.commits().iter().map(|c| c.after).collect::<Vec<_>>(), [0, 1]);
    }
}
