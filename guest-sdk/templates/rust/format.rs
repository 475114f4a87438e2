//! @NAME@: a JSON object per row. No config.

use millrace_guest::{
    Change, Escape, Format, FormatPlan, Interest, JsonWriter, Key, Members, Module, Op, Piece, Records, Relation, Template,
};

/// The module.
pub struct @TYPE@;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

impl Module for @TYPE@ {
    const NAME: &'static str = "@NAME@";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

/// What is the same for every change of a table, written once.
pub struct Prepared {
    text: Template,
    heads: [Piece; 3],
    row: Members,
}

impl Format for @TYPE@ {
    type Table = Prepared;

    fn init(config: &str) -> Result<Self, String> {
        let Config {} = millrace_guest::config::parse(config)?;
        Ok(Self)
    }

    fn announce(&mut self, table: &Relation) -> Result<(FormatPlan, Prepared), String> {
        let mut text = Template::default();
        let heads = ["insert", "update", "delete"].map(|op| {
            let mut head = br#"{"table":"#.to_vec();
            // A name is UTF-8, so this cannot fail.
            let _ = JsonWriter::new(&mut head, Escape::Plain).string(table.table.as_bytes());
            head.extend_from_slice(format!(r#","op":"{op}","row":"#).as_bytes());
            text.push(&head)
        });
        let row = Members::new(table.columns.iter().map(|column| column.name.as_str()), Escape::Plain);
        Ok((Interest::ALL.into(), Prepared { text, heads, row }))
    }

    /// Cells are text as the database prints it; what was not sent is not in the row. A truncate has no row: no record.
    fn format(&mut self, table: &Prepared, change: &Change<'_>, out: &mut Records) -> Result<(), String> {
        let head = match change.op() {
            Op::Insert => table.heads[0],
            Op::Update => table.heads[1],
            Op::Delete => table.heads[2],
            Op::Truncate => return Ok(()),
        };
        let Some(row) = change.row() else { return Ok(()) };
        let mut record = out.begin(Key::Hashed);
        let mut json = JsonWriter::new(record.value(), Escape::Plain);
        json.piece(&table.text, head);
        json.object(&table.row, &row, None).map_err(|(column, _)| {
            format!("{}: not UTF-8", change.relation().columns[column].name)
        })?;
        json.raw(b"}");
        record.finish();
        Ok(())
    }
}

millrace_guest::export!(@TYPE@: format);

#[cfg(test)]
mod tests {
    /// The same golden files as `millrace module test`, without WebAssembly.
    #[test]
    fn golden() {
        millrace_guest::golden::format::<super::@TYPE@>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }
}
