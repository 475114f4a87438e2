//! Counters of the module's own, shown among the gateway's metrics. A module that uses them is granted `counter` by the task
//! (`grants = ["counter"]`), or it is not loaded. Natively nothing is counted.

use crate::bindings::millrace::transform::counter as import;

/// Adds to a counter, made at its first use. `name`: 1 to 64 of `a-z 0-9 _`, at most 64 names per module; what is beyond that is
/// counted under `other`. What a call adds counts once its answer is taken.
pub fn add(name: &str, by: u64) {
    if cfg!(target_family = "wasm") {
        import::add(name, by);
    }
}
