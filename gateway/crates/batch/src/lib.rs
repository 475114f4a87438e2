//! What every part of Millrace agrees on: change batches, relations, LSNs, the type table and the edge error.
//!
//! Owns: the columnar [`Batch`] a decoder fills once and every later stage reads in place, [`Relation`] (one version of a
//! table), [`RelationLog`], [`Lsn`], the table of source types with their JDBC codes, and [`Failure`], the one error a person sees.
//!
//! Must not know: sockets, Kafka, Wasm, async runtimes, files, or the configuration. Everything else depends on this crate,
//! so it depends on nothing.

mod batch;
mod chunk;
mod failure;
mod lsn;
mod relation;
mod types;

pub use batch::{Batch, CELL_LIMIT, Cell, ChangeStamp, Commit, END_MASK, NULL_BIT, Op, Split, UNSENT_BIT, marks};
pub use failure::{Class, Failure};
pub use lsn::{Lsn, ParseLsnError};
pub use relation::{Column, Relation, RelationLog, ReplicaIdentity};
pub use types::{TextForm, TypeInfo, jdbc_code_of_array, jdbc_code_of_unknown, type_by_name, type_by_oid};
