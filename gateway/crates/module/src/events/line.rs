//! The lines as serde reads them, and what makes them events.

use super::{Capture, Change, Event};
use millrace_batch::{ChangeStamp, Column, Commit, Lsn, Op, Relation, ReplicaIdentity};
use millrace_host::Value;
use serde::Deserialize;

/// Largest relation number: chains keep tables in a list by number.
const RELATION_LIMIT: u32 = 1_000_000;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Capture(Capture),
    Config(serde_json::Value),
    Now(i64),
    Relation(Table),
    Change(Row),
    Commit(End),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    id: u32,
    database: String,
    schema: String,
    table: String,
    identity: ReplicaIdentity,
    columns: Vec<TableColumn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableColumn {
    name: String,
    r#type: String,
    oid: u32,
    #[serde(default = "no_modifier")]
    modifier: i32,
    jdbc: i32,
    #[serde(default)]
    key: u16,
}

fn no_modifier() -> i32 {
    -1
}

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
pub(super) struct Row {
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
    Unsent { unsent: bool },
    Null(()),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    commit_lsn: u64,
    end_lsn: u64,
    #[serde(default)]
    xid: u64,
    #[serde(default)]
    commit_time: i64,
    #[serde(default)]
    next_id: u64,
}

impl Line {
    pub(super) fn event(self) -> Result<Event, String> {
        Ok(match self {
            Line::Capture(capture) if capture.version != 1 => {
                return Err(format!("the form has version {}, this program reads 1", capture.version));
            }
            Line::Capture(capture) => Event::Capture(capture),
            Line::Config(config) => Event::Config(config),
            Line::Now(now) => Event::Now(now),
            Line::Relation(table) => Event::Relation(table.relation()?),
            Line::Change(row) => Event::Change(Box::new(row.change()?)),
            Line::Commit(end) => Event::Commit(Commit {
                after: 0,
                commit_lsn: Lsn(end.commit_lsn),
                end_lsn: Lsn(end.end_lsn),
                xid: end.xid,
                commit_time: end.commit_time,
                next_id: end.next_id,
            }),
        })
    }
}

impl Table {
    fn relation(self) -> Result<Relation, String> {
        if self.id > RELATION_LIMIT {
            return Err(format!("relation {} is above {RELATION_LIMIT}", self.id));
        }
        if self.columns.len() > usize::from(u16::MAX) {
            return Err(format!("a table of {} columns", self.columns.len()));
        }
        let columns = self.columns.into_iter().map(|column| Column {
            name: column.name,
            type_name: column.r#type,
            type_oid: column.oid,
            type_modifier: column.modifier,
            jdbc_type: column.jdbc,
            key_position: column.key,
        });
        Ok(Relation {
            id: self.id,
            source_oid: 0,
            database: self.database,
            schema: self.schema,
            table: self.table,
            identity: self.identity,
            columns: columns.collect(),
        })
    }
}

impl Row {
    fn change(self) -> Result<Change, String> {
        Ok(Change {
            stamp: ChangeStamp {
                id: self.id,
                commit_lsn: Lsn(self.commit_lsn),
                xid: self.xid,
                commit_time: self.commit_time,
                ordinal: self.ordinal,
                relation: self.relation,
                op: match self.op {
                    RowOp::Insert => Op::Insert,
                    RowOp::Update => Op::Update,
                    RowOp::Delete => Op::Delete,
                    RowOp::Truncate => Op::Truncate,
                },
            },
            new: self.new.map(image).transpose()?,
            old: self.old.map(image).transpose()?,
            key_only: self.key_only,
            csn: self.csn,
        })
    }
}

fn image(cells: Vec<RowCell>) -> Result<Vec<Value>, String> {
    let cell = |cell| {
        Ok(match cell {
            RowCell::Text(text) => Value::Text(text.into_bytes()),
            RowCell::Hex { hex } => {
                Value::Text(unhex(&hex).ok_or_else(|| "\"hex\" is not hexadecimal digits in pairs".to_owned())?)
            }
            RowCell::Unsent { unsent: true } => Value::Unsent,
            RowCell::Unsent { unsent: false } => return Err("\"unsent\" can only be true".into()),
            RowCell::Null(()) => Value::Null,
        })
    };
    cells.into_iter().map(cell).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}
