//! The least work in each stage.
//!
//! The configuration is what a filter and a format read: `nothing`, `key`, `listed` (the third and the tenth column) or `all`.
//! The filter keeps every change, the format writes no record, the map replaces the tenth column by three stars, and the router takes
//! the first key column of each change.

use millrace_guest::{
    Cell, Cells, Change, Filter, FilterPlan, Format, FormatPlan, Image, Interest, Map, MapPlan, Module, Records, Relation,
    Rewrite, Route, RoutePlan, Routes, Selection, Which,
};

/// The module.
pub struct Costs(Interest);

/// The column that is masked.
const MASKED: u16 = 9;

impl Module for Costs {
    const NAME: &'static str = "costs";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = "";
}

fn read(config: &str) -> Result<Costs, String> {
    let listed = || Selection::Listed(vec![2, MASKED]);
    Ok(Costs(match config {
        "nothing" | "{}" => Interest::NOTHING,
        "key" => Interest::KEY,
        "listed" => Interest { new: listed(), old: listed() },
        "all" => Interest::ALL,
        other => return Err(format!("{other} is not known")),
    }))
}

impl Filter for Costs {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        read(config)
    }

    fn announce(&mut self, _: &Relation) -> Result<(FilterPlan, ()), String> {
        Ok((FilterPlan::PerChange(self.0.clone()), ()))
    }

    fn keep(&mut self, _: &(), change: &Change<'_>) -> Result<bool, String> {
        Ok(change.row().is_none_or(|row| row.get(0) != Some(Cell::Text(b"none has this key"))))
    }
}

impl Map for Costs {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        read(config)
    }

    fn announce(&mut self, table: &Relation) -> Result<(MapPlan, ()), String> {
        let sources = (0..table.columns.len() as i32).map(|column| if column == i32::from(MASKED) { -1 } else { column });
        let reads = Interest { new: Selection::Listed(vec![MASKED]), old: Selection::Listed(vec![MASKED]) };
        let rewrite = Rewrite { after: table.clone(), sources: sources.collect(), reads, may_drop: false };
        Ok((MapPlan::Rewritten(rewrite), ()))
    }

    fn write(
        &mut self,
        _: &(),
        _: &Change<'_>,
        _: Which,
        image: Option<Image<'_>>,
        cells: &mut Cells,
    ) -> Result<(), String> {
        match image.and_then(|image| image.get(0)) {
            Some(Cell::Null) => cells.null(),
            Some(Cell::Unchanged) => cells.unchanged(),
            _ => cells.text(b"***"),
        }
        Ok(())
    }
}

impl Route for Costs {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        read(config)
    }

    fn announce(&mut self, _: &Relation) -> Result<(RoutePlan, ()), String> {
        Ok((RoutePlan::PerChange(Interest::KEY), ()))
    }

    fn route(&mut self, _: &(), change: &Change<'_>, to: &mut Routes) -> Result<(), String> {
        match change.row().and_then(|row| row.get(0)) {
            Some(Cell::Text(key)) => to.hash_of("t", key),
            _ => return Err("the key is not there".to_owned()),
        }
        Ok(())
    }
}

impl Format for Costs {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        read(config)
    }

    fn announce(&mut self, _: &Relation) -> Result<(FormatPlan, ()), String> {
        Ok((self.0.clone().into(), ()))
    }

    fn format(&mut self, _: &(), _: &Change<'_>, _: &mut Records) -> Result<(), String> {
        Ok(())
    }
}

millrace_guest::export!(Costs: transform);
