//! pgoutput streams: no panic, and an error leaves no trace.
#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::pgoutput(data));
