//! Rust kit for Millrace transform modules.
//!
//! A module implements [`Module`] and the trait of one or more stages ([`Filter`], [`Map`], [`Route`], [`Format`]) and ends
//! with [`export!`]. It answers once per table what it can (`announce`) and per change only what it must.
//!
//! ```
//! use millrace_guest::{Change, Filter, FilterPlan, Image, Interest, Module, Relation};
//!
//! /// Keeps the rows whose first key column is not empty.
//! struct KeyedOnly;
//!
//! impl Module for KeyedOnly {
//!     const NAME: &'static str = "keyed-only";
//!     const VERSION: &'static str = "1.0.0";
//!     const CONFIG_SCHEMA: &'static str = r#"{"type":"object"}"#;
//! }
//!
//! impl Filter for KeyedOnly {
//!     type Table = ();
//!     fn init(_config: &str) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!     fn announce(&mut self, _table: &Relation) -> Result<(FilterPlan, ()), String> {
//!         Ok((FilterPlan::PerChange(Interest::KEY), ()))
//!     }
//!     fn keep(&mut self, _table: &(), change: &Change<'_>) -> Result<bool, String> {
//!         Ok(change.row().and_then(|image| image.get(0)).and_then(|cell| cell.text()).is_some_and(|text| !text.is_empty()))
//!     }
//! }
//!
//! millrace_guest::export!(KeyedOnly: filter);
//! ```
//!
//! The kit owns the packing of batches and answers, the panic hook and the JSON writer. It knows nothing of any message
//! format, of Kafka, or of where changes come from. Modules compile natively too, where `export!` exports nothing: unit
//! tests need no Wasm.

// `export!` uses `$crate` paths; the tests at the foot of the files use them as well.
extern crate self as millrace_guest;

pub mod binary;
mod change;
#[cfg(feature = "config")]
pub mod config;
pub mod connect;
pub mod counter;
mod export;
mod filter;
mod format;
#[cfg(feature = "golden")]
pub mod golden;
mod json;
pub mod log;
mod map;
mod pattern;
mod route;
mod row;
mod scan;
mod steps;
mod tables;
pub mod topic;
pub mod value;
mod world;

pub use binary::{Binary, BinaryText};
pub use change::{Cell, Change, Image, Op};
pub use export::Module;
pub use filter::{Filter, Filtering};
pub use format::{Format, Formatting, Key, Record, Records};
pub use json::{Escape, JsonWriter, Members, NotUtf8, Piece, Template};
pub use map::{Cells, Map, Mapping, Rewritten, Which};
pub use pattern::Pattern;
pub use route::{Route, Routes, Routing};
pub use row::{CellForm, Money, TextRow, quoted};
pub use world::{
    Batch, Column, Fault, FilterPlan, FormatPlan, Hashed, Interest, MapPlan, Partition, Relation, Rewrite, RoutePlan,
    Schema, SchemaLanguage, Selection, Target,
};

#[doc(hidden)]
pub use export::about;
#[doc(hidden)]
pub use world::{bindings, sections};
