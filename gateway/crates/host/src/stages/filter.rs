//! The filter stage: which changes go on.

use super::check_length;
use crate::contract::{filter, types};
use crate::stage::Reject;
use crate::view::Interest;

/// A filter's plan for a table.
#[derive(Debug)]
pub(crate) enum FilterPlan {
    Keep,
    Drop,
    PerChange(Interest),
}

impl FilterPlan {
    pub(crate) fn check(plan: &filter::Plan, relation: &types::Relation, keys: &[u16]) -> Result<FilterPlan, String> {
        Ok(match plan {
            filter::Plan::Keep => FilterPlan::Keep,
            filter::Plan::Drop => FilterPlan::Drop,
            filter::Plan::PerChange(raw) => FilterPlan::PerChange(Interest::check(raw, relation.columns.len(), keys)?),
        })
    }
}

/// Checks the verdicts on `changes` changes.
pub(crate) fn check(answer: &filter::Verdicts, changes: usize) -> Result<(), Reject> {
    check_length("keep", answer.keep.len(), changes.div_ceil(8))?;
    let used = changes % 8;
    if used != 0 && answer.keep.last().is_some_and(|last| last >> used != 0) {
        return Err(Reject::bad("keep", "a bit behind the last change is set"));
    }
    Ok(())
}

/// The verdict on one change; call only after `check`.
pub(crate) fn keeps(answer: &filter::Verdicts, change: usize) -> bool {
    answer.keep.get(change / 8).is_some_and(|bits| bits >> (change % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_must_fit_the_batch() {
        let answer = |keep: &[u8]| filter::Verdicts { keep: keep.to_vec(), faults: Vec::new() };
        assert!(check(&answer(&[0xff, 0x01]), 9).is_ok());
        assert!(check(&answer(&[]), 0).is_ok());
        for (keep, changes) in [(&[0xff][..], 9), (&[0xff, 0x02], 9), (&[0, 0, 0], 9), (&[0], 0)] {
            assert!(matches!(check(&answer(keep), changes), Err(Reject(..))));
        }
        let answer = answer(&[0b101, 1]);
        assert_eq!([0, 1, 2, 8, 9].map(|n| keeps(&answer, n)), [true, false, true, true, false]);
    }
}
