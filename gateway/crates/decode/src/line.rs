//! Single payloads as records people can read: for `millrace decode`, bug reports and recordings of other servers.
//!
//! Owns the printable form. Reads every payload alone: no order of messages, no tables, so a row of pgoutput has no names.
//! Must not be used on the hot path: it owns and copies everything.

use crate::{
    mppdb::{self, Record, Row, RowColumn},
    pgoutput::{Message, OldTuple, Tuple, TupleColumn},
};
use millrace_batch::{Failure, Lsn};
use serde::Serialize;

/// Bytes of an `XLogData` header: `w`, start, end, time.
const HEADER: usize = 25;

/// Which decoder a payload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineLayout {
    /// pgoutput; inside a streamed transaction messages carry an xid.
    PgOutput {
        /// Whether the message stands between `StreamStart` and `StreamStop`.
        in_stream: bool,
    },
    /// mppdb_decoding. Batches of styles j and t are told by their first byte.
    Mppdb(mppdb::Layout),
}

/// One record, printable. Fields that the record does not have are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `begin`, `commit`, `insert`, `update`, `delete`, `truncate`, `relation`, `type`, `origin`, `message`, or a part of streaming.
    pub record: &'static str,
    /// LSN in the header, of the record or of the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<String>,
    /// LSN right behind the commit record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_lsn: Option<String>,
    /// Transaction number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xid: Option<u64>,
    /// Commit sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csn: Option<u64>,
    /// Commit time: microseconds since the Unix epoch, of pgoutput since 2000-01-01 as the wire has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_time: Option<i64>,
    /// OID of a table or type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oid: Option<u32>,
    /// Name of a table (`schema.table`), type, origin, or prefix of a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Replica identity: `d`, `f`, `i` or `n`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<char>,
    /// Emptied tables: names or OIDs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// The new image, or the columns of a table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<LineColumn>,
    /// The old image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub old: Vec<LineColumn>,
    /// Content of a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<LineValue>,
}

/// One column of a [`Line`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineColumn {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// OID of the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_oid: Option<u32>,
    /// Part of the replica identity.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub identity: bool,
    /// Value, of a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<LineValue>,
}

/// A value of a [`Line`]: text as it stands in JSON, bytes that are not UTF-8 as hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum LineValue {
    /// NULL.
    Null,
    /// Text as the source prints it, not canonical.
    Text(String),
    /// Text in another encoding.
    Hex {
        /// The bytes.
        hex: String,
    },
    /// An unchanged TOAST value.
    Unchanged {
        /// Always true.
        unchanged: bool,
    },
}

/// Reads one payload, with its `XLogData` header or without.
///
/// # Errors
/// The first record that cannot be read.
pub fn decode_line(layout: LineLayout, bytes: &[u8]) -> Result<Vec<Line>, Failure> {
    // No layout's payload starts with `w`.
    let (start, payload) = match bytes.split_at_checked(HEADER) {
        Some(([b'w', start @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _], payload)) => {
            let start = start.iter().fold(0, |lsn, byte| lsn << 8 | u64::from(*byte));
            (Some(Lsn(start).to_string()), payload)
        }
        _ => (None, bytes),
    };
    match layout {
        LineLayout::PgOutput { in_stream } => {
            let line = message(Message::parse(payload, in_stream)?);
            Ok(vec![Line { lsn: line.lsn.or(start), ..line }])
        }
        LineLayout::Mppdb(layout) => {
            let mut row = Row::default();
            let frames = mppdb::frames(layout, payload.first() == Some(&0), payload);
            let lines = frames.map(|frame| {
                let frame = frame?;
                let line = record(mppdb::parse(layout, frame, &mut row)?, &row);
                let lsn = frame.lsn.map(|lsn| lsn.to_string()).or_else(|| start.clone());
                Ok(Line { lsn: line.lsn.or(lsn), ..line })
            });
            lines.collect()
        }
    }
}

fn value(bytes: &[u8]) -> LineValue {
    match std::str::from_utf8(bytes) {
        Ok(text) => LineValue::Text(text.to_owned()),
        Err(_) => LineValue::Hex { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() },
    }
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn record(record: Record, row: &Row) -> Line {
    match record {
        Record::Begin { xid, csn, first_lsn, commit_time } => {
            let lsn = first_lsn.map(|lsn| lsn.to_string());
            Line { record: "begin", xid, csn, commit_time, lsn, ..Line::default() }
        }
        Record::Commit { xid, csn, commit_time, end_lsn } => {
            let end_lsn = end_lsn.map(|lsn| lsn.to_string());
            Line { record: "commit", xid, csn, commit_time, end_lsn, ..Line::default() }
        }
        Record::Truncate(tables) => {
            let tables = tables.iter().map(|(schema, table)| format!("{}.{}", name(schema), name(table)));
            Line { record: "truncate", tables: tables.collect(), ..Line::default() }
        }
        Record::Row => {
            let column = |column: RowColumn<'_>| LineColumn {
                name: Some(name(column.name)),
                type_name: Some(name(column.type_name)).filter(|type_name| !type_name.is_empty()),
                type_oid: Some(column.type_oid).filter(|oid| *oid != 0),
                identity: false,
                value: Some(column.value.map_or(LineValue::Null, value)),
            };
            Line {
                record: ["insert", "update", "delete", "truncate"][row.op() as usize],
                name: Some(format!("{}.{}", name(row.schema()), name(row.table()))),
                columns: row.new_image().map(column).collect(),
                old: row.old_image().map(column).collect(),
                ..Line::default()
            }
        }
    }
}

fn tuple(tuple: Tuple<'_>) -> Vec<LineColumn> {
    let columns = tuple.columns().map(|column| LineColumn {
        value: Some(match column {
            TupleColumn::Null => LineValue::Null,
            TupleColumn::Unchanged => LineValue::Unchanged { unchanged: true },
            TupleColumn::Text(text) => value(text),
        }),
        ..LineColumn::default()
    });
    columns.collect()
}

fn old_tuple(old: OldTuple<'_>) -> Vec<LineColumn> {
    match old {
        OldTuple::Key(old) | OldTuple::Full(old) => tuple(old),
    }
}

fn message(message: Message<'_>) -> Line {
    let none = Line::default;
    let lsn = |lsn: Lsn| Some(lsn.to_string());
    let number = |xid: Option<u32>| xid.map(u64::from);
    match message {
        Message::Begin { final_lsn, commit_time, xid } => {
            let (xid, commit_time) = (Some(u64::from(xid)), Some(commit_time));
            Line { record: "begin", lsn: lsn(final_lsn), xid, commit_time, ..none() }
        }
        Message::Commit { commit_lsn, end_lsn, commit_time } => {
            let (end_lsn, commit_time) = (lsn(end_lsn), Some(commit_time));
            Line { record: "commit", lsn: lsn(commit_lsn), end_lsn, commit_time, ..none() }
        }
        Message::StreamCommit { xid, commit_lsn, end_lsn, commit_time } => {
            let (xid, end_lsn, commit_time) = (Some(u64::from(xid)), lsn(end_lsn), Some(commit_time));
            Line { record: "stream_commit", xid, lsn: lsn(commit_lsn), end_lsn, commit_time, ..none() }
        }
        Message::StreamStart { xid, .. } => Line { record: "stream_start", xid: Some(u64::from(xid)), ..none() },
        Message::StreamStop => Line { record: "stream_stop", ..none() },
        Message::StreamAbort { subxid, .. } => Line { record: "stream_abort", xid: Some(u64::from(subxid)), ..none() },
        Message::Origin { commit_lsn, name } => {
            Line { record: "origin", lsn: lsn(commit_lsn), name: Some(name.to_owned()), ..none() }
        }
        Message::Logical { xid, lsn: at, prefix, content, .. } => {
            let (name, content) = (Some(prefix.to_owned()), Some(value(content)));
            Line { record: "message", xid: number(xid), lsn: lsn(at), name, content, ..none() }
        }
        Message::Type { xid, oid, namespace, name } => {
            let name = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") };
            Line { record: "type", xid: number(xid), oid: Some(oid), name: Some(name), ..none() }
        }
        Message::Relation { xid, oid, namespace, name, identity, columns } => {
            let namespace = if namespace.is_empty() { "pg_catalog" } else { namespace };
            let columns = columns.iter().map(|column| LineColumn {
                name: Some(column.name.to_owned()),
                type_oid: Some(column.type_oid),
                identity: column.identity,
                ..LineColumn::default()
            });
            Line {
                record: "relation",
                xid: number(xid),
                oid: Some(oid),
                name: Some(format!("{namespace}.{name}")),
                identity: Some(char::from(identity)),
                columns: columns.collect(),
                ..none()
            }
        }
        Message::Insert { xid, oid, new } => {
            Line { record: "insert", xid: number(xid), oid: Some(oid), columns: tuple(new), ..none() }
        }
        Message::Update { xid, oid, old, new } => {
            let old = old.map(old_tuple).unwrap_or_default();
            Line { record: "update", xid: number(xid), oid: Some(oid), columns: tuple(new), old, ..none() }
        }
        Message::Delete { xid, oid, old } => {
            Line { record: "delete", xid: number(xid), oid: Some(oid), old: old_tuple(old), ..none() }
        }
        Message::Truncate { xid, oids, .. } => {
            let tables = oids.iter().map(u32::to_string).collect();
            Line { record: "truncate", xid: number(xid), tables, ..none() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(layout: LineLayout, bytes: &[u8]) -> String {
        serde_json::to_string(&decode_line(layout, bytes).unwrap()).unwrap()
    }

    #[test]
    fn rows_of_both_families() {
        let header = [b"w\0\0\0\x01\0\0\0\x02".as_slice(), &[0; 16]].concat();
        let insert = [&header[..], b"I\0\0\0\x07N\0\x03nut\0\0\0\x01\xFF"].concat();
        assert_eq!(
            json(LineLayout::PgOutput { in_stream: false }, &insert),
            r#"[{"record":"insert","lsn":"1/2","oid":7,"columns":[{"value":null},{"value":{"unchanged":true}},{"value":{"hex":"ff"}}]}]"#
        );
        assert_eq!(
            json(LineLayout::Mppdb(mppdb::Layout::Text), b"table s t DELETE: id[integer]:1"),
            r#"[{"record":"delete","name":"s.t","old":[{"name":"id","type":"integer","value":"1"}]}]"#
        );
        assert_eq!(decode_line(LineLayout::Mppdb(mppdb::Layout::Serial), b"x").unwrap_err().code, "decode_bad_message");
    }

    #[test]
    fn batches_are_told_by_their_first_byte() {
        let batch = b"\0\0\0\x0D\0\0\0\0\0\0\0\x09BEGIN\0\0\0\x0E\0\0\0\0\0\0\0\x0Ccommit\0\0\0\0";
        assert_eq!(
            json(LineLayout::Mppdb(mppdb::Layout::Json), batch),
            r#"[{"record":"begin","lsn":"0/9"},{"record":"commit","lsn":"0/C","end_lsn":"0/C"}]"#
        );
    }
}
