//! The map stage: another shape or other values of a row.

use crate::{
    Batch, Change, Image, Interest, MapPlan, Module, Relation, Rewrite,
    bindings::exports::millrace::transform::map::Mapped,
    change::{NOT_SENT, NULL},
    tables::Tables,
};

/// Rewrites rows.
pub trait Map: Module + Sized {
    /// What the module keeps for one table; handed back with each of its changes.
    type Table: 'static;

    /// Makes the stage from its config.
    ///
    /// # Errors
    /// A text with the path in the config.
    fn init(config: &str) -> Result<Self, String>;

    /// Decides for a table what it looks like afterwards.
    ///
    /// # Errors
    /// Why the table cannot be handled; the task does not go on with it.
    fn announce(&mut self, table: &Relation) -> Result<(MapPlan, Self::Table), String>;

    /// Whether one change goes on. Asked before its images are written, and only where the plan has `may_drop` or a
    /// written column.
    ///
    /// # Errors
    /// Why this change cannot be judged; its neighbours are unharmed.
    fn keep(&mut self, _table: &Self::Table, _change: &Change<'_>) -> Result<bool, String> {
        Ok(true)
    }

    /// Writes the written columns (those whose source is -1) of one image, in their order, each by one call on `cells`.
    /// `image` has the cells of `reads`, and is `None` where that asks for nothing of this image.
    ///
    /// # Errors
    /// Why this change cannot be mapped; its neighbours are unharmed.
    fn write(
        &mut self,
        table: &Self::Table,
        change: &Change<'_>,
        which: Which,
        image: Option<Image<'_>>,
        cells: &mut Cells,
    ) -> Result<(), String>;
}

/// Which image of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The row after the change.
    New,
    /// The row before it.
    Old,
}

/// Takes the cells that [`Map::write`] writes.
#[derive(Default)]
pub struct Cells {
    data: Vec<u8>,
    ends: Vec<u32>,
}

impl Cells {
    /// A value.
    pub fn text(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.ends.push(self.data.len() as u32);
    }

    /// SQL NULL.
    pub fn null(&mut self) {
        self.ends.push(self.data.len() as u32 | NULL);
    }

    /// Not sent by the source, hence not known here: what a cell computed from [`crate::Cell::Unchanged`] should be.
    pub fn unchanged(&mut self) {
        self.ends.push(self.data.len() as u32 | NOT_SENT);
    }
}

/// Kept for one rewritten table.
#[doc(hidden)]
pub struct Rewritten<T> {
    written: usize,
    table: T,
}

/// Runs a [`Map`] on packed batches.
pub struct Mapping<M: Map> {
    module: M,
    tables: Tables<Rewritten<M::Table>>,
}

impl<M: Map> Mapping<M> {
    /// See [`Map::init`].
    ///
    /// # Errors
    /// Those of the module.
    pub fn init(config: &str) -> Result<Self, String> {
        Ok(Self { module: M::init(config)?, tables: Tables::new() })
    }

    /// See [`Map::announce`].
    ///
    /// # Errors
    /// Those of the module, or a plan whose lists do not fit each other.
    pub fn announce(&mut self, relation: Relation) -> Result<MapPlan, String> {
        let (plan, table) = self.module.announce(&relation)?;
        let (interest, written) = match &plan {
            MapPlan::Unchanged => (&Interest::NOTHING, 0),
            MapPlan::Rewritten(Rewrite { after, sources, reads, .. }) => {
                if after.columns.len() != sources.len() {
                    return Err(format!("{} columns but {} sources", after.columns.len(), sources.len()));
                }
                (reads, sources.iter().filter(|&&s| s < 0).count())
            }
        };
        self.tables.announce(relation, interest, Rewritten { written, table });
        Ok(plan)
    }

    /// Maps every change of a batch.
    #[must_use]
    pub fn process(&mut self, batch: &Batch) -> Mapped {
        let (mut cells, mut dropped, mut faults) = (Cells::default(), Vec::new(), Vec::new());
        let Self { module, tables } = self;
        tables.each_change(batch, &mut faults, |index, Rewritten { written, table }, change| {
            let before = (cells.data.len(), cells.ends.len());
            let result = map_one(module, table, change, *written, &mut cells);
            if result != Ok(true) {
                cells.data.truncate(before.0);
                cells.ends.truncate(before.1);
            }
            if !result? {
                dropped.push(index as u32);
            }
            Ok(())
        });
        Mapped { data: cells.data, ends: cells.ends, dropped, faults }
    }
}

/// Whether the change is kept; its images are in `cells` then.
fn map_one<M: Map>(
    module: &mut M,
    table: &M::Table,
    change: &Change<'_>,
    written: usize,
    cells: &mut Cells,
) -> Result<bool, String> {
    if !module.keep(table, change)? {
        return Ok(false);
    }
    let images =
        [(Which::New, change.has_new(), change.new_image()), (Which::Old, change.has_old(), change.old_image())];
    for (which, sent, image) in images {
        if !sent || written == 0 {
            continue;
        }
        let before = cells.ends.len();
        module.write(table, change, which, image, cells)?;
        let got = cells.ends.len() - before;
        if got != written {
            return Err(format!("the module wrote {got} cells of the {which:?} image, its plan has {written}"));
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, Selection, change::fixture};

    /// Writes column 1 as its length; drops rows where it is empty; faults on "bad" after having written.
    struct Lengths;

    impl Module for Lengths {
        const NAME: &'static str = "lengths";
        const VERSION: &'static str = "0";
        const CONFIG_SCHEMA: &'static str = "{}";
    }

    impl Map for Lengths {
        type Table = ();
        fn init(_: &str) -> Result<Self, String> {
            Ok(Self)
        }
        fn announce(&mut self, table: &Relation) -> Result<(MapPlan, ()), String> {
            let reads = Interest { new: Selection::Listed(vec![1]), old: Selection::Listed(vec![1]) };
            let plan = Rewrite { after: table.clone(), sources: vec![0, -1], reads, may_drop: true };
            Ok((MapPlan::Rewritten(plan), ()))
        }
        fn keep(&mut self, (): &(), change: &Change<'_>) -> Result<bool, String> {
            Ok(change.row().and_then(|r| r.get(0)) != Some(Cell::Text(b"")))
        }
        fn write(
            &mut self,
            (): &(),
            _: &Change<'_>,
            _: Which,
            image: Option<Image<'_>>,
            cells: &mut Cells,
        ) -> Result<(), String> {
            match image.and_then(|i| i.named("b")) {
                Some(Cell::Text(text)) => cells.text(text.len().to_string().as_bytes()),
                Some(Cell::Null) => cells.null(),
                _ => cells.unchanged(),
            }
            if image.and_then(|i| i.get(0)) == Some(Cell::Text(b"bad")) { Err("bad".to_owned()) } else { Ok(()) }
        }
    }

    #[test]
    fn dropped_and_faulty_changes_have_no_cells() {
        let mut stage = Mapping::<Lengths>::init("").unwrap();
        stage.announce(fixture::relation(1, &["a", "b"])).unwrap();
        let batch = fixture::inserts(1, &[Some("four"), Some(""), Some("bad"), None].map(|c| vec![c]));
        let mapped = stage.process(&batch);
        assert_eq!(mapped.data, b"4");
        assert_eq!(mapped.ends, [1, 1 | NULL]);
        assert_eq!(mapped.dropped, [1]);
        assert_eq!(mapped.faults.iter().map(|f| f.index).collect::<Vec<_>>(), [2]);
    }
}
