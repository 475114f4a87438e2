//! What GaussDB and openGauss do differently on the wire: log-in challenges, their layouts of CopyBoth, their names.
//!
//! Sans-IO: bytes and texts in, bytes and values out. Must not know sockets, TLS, nor the state of a log-in
//! ([`crate::auth`] keeps that). Layouts and constants were read off openGauss 6.0.2 on the wire; the names in its source
//! are given where they help to look things up.

mod challenge;
pub(crate) mod copy;
mod product;
mod proof;

pub(crate) use challenge::{answer, is_challenge};
pub use product::{Deployment, Product, ProductVersion};

#[cfg(test)]
mod transcripts;
