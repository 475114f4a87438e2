//! Decoders from a source's logical replication messages to [`millrace_batch::Batch`].
//!
//! Owns: the wire layouts and what makes a message sequence valid. Sans-IO: bytes come in, changes come out in the caller's
//! batch; a message that cannot be read faithfully is an error and leaves batch and decoder as they were.
//!
//! Must not know: sockets, the catalogue (the caller asks it and hands the answer in), Wasm, Kafka, files, async runtimes.

mod line;
pub mod mppdb;
pub mod pgoutput;
mod start;

pub use line::{Line, LineColumn, LineLayout, LineValue, decode_line};
pub use start::Start;
