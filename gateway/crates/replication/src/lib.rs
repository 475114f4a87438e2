//! Wire client for logical replication: start-up, authentication, replication commands, CopyBoth and feedback.
//!
//! Owns everything between a list of hosts and a stream of `XLogData` payloads: TLS, the start-up packet, every
//! authentication method, the framing of CopyBoth, the timer that keeps `wal_sender_timeout` away, and the catalogue
//! questions a gateway asks before it streams. Serves ordinary SQL through `tokio-postgres` on the same handshake.
//!
//! Speaks to two families ([`Dialect`]): PostgreSQL, and GaussDB with openGauss.
//!
//! Must not know: what a payload means (the decoder's business), when a position may be confirmed (the pipeline's), nor
//! anything of modules and Kafka. Errors are [`Error`]; [`Error::failure`] gives the form for people.

mod auth;
pub mod catalog;
mod classify;
mod command;
mod connection;
mod error;
mod feedback;
mod framing;
mod gauss;
mod handshake;
mod login;
mod message;
mod options;
mod pace;
mod quote;
mod socket;
mod sql;
mod stream;
mod tls;
mod transport;

pub use classify::classify;
pub use command::{
    CreateSlot, CreatedSlot, InProgress, Pgoutput, PluginOption, Snapshot, StartReplication, SystemIdentity,
};
pub use connection::{ReplicationConnection, SimpleRows};
pub use error::{Error, ServerError};
pub use feedback::{Feedback, FlushPosition, feedback_interval};
pub use framing::{CopyData, FrameBuffer, FramingError, RawMessage, decode_copy_data};
pub use gauss::{Deployment, Product, ProductVersion};
pub use handshake::detect_dialect;
pub use options::{ChannelBinding, ConnectOptions, Dialect, Host, Secret, SslMode, TargetSession};
pub use quote::{quote_ident, quote_literal, quote_qualified};
pub use sql::{SqlConnection, connect_sql};
pub use stream::{Frame, ReplicationStream, StreamOptions, StreamReader};
