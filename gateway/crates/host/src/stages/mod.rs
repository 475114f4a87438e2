//! What each stage's plan and answers mean.
//!
//! One file per stage: its plan checked against the table, and its answer checked against the batch before anything of it is taken.
//! Nothing here calls a module. A guest's numbers are never used as an index before they were compared with what they index.

pub(crate) mod filter;
pub(crate) mod format;
pub(crate) mod map;
pub(crate) mod route;

use crate::stage::Reject;

/// Checks that a list has one element per change (or record).
pub(crate) fn check_length(field: &str, length: usize, expected: usize) -> Result<(), Reject> {
    if length == expected {
        return Ok(());
    }
    Err(Reject::bad(field, format_args!("{length} elements where {expected} belong")))
}

/// Checks offsets that rise from 0 to the end of what they cut.
pub(crate) fn check_rising(field: &str, ends: impl Iterator<Item = u32>, total: usize) -> Result<(), Reject> {
    let mut last = 0;
    for (index, end) in ends.enumerate() {
        if end < last {
            return Err(Reject::bad(field, format_args!("element {index} is {end}, below {last} before it")));
        }
        last = end;
    }
    if last as usize == total {
        return Ok(());
    }
    Err(Reject::bad(field, format_args!("they end at {last}, the arena has {total} bytes")))
}
