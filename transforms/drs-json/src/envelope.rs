//! The envelope of one table: its fixed text, and how a change fills the rest.
//!
//! Between the fixed pieces stand, in this order: id, es, ts, the cells of `data`, the cells of `old`.

use millrace_guest::{Change, Image, JsonWriter, Op, Piece, Relation, Template, TextRow};

use crate::config::{Config, Profile, SqlType};

/// What one table's messages share.
pub struct Envelope {
    text: Template,
    /// By operation: insert, update, delete.
    ops: [OpText; 3],
    columns: TextRow,
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
        let quoted = |text: &str| millrace_guest::quoted(text, config.escape());
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
            columns: TextRow::new(table, config.escape(), config.binary, config.money),
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
        self.columns.object(image, otherwise, json)?;
        json.raw(b"]");
        Ok(())
    }
}
