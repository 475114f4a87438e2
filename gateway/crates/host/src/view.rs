//! Projection: what of a batch a stage gets to see.
//!
//! Owns the read-only [`View`] over the lists of a batch, wherever they lie, the checked [`Interest`], and the copy from one into the
//! other. Must not know stages or instances.

use crate::contract::types;
use millrace_batch::{Batch, Cell, END_MASK, NULL_BIT, UNSENT_BIT};

/// The lists of a batch, in place.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) now: i64,
    pub(crate) shard: u16,
    pub(crate) data: &'a [u8],
    pub(crate) ends: &'a [u32],
    pub(crate) ids: &'a [u64],
    pub(crate) commit_lsns: &'a [u64],
    pub(crate) csns: &'a [u64],
    pub(crate) xids: &'a [u64],
    pub(crate) commit_times: &'a [i64],
    pub(crate) ordinals: &'a [u32],
    pub(crate) relations: &'a [u32],
    pub(crate) first_cells: &'a [u32],
    pub(crate) new_cells: &'a [u16],
    pub(crate) old_cells: &'a [u16],
    pub(crate) ops: &'a [u8],
    pub(crate) marks: &'a [u8],
}

impl<'a> View<'a> {
    /// A batch as the decoder filled it.
    pub(crate) fn source(batch: &'a Batch, now: i64) -> View<'a> {
        View {
            now,
            shard: batch.shard(),
            data: batch.data(),
            ends: batch.ends(),
            ids: batch.ids(),
            commit_lsns: batch.commit_lsns(),
            csns: batch.csns(),
            xids: batch.xids(),
            commit_times: batch.commit_times(),
            ordinals: batch.ordinals(),
            relations: batch.relations(),
            first_cells: batch.first_cells(),
            new_cells: batch.new_cells(),
            old_cells: batch.old_cells(),
            ops: batch.ops(),
            marks: batch.marks(),
        }
    }

    /// A batch that a map stage left behind.
    pub(crate) fn mapped(batch: &'a types::Batch) -> View<'a> {
        View {
            now: batch.now,
            shard: batch.shard,
            data: &batch.data,
            ends: &batch.ends,
            ids: &batch.ids,
            commit_lsns: &batch.commit_lsns,
            csns: &batch.csns,
            xids: &batch.xids,
            commit_times: &batch.commit_times,
            ordinals: &batch.ordinals,
            relations: &batch.relations,
            first_cells: &batch.first_cells,
            new_cells: &batch.new_cells,
            old_cells: &batch.old_cells,
            ops: &batch.ops,
            marks: &batch.marks,
        }
    }

    /// Number of changes.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }

    fn end(&self, cells: usize) -> usize {
        cells.checked_sub(1).map_or(0, |last| (self.ends[last] & END_MASK) as usize)
    }

    /// A cell by its number.
    pub(crate) fn cell(&self, index: usize) -> Cell<'a> {
        let end = self.ends[index];
        if end & NULL_BIT != 0 {
            return Cell::Null;
        }
        if end & UNSENT_BIT != 0 {
            return Cell::Unsent;
        }
        Cell::Text(&self.data[self.end(index)..(end & END_MASK) as usize])
    }

    /// Number of the first cell of a change's image and how many there are.
    pub(crate) fn image(&self, change: usize, old: bool) -> (usize, usize) {
        let (first, new) = (self.first_cells[change] as usize, usize::from(self.new_cells[change]));
        if old { (first + new, usize::from(self.old_cells[change])) } else { (first, new) }
    }

    /// Appends a run of cells to `data` and `ends`.
    #[inline]
    pub(crate) fn copy_cells(&self, first: usize, count: usize, data: &mut Vec<u8>, ends: &mut Vec<u32>) {
        let (from, to) = (self.end(first), self.end(first + count));
        // Moves the low 30 bits; the flags stay, since the sum of an end and its shift stays below 2^30.
        let shift = (data.len() as u32).wrapping_sub(from as u32);
        data.extend_from_slice(&self.data[from..to]);
        ends.extend(self.ends[first..first + count].iter().map(|end| end.wrapping_add(shift)));
    }
}

/// Columns of one image that a stage reads; indexes are below the table's width and name no column twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    Nothing,
    All,
    Listed(Box<[u16]>),
}

/// What a stage reads of a table's changes, checked against the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) new: Image,
    pub(crate) old: Image,
}

impl Interest {
    /// True where a change crosses as it is.
    pub(crate) fn is_full(&self) -> bool {
        self.new == Image::All && self.old == Image::All
    }

    /// Checks what a module asks for. `keys`: the primary key's columns.
    pub(crate) fn check(raw: &types::Interest, width: usize, keys: &[u16]) -> Result<Interest, String> {
        Ok(Interest { new: image(&raw.new, width, keys)?, old: image(&raw.old, width, keys)? })
    }
}

fn image(raw: &types::Selection, width: usize, keys: &[u16]) -> Result<Image, String> {
    let columns = match raw {
        types::Selection::Nothing => return Ok(Image::Nothing),
        types::Selection::All => return Ok(Image::All),
        types::Selection::Key => keys,
        types::Selection::Listed(columns) => check_columns(columns, width)?,
    };
    Ok(match columns {
        [] => Image::Nothing,
        columns if columns.iter().copied().map(usize::from).eq(0..width) => Image::All,
        columns => Image::Listed(columns.into()),
    })
}

/// Columns that exist, none twice: so a projection is never larger than what it is made from.
pub(crate) fn check_columns(columns: &[u16], width: usize) -> Result<&[u16], String> {
    let mut seen = vec![false; width];
    for &column in columns {
        match seen.get_mut(usize::from(column)) {
            None => return Err(format!("it names column {column}, the table has {width}")),
            Some(true) => return Err(format!("it names column {column} twice")),
            Some(seen) => *seen = true,
        }
    }
    Ok(columns)
}

/// Fills `out` with the `picked` changes (rising indexes), each with the images `interest_of` its relation tells.
pub(crate) fn project<'i>(
    view: &View<'_>,
    picked: &[u32],
    interest_of: impl Fn(u32) -> &'i Interest,
    out: &mut types::Batch,
) {
    clear(out);
    out.now = view.now;
    out.shard = view.shard;
    let everything = picked.len() == view.len();
    gather(view.ids, picked, everything, &mut out.ids);
    gather(view.commit_lsns, picked, everything, &mut out.commit_lsns);
    gather(view.csns, picked, everything, &mut out.csns);
    gather(view.xids, picked, everything, &mut out.xids);
    gather(view.commit_times, picked, everything, &mut out.commit_times);
    gather(view.ordinals, picked, everything, &mut out.ordinals);
    gather(view.relations, picked, everything, &mut out.relations);
    gather(view.ops, picked, everything, &mut out.ops);
    gather(view.marks, picked, everything, &mut out.marks);
    // Looking an interest up per run of one table, not per change: streams come in runs.
    let mut last: Option<(u32, &Interest)> = None;
    let mut lookup = |relation: u32| match last {
        Some((of, interest)) if of == relation => interest,
        _ => {
            let interest = interest_of(relation);
            last = Some((relation, interest));
            interest
        }
    };
    if everything && out.relations.iter().all(|relation| lookup(*relation).is_full()) {
        out.data.extend_from_slice(view.data);
        out.ends.extend_from_slice(view.ends);
        out.first_cells.extend_from_slice(view.first_cells);
        out.new_cells.extend_from_slice(view.new_cells);
        out.old_cells.extend_from_slice(view.old_cells);
        return;
    }
    for &change in picked {
        let change = change as usize;
        let interest = lookup(view.relations[change]);
        out.first_cells.push(out.ends.len() as u32);
        let new = copy_image(view, view.image(change, false), &interest.new, out);
        let old = copy_image(view, view.image(change, true), &interest.old, out);
        out.new_cells.push(new);
        out.old_cells.push(old);
    }
}

fn gather<T: Copy>(from: &[T], picked: &[u32], everything: bool, to: &mut Vec<T>) {
    if everything {
        to.extend_from_slice(from);
    } else {
        to.extend(picked.iter().map(|change| from[*change as usize]));
    }
}

fn copy_image(view: &View<'_>, (first, count): (usize, usize), image: &Image, out: &mut types::Batch) -> u16 {
    if count == 0 {
        return 0;
    }
    match image {
        Image::Nothing => 0,
        Image::All => {
            view.copy_cells(first, count, &mut out.data, &mut out.ends);
            count as u16
        }
        Image::Listed(columns) => {
            for &column in columns {
                view.copy_cells(first + usize::from(column), 1, &mut out.data, &mut out.ends);
            }
            columns.len() as u16
        }
    }
}

/// A batch without anything.
pub(crate) fn empty() -> types::Batch {
    types::Batch {
        now: 0,
        shard: 0,
        data: Vec::new(),
        ends: Vec::new(),
        ids: Vec::new(),
        commit_lsns: Vec::new(),
        csns: Vec::new(),
        xids: Vec::new(),
        commit_times: Vec::new(),
        ordinals: Vec::new(),
        relations: Vec::new(),
        first_cells: Vec::new(),
        new_cells: Vec::new(),
        old_cells: Vec::new(),
        ops: Vec::new(),
        marks: Vec::new(),
    }
}

/// Empties a batch and keeps its buffers.
pub(crate) fn clear(batch: &mut types::Batch) {
    batch.data.clear();
    batch.ends.clear();
    batch.ids.clear();
    batch.commit_lsns.clear();
    batch.csns.clear();
    batch.xids.clear();
    batch.commit_times.clear();
    batch.ordinals.clear();
    batch.relations.clear();
    batch.first_cells.clear();
    batch.new_cells.clear();
    batch.old_cells.clear();
    batch.ops.clear();
    batch.marks.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_batch::{ChangeStamp, Lsn, Op, marks};
    use proptest::prelude::*;

    type Row = Option<Vec<CellText>>;

    #[derive(Clone, Debug)]
    enum CellText {
        Null,
        Unsent,
        Text(Vec<u8>),
    }

    const WIDTH: usize = 4;

    fn row() -> impl Strategy<Value = Row> {
        let cell = prop_oneof![
            Just(CellText::Null),
            Just(CellText::Unsent),
            prop::collection::vec(any::<u8>(), 0..9).prop_map(CellText::Text)
        ];
        prop::option::of(prop::collection::vec(cell, WIDTH))
    }

    fn selection() -> impl Strategy<Value = types::Selection> {
        prop_oneof![
            Just(types::Selection::Nothing),
            Just(types::Selection::All),
            Just(types::Selection::Key),
            Just(vec![0u16, 1, 2, 3])
                .prop_shuffle()
                .prop_flat_map(|order| (0..=WIDTH).prop_map(move |n| types::Selection::Listed(order[..n].to_vec()))),
        ]
    }

    fn push(batch: &mut Batch, row: &Row) -> u16 {
        for cell in row.iter().flatten() {
            match cell {
                CellText::Null => batch.push_null(),
                CellText::Unsent => batch.push_unsent(),
                CellText::Text(text) => assert!(batch.push_text(text)),
            }
        }
        row.as_ref().map_or(0, |cells| cells.len() as u16)
    }

    /// What the interest means, cell by cell.
    fn wanted(row: &Row, selection: &types::Selection, keys: &[u16]) -> Vec<CellText> {
        let Some(cells) = row else { return Vec::new() };
        match selection {
            types::Selection::Nothing => Vec::new(),
            types::Selection::All => cells.clone(),
            types::Selection::Key => keys.iter().map(|key| cells[usize::from(*key)].clone()).collect(),
            types::Selection::Listed(columns) => columns.iter().map(|c| cells[usize::from(*c)].clone()).collect(),
        }
    }

    proptest! {
        #[test]
        fn a_projection_equals_the_naive_one(
            rows in prop::collection::vec((0u32..2, row(), row(), any::<bool>()), 0..20),
            interests in prop::collection::vec((selection(), selection()), 2),
        ) {
            let keys = [2u16, 0];
            let mut batch = Batch::new(3);
            for (n, (relation, new, old, _)) in rows.iter().enumerate() {
                let n = n as u64;
                let stamp = ChangeStamp { id: n, commit_lsn: Lsn(n * 2), xid: n * 3, commit_time: -1, ordinal: n as u32,
                    relation: *relation, op: Op::Update };
                batch.begin_change(stamp);
                let (a, b) = (push(&mut batch, new), push(&mut batch, old));
                batch.finish_change(a, b, marks::NEW | marks::OLD);
            }
            let checked: Vec<Interest> = interests
                .iter()
                .map(|(new, old)| {
                    Interest::check(&types::Interest { new: new.clone(), old: old.clone() }, WIDTH, &keys).unwrap()
                })
                .collect();
            let picked: Vec<u32> = (0..rows.len() as u32).filter(|n| rows[*n as usize].3).collect();
            let mut out = empty();
            project(&View::source(&batch, 77), &picked, |relation| &checked[relation as usize], &mut out);
            let seen = View::mapped(&out);
            prop_assert_eq!(seen.len(), picked.len());
            prop_assert_eq!((out.now, out.shard), (77, 3));
            for (at, change) in picked.iter().enumerate() {
                let (relation, new, old, _) = &rows[*change as usize];
                prop_assert_eq!(out.ids[at], u64::from(*change));
                prop_assert_eq!(out.commit_lsns[at], u64::from(*change) * 2);
                let (want_new, want_old) = &interests[*relation as usize];
                for (old_image, expected) in [(false, wanted(new, want_new, &keys)), (true, wanted(old, want_old, &keys))] {
                    let (first, count) = seen.image(at, old_image);
                    prop_assert_eq!(count, expected.len());
                    for (column, cell) in expected.iter().enumerate() {
                        let expected = match cell {
                            CellText::Null => Cell::Null,
                            CellText::Unsent => Cell::Unsent,
                            CellText::Text(text) => Cell::Text(text),
                        };
                        prop_assert_eq!(seen.cell(first + column), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn columns_that_do_not_exist_or_come_twice_are_refused() {
        let check = |columns: &[u16]| {
            let raw =
                types::Interest { new: types::Selection::Listed(columns.to_vec()), old: types::Selection::Nothing };
            Interest::check(&raw, 3, &[])
        };
        assert!(check(&[0, 3]).is_err());
        assert!(check(&[1, 1]).is_err());
        assert_eq!(check(&[0, 1, 2]).unwrap().new, Image::All);
        assert_eq!(check(&[]).unwrap().new, Image::Nothing);
    }
}
