//! Hot reload: which version of the chain of modules runs, which waits, and which was before.
//!
//! Owns the decisions as pure parts: [`Machine`] (requests, sessions and faults in, actions out), [`Budget`] (when a version is rolled
//! back by itself), [`Place`] (a stage's place in the chain), the difference of two versions' records, and the choice of changes a
//! canary gets. Must not load, run, or wait for anything: `task::swaps` does, and feeds what happened back in.

mod budget;
mod differ;
mod machine;
#[cfg(test)]
mod machine_model;
mod place;
mod share;

pub use budget::{Budget, Reason, Spent};
pub use differ::{Report, Sample, What, same_places};
pub use machine::{Action, Event, Machine, Phase, Refusal, Ticket};
pub use place::Place;
pub use share::{Picker, Share};
