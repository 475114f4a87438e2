//! The pre-check of a first start: below 100 % no slot is made.
//!
//! Owns that it runs once for all shards of a task. A start that goes on from a position is not checked again: it would have to fail on
//! its own slot, and what it delivered is worth more than what a check would find.

use millrace_batch::Failure;
use tokio::sync::OnceCell;

use crate::{check, config::Task};

/// Passed, or still to come.
#[derive(Default)]
pub(super) struct Precheck(OnceCell<()>);

impl Precheck {
    /// Runs the check where it has not passed yet.
    ///
    /// # Errors
    /// What is not PASSED and not confirmed, with all items by name. Transient where only peers cannot be reached.
    pub async fn pass(&self, task: &Task) -> Result<(), Failure> {
        let checked = self.0.get_or_try_init(|| async {
            let report = check::check(task).await;
            report.failure().map_or(Ok(()), Err)
        });
        checked.await.copied()
    }
}
