//! The host of transform modules.
//!
//! Owns everything between a batch of changes and the records it becomes: the Wasm engine and its limits, components and what is
//! checked before one runs, the chain of stages `filter* map* route format`, and the check of every answer a module gives. A module
//! cannot stop, starve, crash or corrupt the gateway and reaches nothing but `log` and what the task grants by name (I4).
//!
//! Must not know sockets, Kafka clients, async runtimes or the task's configuration file. All calls are synchronous: a chain
//! belongs to one worker thread.
//!
//! ```text
//! HostEngine --load--> Module --StageSpec--> Chain --announce(Relation)--> plans
//!                                            Chain --process(Batch)-----> Records (topics by TopicTable)
//! ```

mod budget;
mod cache;
mod chain;
mod contract;
mod counter;
pub mod defaults;
mod engine;
mod error;
mod grant;
mod instance;
mod limits;
mod log;
mod lone;
mod mapping;
mod module;
mod murmur;
mod records;
mod schema;
mod stage;
mod stages;
mod surface;
mod topic;
mod usage;
mod view;

pub use chain::{Chain, ChainSpec, Verdict};
pub use counter::ModuleCount;
pub use engine::HostEngine;
pub use error::{EngineError, Fault, FaultKind, HostError, LoadError, ModuleError, StageKind};
pub use grant::Grant;
pub use limits::Limits;
pub use lone::{Answer, Destination, Key, LoneStage, Plan, Value};
pub use mapping::{MappedTo, Mapping};
pub use module::{About, Digest, Module};
pub use murmur::positive_murmur2;
pub use records::{PartitionChoice, Record, Records};
pub use schema::{Schema, SchemaId, SchemaLanguage, SchemaTable, Schemas};
pub use stage::{OnError, StageSpec};
pub use surface::Surface;
pub use topic::{TopicError, TopicId, TopicTable};
pub use usage::{LimitKind, ModuleUsage};
