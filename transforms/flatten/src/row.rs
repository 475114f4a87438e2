//! The object of one table's rows.

use millrace_guest::{Change, Escape, JsonWriter, Op, Piece, Relation, Template, TextRow, connect::Columns, quoted};

use crate::config::{Config, Deletes, Fact, Values};

/// What one table's objects share.
pub struct Row {
    columns: Cells,
    /// Of the primary key, where there is one.
    key: Option<Columns>,
    text: Template,
    facts: Vec<(Fact, Piece)>,
    /// `,"__deleted":"`, where rows tell whether they are.
    deleted: Option<Piece>,
}

enum Cells {
    Typed(Columns),
    Text(TextRow),
}

impl Row {
    /// # Errors
    /// A column has the name of an added field.
    pub(crate) fn new(config: &Config, table: &Relation) -> Result<Self, String> {
        let options = config.options();
        let all: Vec<u16> = (0..).zip(&table.columns).map(|(i, _)| i).collect();
        let columns = match config.values {
            Values::Typed => Cells::Typed(Columns::new(table, &all, &options)),
            Values::Text => Cells::Text(TextRow::new(table, Escape::Plain, config.text_binary, config.money)),
        };
        let key = table.key();
        let mut text = Template::default();
        let mut add = |name: &str, after: &str| {
            let name = format!("{}{name}", config.add_fields_prefix);
            if table.columns.iter().any(|c| c.name == name) {
                return Err(format!(
                    "table {}.{} has a column {name:?}, as the added field is called; change add_fields_prefix",
                    table.schema, table.table
                ));
            }
            Ok(text.push(format!(",{}:{after}", quoted(&name, Escape::Plain)).as_bytes()))
        };
        let mut facts = Vec::new();
        for &fact in &config.add_fields {
            let constant = match fact {
                Fact::Database => quoted(&table.database, Escape::Plain),
                Fact::Schema => quoted(&table.schema, Escape::Plain),
                Fact::Table => quoted(&table.table, Escape::Plain),
                _ => String::new(),
            };
            facts.push((fact, add(fact.name(), &constant)?));
        }
        let tells = matches!(config.deletes, Deletes::Rewrite | Deletes::RewriteWithTombstone);
        Ok(Self {
            columns,
            key: (!key.is_empty()).then(|| Columns::new(table, &key, &options)),
            facts,
            deleted: if tells { Some(add("deleted", "")?) } else { None },
            text,
        })
    }

    /// Writes the primary key of the row the change is about; says whether there is one.
    ///
    /// # Errors
    /// A key column that is not of its type or was not sent.
    pub(crate) fn write_key(&self, change: &Change<'_>, json: &mut JsonWriter<'_>) -> Result<bool, String> {
        let Some((key, row)) = self.key.as_ref().zip(change.row()) else { return Ok(false) };
        key.key(&row, json).map(|()| true)
    }

    /// Writes the row after the change, or the old one of a delete, as far as it was sent.
    ///
    /// # Errors
    /// A cell that cannot be written, with its column.
    pub(crate) fn write(&self, change: &Change<'_>, json: &mut JsonWriter<'_>) -> Result<(), String> {
        let opening = json.buffer().len();
        let (old, new) = (change.old_image(), change.new_image());
        match (&self.columns, &new, &old) {
            (Cells::Typed(columns), Some(new), _) => columns.members(new, old.as_ref(), json)?,
            (Cells::Typed(columns), None, Some(old)) => columns.sent_members(old, json)?,
            (Cells::Text(columns), _, _) => {
                if let Some(row) = new.as_ref().or(old.as_ref()) {
                    columns.members(row, old.as_ref(), json)?;
                }
            }
            (Cells::Typed(_), None, None) => {}
        }
        for &(fact, piece) in &self.facts {
            json.piece(&self.text, piece);
            match fact {
                Fact::Op => json.raw(match change.op() {
                    Op::Insert => b"\"c\"",
                    Op::Update => b"\"u\"",
                    Op::Delete => b"\"d\"",
                    Op::Truncate => b"\"t\"",
                }),
                Fact::Database | Fact::Schema | Fact::Table => {}
                Fact::Id => json.unsigned(change.id()),
                Fact::Lsn => json.unsigned(change.commit_lsn()),
                Fact::Txid => json.unsigned(change.xid()),
                Fact::Ordinal => json.unsigned(u64::from(change.ordinal())),
                Fact::TsMs => json.number(change.commit_time().div_euclid(1000)),
            }
        }
        if let Some(piece) = self.deleted {
            json.piece(&self.text, piece);
            json.raw(if change.op() == Op::Delete { b"\"true\"" } else { b"\"false\"" });
        }
        json.close(opening);
        Ok(())
    }
}
