//! Real WAL, rendered by the plugin of `tests/mppdb-plugin` in every layout, read by the decoders over the real wire, and compared with
//! what pgoutput says of the same WAL.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

#[path = "../postgres/certificates.rs"]
#[allow(dead_code, reason = "each binary uses its part")]
mod certificates;
#[path = "../postgres/cluster.rs"]
#[allow(dead_code, reason = "each binary uses its part")]
mod cluster;
mod database;
mod large;
mod same;
mod stream;
