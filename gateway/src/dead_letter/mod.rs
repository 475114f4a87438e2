//! Dead letters: what a change that a stage could not handle looks like in its topic.
//!
//! Owns the record's form, both ways. The value is one JSON object with the two lines that a capture has of the change: `relation` and
//! `change`; so it can be read, replayed and made a test of. Everything about the failure is in the headers. Must not know the
//! pipeline of a running task.

mod letter;
mod replay;

pub use letter::{Letter, Named};
pub use replay::{Outcome, Replay};
