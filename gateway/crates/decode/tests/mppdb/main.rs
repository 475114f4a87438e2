//! The mppdb_decoding decoders against recordings of a running openGauss (`tests/recordings/README.md`).

#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

#[path = "../../fuzz/check.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod check;
mod damage;
mod recording;
mod records;
mod stream;
mod styles;
mod whole;
