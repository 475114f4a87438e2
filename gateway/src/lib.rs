//! The Millrace gateway as a library: what the `millrace` binary runs, and what its tests and benchmarks drive.
//!
//! Owns configuration, the task's life, the pipeline that wires the crates together, checks and the admin endpoints. Must not decode,
//! transform or deliver by itself: that is what the crates below are for.

pub mod admin;
pub mod check;
pub mod cli;
pub mod config;
pub mod dead_letter;
pub mod demo;
pub mod failpoint;
pub mod observe;
pub mod pipeline;
pub mod swap;
pub mod task;
