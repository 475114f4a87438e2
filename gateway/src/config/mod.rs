//! The task file: one TOML file per task.
//!
//! Owns the keys, their rules and defaults, and [`load`], which reports every problem at once with its path. A [`Task`] that
//! exists is legal in itself; whether the peers agree with it is `check`'s affair. Must not know sockets, Kafka or modules.

mod address;
mod check;
mod dead_letters;
mod decoding;
mod derive;
mod guest;
mod keys;
mod modules;
mod monitoring;
mod name;
mod objects;
mod policy;
mod print;
mod problem;
mod quantity;
mod read;
mod reference;
mod registry;
mod route;
mod runtime;
mod secret;
mod sink;
mod source;
mod start;
mod tags;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use address::{BrokerAddress, HostAddress};
pub use check::Check;
pub use dead_letters::DeadLetters;
pub use decoding::{DataNode, DecodeStyle, Decoding, Heartbeat, Numbers, Parallel, SpillConfig};
pub use modules::{Grant, Limits, Module, Modules, OnError, OnRestart, Sha256, Swap};
pub use monitoring::Monitoring;
pub use name::{Description, ILLEGAL_IN_OBJECT, Pattern, SlotName, SqlName, TaskName, TopicName, is_legal_topic};
pub(crate) use objects::is_system;
pub use objects::{Objects, list};
pub use policy::{PartitionPolicy, TopicPolicy};
pub use problem::{Problem, Problems};
pub use quantity::{Bounded, Size, Span};
pub use read::{FILE_LIMIT, load, parse};
pub use reference::{Row, markdown, reference};
pub use registry::{Framing, Registry, Subject};
pub use route::{Binary, Format, FormatKind, Money, Profile, Route, SqlType};
pub use runtime::{Admin, OnHalt, Pipeline};
pub use secret::{MASK, Secret, SecretSource};
pub use sink::{Compression, PositionConfig, PositionStore, Protocol, SaslMechanism, Sink, SinkKind};
pub use source::{Source, SourceKind, SslMode};
pub use start::{Moment, StartAt};

/// `[task]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Name of the task; unique among the tasks that share a position topic.
    pub name: TaskName,
    /// Free text.
    #[serde(default = "no_description")]
    pub description: Description,
    /// Labels, as { team = "orders" }; up to 20.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// When a task without a position starts: now, manual (a person says `millrace task start`), or a time with its offset.
    #[serde(default = "now")]
    pub start_at: StartAt,
}

fn now() -> StartAt {
    StartAt::Now
}

fn no_description() -> Description {
    derive::parsed("")
}

/// A task file with every default filled in. Relative paths are taken from the folder of the file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Millrace task file")]
pub struct Task {
    /// What the task is called.
    pub task: About,
    /// The database that is read.
    pub source: Source,
    /// Which of its tables.
    #[serde(default)]
    pub objects: Objects,
    /// What was said about the pre-check.
    #[serde(default)]
    pub check: Check,
    /// Topics and partitions.
    pub route: Route,
    /// The messages.
    pub format: Format,
    /// The schema registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
    /// Modules in place of the defaults or beside them.
    #[serde(default)]
    pub modules: Modules,
    /// Where changes go that a stage cannot handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLetters>,
    /// Where the records go.
    pub sink: Sink,
    /// Where the task remembers how far it is.
    pub position: PositionConfig,
    /// What the process may use, and how it ends.
    pub pipeline: Pipeline,
    /// Where it can be asked.
    #[serde(default)]
    pub admin: Admin,
    /// When a delay is an alarm, and where operations are written down.
    #[serde(default)]
    pub monitoring: Monitoring,
}

impl Task {
    /// Every secret the task names, with its key.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &SecretSource)> {
        let sink = &self.sink;
        let registry = self.registry.as_ref().map(|registry| {
            [
                ("registry.password", &registry.password),
                ("registry.token", &registry.token),
                ("registry.trust_store_password", &registry.trust_store_password),
                ("registry.key_store_password", &registry.key_store_password),
            ]
        });
        let all = [
            ("source.password", &self.source.password),
            ("admin.token", &self.admin.token),
            ("sink.password", &sink.password),
            ("sink.token", &sink.token),
            ("sink.trust_store_password", &sink.trust_store_password),
            ("sink.key_store_password", &sink.key_store_password),
            ("sink.key_password", &sink.key_password),
        ];
        all.into_iter().chain(registry.into_iter().flatten()).filter_map(|(key, secret)| Some((key, secret.as_ref()?)))
    }

    /// Where the task's passwords and keys are kept, each of them; `admin.token` is not the peers'.
    fn secrets_mut(&mut self) -> Vec<&mut Option<SecretSource>> {
        let sink = &mut self.sink;
        let mut all = vec![
            &mut self.source.password,
            &mut sink.password,
            &mut sink.token,
            &mut sink.trust_store_password,
            &mut sink.key_store_password,
            &mut sink.key_password,
        ];
        if let Some(registry) = &mut self.registry {
            all.extend([
                &mut registry.password,
                &mut registry.token,
                &mut registry.trust_store_password,
                &mut registry.key_store_password,
            ]);
        }
        all
    }

    /// Takes the secrets of another version of its file, and nothing else.
    pub fn take_secrets(&mut self, from: &Task) {
        let mut from = from.clone();
        for (own, new) in self.secrets_mut().into_iter().zip(from.secrets_mut()) {
            *own = new.take();
        }
    }

    /// Forgets every secret of the peers.
    pub fn erase_secrets(&mut self) {
        self.secrets_mut().into_iter().for_each(|secret| *secret = None);
    }
}

/// The JSON Schema (2020-12) of a task file, nothing behind references.
pub fn schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Task>().to_value();
    // The loader treats a missing section as an empty one.
    schema["required"] = serde_json::json!(["task", "source", "sink"]);
    for (section, key) in derive::DERIVED {
        if let Some(key) = schema["properties"][section]["properties"][key].as_object_mut() {
            key.remove("default");
        }
    }
    schema
}
