//! The harness of the end-to-end tests: a real PostgreSQL and a real Apache Kafka on loopback, the gateway as a child process, a
//! workload and an oracle.
//!
//! It owns processes, ports, scratch folders and the truth about what was committed. It must not know how the gateway works
//! inside: the gateway is its program file, its task file, its HTTP port and its exit codes, nothing else.
//!
//! Everything here blocks and panics with a plain sentence when the environment fails: a test that goes on without its server
//! proves nothing.

pub mod gateway;
pub mod http;
pub mod kafka;
pub mod mppdb_plugin;
pub mod oracle;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod registry;
pub mod scratch;
pub mod servers;
pub mod shop;
pub mod sql;
pub mod task;
pub mod topics;

use std::time::{Duration, Instant};

/// Calls `check` every 20 ms until it gives a value; panics with `what` when `limit` has passed.
pub fn eventually<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The seed of this run: `MILLRACE_SEED`, or a fresh one. Printed where it is used, so that a failure can be repeated.
pub fn seed(test: &str) -> u64 {
    let seed = match std::env::var("MILLRACE_SEED") {
        Ok(text) => text.parse().expect("MILLRACE_SEED is a decimal number"),
        Err(_) => fastrand::u64(..),
    };
    println!("{test}: MILLRACE_SEED={seed}");
    seed
}
