//! From events to lines.

use super::Event;
use millrace_batch::{Batch, Cell, Op, Relation, ReplicaIdentity, marks};
use millrace_host::Value;
use serde_json::{Map, Value as Json, json};
use std::io::{self, Write};

/// Writes events as lines.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Writer<W> {
        Writer { out }
    }

    /// Writes one event.
    ///
    /// # Errors
    /// Those of the output.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        writeln!(self.out, "{}", event_json(event))
    }

    /// Ends the output.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The line of an event: an object with one key.
pub fn event_json(event: &Event) -> Json {
    match event {
        Event::Capture(capture) => json!({ "capture": capture }),
        Event::Config(config) => json!({ "config": config }),
        Event::Now(now) => json!({ "now": now }),
        Event::Relation(relation) => {
            let mut table = Map::new();
            table.insert("id".into(), relation.id.into());
            table.extend(relation_json(relation));
            json!({ "relation": table })
        }
        Event::Change(change) => {
            let image =
                |image: &Option<Vec<Value>>| image.as_ref().map(|cells| cells.iter().map(value_json).collect::<Json>());
            change_json(change, image(&change.new), image(&change.old))
        }
        Event::Commit(commit) => json!({ "commit": {
            "commit_lsn": commit.commit_lsn.0, "end_lsn": commit.end_lsn.0, "xid": commit.xid,
            "commit_time": commit.commit_time, "next_id": commit.next_id,
        } }),
    }
}

/// A table as golden files write it, without its number.
pub fn relation_json(relation: &Relation) -> Map<String, Json> {
    let columns = relation.columns.iter().map(|column| {
        let mut shown = Map::new();
        shown.insert("name".into(), column.name.as_str().into());
        shown.insert("type".into(), column.type_name.as_str().into());
        shown.insert("oid".into(), column.type_oid.into());
        if column.type_modifier != -1 {
            shown.insert("modifier".into(), column.type_modifier.into());
        }
        shown.insert("jdbc".into(), column.jdbc_type.into());
        if column.key_position > 0 {
            shown.insert("key".into(), column.key_position.into());
        }
        Json::from(shown)
    });
    let identity = match relation.identity {
        ReplicaIdentity::Default => "default",
        ReplicaIdentity::Full => "full",
        ReplicaIdentity::Index => "index",
        ReplicaIdentity::Nothing => "nothing",
    };
    let mut table = Map::new();
    table.insert("database".into(), relation.database.as_str().into());
    table.insert("schema".into(), relation.schema.as_str().into());
    table.insert("table".into(), relation.table.as_str().into());
    table.insert("identity".into(), identity.into());
    table.insert("columns".into(), columns.collect());
    table
}

/// A string where the bytes are text, else their hexadecimal digits.
pub(crate) fn text_json(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

/// A cell as events write it.
pub(crate) fn value_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Unsent => json!({ "unsent": true }),
        Value::Text(bytes) => text_json(bytes),
    }
}

fn change_json(
    super::Change { stamp, key_only, csn, .. }: &super::Change,
    new: Option<Json>,
    old: Option<Json>,
) -> Json {
    let op = match stamp.op {
        Op::Insert => "insert",
        Op::Update => "update",
        Op::Delete => "delete",
        Op::Truncate => "truncate",
    };
    let mut change = Map::new();
    change.insert("op".into(), op.into());
    change.insert("relation".into(), stamp.relation.into());
    change.insert("id".into(), stamp.id.into());
    change.insert("commit_lsn".into(), stamp.commit_lsn.0.into());
    if *csn != 0 {
        change.insert("csn".into(), (*csn).into());
    }
    change.insert("xid".into(), stamp.xid.into());
    change.insert("commit_time".into(), stamp.commit_time.into());
    change.insert("ordinal".into(), stamp.ordinal.into());
    change.extend(new.map(|image| ("new".to_owned(), image)));
    change.extend(old.map(|image| ("old".to_owned(), image)));
    if *key_only {
        change.insert("key_only".into(), true.into());
    }
    json!({ "change": change })
}

/// One change of a batch as an event.
pub fn change_of(batch: &Batch, change: usize) -> super::Change {
    let bits = batch.marks()[change];
    let image = |bit: u8, cells: u16, cell: &dyn Fn(usize) -> Value| {
        (bits & bit != 0).then(|| (0..usize::from(cells)).map(cell).collect())
    };
    let value = |cell: Cell<'_>| Value::from(cell);
    super::Change {
        stamp: millrace_batch::ChangeStamp {
            id: batch.ids()[change],
            commit_lsn: millrace_batch::Lsn(batch.commit_lsns()[change]),
            xid: batch.xids()[change],
            commit_time: batch.commit_times()[change],
            ordinal: batch.ordinals()[change],
            relation: batch.relations()[change],
            op: match batch.ops()[change] {
                0 => Op::Insert,
                1 => Op::Update,
                2 => Op::Delete,
                _ => Op::Truncate,
            },
        },
        new: image(marks::NEW, batch.new_cells()[change], &|column| value(batch.new_cell(change, column))),
        old: image(marks::OLD, batch.old_cells()[change], &|column| value(batch.old_cell(change, column))),
        key_only: bits & marks::OLD_KEY_ONLY != 0,
        csn: batch.csns()[change],
    }
}
