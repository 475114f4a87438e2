//! @NAME@: drops rows where a column is NULL. Config: `{"column": "email"}`.

use millrace_guest::{Cell, Change, Filter, FilterPlan, Interest, Module, Relation, Selection};

/// The module.
pub struct @TYPE@ {
    column: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    column: Option<String>,
}

impl Module for @TYPE@ {
    const NAME: &'static str = "@NAME@";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Filter for @TYPE@ {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        let config: Config = millrace_guest::config::parse(config)?;
        let column = config.column.ok_or("column: must be a string")?;
        Ok(Self { column })
    }

    /// Asked once per table: one without the column needs no call per change.
    fn announce(&mut self, table: &Relation) -> Result<(FilterPlan, ()), String> {
        let Some(index) = table.columns.iter().position(|column| column.name == self.column) else {
            return Ok((FilterPlan::Keep, ()));
        };
        let listed = Selection::Listed(vec![index as u16]);
        Ok((FilterPlan::PerChange(Interest { new: listed.clone(), old: listed }), ()))
    }

    /// Asked once per change; the image has the one cell that `announce` asked for. A truncate has no image.
    fn keep(&mut self, (): &(), change: &Change<'_>) -> Result<bool, String> {
        Ok(change.row().and_then(|row| row.get(0)) != Some(Cell::Null))
    }
}

millrace_guest::export!(@TYPE@: filter);

#[cfg(test)]
mod tests {
    /// The same golden files as `millrace module test`, without WebAssembly.
    #[test]
    fn golden() {
        millrace_guest::golden::filter::<super::@TYPE@>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }
}
