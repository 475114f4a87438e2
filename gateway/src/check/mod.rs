//! `millrace check`: whether both peers and their settings let the task run, before it runs.
//!
//! Owns the items and their verdicts. Facts are gathered first, in as few questions as possible, and judged by pure
//! functions, one file per subject. It changes nothing at either peer and fences no running gateway.

pub(crate) mod catalogue;
mod gather;
mod gaussdb;
mod item;
mod names;
pub(crate) mod position;
mod registry;
mod sink;
mod source;

pub use catalogue::{Listed, Unfit, catalogue, unfit};
pub use gather::check;
pub use item::{Item, Report, Verdict};
pub(crate) use names::NAMES;
