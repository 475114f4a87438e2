//! When a version that was swapped in is rolled back by itself.
//!
//! Owns the counting of what a version failed on while it is on trial. Must not know clocks: how long that is comes in from outside.

use millrace_host::FaultKind;

/// What a version may fail on while it is on trial, in batches. The version before it makes the records of these batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Batches it may trap on, or answer against the contract.
    pub traps: u64,
    /// Batches it may not answer in time.
    pub deadlines: u64,
    /// Batches with a change it says it cannot handle and the version before can.
    pub errors: u64,
}

/// Which part of the budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It trapped, broke the contract, or failed as a whole.
    Traps,
    /// It did not answer in time.
    Deadlines,
    /// It refused changes that the version before can handle.
    Errors,
}

impl Reason {
    /// Stable name, as in the history and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Traps => "traps",
            Reason::Deadlines => "deadlines",
            Reason::Errors => "errors",
        }
    }
}

/// What a version on trial has spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Batches it trapped on, broke the contract on, or failed on as a whole.
    pub traps: u64,
    /// Batches it did not answer in time.
    pub deadlines: u64,
    /// Batches with a change it refused.
    pub errors: u64,
}

impl Spent {
    /// Counts a batch it failed on; says whether that is more than the budget has.
    pub fn count(&mut self, kind: Option<FaultKind>, budget: &Budget) -> Option<Reason> {
        let (spent, most, reason) = match kind {
            Some(FaultKind::Guest) => (&mut self.errors, budget.errors, Reason::Errors),
            // Fuel is time told otherwise.
            Some(FaultKind::Deadline | FaultKind::Fuel) => (&mut self.deadlines, budget.deadlines, Reason::Deadlines),
            Some(FaultKind::Trap | FaultKind::BadOutput) | None => (&mut self.traps, budget.traps, Reason::Traps),
        };
        *spent += 1;
        (*spent > most).then_some(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_budget_of_its_own() {
        let budget = Budget { traps: 1, deadlines: 0, errors: 2 };
        let mut spent = Spent::default();
        assert_eq!(spent.count(Some(FaultKind::Guest), &budget), None);
        assert_eq!(spent.count(Some(FaultKind::Guest), &budget), None);
        assert_eq!(spent.count(Some(FaultKind::Trap), &budget), None);
        assert_eq!(spent.count(None, &budget), Some(Reason::Traps));
        assert_eq!(spent.count(Some(FaultKind::Guest), &budget), Some(Reason::Errors));
        assert_eq!(spent.count(Some(FaultKind::Deadline), &budget), Some(Reason::Deadlines));
        assert_eq!(spent, Spent { traps: 2, deadlines: 1, errors: 3 });
    }
}
