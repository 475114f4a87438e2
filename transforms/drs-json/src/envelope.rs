//! The envelope of one table: its fixed text, and how a change fills the rest.
//!
//! Between the fixed pieces stand, in this order: id, es, ts, the cells of `data`, the cells of `old`.

use millrace_guest::{Cell, Change, Escape, Image, JsonWriter, Members, Op, Piece, Relation, Template};

use crate::{
    binary::Rewrite,
    config::{Config, Profile, SqlType},
};

/// What one table's messages share.
pub struct Envelope {
    text: Template,
    /// By operation: insert, update, delete.
    ops: [OpText; 3],
    columns: Members,
    /// Element i for column i: set for the binary columns whose text is not what the config wants. Empty where none is.
    rewrites: Vec<Option<Rewrite>>,
    /// `,"pkNames":...}`
    tail: Piece,
}

struct OpText {
    /// `{"columnType":...,"id":`
    head: Piece,
    /// `,"database":...,"data":`
    middle: Piece,
}

impl Envelope {
    pub(crate) fn new(config: &Config, table: &Relation) -> Self {
        let quoted = |text: &str| quote(text, config.escape());
        let object = |value: &dyn Fn(&millrace_guest::Column) -> String| {
            let members: Vec<_> = table.columns.iter().map(|c| format!("{}:{}", quoted(&c.name), value(c))).collect();
            format!("{{{}}}", members.join(","))
        };
        let types = object(&|c| quoted(&c.type_name));
        let sql_type = match config.sql_type {
            SqlType::Jdbc => format!(",\"sqlType\":{}", object(&|c| c.jdbc_type.to_string())),
            SqlType::Omit => String::new(),
        };
        let (database, name, schema) = (quoted(&table.database), quoted(&table.table), quoted(&table.schema));
        let db_type = quoted(&config.db_type);
        let key: Vec<_> = table.key().iter().map(|&i| quoted(&table.columns[usize::from(i)].name)).collect();
        let key = if key.is_empty() { "null".to_owned() } else { format!("[{}]", key.join(",")) };

        let rewrites: Vec<_> = table.columns.iter().map(|c| Rewrite::of(config.binary, &c.type_name)).collect();

        let mut text = Template::default();
        let mut push = |piece: String| text.push(piece.as_bytes());
        Self {
            ops: ["INSERT", "UPDATE", "DELETE"].map(|op| OpText {
                head: push(match config.profile {
                    Profile::Drs => format!(
                        "{{\"columnType\":{types},\"dbType\":{db_type},\"schema\":{schema},\"opType\":\"{op}\",\"id\":"
                    ),
                    Profile::MysqlLike => format!("{{\"mysqlType\":{types},\"id\":"),
                }),
                middle: push(format!(
                    ",\"database\":{database},\"table\":{name},\"type\":\"{op}\",\"isDdl\":false,\"sql\":\"\"{sql_type},\"data\":"
                )),
            }),
            tail: push(format!(",\"pkNames\":{key}}}")),
            columns: Members::new(table.columns.iter().map(|c| c.name.as_str()), config.escape()),
            rewrites: if rewrites.iter().any(Option::is_some) { rewrites } else { Vec::new() },
            text,
        }
    }

    /// Writes the message of an insert, update or delete.
    ///
    /// # Errors
    /// A cell that JSON cannot carry, with its column.
    pub(crate) fn write(&self, change: &Change<'_>, json: &mut JsonWriter<'_>) -> Result<(), String> {
        let op = match change.op() {
            Op::Insert => &self.ops[0],
            Op::Update => &self.ops[1],
            Op::Delete | Op::Truncate => &self.ops[2],
        };
        json.piece(&self.text, op.head);
        json.unsigned(change.id());
        json.raw(b",\"es\":");
        json.number(change.commit_time().div_euclid(1000));
        json.raw(b",\"ts\":");
        json.number(change.now().div_euclid(1000));
        json.piece(&self.text, op.middle);
        let old = change.old_image();
        self.row(change.new_image().as_ref(), old.as_ref(), json)?;
        json.raw(b",\"old\":");
        self.row(old.as_ref(), None, json)?;
        json.piece(&self.text, self.tail);
        Ok(())
    }

    /// Writes an image as an array of one object, or `null` where there is none. A cell that was not sent is taken from
    /// `otherwise`, and left out where that has none either.
    #[inline]
    fn row(
        &self,
        image: Option<&Image<'_>>,
        otherwise: Option<&Image<'_>>,
        json: &mut JsonWriter<'_>,
    ) -> Result<(), String> {
        let Some(image) = image else {
            json.raw(b"null");
            return Ok(());
        };
        json.raw(b"[");
        if self.rewrites.is_empty() {
            json.object(&self.columns, image, otherwise).map_err(|(i, e)| self.of_column(i, &e.to_string()))?;
        } else {
            let opening = json.buffer().len();
            for i in 0..self.columns.len() {
                let written = self.member(i, image, json)?;
                if let (false, Some(other)) = (written, otherwise) {
                    self.member(i, other, json)?;
                }
            }
            json.close(opening);
        }
        json.raw(b"]");
        Ok(())
    }

    /// Writes one column of an image, binary ones as the config wants them; says whether there was a cell.
    fn member(&self, i: usize, image: &Image<'_>, json: &mut JsonWriter<'_>) -> Result<bool, String> {
        let Some((rewrite, digits)) = self.rewrites[i].zip(image.get(i).and_then(Cell::text)) else {
            return json.member(&self.columns, i, image).map_err(|e| self.of_column(i, &e.to_string()));
        };
        json.raw(b",");
        json.raw(self.columns.name(i));
        json.raw(b":");
        rewrite.apply(digits, json.buffer()).map_err(|e| self.of_column(i, &e))?;
        Ok(true)
    }

    #[cold]
    fn of_column(&self, i: usize, error: &str) -> String {
        let name = String::from_utf8_lossy(self.columns.name(i));
        format!("column {name}: {error}")
    }
}

/// Text as a JSON string.
fn quote(text: &str, escape: Escape) -> String {
    let mut out = Vec::new();
    // A str is UTF-8, so neither can fail.
    let _ = JsonWriter::new(&mut out, escape).string(text.as_bytes());
    String::from_utf8(out).unwrap_or_default()
}
