//! Format: JSON with a value for each type.

use millrace_guest::{
    Cell, Change, Column, Escape, Format, FormatPlan, Image, Interest, JsonWriter, Key, Op, Record, Records, Relation,
    Schema, SchemaLanguage,
    binary::{append_base64, append_bytes},
    log,
    value::{boolean, is_json_number, timestamp, whole_number},
};

use crate::{Conformance, other_stage, settings};

impl Format for Conformance {
    /// `schema.table`.
    type Table = String;

    fn init(config: &str) -> Result<Self, String> {
        let members = settings::read(config, &["audit", "schema"])?;
        let audit = settings::names(&members, "audit")?;
        log::info("format: ready");
        Ok(Self::Format { audit, schema: members.get("schema") == Some(&true.into()) })
    }

    fn announce(&mut self, table: &Relation) -> Result<(FormatPlan, String), String> {
        let Self::Format { schema, .. } = self else { return Err(other_stage()) };
        let name = format!("{}.{}", table.schema, table.table);
        let value_schema = schema.then(|| Schema {
            language: SchemaLanguage::Json,
            name: name.clone(),
            text: r#"{"type":"object"}"#.to_owned(),
        });
        Ok((FormatPlan { reads: Interest::ALL, key_schema: None, value_schema }, name))
    }

    fn format(&mut self, name: &String, change: &Change<'_>, out: &mut Records) -> Result<(), String> {
        let Self::Format { audit, .. } = self else { return Err(other_stage()) };
        let (op, key) = match change.op() {
            Op::Truncate => return Ok(()),
            Op::Insert => ("insert", None),
            Op::Update => ("update", key_text(change)),
            Op::Delete => ("delete", None),
        };
        let key = match (&key, change.op()) {
            (Some(bytes), _) => Key::Bytes(bytes),
            (None, Op::Update) => Key::None,
            (None, _) => Key::Hashed,
        };
        let mut record = out.begin(key);
        record.header("op", op.as_bytes());
        if change.op() == Op::Update {
            record.header("xid", change.xid().to_string().as_bytes());
        }
        value(op, name, change, record.value())?;
        record.finish();
        if change.op() == Op::Delete {
            let mut tombstone = out.begin(Key::Hashed);
            tombstone.header("op", b"delete");
            tombstone.tombstone();
            tombstone.finish();
        }
        if audit.contains(&change.relation().table) {
            audited(out.begin(Key::None), change.id());
        }
        Ok(())
    }
}

fn audited(mut record: Record<'_>, id: u64) {
    record.topic("audit");
    record.value().extend_from_slice(format!("{{\"id\":{id}}}").as_bytes());
    record.finish();
}

/// The key columns of the new image, with slashes between; `None` without a key or where one of them has no text.
fn key_text(change: &Change<'_>) -> Option<Vec<u8>> {
    let image = change.new_image()?;
    let mut parts = Vec::new();
    for index in change.relation().key() {
        parts.push(image.get(usize::from(index))?.text()?);
    }
    (!parts.is_empty()).then(|| parts.join(&b'/'))
}

fn value(op: &str, name: &str, change: &Change<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let mut json = JsonWriter::new(out, Escape::Plain);
    json.raw(b"{\"op\":\"");
    json.raw(op.as_bytes());
    json.raw(b"\",\"table\":");
    json.string(name.as_bytes())?;
    let numbers = [
        ("id", change.id() as i128),
        ("commit_lsn", change.commit_lsn().into()),
        ("csn", change.csn().into()),
        ("xid", change.xid().into()),
        ("ordinal", change.ordinal().into()),
        ("shard", change.shard().into()),
        ("commit_time", change.commit_time().into()),
        ("now", change.now().into()),
    ];
    for (name, number) in numbers {
        json.raw(format!(",\"{name}\":{number}").as_bytes());
    }
    let columns = &change.relation().columns;
    for (name, image) in [("new", change.new_image()), ("old", change.old_image())] {
        json.raw(format!(",\"{name}\":").as_bytes());
        match image {
            None => json.raw(b"null"),
            Some(image) => object(&mut json, columns, &image)?,
        }
    }
    let unsent: Vec<&Column> = match change.new_image() {
        Some(image) => {
            columns.iter().zip(image.iter()).filter(|(_, c)| *c == Cell::Unchanged).map(|(c, _)| c).collect()
        }
        None => Vec::new(),
    };
    for (index, column) in unsent.iter().enumerate() {
        json.raw(if index == 0 { b",\"unsent\":[" } else { b"," });
        json.string(column.name.as_bytes())?;
    }
    if !unsent.is_empty() {
        json.raw(b"]");
    }
    json.raw(if change.old_is_key_only() { b",\"key_only\":true}" } else { b"}" });
    Ok(())
}

/// The cells that were sent, each as its type has it.
fn object(json: &mut JsonWriter<'_>, columns: &[Column], image: &Image<'_>) -> Result<(), String> {
    let mut separator: &[u8] = b"{";
    for (column, cell) in columns.iter().zip(image.iter()) {
        if cell == Cell::Unchanged {
            continue;
        }
        json.raw(separator);
        separator = b",";
        json.string(column.name.as_bytes())?;
        json.raw(b":");
        match cell.text() {
            None => json.raw(b"null"),
            Some(text) => typed(json, column, text).map_err(|why| format!("{}: {why}", column.name))?,
        }
    }
    json.raw(if separator == b"{" { b"{}" } else { b"}" });
    Ok(())
}

fn typed(json: &mut JsonWriter<'_>, column: &Column, text: &[u8]) -> Result<(), &'static str> {
    match column.jdbc_type {
        // tinyint, smallint, integer, bigint
        -6 | 5 | 4 | -5 => {
            whole_number(text).ok_or("not a whole number")?;
            json.raw(text);
        }
        // numeric, real, double precision: the text, so that no digit is lost
        2 | 3 | 7 | 8 if is_json_number(text) => json.raw(text),
        // boolean
        16 => json.raw(if boolean(text).ok_or("not a boolean")? { b"true" } else { b"false" }),
        // bytea
        -2 => {
            let mut bytes = Vec::new();
            append_bytes(text, &mut bytes).map_err(|_| "not hexadecimal")?;
            json.raw(b"\"");
            append_base64(&bytes, json.buffer());
            json.raw(b"\"");
        }
        // timestamps; infinity and far years stay text
        93 => match timestamp(text) {
            Some(micros) => json.number(micros),
            None => json.string(text).map_err(|_| "not UTF-8")?,
        },
        _ => json.string(text).map_err(|_| "not UTF-8")?,
    }
    Ok(())
}
