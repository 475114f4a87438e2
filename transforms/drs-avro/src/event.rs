//! The event of one table: its fixed bytes, and how a change fills the rest.
//!
//! Fields in the order of schema.avsc. Between the fixed pieces stand, in this order: id, es, ts, the cells of `data`, the cells
//! of `old`.

use millrace_guest::{Cell, CellForm, Change, Image, Op, Relation};

use crate::{
    Config,
    datum::{block, long, string},
};

/// What one table's events share.
pub struct Event {
    /// By operation: insert, update, delete.
    ops: [OpBytes; 3],
    columns: Vec<Column>,
    /// pkNames
    tail: Vec<u8>,
}

struct OpBytes {
    /// columnType, dbType, schema, opType
    head: Vec<u8>,
    /// database, table, type, isDdl, sql, sqlType
    middle: Vec<u8>,
}

struct Column {
    /// The name as a string of the encoding, behind it the branch of a text.
    text_key: Vec<u8>,
    form: Option<CellForm>,
}

/// Branches of `["null", ...]`.
const NULL: i64 = 0;
const VALUE: i64 = 1;

impl Event {
    pub(crate) fn new(config: &Config, table: &Relation) -> Self {
        let columns = &table.columns;
        let ops = [0, 1, 2].map(|op| {
            let (mut head, mut middle) = (Vec::new(), Vec::new());
            block(columns.len(), &mut head, |out| {
                for column in columns {
                    string(column.name.as_bytes(), out);
                    string(column.type_name.as_bytes(), out);
                }
            });
            string(config.db_type.as_bytes(), &mut head);
            string(table.schema.as_bytes(), &mut head);
            long(op, &mut head);
            string(table.database.as_bytes(), &mut middle);
            string(table.table.as_bytes(), &mut middle);
            long(op, &mut middle);
            // isDdl
            middle.push(0);
            string(b"", &mut middle);
            block(columns.len(), &mut middle, |out| {
                for column in columns {
                    string(column.name.as_bytes(), out);
                    long(i64::from(column.jdbc_type), out);
                }
            });
            OpBytes { head, middle }
        });
        let (key, mut tail) = (table.key(), Vec::new());
        if key.is_empty() {
            long(NULL, &mut tail);
        } else {
            long(VALUE, &mut tail);
            block(key.len(), &mut tail, |out| {
                for &index in &key {
                    string(columns[usize::from(index)].name.as_bytes(), out);
                }
            });
        }
        let column = |column: &millrace_guest::Column| {
            let mut text_key = Vec::new();
            string(column.name.as_bytes(), &mut text_key);
            long(VALUE, &mut text_key);
            Column { text_key, form: CellForm::of(&column.type_name, config.binary, config.money) }
        };
        Self { ops, columns: columns.iter().map(column).collect(), tail }
    }

    /// Appends the datum of an insert, update or delete. `scratch` is room for one value.
    ///
    /// # Errors
    /// A cell that is no text or not of its type, with its column.
    pub(crate) fn append(&self, change: &Change<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), String> {
        let op = match change.op() {
            Op::Insert => &self.ops[0],
            Op::Update => &self.ops[1],
            Op::Delete | Op::Truncate => &self.ops[2],
        };
        out.extend_from_slice(&op.head);
        // Ids are below 2^53.
        long(change.id() as i64, out);
        long(change.commit_time().div_euclid(1000), out);
        long(change.now().div_euclid(1000), out);
        out.extend_from_slice(&op.middle);
        let old = change.old_image();
        self.row(change.new_image().as_ref(), old.as_ref(), scratch, out)?;
        self.row(old.as_ref(), None, scratch, out)?;
        out.extend_from_slice(&self.tail);
        Ok(())
    }

    /// Appends an image as an array of one map, or null where there is none. A cell that was not sent is taken from
    /// `otherwise`, and left out where that has none either.
    fn row(
        &self,
        image: Option<&Image<'_>>,
        otherwise: Option<&Image<'_>>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let Some(image) = image else {
            long(NULL, out);
            return Ok(());
        };
        long(VALUE, out);
        long(1, out);
        let cell = |i: usize| match image.get(i) {
            Some(Cell::Unchanged) | None => otherwise.and_then(|other| other.get(i)).filter(|c| *c != Cell::Unchanged),
            cell => cell,
        };
        // The number of cells comes before them.
        let count = (0..self.columns.len()).filter(|&i| cell(i).is_some()).count();
        if count > 0 {
            long(count as i64, out);
        }
        for (i, Column { text_key, form }) in self.columns.iter().enumerate() {
            match cell(i) {
                None => {}
                Some(Cell::Text(text)) => {
                    out.extend_from_slice(text_key);
                    match form {
                        None => {
                            utf8(text).map_err(|why| of_column(text_key, &why))?;
                            string(text, out);
                        }
                        Some(form) => {
                            scratch.clear();
                            form.append(text, scratch).map_err(|why| of_column(text_key, &why))?;
                            string(scratch, out);
                        }
                    }
                }
                Some(Cell::Null | Cell::Unchanged) => {
                    out.extend_from_slice(&text_key[..text_key.len() - 1]);
                    long(NULL, out);
                }
            }
        }
        // The end of the map, and of the array.
        out.extend_from_slice(&[0, 0]);
        Ok(())
    }
}

fn utf8(text: &[u8]) -> Result<(), String> {
    std::str::from_utf8(text).map(drop).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))
}

/// The message with the column's name, which stands between its length and the branch.
#[cold]
fn of_column(text_key: &[u8], why: &str) -> String {
    let start = text_key.iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1);
    let name = String::from_utf8_lossy(&text_key[start..text_key.len() - 1]);
    format!("column {name:?}: {why}")
}
