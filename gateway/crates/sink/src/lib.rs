//! The Kafka side of the gateway: producing in order without gaps, topics, and the fenced topic that holds positions.
//!
//! Owns: [`KafkaConfig`] (what may be set and what may not), [`Producer`] with its delivery [`watermark`](Producer::watermark),
//! [`Topics`] (cluster, creation, size limits), [`PositionTopic`] and [`Blackhole`], the sink that
//! measurements use.
//!
//! Must not know: sources, decoders, modules, what a record means, or what may be confirmed: it numbers nothing and only says which
//! numbers are acknowledged.

mod admin;
mod blackhole;
mod config;
mod events;
mod failure;
mod gate;
mod position_topic;
mod producer;
mod properties;
mod read_back;
mod record;
mod registry;
mod ring;
mod scan;
mod sink;
mod stores;
mod token;
mod topics;
mod wait;

pub use blackhole::Blackhole;
pub use config::{Compression, HAS_GSSAPI, KafkaConfig, Kerberos, Protocol, Sasl, SaslMechanism, Secret, Store, Tls};
pub use position_topic::{PositionTopic, PositionTopicOptions};
pub use producer::Producer;
pub use properties::refused_property;
pub use read_back::read_positions;
pub use record::{Header, OutRecord, SendError, TopicHandle, record_size};
pub use registry::{Frame, Framing, Registry, RegistryConfig, SchemaLanguage, SchemaText, refused_registry_url};
pub use ring::AckRing;
pub use scan::{Stored, scan_topic};
pub use sink::Sink;
pub use token::TokenSource;
pub use topics::{Cluster, ClusterFacts, TopicFacts, TopicState, TopicWanted, Topics};
