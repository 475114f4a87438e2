//! Filter: rows whose `amount` is at least `min`.

use millrace_guest::{
    Cell, Change, Filter, FilterPlan, Interest, Relation, Selection, counter, log, value::whole_number,
};

use crate::{Conformance, not_sent, other_stage, settings};

impl Filter for Conformance {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        let members = settings::read(config, &["min"])?;
        let min = members.get("min").ok_or("min: missing")?.as_i64().ok_or("min: not a whole number")?;
        log::info(&format!("filter: min {min}"));
        Ok(Self::Filter { min })
    }

    fn announce(&mut self, table: &Relation) -> Result<(FilterPlan, ()), String> {
        let amount = (0..).zip(&table.columns).find(|(_, column)| column.name == "amount");
        Ok(match (table.schema.as_str(), amount) {
            ("refused", _) => return Err(format!("{}.{}: refused", table.schema, table.table)),
            ("hidden", _) => (FilterPlan::Drop, ()),
            (_, None) => (FilterPlan::Keep, ()),
            (_, Some((index, _))) => {
                let of = || Selection::Listed(vec![index]);
                (FilterPlan::PerChange(Interest { new: of(), old: of() }), ())
            }
        })
    }

    fn keep(&mut self, (): &(), change: &Change<'_>) -> Result<bool, String> {
        let Self::Filter { min } = self else { return Err(other_stage()) };
        counter::add("seen", 1);
        // A truncate has no row.
        match change.row().and_then(|row| row.get(0)) {
            None => Ok(true),
            Some(Cell::Null) => Ok(false),
            Some(Cell::Unchanged) => Err(not_sent("amount")),
            Some(Cell::Text(text)) => Ok(whole_number(text).ok_or("amount: not a whole number")? >= *min),
        }
    }
}
