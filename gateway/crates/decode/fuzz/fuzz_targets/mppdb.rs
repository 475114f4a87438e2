//! mppdb_decoding streams in every layout: no panic, and an error leaves no trace.
#![no_main]

#[path = "../check.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::mppdb(data));
