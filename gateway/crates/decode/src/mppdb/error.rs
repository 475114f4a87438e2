//! What can be wrong with a record of `mppdb_decoding`.
//!
//! Owns the reasons and their edge form. Never holds cell values (I9).

use millrace_batch::{Failure, Lsn};

/// A record that was refused: why, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError(Box<Details>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    reason: Reason,
    offset: usize,
    wal_start: Lsn,
}

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The record is shorter than its fields.
    #[error("the record ends inside {0}")]
    Truncated(&'static str),
    /// The record is longer than its fields.
    #[error("{0} bytes follow the last field")]
    Trailing(usize),
    /// Something else stands where the layout has fixed text.
    #[error("{0:?} was expected")]
    Expected(&'static str),
    /// A field has a value the layout does not define.
    #[error("{field} is {value}, which the layout does not define")]
    BadField {
        /// The field.
        field: &'static str,
        /// What it held.
        value: u32,
    },
    /// A number, time, name, literal or escape that is not well formed.
    #[error("{0} is not well formed")]
    Malformed(&'static str),
    /// The names of an image and its types or values differ in number.
    #[error("an image has {names} names and {others} types or values")]
    Uneven {
        /// Names.
        names: usize,
        /// Types or values.
        others: usize,
    },
    /// Style t writes schema and table bare with a blank between, so a name with a blank can be read in several ways.
    #[error("style t cannot tell schema and table apart when a name holds a blank")]
    AmbiguousName,
    /// A schema change the server was told to decode.
    #[error("a schema change came as a record")]
    Ddl,
    /// A valid record at a place where it cannot stand.
    #[error("{0}")]
    OutOfSequence(&'static str),
    /// The stream was started without an option the gateway needs.
    #[error("the transaction came without {0}")]
    Missing(&'static str),
    /// COMMIT carries no LSN in this layout without sending-batch.
    #[error("the end of the transaction has no LSN in this layout")]
    NoCommitLsn,
    /// Text that the encoding of the database does not have.
    #[error("{what} is not valid {encoding}")]
    BadEncoding {
        /// `schema.table.column` of a value, or what kind of name.
        what: String,
        /// The encoding, by PostgreSQL's name.
        encoding: &'static str,
    },
    /// An insert or update without a new image (the server could not decode the row), or a delete without an old one.
    #[error("the server sent {what} of {table} without its row")]
    EmptyImage {
        /// The kind of change.
        what: &'static str,
        /// `schema.table`.
        table: String,
    },
    /// The old image does not fit the table.
    #[error("the old image of {table} has a column the table does not have")]
    UnknownColumn {
        /// `schema.table`.
        table: String,
    },
    /// The row and the catalogue's primary key cannot belong together.
    #[error("{table}: the rows lack a column of the primary key (catalogue: {catalogue:?})")]
    KeyDisagreement {
        /// `schema.table`.
        table: String,
        /// Primary key columns of the catalogue.
        catalogue: Vec<String>,
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
    /// The row alone passes what one batch can hold.
    #[error("the row is larger than a batch can hold")]
    RowTooLarge,
    /// The place for transactions larger than memory failed.
    #[error("the spill of a large transaction failed: {0}")]
    Spill(String),
    /// The next id would pass 2^53 or the ordinal 2^32.
    #[error("{0} is used up")]
    Exhausted(&'static str),
}

impl Reason {
    #[cold]
    pub(super) fn spill(error: std::io::Error) -> Reason {
        Reason::Spill(error.to_string())
    }
}

impl RecordError {
    #[cold]
    pub(super) fn new(reason: Reason, offset: usize) -> RecordError {
        RecordError(Box::new(Details { reason, offset, wal_start: Lsn(0) }))
    }

    #[cold]
    pub(super) fn at(mut self, wal_start: Lsn) -> RecordError {
        self.0.wal_start = wal_start;
        self
    }

    /// Counts the place from so many bytes earlier.
    #[cold]
    pub(super) fn behind(mut self, bytes: usize) -> RecordError {
        self.0.offset += bytes;
        self
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.0.reason
    }

    /// Byte at which it was refused, from 0: of the payload, or of the record where that was read alone.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// Where the record stands in the write-ahead log, as the caller said.
    pub fn wal_start(&self) -> Lsn {
        self.0.wal_start
    }

    /// Stable code of the edge error.
    pub fn code(&self) -> &'static str {
        match self.reason() {
            Reason::Truncated(_) => "decode_truncated",
            Reason::Trailing(_)
            | Reason::Expected(_)
            | Reason::BadField { .. }
            | Reason::Malformed(_)
            | Reason::Uneven { .. } => "decode_bad_message",
            Reason::BadEncoding { .. } => "decode_bad_encoding",
            Reason::AmbiguousName => "decode_ambiguous_name",
            Reason::Ddl => "decode_schema_change",
            Reason::OutOfSequence(_) => "decode_out_of_sequence",
            Reason::Missing(_) => "decode_missing_option",
            Reason::NoCommitLsn => "decode_no_commit_lsn",
            Reason::EmptyImage { .. } => "decode_empty_image",
            Reason::UnknownColumn { .. } => "decode_unknown_column",
            Reason::KeyDisagreement { .. } => "key_disagreement",
            Reason::BadValue { .. } => "decode_bad_value",
            Reason::RowTooLarge => "decode_row_too_large",
            Reason::Spill(_) => "spill_failed",
            Reason::Exhausted(_) => "decode_exhausted",
        }
    }

    fn mend(&self) -> &'static str {
        match self.reason() {
            Reason::AmbiguousName => "use decode-style b or j, or serial decoding",
            Reason::Ddl => "start the stream without enable-ddl-decoding",
            Reason::NoCommitLsn => {
                "start the stream with sending-batch=1, with decode-style b, or with serial decoding"
            }
            Reason::Missing(_) => "start the stream with include-xids=1 and include-timestamp=1",
            Reason::BadEncoding { .. } => {
                "correct the text at the source (the server checks no bytes that come in by COPY under some settings), or leave the \
                 table out"
            }
            Reason::EmptyImage { what: "a delete", .. } => {
                "set REPLICA IDENTITY FULL on the table; what was deleted before cannot be told from the log any more: leave the \
                 table out until the stream is past it, then copy the table again"
            }
            Reason::EmptyImage { .. } => {
                "the row was written under another version of the table (a schema change in flight) or is compressed: leave the \
                 table out until the stream is past it, then copy the table again"
            }
            Reason::UnknownColumn { .. } | Reason::KeyDisagreement { .. } => {
                "the table changed after these rows were written: drain the stream before such changes, or reset the task"
            }
            Reason::BadValue { .. } => {
                "a setting of the database or server changes how values print: reset DateStyle, IntervalStyle and bytea_output \
                 (ALTER DATABASE ... RESET ...), then start again"
            }
            Reason::RowTooLarge => "leave the table out",
            Reason::Spill(_) => "give the spill folder room and a disk that works",
            Reason::Exhausted(_) => "reset the task with a new number range",
            _ => {
                "check that the decoding options of the server are those of the task (serial or parallel, decode-style, \
                 sending-batch), then report the record with the output of `millrace decode`"
            }
        }
    }
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Details { reason, offset, wal_start } = &*self.0;
        write!(f, "{reason} (payload at {wal_start}, byte {offset})")
    }
}

impl std::error::Error for RecordError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.reason)
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Failure {
        let tried = format!("reading the stream of mppdb_decoding at {}", error.wal_start());
        // A disk may have room or be mended by the next attempt, which reads everything again.
        if matches!(error.reason(), Reason::Spill(_)) {
            return Failure::transient("spill_failed", tried, error.to_string(), error.mend());
        }
        Failure::definite(error.code(), tried, error.to_string(), error.mend())
    }
}
