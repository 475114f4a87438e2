//! PostgreSQL's `pgoutput` plugin, protocol 1 and 2.
//!
//! Owns the message formats (PostgreSQL 15 documentation, "Logical Replication Message Formats"), the order in which messages
//! may come, and what a table version is. Must not know how payloads travel (`XLogData`, SQL function, file).
//!
//! [`Message`] reads any single message; [`PgOutput`] turns a stream of them into changes without building messages for rows.

mod cursor;
mod decoder;
mod error;
mod message;
mod row;
mod tables;
mod types;

pub use crate::Start;
pub use decoder::{PgOutput, Step};
pub use error::{DecodeError, ErrorKind};
pub use message::{Message, OldTuple, RelationColumn, Tuple, TupleColumn};
