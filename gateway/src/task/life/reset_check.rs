//! The check before a start that a person asks for, and before a reset: it must pass whole.

use millrace_batch::Failure;

use crate::{
    check::{self, Verdict},
    config::Task,
};

/// A check below 100 %.
pub(super) struct Failed {
    /// Share of the items that passed; below 100.
    pub percent: u8,
    /// As a person sees it: every item with its mend.
    pub failure: Failure,
}

/// Items that judge whether slot and position belong together: a reset gives both up.
const OF_THE_POSITION: [&str; 1] = ["source.slot"];

/// Checks the task.
pub(super) async fn judge(task: &Task, reset: bool) -> Result<(), Failed> {
    let report = check::check(task).await;
    let counts = |item: &&check::Item| {
        let of_the_position = OF_THE_POSITION.iter().any(|id| item.id.starts_with(id));
        // A task that starts in spite of what its check says is held up only by what cannot work.
        let open = item.verdict == Verdict::Alarm && !item.confirmed && task.check.at_start;
        (item.verdict == Verdict::Failed || open) && !(reset && of_the_position)
    };
    let failed: Vec<&check::Item> = report.items.iter().filter(counts).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let lines = |text: fn(&check::Item) -> String| failed.iter().map(|item| text(item)).collect::<Vec<_>>().join("\n");
    let failure = Failure::definite(
        "check_failed",
        if reset { "checking before a reset" } else { "checking before the start" },
        lines(|item| format!("{}: {}", item.id, item.reason)),
        lines(|item| {
            item.mend.clone().unwrap_or_else(|| format!("see `millrace check --confirm {0}` about {0}", item.id))
        }),
    );
    Err(Failed { percent: u8::try_from(report.total_passed_rate.min(99)).unwrap_or(99), failure })
}
