//! The message of one table: its fixed text, and how a change fills the rest.

use millrace_guest::{Cell, Change, Image, JsonWriter, Op, Piece, Relation, Template, TextRow};

use crate::{Config, Database};

/// What one table's messages share.
pub struct Message {
    text: Template,
    /// `,"ts":` is between; by operation: `,"database":...,"data":`
    middles: [Piece; 3],
    head: Piece,
    tail: Piece,
    columns: TextRow,
}

impl Message {
    pub(crate) fn new(config: &Config, table: &Relation) -> Self {
        let quoted = |text: &str| millrace_guest::quoted(text, config.escape());
        let object = |value: &dyn Fn(&millrace_guest::Column) -> String| {
            let members: Vec<_> = table.columns.iter().map(|c| format!("{}:{}", quoted(&c.name), value(c))).collect();
            format!("{{{}}}", members.join(","))
        };
        let types = object(&|c| quoted(&c.type_name));
        let codes = object(&|c| c.jdbc_type.to_string());
        let database = quoted(match config.database {
            Database::Database => &table.database,
            Database::Schema => &table.schema,
        });
        let name = quoted(&table.table);
        let key: Vec<_> = table.key().iter().map(|&i| quoted(&table.columns[usize::from(i)].name)).collect();
        let key = if key.is_empty() { "null".to_owned() } else { format!("[{}]", key.join(",")) };

        let mut text = Template::default();
        let mut push = |piece: String| text.push(piece.as_bytes());
        Self {
            head: push(format!("{{\"mysqlType\":{types},\"id\":")),
            middles: ["INSERT", "UPDATE", "DELETE"].map(|op| {
                push(format!(
                    ",\"database\":{database},\"table\":{name},\"type\":\"{op}\",\"isDdl\":false,\"sql\":\"\",\
                     \"sqlType\":{codes},\"data\":["
                ))
            }),
            tail: push(format!(",\"pkNames\":{key}}}")),
            columns: TextRow::new(table, config.escape(), config.binary, config.money),
            text,
        }
    }

    /// Writes the message of an insert, update or delete.
    ///
    /// # Errors
    /// A cell that JSON cannot carry, with its column.
    pub(crate) fn write(&self, change: &Change<'_>, json: &mut JsonWriter<'_>) -> Result<(), String> {
        json.piece(&self.text, self.head);
        json.unsigned(change.id());
        json.raw(b",\"es\":");
        json.number(change.commit_time().div_euclid(1000));
        json.raw(b",\"ts\":");
        json.number(change.now().div_euclid(1000));
        let (old, new) = (change.old_image(), change.new_image());
        match change.op() {
            Op::Insert | Op::Update => {
                let inserted = change.op() == Op::Insert;
                json.piece(&self.text, self.middles[usize::from(!inserted)]);
                if let Some(new) = &new {
                    self.columns.object(new, old.as_ref(), json)?;
                }
                json.raw(b"],\"old\":");
                if inserted {
                    json.raw(b"null");
                } else {
                    self.changed(old.as_ref(), new.as_ref(), json)?;
                }
            }
            Op::Delete | Op::Truncate => {
                json.piece(&self.text, self.middles[2]);
                if let Some(old) = &old {
                    self.columns.object(old, None, json)?;
                }
                json.raw(b"],\"old\":null");
            }
        }
        json.piece(&self.text, self.tail);
        Ok(())
    }

    /// Writes the old values of the columns that changed, as far as the source sent both. An empty object where none did: readers
    /// take what `old` does not name from `data`, and fail on null.
    fn changed(
        &self,
        old: Option<&Image<'_>>,
        new: Option<&Image<'_>>,
        json: &mut JsonWriter<'_>,
    ) -> Result<(), String> {
        json.raw(b"[");
        let opening = json.buffer().len();
        if let Some((old, new)) = old.zip(new) {
            for i in 0..self.columns.len() {
                let after = new.get(i);
                if after != Some(Cell::Unchanged) && after != old.get(i) {
                    self.columns.member(i, old, json)?;
                }
            }
        }
        json.close(opening);
        json.raw(b"]");
        Ok(())
    }
}
