//! Named places where a test may kill the process, as `kill -9` would.
//!
//! Owns the names and the counting. Without the cargo feature `failpoints` every call is empty. `MILLRACE_FAILPOINT=name:nth`
//! aborts at the nth pass of that name; `name` alone at the first.

/// Every failpoint, in the order one change meets them.
pub const NAMES: [&str; 9] = [
    "after_receive",
    "after_decode",
    "after_transform",
    "after_produce",
    "after_ack",
    "before_position",
    "after_position",
    "before_confirm",
    "after_confirm",
];

/// Passes a failpoint.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn pass(_name: &'static str) {}

/// Passes a failpoint; aborts the process where the environment says so.
#[cfg(feature = "failpoints")]
pub fn pass(name: &'static str) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };
    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("MILLRACE_FAILPOINT").ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        assert!(NAMES.contains(&name), "MILLRACE_FAILPOINT names no failpoint: {name}");
        Some((name.to_owned(), AtomicU64::new(nth.parse().unwrap_or(1))))
    });
    if let Some((armed, left)) = armed
        && armed == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        eprintln!("failpoint {name}: aborting");
        std::process::abort();
    }
}
