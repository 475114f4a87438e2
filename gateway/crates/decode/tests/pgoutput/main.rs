//! The pgoutput decoder against recordings of a real PostgreSQL and against random streams.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

#[path = "../../fuzz/check.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod check;
mod damage;
mod encode;
mod golden;
mod opengauss;
mod random;
mod render;
mod sequence;
