//! The servers that all tests of a run share; a test that stops, reconfigures or blocks a server starts its own.

use crate::kafka::{Jvm, Kafka};
use crate::postgres::Postgres;
use std::sync::OnceLock;

/// The shared PostgreSQL. Do not hold a transaction open on it: the creation of any slot waits for it.
pub fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(""))
}

/// The shared Kafka.
pub fn kafka() -> &'static Kafka {
    static BROKER: OnceLock<Kafka> = OnceLock::new();
    BROKER.get_or_init(|| Kafka::start(Jvm::Light, ""))
}
