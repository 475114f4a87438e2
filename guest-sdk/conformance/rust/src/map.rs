//! Map: columns masked, renamed and dropped.

use std::collections::BTreeMap;

use millrace_guest::{Cell, Cells, Change, Column, Image, Interest, Map, MapPlan, Relation, Rewrite, Selection, Which};

use crate::{Conformance, other_stage, settings};

/// What the config says of columns, by name.
pub struct Rules {
    mask: Vec<String>,
    drop: Vec<String>,
    rename: BTreeMap<String, String>,
}

impl Map for Conformance {
    /// Names of the masked columns.
    type Table = Vec<String>;

    fn init(config: &str) -> Result<Self, String> {
        let members = settings::read(config, &["mask", "drop", "rename"])?;
        let mut rename = BTreeMap::new();
        if let Some(value) = members.get("rename") {
            let wrong = || "rename: not an object of strings".to_owned();
            for (from, to) in value.as_object().ok_or_else(wrong)? {
                rename.insert(from.clone(), to.as_str().ok_or_else(wrong)?.to_owned());
            }
        }
        let (mask, drop) = (settings::names(&members, "mask")?, settings::names(&members, "drop")?);
        Ok(Self::Map(Rules { mask, drop, rename }))
    }

    fn announce(&mut self, table: &Relation) -> Result<(MapPlan, Vec<String>), String> {
        let Self::Map(rules) = self else { return Err(other_stage()) };
        let (mut after, mut sources, mut masked) = (Relation { columns: Vec::new(), ..table.clone() }, vec![], vec![]);
        let mut changed = false;
        for (index, column) in (0_u16..).zip(&table.columns) {
            if rules.drop.contains(&column.name) {
                changed = true;
                continue;
            }
            let mut column = column.clone();
            let mask = rules.mask.contains(&column.name);
            if mask {
                masked.push((index, column.name.clone()));
                column = Column { type_name: "text".to_owned(), type_oid: 25, jdbc_type: 12, ..column };
            }
            if let Some(name) = rules.rename.get(&column.name) {
                changed = true;
                column.name.clone_from(name);
            }
            after.columns.push(column);
            sources.push(if mask { -1 } else { i32::from(index) });
        }
        if !changed && masked.is_empty() {
            return Ok((MapPlan::Unchanged, Vec::new()));
        }
        let (reads, names): (Vec<u16>, Vec<String>) = masked.into_iter().unzip();
        let reads = Interest { new: Selection::Listed(reads.clone()), old: Selection::Listed(reads) };
        let may_drop = !names.is_empty();
        Ok((MapPlan::Rewritten(Rewrite { after, sources, reads, may_drop }), names))
    }

    fn keep(&mut self, _: &Vec<String>, change: &Change<'_>) -> Result<bool, String> {
        Ok(!change.row().is_some_and(|row| row.iter().any(|cell| cell == Cell::Text(b"drop me"))))
    }

    fn write(
        &mut self,
        names: &Vec<String>,
        _: &Change<'_>,
        _: Which,
        image: Option<Image<'_>>,
        cells: &mut Cells,
    ) -> Result<(), String> {
        let image = image.ok_or("an image the plan asks for is missing")?;
        for (name, cell) in names.iter().zip(image.iter()) {
            match cell {
                Cell::Null => cells.null(),
                Cell::Unchanged => cells.unchanged(),
                Cell::Text(text) if std::str::from_utf8(text).is_err() => return Err(format!("{name}: not UTF-8")),
                Cell::Text(text) => cells.text(format!("***{}", text.len()).as_bytes()),
            }
        }
        Ok(())
    }
}
