//! Tools for transform modules: what `millrace module`, `capture` and `replay` do.
//!
//! Owns the events form (`events`), golden tests of a module run by the host (`golden`), benches (`bench`), the look at a component
//! (`inspect`, `verify`), projects and their builds (`project`, `scaffold`, `build`), masking (`mask`) and replay
//! ([`replay`]). Modules run in the very host the gateway uses, with the same limits.
//!
//! Must not know sockets, Kafka, async runtimes or task files: the gateway's command line hands in what comes from those.

pub mod bench;
pub mod build;
pub mod diff;
mod embedded;
mod error;
pub mod events;
pub mod golden;
pub mod inspect;
pub mod mask;
pub mod project;
pub mod replay;
pub mod scaffold;

pub use error::ToolError;
