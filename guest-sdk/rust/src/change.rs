//! Reading a batch: changes, their images, their cells. Knows the packing of `types.batch` and nothing of any stage.

use crate::{Batch, Relation, tables::Announced};

/// Low 30 bits of an element of `ends`: where the cell's bytes end.
pub(crate) const END: u32 = (1 << 30) - 1;
/// Bit of `ends`: the cell was not sent by the source.
pub(crate) const NOT_SENT: u32 = 1 << 30;
/// Bit of `ends`: the cell is NULL.
pub(crate) const NULL: u32 = 1 << 31;

/// Bits of `marks`.
const HAS_NEW: u8 = 1;
const HAS_OLD: u8 = 1 << 1;
const OLD_IS_KEY_ONLY: u8 = 1 << 2;

/// What happened to a row, or to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A removed row.
    Delete,
    /// All rows removed at once; such a change has no image.
    Truncate,
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// The source did not send it: an unchanged large value, or a column outside a key-only old image.
    Unchanged,
    /// The canonical text. Nobody has checked that it is UTF-8.
    Text(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// The bytes, if the cell has any.
    #[must_use]
    pub fn text(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Unchanged => None,
        }
    }
}

/// One image of a row, as far as the stage asked for it.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    pub(crate) data: &'a [u8],
    /// Ends of this image's cells.
    pub(crate) ends: &'a [u32],
    /// End of the cell before the first.
    pub(crate) start: u32,
    pub(crate) relation: &'a Relation,
    pub(crate) columns: &'a [u16],
}

impl<'a> Image<'a> {
    /// How many cells there are: as many as the stage's interest selects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the interest selected no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The cell at a position of the interest (under `Selection::All` that is the column's index); `None` beyond the last.
    #[must_use]
    #[inline]
    pub fn get(&self, position: usize) -> Option<Cell<'a>> {
        let (start, end) = self.span(position)?;
        Some(if end & NULL != 0 {
            Cell::Null
        } else if end & NOT_SENT != 0 {
            Cell::Unchanged
        } else {
            Cell::Text(&self.data[start as usize..(end & END) as usize])
        })
    }

    /// The cell of the column of this name; `None` where there is none or the interest left it out.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Cell<'a>> {
        let index = self.relation.columns.iter().position(|c| c.name == name)?;
        self.get(self.columns.iter().position(|&c| usize::from(c) == index)?)
    }

    /// The cells in order.
    pub fn iter(&self) -> impl Iterator<Item = Cell<'a>> + '_ {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    /// Start, and end with its flags.
    #[inline]
    pub(crate) fn span(&self, position: usize) -> Option<(u32, u32)> {
        let end = *self.ends.get(position)?;
        let start = if position == 0 { self.start } else { self.ends[position - 1] & END };
        Some((start, end))
    }
}

/// One change of a batch.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    batch: &'a Batch,
    index: usize,
    relation: &'a Relation,
    new_columns: &'a [u16],
    old_columns: &'a [u16],
}

impl<'a> Change<'a> {
    #[inline]
    pub(crate) fn new<T>(batch: &'a Batch, index: usize, table: &'a Announced<T>) -> Self {
        let Announced { relation, new_columns, old_columns, .. } = table;
        Self { batch, index, relation, new_columns, old_columns }
    }

    /// What happened.
    #[must_use]
    #[inline]
    pub fn op(&self) -> Op {
        match self.batch.ops[self.index] {
            0 => Op::Insert,
            1 => Op::Update,
            2 => Op::Delete,
            _ => Op::Truncate,
        }
    }

    /// The table as it was announced.
    #[must_use]
    pub fn relation(&self) -> &'a Relation {
        self.relation
    }

    /// Unique in the task, rising per shard, the same again on replay.
    #[must_use]
    #[inline]
    pub fn id(&self) -> u64 {
        self.batch.ids[self.index]
    }

    /// LSN of the commit of the change's transaction.
    #[must_use]
    pub fn commit_lsn(&self) -> u64 {
        self.batch.commit_lsns[self.index]
    }

    /// Commit sequence number of the change's transaction, comparable between the shards of one cluster; 0 where the source
    /// has none.
    #[must_use]
    pub fn csn(&self) -> u64 {
        self.batch.csns[self.index]
    }

    /// Commit time at the source, microseconds since the Unix epoch.
    #[must_use]
    #[inline]
    pub fn commit_time(&self) -> i64 {
        self.batch.commit_times[self.index]
    }

    /// The only clock: when the batch was made, microseconds since the Unix epoch.
    #[must_use]
    #[inline]
    pub fn now(&self) -> i64 {
        self.batch.now
    }

    /// Transaction id at the source.
    #[must_use]
    pub fn xid(&self) -> u64 {
        self.batch.xids[self.index]
    }

    /// Position of the change in its transaction.
    #[must_use]
    pub fn ordinal(&self) -> u32 {
        self.batch.ordinals[self.index]
    }

    /// The stream the change came from.
    #[must_use]
    pub fn shard(&self) -> u16 {
        self.batch.shard
    }

    /// Whether the source sent a new image, asked for or not.
    #[must_use]
    #[inline]
    pub fn has_new(&self) -> bool {
        self.batch.marks[self.index] & HAS_NEW != 0
    }

    /// Whether the source sent an old image, asked for or not.
    #[must_use]
    #[inline]
    pub fn has_old(&self) -> bool {
        self.batch.marks[self.index] & HAS_OLD != 0
    }

    /// Whether the old image has the replica identity's columns only; its other cells are [`Cell::Unchanged`].
    #[must_use]
    pub fn old_is_key_only(&self) -> bool {
        self.batch.marks[self.index] & OLD_IS_KEY_ONLY != 0
    }

    /// The row after the change; `None` where there is none or the stage did not ask.
    #[must_use]
    #[inline]
    pub fn new_image(&self) -> Option<Image<'a>> {
        let first = self.batch.first_cells[self.index] as usize;
        self.image(first, self.batch.new_cells[self.index], self.new_columns)
    }

    /// The row before the change; `None` where there is none or the stage did not ask.
    #[must_use]
    #[inline]
    pub fn old_image(&self) -> Option<Image<'a>> {
        let first = self.batch.first_cells[self.index] as usize + usize::from(self.batch.new_cells[self.index]);
        self.image(first, self.batch.old_cells[self.index], self.old_columns)
    }

    /// The row the change is about: the new image, or the old one on delete.
    #[must_use]
    pub fn row(&self) -> Option<Image<'a>> {
        self.new_image().or_else(|| self.old_image())
    }

    #[inline]
    fn image(&self, first: usize, cells: u16, columns: &'a [u16]) -> Option<Image<'a>> {
        if cells == 0 {
            return None;
        }
        let ends = &self.batch.ends[first..first + usize::from(cells)];
        let start = if first == 0 { 0 } else { self.batch.ends[first - 1] & END };
        Some(Image { data: &self.batch.data, ends, start, relation: self.relation, columns })
    }
}

/// Small batches for the unit tests of the stages.
#[cfg(test)]
pub(crate) mod fixture {
    use super::*;
    use crate::Column;

    /// A table of text columns.
    pub(crate) fn relation(id: u32, names: &[&str]) -> Relation {
        let columns = names.iter().map(|&name| Column {
            name: name.to_owned(),
            type_name: "text".to_owned(),
            type_oid: 25,
            type_modifier: -1,
            jdbc_type: 12,
            key_position: 0,
        });
        Relation {
            id,
            database: "db".to_owned(),
            schema: "public".to_owned(),
            table: "t".to_owned(),
            identity: 1,
            columns: columns.collect(),
        }
    }

    /// One insert per row, ids from 0.
    pub(crate) fn inserts(relation: u32, rows: &[Vec<Option<&str>>]) -> Batch {
        let n = rows.len();
        let (mut data, mut ends, mut first_cells) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            first_cells.push(ends.len() as u32);
            for cell in row {
                data.extend_from_slice(cell.unwrap_or_default().as_bytes());
                ends.push(data.len() as u32 | if cell.is_none() { NULL } else { 0 });
            }
        }
        Batch {
            now: 0,
            shard: 0,
            data,
            ends,
            ids: (0..n as u64).collect(),
            commit_lsns: vec![0; n],
            csns: vec![0; n],
            xids: vec![0; n],
            commit_times: vec![0; n],
            ordinals: (0..n as u32).collect(),
            relations: vec![relation; n],
            first_cells,
            new_cells: rows.iter().map(|r| r.len() as u16).collect(),
            old_cells: vec![0; n],
            ops: vec![0; n],
            marks: vec![HAS_NEW; n],
        }
    }
}
