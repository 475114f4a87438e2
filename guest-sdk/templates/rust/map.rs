//! @NAME@: replaces the text of a column by stars. Config: `{"column": "email"}`.

use millrace_guest::{
    Cell, Cells, Change, Image, Interest, Map, MapPlan, Module, Relation, Rewrite, Selection, Which,
};

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

impl Map for @TYPE@ {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        let config: Config = millrace_guest::config::parse(config)?;
        let column = config.column.ok_or("column: must be a string")?;
        Ok(Self { column })
    }

    /// The host copies every column but the one whose source is -1: that one `write` gives.
    fn announce(&mut self, table: &Relation) -> Result<(MapPlan, ()), String> {
        let Some(index) = table.columns.iter().position(|column| column.name == self.column) else {
            return Ok((MapPlan::Unchanged, ()));
        };
        let sources = (0..table.columns.len()).map(|i| if i == index { -1 } else { i as i32 }).collect();
        let listed = Selection::Listed(vec![index as u16]);
        let reads = Interest { new: listed.clone(), old: listed };
        Ok((MapPlan::Rewritten(Rewrite { after: table.clone(), sources, reads, may_drop: false }), ()))
    }

    /// NULL and what the source did not send stay what they are.
    fn write(
        &mut self,
        (): &(),
        _change: &Change<'_>,
        _which: Which,
        image: Option<Image<'_>>,
        cells: &mut Cells,
    ) -> Result<(), String> {
        match image.and_then(|image| image.get(0)) {
            Some(Cell::Text(_)) => cells.text(b"***"),
            Some(Cell::Null) => cells.null(),
            Some(Cell::Unchanged) | None => cells.unchanged(),
        }
        Ok(())
    }
}

millrace_guest::export!(@TYPE@: map);

#[cfg(test)]
mod tests {
    /// The same golden files as `millrace module test`, without WebAssembly.
    #[test]
    fn golden() {
        millrace_guest::golden::map::<super::@TYPE@>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }
}
