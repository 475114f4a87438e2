//! Every message of protocol 1 and 2, one at a time.
//!
//! Owns the field order (PostgreSQL 15 documentation, "Logical Replication Message Formats"; `src/backend/replication/logical/proto.c`)
//! and the check that nothing is missing or left. Must not know the order of messages.

use super::{DecodeError, ErrorKind, cursor::Cursor};
use millrace_batch::Lsn;

/// One message. In the part of a transaction that is streamed in progress (protocol 2, between `StreamStart` and `StreamStop`),
/// `xid` is that of the (sub)transaction the message belongs to; elsewhere it is absent. Times are microseconds since
/// 2000-01-01, as the wire has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction starts.
    Begin {
        /// LSN of the commit record.
        final_lsn: Lsn,
        /// Commit time.
        commit_time: i64,
        /// Transaction number.
        xid: u32,
    },
    /// `pg_logical_emit_message`.
    Logical {
        /// Streamed transaction.
        xid: Option<u32>,
        /// Whether it belongs to a transaction.
        transactional: bool,
        /// LSN of the message's record.
        lsn: Lsn,
        /// Prefix.
        prefix: &'a str,
        /// Content.
        content: &'a [u8],
    },
    /// A transaction ends.
    Commit {
        /// LSN of the commit record.
        commit_lsn: Lsn,
        /// LSN right behind the commit record.
        end_lsn: Lsn,
        /// Commit time.
        commit_time: i64,
    },
    /// The transaction was replicated from elsewhere.
    Origin {
        /// LSN of the commit at the origin.
        commit_lsn: Lsn,
        /// Name of the origin.
        name: &'a str,
    },
    /// A table.
    Relation {
        /// Streamed transaction.
        xid: Option<u32>,
        /// OID.
        oid: u32,
        /// Schema; empty for `pg_catalog`.
        namespace: &'a str,
        /// Table name.
        name: &'a str,
        /// `pg_class.relreplident`: `d`, `f`, `i` or `n`.
        identity: u8,
        /// Columns.
        columns: Vec<RelationColumn<'a>>,
    },
    /// A type that is not built in, or what a domain is made of.
    Type {
        /// Streamed transaction.
        xid: Option<u32>,
        /// OID; of a domain, the domain's own.
        oid: u32,
        /// Schema; empty for `pg_catalog`.
        namespace: &'a str,
        /// `pg_type.typname`; of a domain, its base type's.
        name: &'a str,
    },
    /// A row came.
    Insert {
        /// Streamed transaction.
        xid: Option<u32>,
        /// Table.
        oid: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row changed.
    Update {
        /// Streamed transaction.
        xid: Option<u32>,
        /// Table.
        oid: u32,
        /// The row before, where the source sends it.
        old: Option<OldTuple<'a>>,
        /// The row afterwards.
        new: Tuple<'a>,
    },
    /// A row went.
    Delete {
        /// Streamed transaction.
        xid: Option<u32>,
        /// Table.
        oid: u32,
        /// The row before.
        old: OldTuple<'a>,
    },
    /// Tables were emptied.
    Truncate {
        /// Streamed transaction.
        xid: Option<u32>,
        /// CASCADE was given.
        cascade: bool,
        /// RESTART IDENTITY was given.
        restart_identity: bool,
        /// Tables.
        oids: Vec<u32>,
    },
    /// Part of a transaction in progress follows.
    StreamStart {
        /// Transaction number.
        xid: u32,
        /// Whether it is the first part.
        first: bool,
    },
    /// The part ends.
    StreamStop,
    /// A streamed transaction ends.
    StreamCommit {
        /// Transaction number.
        xid: u32,
        /// LSN of the commit record.
        commit_lsn: Lsn,
        /// LSN right behind the commit record.
        end_lsn: Lsn,
        /// Commit time.
        commit_time: i64,
    },
    /// A streamed transaction, or a subtransaction of it, was rolled back.
    StreamAbort {
        /// Transaction number.
        xid: u32,
        /// Subtransaction; the same as `xid` where the whole transaction was rolled back.
        subxid: u32,
    },
}

/// One column of a Relation message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Part of the replica identity.
    pub identity: bool,
    /// Name.
    pub name: &'a str,
    /// Type.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`.
    pub type_modifier: i32,
}

/// The old image of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// Only the replica identity's columns hold values.
    Key(Tuple<'a>),
    /// The whole row.
    Full(Tuple<'a>),
}

/// The columns of an image, checked and not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<'a> {
    count: u16,
    bytes: &'a [u8],
}

/// One column of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TupleColumn<'a> {
    /// NULL; in a key-only image also whatever is outside the key.
    Null,
    /// A TOAST value that did not change and was not sent.
    Unchanged,
    /// The type's output text.
    Text(&'a [u8]),
}

impl<'a> Tuple<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>, DecodeError> {
        let count = cursor.count16("the number of columns")?;
        let all = cursor.rest();
        for _ in 0..count {
            TupleColumn::read(cursor)?;
        }
        Ok(Tuple { count, bytes: &all[..all.len() - cursor.rest().len()] })
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// True without a column.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The columns in table order.
    pub fn columns(&self) -> impl Iterator<Item = TupleColumn<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        // Read once already, so no column of these is an error.
        (0..self.count).map_while(move |_| TupleColumn::read(&mut cursor).ok())
    }
}

impl<'a> TupleColumn<'a> {
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<TupleColumn<'a>, DecodeError> {
        match cursor.u8("a column's kind")? {
            b't' => Ok(TupleColumn::Text(cursor.counted("a column's value")?)),
            b'n' => Ok(TupleColumn::Null),
            b'u' => Ok(TupleColumn::Unchanged),
            b'b' => Err(cursor.error(ErrorKind::BinaryNotRequested)),
            other => Err(cursor.bad_byte("a column's kind", other)),
        }
    }
}

impl<'a> Message<'a> {
    /// Reads one message. `in_stream`: it stands between `StreamStart` and `StreamStop`, where messages carry an xid.
    ///
    /// # Errors
    /// Missing or spare bytes, undefined values, names that are not UTF-8, columns in binary form.
    pub fn parse(payload: &'a [u8], in_stream: bool) -> Result<Message<'a>, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let message = Message::read(&mut cursor, in_stream)
            .and_then(|message| cursor.finish().map(|()| message))
            .map_err(|error| error.in_message(payload.first().copied().unwrap_or(0), Lsn(0)))?;
        Ok(message)
    }

    fn read(cursor: &mut Cursor<'a>, in_stream: bool) -> Result<Message<'a>, DecodeError> {
        let tag = cursor.u8("the message type")?;
        let prefixed = in_stream && matches!(tag, b'M' | b'R' | b'Y' | b'I' | b'U' | b'D' | b'T');
        let xid = if prefixed { Some(cursor.u32("an xid")?) } else { None };
        Ok(match tag {
            b'B' => Message::Begin {
                final_lsn: lsn(cursor, "the final LSN")?,
                commit_time: cursor.i64("the commit time")?,
                xid: cursor.u32("an xid")?,
            },
            b'M' => Message::Logical {
                xid,
                transactional: flags(cursor, 1)? == 1,
                lsn: lsn(cursor, "the message's LSN")?,
                prefix: cursor.string("the message's prefix")?,
                content: cursor.counted("the message's content")?,
            },
            b'C' => {
                flags(cursor, 0)?;
                Message::Commit {
                    commit_lsn: lsn(cursor, "the commit LSN")?,
                    end_lsn: lsn(cursor, "the end LSN")?,
                    commit_time: cursor.i64("the commit time")?,
                }
            }
            b'O' => Message::Origin {
                commit_lsn: lsn(cursor, "the origin's LSN")?,
                name: cursor.string("the origin's name")?,
            },
            b'R' => Message::Relation {
                xid,
                oid: cursor.u32("a table's OID")?,
                namespace: cursor.string("a schema's name")?,
                name: cursor.string("a table's name")?,
                identity: match cursor.u8("the replica identity")? {
                    identity @ (b'd' | b'f' | b'i' | b'n') => identity,
                    other => return Err(cursor.bad_byte("the replica identity", other)),
                },
                columns: columns(cursor)?,
            },
            b'Y' => Message::Type {
                xid,
                oid: cursor.u32("a type's OID")?,
                namespace: cursor.string("a schema's name")?,
                name: cursor.string("a type's name")?,
            },
            b'I' => {
                let oid = cursor.u32("a table's OID")?;
                new_marker(cursor)?;
                Message::Insert { xid, oid, new: Tuple::read(cursor)? }
            }
            b'U' => {
                let oid = cursor.u32("a table's OID")?;
                let old = if cursor.rest().first() == Some(&b'N') { None } else { Some(old_tuple(cursor)?) };
                new_marker(cursor)?;
                Message::Update { xid, oid, old, new: Tuple::read(cursor)? }
            }
            b'D' => Message::Delete { xid, oid: cursor.u32("a table's OID")?, old: old_tuple(cursor)? },
            b'T' => {
                let count = cursor.u32("the number of tables")?;
                let options = flags(cursor, 3)?;
                // Not reserved by the count, which may be anything.
                let mut oids = Vec::new();
                for _ in 0..count {
                    oids.push(cursor.u32("a table's OID")?);
                }
                Message::Truncate { xid, cascade: options & 1 != 0, restart_identity: options & 2 != 0, oids }
            }
            b'S' => Message::StreamStart { xid: cursor.u32("an xid")?, first: flags(cursor, 1)? == 1 },
            b'E' => Message::StreamStop,
            b'c' => {
                let xid = cursor.u32("an xid")?;
                flags(cursor, 0)?;
                Message::StreamCommit {
                    xid,
                    commit_lsn: lsn(cursor, "the commit LSN")?,
                    end_lsn: lsn(cursor, "the end LSN")?,
                    commit_time: cursor.i64("the commit time")?,
                }
            }
            b'A' => Message::StreamAbort { xid: cursor.u32("an xid")?, subxid: cursor.u32("an xid")? },
            _ => return Err(DecodeError::new(ErrorKind::UnknownMessage, 0)),
        })
    }
}

fn lsn(cursor: &mut Cursor<'_>, what: &'static str) -> Result<Lsn, DecodeError> {
    Ok(Lsn(cursor.u64(what)?))
}

/// A byte of flags; bits outside `known` are an error, as their meaning is.
fn flags(cursor: &mut Cursor<'_>, known: u8) -> Result<u8, DecodeError> {
    match cursor.u8("flags")? {
        flags if flags & !known == 0 => Ok(flags),
        other => Err(cursor.bad_byte("flags", other)),
    }
}

/// The byte in front of a new image.
pub(super) fn new_marker(cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    match cursor.u8("the tuple's kind")? {
        b'N' => Ok(()),
        other => Err(cursor.bad_byte("the tuple's kind", other)),
    }
}

fn old_tuple<'a>(cursor: &mut Cursor<'a>) -> Result<OldTuple<'a>, DecodeError> {
    match cursor.u8("the tuple's kind")? {
        b'K' => Ok(OldTuple::Key(Tuple::read(cursor)?)),
        b'O' => Ok(OldTuple::Full(Tuple::read(cursor)?)),
        other => Err(cursor.bad_byte("the tuple's kind", other)),
    }
}

fn columns<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<RelationColumn<'a>>, DecodeError> {
    let count = cursor.count16("the number of columns")?;
    let mut columns = Vec::new();
    for _ in 0..count {
        columns.push(RelationColumn {
            identity: flags(cursor, 1)? == 1,
            name: cursor.string("a column's name")?,
            type_oid: cursor.u32("a type's OID")?,
            type_modifier: cursor.i32("a type's modifier")?,
        });
    }
    Ok(columns)
}
