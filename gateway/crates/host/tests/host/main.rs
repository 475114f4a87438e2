//! The host with real components: the default modules and `probe`, which does as its configuration says (tests/guests).

// Tests all over, helpers included.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

mod golden;
mod hostile;
mod loading;
mod model;
mod policy;
mod rows;
mod stages;
