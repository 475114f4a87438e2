//! The life cycle of a task as a pure state machine.
//!
//! Owns which status a task has, which action is allowed in it, what each action means for slots and positions, and how often a
//! fault is retried. Must not know tokio, sockets, files or clocks: actions and events come in with the time they happened at,
//! effects go out, and whoever drives the machine reports what became of them as events.
//!
//! The statuses, their transitions and actions are those that the managed service documents for a task without a full phase.

mod fleet;
mod machine;
mod status;
mod words;

pub use fleet::Fleet;
pub use machine::{Machine, Refused, SLOT_BOUND_MS, UNCONFIGURED_MS};
pub use status::{Status, worst};
pub use words::{Action, Effect, Event, Fault};
