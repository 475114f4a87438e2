//! The simulator against recordings of a running openGauss, and Millrace's own client and decoders against the simulator.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

mod answers;
mod catalogue;
mod client;
mod commands;
mod faults;
mod log_ins;
mod recordings;
mod streams;
mod transcripts;
