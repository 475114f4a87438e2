//! The replication client against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod authentication;
mod catalogue;
mod certificates;
mod cluster;
mod refusals;
mod slots;
mod stream;
mod tls;

use millrace_batch::Class;
use millrace_replication::Error;

/// Asserts code and class of an error.
#[track_caller]
fn assert_failure<T>(result: Result<T, Error>, code: &str, class: Class) {
    let Err(error) = result else { panic!("succeeded where `{code}` was due") };
    let failure = error.failure();
    assert_eq!((failure.code, failure.class), (code, class), "{failure}");
    assert!(!failure.mend.is_empty(), "{failure}");
}
