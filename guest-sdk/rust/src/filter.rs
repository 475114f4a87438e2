//! The filter stage: which changes go on.

use crate::{
    Batch, Change, FilterPlan, Interest, Module, Relation, bindings::exports::millrace::transform::filter::Verdicts,
    tables::Tables,
};

/// Decides which changes go on.
pub trait Filter: Module + Sized {
    /// What the module keeps for one table; handed back with each of its changes.
    type Table: 'static;

    /// Makes the stage from its config.
    ///
    /// # Errors
    /// A text with the path in the config.
    fn init(config: &str) -> Result<Self, String>;

    /// Decides for a table what can be decided once. With [`FilterPlan::Keep`] and [`FilterPlan::Drop`] no change of it
    /// is ever handed in.
    ///
    /// # Errors
    /// Why the table cannot be handled; the task does not go on with it.
    fn announce(&mut self, table: &Relation) -> Result<(FilterPlan, Self::Table), String>;

    /// Whether one change goes on. Called for tables of plan [`FilterPlan::PerChange`] only.
    ///
    /// # Errors
    /// Why this change cannot be judged; its neighbours are unharmed.
    fn keep(&mut self, _table: &Self::Table, _change: &Change<'_>) -> Result<bool, String> {
        Ok(true)
    }
}

/// Runs a [`Filter`] on packed batches.
pub struct Filtering<M: Filter> {
    module: M,
    tables: Tables<M::Table>,
}

impl<M: Filter> Filtering<M> {
    /// See [`Filter::init`].
    ///
    /// # Errors
    /// Those of the module.
    pub fn init(config: &str) -> Result<Self, String> {
        Ok(Self { module: M::init(config)?, tables: Tables::new() })
    }

    /// See [`Filter::announce`].
    ///
    /// # Errors
    /// Those of the module.
    pub fn announce(&mut self, relation: Relation) -> Result<FilterPlan, String> {
        let (plan, table) = self.module.announce(&relation)?;
        let interest = if let FilterPlan::PerChange(interest) = &plan { interest } else { &Interest::NOTHING };
        self.tables.announce(relation, interest, table);
        Ok(plan)
    }

    /// Judges every change of a batch.
    #[must_use]
    pub fn process(&mut self, batch: &Batch) -> Verdicts {
        let mut verdicts = Verdicts { keep: vec![0; batch.ops.len().div_ceil(8)], faults: Vec::new() };
        let Self { module, tables } = self;
        tables.each_change(batch, &mut verdicts.faults, |index, table, change| {
            if module.keep(table, change)? {
                verdicts.keep[index / 8] |= 1 << (index % 8);
            }
            Ok(())
        });
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::fixture;

    /// Keeps rows whose `n` is "1"; faults on NULL.
    struct Ones;

    impl Module for Ones {
        const NAME: &'static str = "ones";
        const VERSION: &'static str = "0";
        const CONFIG_SCHEMA: &'static str = "{}";
    }

    impl Filter for Ones {
        type Table = ();
        fn init(_: &str) -> Result<Self, String> {
            Ok(Self)
        }
        fn announce(&mut self, _: &Relation) -> Result<(FilterPlan, ()), String> {
            Ok((FilterPlan::PerChange(Interest::ALL), ()))
        }
        fn keep(&mut self, (): &(), change: &Change<'_>) -> Result<bool, String> {
            let cell = change.row().and_then(|r| r.named("n")).and_then(crate::Cell::text);
            Ok(cell.ok_or("n is missing")? == b"1")
        }
    }

    #[test]
    fn verdicts_are_bits_and_faults_stay_alone() {
        let mut stage = Filtering::<Ones>::init("").unwrap();
        stage.announce(fixture::relation(7, &["n"])).unwrap();
        let rows = [Some("1"), Some("2"), None, Some("1"), Some("2"), Some("2"), Some("2"), Some("2"), Some("1")];
        let mut batch = fixture::inserts(7, &rows.map(|cell| vec![cell]));
        batch.relations[3] = 9;
        let verdicts = stage.process(&batch);
        assert_eq!(verdicts.keep, [0b0000_0001, 0b1]);
        let faults: Vec<_> = verdicts.faults.iter().map(|f| (f.index, f.message.as_str())).collect();
        assert_eq!(faults, [(2, "n is missing"), (3, "relation 9 was not announced to this stage")]);
    }
}
