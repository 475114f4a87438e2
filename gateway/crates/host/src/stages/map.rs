//! The map stage: what a row looks like.
//!
//! The module writes only the cells that are new; everything else of a rewritten row is copied here.

use super::check_rising;
use crate::contract::{map, types};
use crate::stage::Reject;
use crate::view::{Interest, View, clear};
use millrace_batch::{END_MASK, NULL_BIT, UNSENT_BIT, marks};

/// A run of columns of the rewritten table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Copied { from: usize, count: usize },
    Written { count: usize },
}

/// A map's plan for a table.
#[derive(Debug)]
pub(crate) enum MapPlan {
    Unchanged,
    Rewritten(Rewrite),
}

/// How a table's rows are rewritten.
#[derive(Debug)]
pub(crate) struct Rewrite {
    segments: Box<[Segment]>,
    /// Cells the module writes per image.
    written: usize,
    reads: Interest,
    may_drop: bool,
}

impl Rewrite {
    /// What the module reads, where it is asked for each change.
    pub(crate) fn interest(&self) -> Option<&Interest> {
        self.is_called().then_some(&self.reads)
    }

    /// A plain copy needs no call unless the module may drop.
    fn is_called(&self) -> bool {
        self.written > 0 || self.may_drop
    }
}

impl MapPlan {
    pub(crate) fn check(plan: &map::Plan, before: &types::Relation, keys: &[u16]) -> Result<MapPlan, String> {
        let map::Plan::Rewritten(rewrite) = plan else { return Ok(MapPlan::Unchanged) };
        let (after, width) = (&rewrite.after, before.columns.len());
        if after.id != before.id {
            return Err(format!("the table afterwards has id {}, it must keep {}", after.id, before.id));
        }
        if after.identity > 3 {
            return Err(format!("the table afterwards has replica identity {}, the codes are 0 to 3", after.identity));
        }
        if after.columns.len() > usize::from(u16::MAX) {
            return Err(format!("the table afterwards has {} columns, the most is {}", after.columns.len(), u16::MAX));
        }
        if rewrite.sources.len() != after.columns.len() {
            return Err(format!("{} sources for {} columns", rewrite.sources.len(), after.columns.len()));
        }
        let mut segments = Vec::new();
        let mut written = 0;
        let mut seen = vec![false; width];
        for &source in &rewrite.sources {
            if source == -1 {
                written += 1;
                match segments.last_mut() {
                    Some(Segment::Written { count }) => *count += 1,
                    _ => segments.push(Segment::Written { count: 1 }),
                }
                continue;
            }
            let from = usize::try_from(source).ok().filter(|from| *from < width);
            let from = from.ok_or_else(|| format!("a source is {source}, the table has {width} columns"))?;
            // Keeps a rewritten batch no larger than what went in and what the module wrote.
            if std::mem::replace(&mut seen[from], true) {
                return Err(format!("column {from} is copied twice; write the second copy instead"));
            }
            match segments.last_mut() {
                Some(Segment::Copied { from: first, count }) if *first + *count == from => *count += 1,
                _ => segments.push(Segment::Copied { from, count: 1 }),
            }
        }
        Ok(MapPlan::Rewritten(Rewrite {
            segments: segments.into(),
            written,
            reads: Interest::check(&rewrite.reads, width, keys)?,
            may_drop: rewrite.may_drop,
        }))
    }
}

/// Cells that map modules wrote for one batch, and which changes they belong to.
#[derive(Debug, Default)]
pub(crate) struct Written {
    data: Vec<u8>,
    ends: Vec<u32>,
    /// Per change asked: its first cell in `ends`, or `DROPPED`.
    first: Vec<u32>,
}

const DROPPED: u32 = u32::MAX;

impl Written {
    pub(crate) fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
        self.first.clear();
    }

    /// Checks an answer for some changes (their rewrites and marks) and takes it; faulty changes (rising) have no cells.
    pub(crate) fn accept(
        &mut self,
        answer: &map::Mapped,
        changes: &[(&Rewrite, u8)],
        faulty: &[u32],
    ) -> Result<(), Reject> {
        check_cells(answer)?;
        if self.data.len() + answer.data.len() > END_MASK as usize {
            return Err(Reject::bad("data", "the batch would pass what 30 bits address"));
        }
        let (taken, first_cell) = (self.first.len(), self.ends.len());
        let cells = self.place(answer, changes, faulty).and_then(|cells| match answer.ends.len() {
            found if found == cells => Ok(()),
            found => Err(Reject::bad("ends", format_args!("{found} cells where {cells} belong"))),
        });
        if let Err(reject) = cells {
            self.first.truncate(taken);
            return Err(reject);
        }
        let shift = self.data.len() as u32;
        self.data.extend_from_slice(&answer.data);
        self.ends.extend(answer.ends.iter().map(|end| end.wrapping_add(shift)));
        debug_assert_eq!(self.ends.len(), first_cell + answer.ends.len());
        Ok(())
    }

    /// Notes where each change's cells begin; how many cells the answer must have.
    fn place(&mut self, answer: &map::Mapped, changes: &[(&Rewrite, u8)], faulty: &[u32]) -> Result<usize, Reject> {
        let first_cell = self.ends.len();
        let mut cells = 0;
        let mut dropped = answer.dropped.iter().map(|index| *index as usize).peekable();
        for (index, (rewrite, bits)) in changes.iter().enumerate() {
            let is_dropped = dropped.next_if_eq(&index).is_some();
            if !faulty.is_empty() && faulty.binary_search(&(index as u32)).is_ok() {
                self.first.push(DROPPED);
                continue;
            }
            if is_dropped {
                if !rewrite.may_drop {
                    let why = format_args!("index {index} is of a table whose plan does not say that it may drop");
                    return Err(Reject::bad("dropped", why));
                }
                self.first.push(DROPPED);
                continue;
            }
            self.first.push((first_cell + cells) as u32);
            let images = usize::from(bits & marks::NEW != 0) + usize::from(bits & marks::OLD != 0);
            cells += rewrite.written * images;
        }
        // What is left was out of order, twice, or past the batch.
        match dropped.next() {
            None => Ok(cells),
            Some(index) => {
                Err(Reject::bad("dropped", format_args!("index {index} is not in rising order, or no such change")))
            }
        }
    }

    /// Notes a change that was asked about and has no answer: it is dropped.
    pub(crate) fn nothing(&mut self) {
        self.first.push(DROPPED);
    }

    /// True where the module dropped this change, or it is set aside.
    pub(crate) fn dropped(&self, asked: usize) -> bool {
        self.first.get(asked) == Some(&DROPPED)
    }

    fn copy(&self, first: usize, count: usize, out: &mut types::Batch) {
        let start = first.checked_sub(1).map_or(0, |before| self.ends[before] & END_MASK);
        let end = (first + count).checked_sub(1).map_or(0, |last| self.ends[last] & END_MASK);
        let shift = (out.data.len() as u32).wrapping_sub(start);
        out.data.extend_from_slice(&self.data[start as usize..end as usize]);
        out.ends.extend(self.ends[first..first + count].iter().map(|end| end.wrapping_add(shift)));
    }
}

/// Checks the written cells by themselves.
fn check_cells(answer: &map::Mapped) -> Result<(), Reject> {
    check_rising("ends", answer.ends.iter().map(|end| end & END_MASK), answer.data.len())?;
    let mut start = 0;
    for (index, &end) in answer.ends.iter().enumerate() {
        let flags = end & !END_MASK;
        if flags == NULL_BIT | UNSENT_BIT || (flags != 0 && end & END_MASK != start) {
            return Err(Reject::bad(
                "ends",
                format_args!("cell {index} is NULL or not sent and has bytes, or is both"),
            ));
        }
        start = end & END_MASK;
    }
    Ok(())
}

/// Writes the batch after a map stage: the `live` changes alone, in order. `plan_of` tells a relation's plan. Sets `live` to the
/// positions in the new batch and `origin` (per change of the new batch, its index in the batch the chain was given).
/// False where the new batch would pass what 30 bits address.
pub(crate) fn merge<'p>(
    view: &View<'_>,
    live: &mut Vec<u32>,
    origin: &mut Vec<u32>,
    written: &Written,
    plan_of: impl Fn(u32) -> &'p MapPlan,
    out: &mut types::Batch,
) -> bool {
    clear(out);
    out.now = view.now;
    out.shard = view.shard;
    if view.data.len() + written.data.len() > END_MASK as usize {
        return false;
    }
    let mut asked = 0;
    let mut kept = 0;
    for &change in live.iter() {
        let change = change as usize;
        let rewrite = match plan_of(view.relations[change]) {
            MapPlan::Unchanged => None,
            MapPlan::Rewritten(rewrite) => Some(rewrite),
        };
        let mut next = 0;
        if rewrite.is_some_and(|rewrite| rewrite.is_called()) {
            if written.dropped(asked) {
                asked += 1;
                continue;
            }
            next = written.first[asked] as usize;
            asked += 1;
        }
        out.first_cells.push(out.ends.len() as u32);
        let mut image = |old: bool| {
            let (first, count) = view.image(change, old);
            let Some(rewrite) = rewrite else {
                view.copy_cells(first, count, &mut out.data, &mut out.ends);
                return count as u16;
            };
            // Marks and not the count tell whether there is an image: a table may have no column.
            if view.marks[change] & if old { marks::OLD } else { marks::NEW } == 0 {
                return 0;
            }
            let start = out.ends.len();
            for segment in &rewrite.segments {
                match *segment {
                    Segment::Copied { from, count } => {
                        view.copy_cells(first + from, count, &mut out.data, &mut out.ends);
                    }
                    Segment::Written { count } => {
                        written.copy(next, count, out);
                        next += count;
                    }
                }
            }
            (out.ends.len() - start) as u16
        };
        let (new, old) = (image(false), image(true));
        out.new_cells.push(new);
        out.old_cells.push(old);
        out.ids.push(view.ids[change]);
        out.commit_lsns.push(view.commit_lsns[change]);
        out.csns.push(view.csns[change]);
        out.xids.push(view.xids[change]);
        out.commit_times.push(view.commit_times[change]);
        out.ordinals.push(view.ordinals[change]);
        out.relations.push(view.relations[change]);
        out.ops.push(view.ops[change]);
        out.marks.push(view.marks[change]);
        origin[kept] = origin[change];
        kept += 1;
    }
    origin.truncate(kept);
    live.clear();
    live.extend(0..kept as u32);
    true
}
