//! Reading `*.events.jsonl`, and what the host does between a capture and a stage: projecting images to an interest.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::{
    Batch, Column, Interest, Relation,
    change::{END, NOT_SENT, NULL},
};

/// One thing that happens to a stage.
#[derive(Clone, Debug)]
pub enum Step {
    /// `init` with this config text.
    Config(String),
    /// `announce`.
    Relation(Relation),
    /// `process`; images have every column.
    Batch(Box<Batch>),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Config(serde_json::Value),
    Now(i64),
    Relation(Table),
    Change(Row),
    /// Where a capture comes from; nothing a module sees.
    Capture(serde::de::IgnoredAny),
    /// The end of a transaction; nothing a module sees.
    Commit(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    id: u32,
    database: String,
    schema: String,
    table: String,
    identity: Identity,
    columns: Vec<TableColumn>,
}

/// In the order of `relation.identity`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Identity {
    Default,
    Full,
    Index,
    Nothing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableColumn {
    name: String,
    r#type: String,
    oid: u32,
    /// -1 where the declaration adds nothing to the type.
    #[serde(default = "no_modifier")]
    modifier: i32,
    jdbc: i32,
    #[serde(default)]
    key: u16,
}

fn no_modifier() -> i32 {
    -1
}

/// In the order of `batch.ops`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RowOp {
    Insert,
    Update,
    Delete,
    Truncate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    op: RowOp,
    relation: u32,
    id: u64,
    #[serde(default)]
    commit_lsn: u64,
    #[serde(default)]
    csn: u64,
    #[serde(default)]
    xid: u64,
    #[serde(default)]
    commit_time: i64,
    #[serde(default)]
    ordinal: u32,
    new: Option<Vec<RowCell>>,
    old: Option<Vec<RowCell>>,
    #[serde(default)]
    key_only: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RowCell {
    Text(String),
    Hex { hex: String },
    // The field is only there to tell this form from the others.
    Unsent { unsent: bool },
    Null(()),
}

/// Reads a file of events.
///
/// # Errors
/// A text with file and line.
pub fn read(path: &Path) -> Result<Vec<Step>, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (mut steps, mut now) = (Vec::new(), 0);
    for (number, line) in (1..).zip(text.lines()) {
        let place = |e: &dyn std::fmt::Display| format!("{}:{number}: {e}", path.display());
        match serde_json::from_str(line).map_err(|e| place(&e))? {
            Line::Config(config) => steps.push(Step::Config(config.to_string())),
            Line::Now(time) => now = time,
            Line::Capture(_) | Line::Commit(_) => {}
            Line::Relation(table) => steps.push(Step::Relation(table.into())),
            Line::Change(row) => {
                // A batch has one time: a new one begins where that changed.
                if !matches!(steps.last(), Some(Step::Batch(batch)) if batch.now == now) {
                    steps.push(Step::Batch(Box::new(empty(now, 0))));
                }
                if let Some(Step::Batch(batch)) = steps.last_mut() {
                    row.append(batch).map_err(|e| place(&e))?;
                }
            }
        }
    }
    Ok(steps)
}

impl From<Table> for Relation {
    fn from(table: Table) -> Self {
        let columns = table.columns.into_iter().map(|c| Column {
            name: c.name,
            type_name: c.r#type,
            type_oid: c.oid,
            type_modifier: c.modifier,
            jdbc_type: c.jdbc,
            key_position: c.key,
        });
        Self {
            id: table.id,
            database: table.database,
            schema: table.schema,
            table: table.table,
            identity: table.identity as u8,
            columns: columns.collect(),
        }
    }
}

impl Row {
    fn append(self, batch: &mut Batch) -> Result<(), String> {
        let mark = u8::from(self.new.is_some()) | u8::from(self.old.is_some()) << 1 | u8::from(self.key_only) << 2;
        batch.first_cells.push(batch.ends.len() as u32);
        for (image, cells) in [(self.new, &mut batch.new_cells), (self.old, &mut batch.old_cells)] {
            let image = image.unwrap_or_default();
            cells.push(u16::try_from(image.len()).map_err(|e| e.to_string())?);
            for cell in image {
                let flags = match cell {
                    RowCell::Text(text) => {
                        batch.data.extend_from_slice(text.as_bytes());
                        0
                    }
                    RowCell::Hex { hex } => {
                        batch.data.extend(unhex(&hex).ok_or_else(|| format!("{hex:?} is not hexadecimal"))?);
                        0
                    }
                    RowCell::Unsent { unsent } => u32::from(unsent) * NOT_SENT,
                    RowCell::Null(()) => NULL,
                };
                batch.ends.push(batch.data.len() as u32 | flags);
            }
        }
        batch.ids.push(self.id);
        batch.commit_lsns.push(self.commit_lsn);
        batch.csns.push(self.csn);
        batch.xids.push(self.xid);
        batch.commit_times.push(self.commit_time);
        batch.ordinals.push(self.ordinal);
        batch.relations.push(self.relation);
        batch.ops.push(self.op as u8);
        batch.marks.push(mark);
        Ok(())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn empty(now: i64, shard: u16) -> Batch {
    Batch {
        now,
        shard,
        data: Vec::new(),
        ends: Vec::new(),
        ids: Vec::new(),
        commit_lsns: Vec::new(),
        csns: Vec::new(),
        xids: Vec::new(),
        commit_times: Vec::new(),
        ordinals: Vec::new(),
        relations: Vec::new(),
        first_cells: Vec::new(),
        new_cells: Vec::new(),
        old_cells: Vec::new(),
        ops: Vec::new(),
        marks: Vec::new(),
    }
}

/// The batch as a stage of these interests sees it; changes of other tables are left out.
#[must_use]
pub fn project(batch: &Batch, interests: &[(Relation, Interest)]) -> Batch {
    let mut out = empty(batch.now, batch.shard);
    for (i, &relation) in batch.relations.iter().enumerate() {
        let Some((table, interest)) = interests.iter().rev().find(|(table, _)| table.id == relation) else { continue };
        let (first, new) = (batch.first_cells[i] as usize, usize::from(batch.new_cells[i]));
        out.first_cells.push(out.ends.len() as u32);
        out.new_cells.push(copy(batch, first, new, &interest.new.columns(table), &mut out.data, &mut out.ends));
        let old = usize::from(batch.old_cells[i]);
        out.old_cells.push(copy(batch, first + new, old, &interest.old.columns(table), &mut out.data, &mut out.ends));
        out.ids.push(batch.ids[i]);
        out.commit_lsns.push(batch.commit_lsns[i]);
        out.csns.push(batch.csns[i]);
        out.xids.push(batch.xids[i]);
        out.commit_times.push(batch.commit_times[i]);
        out.ordinals.push(batch.ordinals[i]);
        out.relations.push(relation);
        out.ops.push(batch.ops[i]);
        out.marks.push(batch.marks[i]);
    }
    out
}

/// Copies the cells of these columns of one image, if there is one; says how many.
fn copy(batch: &Batch, first: usize, cells: usize, columns: &[u16], data: &mut Vec<u8>, ends: &mut Vec<u32>) -> u16 {
    if cells == 0 {
        return 0;
    }
    for &column in columns {
        let cell = first + usize::from(column);
        let start = if cell == 0 { 0 } else { batch.ends[cell - 1] & END };
        data.extend_from_slice(&batch.data[start as usize..(batch.ends[cell] & END) as usize]);
        ends.push(data.len() as u32 | batch.ends[cell] & !END);
    }
    columns.len() as u16
}
