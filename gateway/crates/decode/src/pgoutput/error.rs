//! What can be wrong with a message.
//!
//! Owns the reasons, their place in the stream and their edge form. Never holds cell values (I9): a column is named, its text is not.

use millrace_batch::{Failure, Lsn};

/// A message that was refused: why, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(Box<Details>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    kind: ErrorKind,
    message: u8,
    offset: usize,
    wal_start: Lsn,
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The message is shorter than its fields.
    #[error("the message ends inside {0}")]
    Truncated(&'static str),
    /// The message is longer than its fields.
    #[error("{0} bytes follow the last field")]
    Trailing(usize),
    /// The first byte names no message of protocol 1 or 2.
    #[error("protocol 1 and 2 have no such message")]
    UnknownMessage,
    /// A field has a value the protocol does not define.
    #[error("{field} is {value}, which the protocol does not define")]
    BadField {
        /// The field.
        field: &'static str,
        /// What it held.
        value: i64,
    },
    /// A name is not UTF-8; the connection asks for `client_encoding` UTF8.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// A commit time that 64-bit Unix microseconds cannot hold.
    #[error("the commit time {0} us after 2000-01-01 is out of range")]
    TimeOutOfRange(i64),
    /// A valid message at a place where it cannot stand.
    #[error("{0}")]
    OutOfSequence(&'static str),
    /// A transaction the position calls done ends behind the position.
    #[error("the transaction ends at {end}, behind the resume position {position} that lies inside it")]
    PositionInside {
        /// Where the transaction ends.
        end: Lsn,
        /// Where the decoder was told to resume.
        position: Lsn,
    },
    /// A transaction that commits before the end of the one before it.
    #[error("the transaction commits at {commit}, before {before} where its predecessor ended")]
    CommitOrder {
        /// LSN of the commit record.
        commit: Lsn,
        /// End of the transaction before.
        before: Lsn,
    },
    /// A change of a table that no Relation message described.
    #[error("no Relation message described the table with OID {0}")]
    UnknownRelation(u32),
    /// A change of a table whose keys were asked for and not given.
    #[error("the primary key of the table with OID {0} was not looked up")]
    KeysPending(u32),
    /// A tuple does not have the table's number of columns.
    #[error("the tuple has {got} columns, {table} has {expected}")]
    ColumnCount {
        /// `schema.table`.
        table: String,
        /// Columns of the table.
        expected: usize,
        /// Columns of the tuple.
        got: usize,
    },
    /// A cell's text is not what its type prints under the session settings the gateway pins.
    #[error("the text of {column} ({type_name}) is not {expected}")]
    BadValue {
        /// `schema.table.column`.
        column: String,
        /// Type of the column.
        type_name: String,
        /// What it should be.
        expected: &'static str,
    },
    /// An image that the table's replica identity cannot give.
    #[error("{what} for {table}, which its replica identity cannot give")]
    BadImage {
        /// `schema.table`.
        table: String,
        /// What came.
        what: &'static str,
    },
    /// A column in binary form; the gateway never sets the option `binary`.
    #[error("a column came in binary form, which was not asked for")]
    BinaryNotRequested,
    /// A part of a transaction still in progress; the gateway never sets the option `streaming`.
    #[error("a streamed transaction came, which was not asked for")]
    StreamingNotRequested,
    /// The stream and the catalogue disagree about the key of a table.
    #[error("{table}: {problem} (stream: {stream:?}, catalogue: {catalogue:?})")]
    KeyDisagreement {
        /// `schema.table`.
        table: String,
        /// What disagrees.
        problem: &'static str,
        /// Columns the stream flags as the identity.
        stream: Vec<String>,
        /// Primary key columns of the catalogue.
        catalogue: Vec<String>,
    },
    /// The batch has no room for the row's values; the decoder stands before the message, so it can be given again with an
    /// empty batch.
    #[error("the batch has no room for the row")]
    BatchFull,
    /// The row alone passes what one batch can hold.
    #[error("the row is larger than a batch can hold")]
    RowTooLarge,
    /// The next id would pass 2^53 or the ordinal 2^32.
    #[error("{0} is used up")]
    Exhausted(&'static str),
}

impl DecodeError {
    #[cold]
    pub(super) fn new(kind: ErrorKind, offset: usize) -> DecodeError {
        DecodeError(Box::new(Details { kind, message: 0, offset, wal_start: Lsn(0) }))
    }

    #[cold]
    pub(super) fn in_message(mut self, message: u8, wal_start: Lsn) -> DecodeError {
        self.0.message = message;
        self.0.wal_start = wal_start;
        self
    }

    /// Why.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// First byte of the message; 0 where it was empty, or where the error is about a catalogue answer.
    pub fn message_type(&self) -> u8 {
        self.0.message
    }

    /// Byte of the message at which it was refused, from 0.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// What the caller gave as the message's start in the write-ahead log.
    pub fn wal_start(&self) -> Lsn {
        self.0.wal_start
    }

    /// Stable code of the edge error.
    pub fn code(&self) -> &'static str {
        match self.kind() {
            ErrorKind::Truncated(_) => "decode_truncated",
            ErrorKind::Trailing(_)
            | ErrorKind::UnknownMessage
            | ErrorKind::BadField { .. }
            | ErrorKind::NotUtf8(_)
            | ErrorKind::TimeOutOfRange(_)
            | ErrorKind::BadImage { .. } => "decode_bad_message",
            ErrorKind::OutOfSequence(_) | ErrorKind::CommitOrder { .. } => "decode_out_of_sequence",
            ErrorKind::PositionInside { .. } => "decode_position_inside_transaction",
            ErrorKind::UnknownRelation(_) => "decode_unknown_relation",
            ErrorKind::KeysPending(_) => "decode_keys_pending",
            ErrorKind::ColumnCount { .. } => "decode_column_count",
            ErrorKind::BadValue { .. } => "decode_bad_value",
            ErrorKind::BinaryNotRequested => "binary_not_requested",
            ErrorKind::StreamingNotRequested => "streaming_not_requested",
            ErrorKind::KeyDisagreement { .. } => "key_disagreement",
            ErrorKind::BatchFull => "decode_batch_full",
            ErrorKind::RowTooLarge => "decode_row_too_large",
            ErrorKind::Exhausted(_) => "decode_exhausted",
        }
    }

    fn mend(&self) -> &'static str {
        match self.kind() {
            ErrorKind::BadValue { .. } => {
                "leave bytea_output at hex for the replication connection (ALTER ROLE ... RESET bytea_output); \
                 if it is, report the column's type"
            }
            ErrorKind::NotUtf8(_) => "connect with client_encoding UTF8; rename the object if its name was damaged",
            ErrorKind::BinaryNotRequested => "start the stream without the option binary",
            ErrorKind::StreamingNotRequested => {
                "start the stream with proto_version 1 and without the option streaming"
            }
            ErrorKind::KeyDisagreement { .. } => {
                "give the table the primary key the stream was written with, or drain the stream up to the change of the \
                 key; a DEFERRABLE primary key is no replica identity: set REPLICA IDENTITY FULL or USING INDEX; a column \
                 list of the publication must name all key columns"
            }
            ErrorKind::PositionInside { .. } => {
                "check that position and slot belong to the same database; reset the task if the server was restored"
            }
            ErrorKind::BatchFull => "hand the message in again with an empty batch",
            ErrorKind::RowTooLarge => "leave the table out, or the large column by a column list of the publication",
            ErrorKind::Exhausted(_) => "reset the task with a new number range",
            ErrorKind::KeysPending(_) => "answer KeysNeeded with set_keys before the next message",
            _ => {
                "report it with the output of `millrace decode` for the message; check that nothing between gateway and \
                 server alters the stream, and that the server is PostgreSQL 10 or newer"
            }
        }
    }
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Details { kind, message, offset, wal_start } = &*self.0;
        if *message == 0 {
            return write!(f, "{kind}");
        }
        write!(f, "{kind} (message {:?} at {wal_start}, byte {offset})", char::from(*message))
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.kind)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Failure {
        let tried = match error.message_type() {
            0 => "reading the stream of pgoutput".to_owned(),
            message => format!("reading a pgoutput message {:?} at {}", char::from(message), error.wal_start()),
        };
        Failure::definite(error.code(), tried, error.to_string(), error.mend())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_message_place_and_mend() {
        let error = DecodeError::new(ErrorKind::Truncated("an xid"), 17).in_message(b'B', Lsn(0x10));
        assert_eq!(error.to_string(), "the message ends inside an xid (message 'B' at 0/10, byte 17)");
        let failure = Failure::from(error);
        assert_eq!((failure.code, failure.is_definite()), ("decode_truncated", true));
        assert_eq!(failure.tried, "reading a pgoutput message 'B' at 0/10");
        assert!(!failure.mend.is_empty());
    }
}
