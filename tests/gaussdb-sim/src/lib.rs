//! A wire simulator of GaussDB Distributed, GaussDB centralized and openGauss.
//!
//! Speaks protocol 3.51 as a running openGauss 6.0.2 was recorded to speak it: start-up and its refusals, every password method,
//! the catalogue queries of a change-data-capture client, slots with positions, and `mppdb_decoding` in the serial layout and the
//! parallel styles b, j and t. It has a coordinator and data nodes, a generator with a seed, scripted faults, and keeps the truth of
//! what it sent. What the recordings do not show (coordinators, failover) follows the vendor's documentation and is marked so.
//!
//! ```no_run
//! use millrace_gaussdb_sim::{Cluster, Options, Workload};
//! let cluster = Cluster::start(Options { workload: Some(Workload::new()), ..Options::new() }).unwrap();
//! println!("host=127.0.0.1 port={} dbname=shop user=cdc password=Gauss@123", cluster.port());
//! ```
//!
//! It shares no code with Millrace: a stand-in that did would share its mistakes.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail loudly"))]

mod auth;
mod catalogue;
mod cluster;
mod connection;
mod creation;
mod error;
mod faults;
mod flood;
mod log;
mod node;
mod options;
mod render;
mod slots;
mod sql;
mod startup;
mod state;
mod text;
mod truth;
mod values;
mod walsender;
mod wire;
mod workload;

pub use auth::{Encryption, Hba};
pub use catalogue::{Catalogue, Column, Identity, Literal, Locator, Role, TYPES, Table, Type};
pub use cluster::Cluster;
pub use error::Error;
pub use faults::Fault;
pub use flood::Flood;
pub use log::{Cell, Change, Log, Op, RowChange, Transaction};
pub use node::{Kind, OpenTransaction};
pub use options::{Login, Options, Product};
pub use render::{DecodeOptions, Renderer, Style};
pub use slots::Slot;
pub use text::Lsn;
pub use truth::{Truth, write_truth};
pub use workload::{Generator, Workload, example_catalogue};
