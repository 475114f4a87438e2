//! One line of a check, and the report.

use std::fmt;

use millrace_batch::Failure;
use serde::Serialize;

/// How an item ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Not looked at: an earlier item failed, or the setting does not exist there.
    Skipped,
    /// The task runs, but a person should know.
    Alarm,
    /// The task does not run, or loses something.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Passed => "PASSED",
            Verdict::Skipped => "SKIPPED",
            Verdict::Alarm => "ALARM",
            Verdict::Failed => "FAILED",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Stable name, as `source.wal_level`.
    pub id: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub reason: String,
    /// Code of the failure `run` would report, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The peer's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_error: Option<String>,
    /// The SQL or command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// Whether waiting may mend it: the peer could not be reached.
    #[serde(skip)]
    pub transient: bool,
}

impl Item {
    fn new(id: &'static str, verdict: Verdict, reason: impl Into<String>) -> Item {
        Item { id, verdict, reason: reason.into(), code: None, raw_error: None, mend: None, transient: false }
    }

    /// As it should be.
    pub fn passed(id: &'static str, reason: impl Into<String>) -> Item {
        Item::new(id, Verdict::Passed, reason)
    }

    /// Not looked at.
    pub fn skipped(id: &'static str, reason: impl Into<String>) -> Item {
        Item::new(id, Verdict::Skipped, reason)
    }

    /// A person should know.
    pub fn alarm(id: &'static str, reason: impl Into<String>, mend: impl Into<String>) -> Item {
        Item { mend: Some(mend.into()), ..Item::new(id, Verdict::Alarm, reason) }
    }

    /// The task does not run, or loses something.
    pub fn failed(id: &'static str, reason: impl Into<String>, mend: impl Into<String>) -> Item {
        Item { mend: Some(mend.into()), ..Item::new(id, Verdict::Failed, reason) }
    }

    /// What `run` would fail with.
    pub fn failure(id: &'static str, failure: &Failure) -> Item {
        Item {
            code: Some(failure.code),
            raw_error: Some(failure.why.clone()),
            transient: !failure.is_definite(),
            ..Item::failed(id, format!("{} failed", failure.tried), failure.mend.clone())
        }
    }
}

/// Everything that was looked at, in order.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Task name.
    pub task: String,
    /// The worst verdict.
    pub result: Verdict,
    /// Share of the items that passed, or did not apply, in percent.
    pub passed_percent: u32,
    /// The items.
    pub items: Vec<Item>,
}

impl Report {
    /// Sums the items up.
    pub fn new(task: String, items: Vec<Item>) -> Report {
        let worst = items.iter().map(|item| item.verdict).max().unwrap_or(Verdict::Passed);
        let result = if worst == Verdict::Skipped { Verdict::Passed } else { worst };
        let good = items.iter().filter(|item| item.verdict == Verdict::Passed).count();
        let judged = items.iter().filter(|item| item.verdict != Verdict::Skipped).count().max(1);
        Report { task, result, passed_percent: u32::try_from(good * 100 / judged).unwrap_or(0), items }
    }

    /// Whether every failed item failed because a peer could not be reached.
    pub fn is_transient(&self) -> bool {
        let mut failed = self.items.iter().filter(|item| item.verdict == Verdict::Failed).peekable();
        failed.peek().is_some() && failed.all(|item| item.transient)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            writeln!(f, "{:7} {:30} {}", item.verdict, item.id, item.reason)?;
            for (name, text) in [("said", &item.raw_error), ("mend", &item.mend)] {
                if let Some(text) = text {
                    for (index, line) in text.lines().enumerate() {
                        let name = if index == 0 { name } else { "" };
                        writeln!(f, "{:7} {:4} {line}", "", name)?;
                    }
                }
            }
        }
        write!(f, "{}: {} ({} % passed)", self.task, self.result, self.passed_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_verdict_is_the_result() {
        let skipped = || Item::skipped("a", "x");
        let report = |items| Report::new("t".to_owned(), items);
        assert_eq!(report(vec![skipped()]).result, Verdict::Passed);
        assert_eq!(report(vec![Item::passed("a", ""), Item::alarm("b", "", "m")]).result, Verdict::Alarm);
        let unreachable = Item::failure("a", &Failure::transient("source_unreachable", "t", "w", "m"));
        assert!(report(vec![unreachable.clone(), skipped()]).is_transient());
        assert!(!report(vec![unreachable, Item::failed("b", "", "m")]).is_transient());
        assert!(!report(vec![Item::passed("a", "")]).is_transient());
    }

    #[test]
    fn the_text_has_reason_and_mend() {
        let report = Report::new("t".to_owned(), vec![Item::failed("source.wal_level", "is replica", "A;\nB;")]);
        assert_eq!(
            report.to_string(),
            "FAILED  source.wal_level               is replica\n        mend A;\n             B;\nt: FAILED (0 % passed)"
        );
    }
}
