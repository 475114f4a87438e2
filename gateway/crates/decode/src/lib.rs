//! Decoders from a source's logical replication messages to [`millrace_batch::Batch`].
//!
//! Owns: the wire layouts and what makes a message sequence valid. Sans-IO: bytes come in, changes come out in the caller's
//! batch; a message that cannot be read faithfully is an error and leaves batch and decoder as they were.
//!
//! A reader drives a [`Decoder`]:
//!
//! ```text
//! for each XLogData { wal_start, payload }:
//!     loop {
//!         match decoder.payload(wal_start, payload, &mut batch)? {
//!             Step::Done     => break,                        // next frame; dispatch the batch when the socket has no more
//!             Step::Cut      => dispatch(&mut batch),         // wait for room, give an empty batch
//!             Step::Ask(ask) => decoder.answer(catalogue(ask))?,
//!             Step::Full     => wait for other shards, or end with decoder.too_large(),
//!         }
//!     }
//! for each keepalive: its WAL end becomes an empty transaction end if decoder.keepalive_is_position()
//! ```
//!
//! Must not know: sockets, the catalogue (the caller asks it and hands the answer in), Wasm, Kafka, files, async runtimes.

mod cut;
mod decoder;
mod encoding;
mod line;
pub mod mppdb;
pub mod pgoutput;
mod spill;
mod start;

pub use cut::Cut;
pub use decoder::{Answer, Ask, Decoder, Held, PgOutputStream, Step};
pub use encoding::Encoding;
pub use line::{Line, LineColumn, LineLayout, LineValue, decode_line};
pub use spill::{NoSpill, Spill};
pub use start::Start;
