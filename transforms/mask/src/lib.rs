//! Map: hides the values of chosen columns before anything is routed or written.
//!
//! Reads and writes the masked columns alone; the host copies the rest. NULL stays NULL, a value that was not sent stays so.
//! A masked column is announced as text to the stages behind.

mod action;
mod config;

use action::Action;
use config::{Config, Rule};
use millrace_guest::{Cell, Cells, Change, Image, Interest, Map, MapPlan, Module, Relation, Rewrite, Selection, Which};

/// The module.
pub struct Mask {
    rules: Vec<Rule>,
    /// Room for one value.
    scratch: Vec<u8>,
}

impl Module for Mask {
    const NAME: &'static str = "mask";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

/// What is done to one column.
pub struct Masked {
    name: String,
    /// Index of the rule.
    rule: usize,
}

impl Map for Mask {
    /// The masked columns, in stream order.
    type Table = Vec<Masked>;

    fn init(config: &str) -> Result<Self, String> {
        let Config { rules } = Config::parse(config)?;
        Ok(Self { rules, scratch: Vec::new() })
    }

    fn announce(&mut self, table: &Relation) -> Result<(MapPlan, Self::Table), String> {
        let (mut after, mut masked, mut sources, mut reads) = (table.clone(), Vec::new(), Vec::new(), Vec::new());
        for (index, column) in (0..).zip(&mut after.columns) {
            let name = [table.schema.as_str(), &table.table, &column.name];
            let Some(rule) = self.rules.iter().position(|rule| rule.columns.iter().any(|p| p.matches(name))) else {
                sources.push(i32::from(index));
                continue;
            };
            let action = &self.rules[rule].action;
            if column.key_position > 0 && !matches!(action, Action::Hash(_)) {
                return Err(format!(
                    "rules[{rule}] would give different rows of {}.{} one key by masking {:?} of its primary key; hash it",
                    table.schema, table.table, column.name
                ));
            }
            column.type_name = "text".to_owned();
            // pg_type.dat, java.sql.Types.VARCHAR, no modifier
            (column.type_oid, column.jdbc_type, column.type_modifier) = (25, 12, -1);
            masked.push(Masked { name: column.name.clone(), rule });
            sources.push(-1);
            reads.push(index);
        }
        if masked.is_empty() {
            return Ok((MapPlan::Unchanged, masked));
        }
        let reads = Interest { new: Selection::Listed(reads.clone()), old: Selection::Listed(reads) };
        Ok((MapPlan::Rewritten(Rewrite { after, sources, reads, may_drop: false }), masked))
    }

    fn write(
        &mut self,
        table: &Self::Table,
        _change: &Change<'_>,
        _which: Which,
        image: Option<Image<'_>>,
        cells: &mut Cells,
    ) -> Result<(), String> {
        for (position, Masked { name, rule }) in table.iter().enumerate() {
            match image.and_then(|image| image.get(position)) {
                Some(Cell::Text(text)) => {
                    self.scratch.clear();
                    let some = self.rules[*rule]
                        .action
                        .apply(text, &mut self.scratch)
                        .map_err(|why| format!("column {name:?}: {why}"))?;
                    if some { cells.text(&self.scratch) } else { cells.null() }
                }
                Some(Cell::Null) => cells.null(),
                Some(Cell::Unchanged) | None => cells.unchanged(),
            }
        }
        Ok(())
    }
}

millrace_guest::export!(Mask: map);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        millrace_guest::golden::map::<Mask>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }

    #[test]
    fn a_bad_config_names_the_place() {
        let refused = |config: &str| Mask::init(config).err().unwrap();
        for (config, start) in [
            ("{}", "rules: "),
            (r#"{"rules":[]}"#, "rules: "),
            (r#"{"rules":[{"columns":["a.b.c"],"do":"scramble"}]}"#, "rules[0]"),
            (r#"{"rules":[{"columns":["a.b"],"do":"null"}]}"#, "rules[0].columns[0]: \"a.b\" is not of the form"),
            (r#"{"rules":[{"columns":[],"do":"null"}]}"#, "rules[0].columns: "),
            (r#"{"rules":[{"columns":["*.*.*"],"do":"hash"}]}"#, "rules[0].key: "),
            (r#"{"rules":[{"columns":["*.*.*"],"do":"hash","key":"short"}]}"#, "rules[0].key: "),
            (r#"{"rules":[{"columns":["*.*.*"],"do":"truncate"}]}"#, "rules[0].length: "),
            (r#"{"rules":[{"columns":["*.*.*"],"do":"null","length":3}]}"#, "rules[0].length: "),
            (r#"{"rules":[{"columns":["*.*.*"],"do":"null","keep_last":3}]}"#, "rules[0].keep_last: "),
            (r#"{"rules":[{"columns":["*.*.*"],"do":"redact","key":"0123456789abcdef"}]}"#, "rules[0].key: "),
        ] {
            let error = refused(config);
            assert!(error.starts_with(start), "{config}: {error}");
        }
        assert!(!refused(r#"{"rules":[{"columns":["*.*.*"],"do":"hash","key":"s3cr3t"}]}"#).contains("s3cr3t"));
    }
}
