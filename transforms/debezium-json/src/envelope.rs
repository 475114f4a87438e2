//! The envelope of one table: its fixed text, and how a change fills the rest.

use millrace_guest::{Change, Escape, JsonWriter, Op, Piece, Relation, Template, connect::Columns, quoted};

use crate::{config::Config, schema};

/// What one table's messages share.
pub struct Envelope {
    text: Template,
    columns: Columns,
    /// Of the primary key, where there is one.
    key: Option<Columns>,
    /// `{"before":`, behind the schema where there is one.
    head: Piece,
    key_head: Piece,
    /// `,"source":{...,"ts_ms":`
    source: Piece,
    /// `,"snapshot":"false","db":...,"sequence":"[\"`
    database: Piece,
    /// `,"schema":...,"table":...,"txId":`
    names: Piece,
    tail: Piece,
    key_tail: Piece,
}

impl Envelope {
    pub(crate) fn new(config: &Config, table: &Relation) -> Self {
        let options = config.options();
        let all: Vec<u16> = (0..).zip(&table.columns).map(|(i, _)| i).collect();
        let columns = Columns::new(table, &all, &options);
        let indexes = table.key();
        let key = (!indexes.is_empty()).then(|| Columns::new(table, &indexes, &options));
        let quoted = |text: &str| quoted(text, Escape::Plain);

        let mut text = Template::default();
        let mut push = |piece: String| text.push(piece.as_bytes());
        let (schema, key_schema, end) = if config.schemas_enable {
            let name = format!("{}.{}.{}", config.topic_prefix, table.schema, table.table);
            let of_key = key.as_ref().map(|key| schema::key(&name, &key.schema_fields(table)));
            (
                format!("{{\"schema\":{},\"payload\":", schema::value(&name, &columns.schema_fields(table))),
                format!("{{\"schema\":{},\"payload\":", of_key.unwrap_or_default()),
                "}",
            )
        } else {
            (String::new(), String::new(), "")
        };
        let (connector, name) = (quoted(&config.connector), quoted(&config.topic_prefix));
        Self {
            head: push(format!("{schema}{{\"before\":")),
            key_head: push(key_schema),
            source: push(format!(
                ",\"source\":{{\"version\":\"{}\",\"connector\":{connector},\"name\":{name},\"ts_ms\":",
                env!("CARGO_PKG_VERSION")
            )),
            database: push(format!(",\"snapshot\":\"false\",\"db\":{},\"sequence\":\"[\\\"", quoted(&table.database))),
            names: push(format!(",\"schema\":{},\"table\":{},\"txId\":", quoted(&table.schema), quoted(&table.table))),
            tail: push(format!("}}{end}")),
            key_tail: push(end.to_owned()),
            columns,
            key,
            text,
        }
    }

    /// Writes the record key of a change: the primary key of the new row, or of the old one on delete. Says whether there is one.
    ///
    /// # Errors
    /// A key column that is not of its type or was not sent.
    pub(crate) fn write_key(&self, change: &Change<'_>, json: &mut JsonWriter<'_>) -> Result<bool, String> {
        let Some((key, row)) = self.key.as_ref().zip(change.row()) else { return Ok(false) };
        json.piece(&self.text, self.key_head);
        key.key(&row, json)?;
        json.piece(&self.text, self.key_tail);
        Ok(true)
    }

    /// Writes the message of a change.
    ///
    /// # Errors
    /// A cell that is not of its type, with its column.
    pub(crate) fn write(&self, change: &Change<'_>, json: &mut JsonWriter<'_>) -> Result<(), String> {
        let (old, new) = (change.old_image(), change.new_image());
        json.piece(&self.text, self.head);
        match &old {
            None => json.raw(b"null"),
            Some(old) => {
                let opening = json.buffer().len();
                self.columns.sent_members(old, json)?;
                json.close(opening);
            }
        }
        json.raw(b",\"after\":");
        match &new {
            None => json.raw(b"null"),
            Some(new) => {
                let opening = json.buffer().len();
                self.columns.members(new, old.as_ref(), json)?;
                json.close(opening);
            }
        }
        self.source(change, json);
        json.raw(match change.op() {
            Op::Insert => b",\"transaction\":null,\"op\":\"c\"",
            Op::Update => b",\"transaction\":null,\"op\":\"u\"",
            Op::Delete => b",\"transaction\":null,\"op\":\"d\"",
            Op::Truncate => b",\"transaction\":null,\"op\":\"t\"",
        });
        json.raw(b",\"ts_ms\":");
        json.number(change.now().div_euclid(1000));
        times(change.now(), json);
        json.piece(&self.text, self.tail);
        Ok(())
    }

    fn source(&self, change: &Change<'_>, json: &mut JsonWriter<'_>) {
        json.piece(&self.text, self.source);
        json.number(change.commit_time().div_euclid(1000));
        json.piece(&self.text, self.database);
        // Debezium orders by its two LSNs; the commit's and the place in the transaction give the same order without one it has not.
        json.unsigned(change.commit_lsn());
        json.raw(b"\\\",\\\"");
        json.unsigned(u64::from(change.ordinal()));
        json.raw(b"\\\"]\"");
        times(change.commit_time(), json);
        json.piece(&self.text, self.names);
        json.unsigned(change.xid());
        json.raw(b",\"lsn\":");
        json.unsigned(change.commit_lsn());
        json.raw(b",\"xmin\":null}");
    }
}

/// A time of microseconds since 1970 in the two finer units.
fn times(micros: i64, json: &mut JsonWriter<'_>) {
    json.raw(b",\"ts_us\":");
    json.number(micros);
    json.raw(b",\"ts_ns\":");
    json.number(micros);
    // A time of 0 has no zeros to add.
    json.raw(if micros == 0 { b"" } else { b"000" });
}
