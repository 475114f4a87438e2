//! One line of a check, and the report.

use std::fmt;

use millrace_batch::Failure;
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::config::Task;

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

/// One thing that was looked at. As JSON it is the managed service's record of a pre-check item, with `code` and `mend` beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Stable name, as `source.wal_level`.
    pub id: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub reason: String,
    /// Code of the failure `run` would report, where there is one.
    pub code: Option<&'static str>,
    /// The peer's own words.
    pub raw_error: Option<String>,
    /// The SQL or command that mends it.
    pub mend: Option<String>,
    /// Whether waiting may mend it: the peer could not be reached.
    pub transient: bool,
    /// The data node that was looked at, where the source has several.
    pub node: Option<String>,
    /// Whether `check.confirm` names an item that raises an alarm.
    pub confirmed: bool,
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let skipped = self.verdict == Verdict::Skipped;
        let told = matches!(self.verdict, Verdict::Alarm | Verdict::Failed);
        let failed_at: Vec<&str> = self.node.as_deref().filter(|_| told).into_iter().collect();
        let group = self.id.split('.').next().unwrap_or_default();
        let mut record = serializer.serialize_struct("Item", 11)?;
        record.serialize_field("item", self.id)?;
        record.serialize_field("group", group)?;
        // What was not looked at has no result.
        record.serialize_field("result", &(!skipped).then_some(self.verdict))?;
        record.serialize_field("failed_reason", &told.then_some(&self.reason))?;
        record.serialize_field("data", &(!told).then_some(&self.reason))?;
        record.serialize_field("raw_error_msg", &self.raw_error)?;
        record.serialize_field("is_support_skip", &(self.verdict == Verdict::Alarm))?;
        record.serialize_field("is_skipped", &(skipped || self.confirmed))?;
        record.serialize_field("failed_sub_jobs", &failed_at)?;
        record.serialize_field("code", &self.code)?;
        record.serialize_field("mend", &self.mend)?;
        record.end()
    }
}

impl Item {
    fn new(id: &'static str, verdict: Verdict, reason: impl Into<String>) -> Item {
        Item {
            id,
            verdict,
            reason: reason.into(),
            code: None,
            raw_error: None,
            mend: None,
            transient: false,
            node: None,
            confirmed: false,
        }
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

    /// What the managed service refuses and this gateway can live with: an alarm, unless `check.strict` is on.
    pub fn tolerated(task: &Task, id: &'static str, reason: impl Into<String>, mend: impl Into<String>) -> Item {
        if task.check.strict { Item::failed(id, reason, mend) } else { Item::alarm(id, reason, mend) }
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
    /// Share of the items that were looked at, or do not apply, in percent.
    pub process: u32,
    /// Share of these that passed or are confirmed, in percent; a first start needs 100.
    pub total_passed_rate: u32,
    /// The worst verdict of what is not confirmed.
    pub result: Verdict,
    /// Items that raise an alarm nobody has confirmed.
    pub to_confirm: Vec<&'static str>,
    /// The items.
    pub items: Vec<Item>,
}

impl Report {
    /// Sums the items up, with those confirmed that `confirm` names.
    pub fn new(task: String, confirm: &[String], mut items: Vec<Item>) -> Report {
        for item in items.iter_mut().filter(|item| item.verdict == Verdict::Alarm) {
            item.confirmed = confirm.iter().any(|name| name == item.id);
        }
        let open = || items.iter().filter(|item| !item.confirmed);
        let result = match open().map(|item| item.verdict).max() {
            None | Some(Verdict::Skipped) => Verdict::Passed,
            Some(worst) => worst,
        };
        let mut to_confirm: Vec<&str> = open().filter(|i| i.verdict == Verdict::Alarm).map(|item| item.id).collect();
        to_confirm.dedup();
        let judged: Vec<&Item> = items.iter().filter(|item| item.verdict != Verdict::Skipped).collect();
        let good = judged.iter().filter(|item| item.verdict == Verdict::Passed || item.confirmed).count();
        let share = |part: usize, whole: usize| u32::try_from(part * 100 / whole.max(1)).unwrap_or(0);
        // What was skipped behind a failure was not looked at; elsewhere it does not apply.
        let looked = if result == Verdict::Failed { share(judged.len(), items.len()) } else { 100 };
        let rate = if judged.is_empty() { 100 } else { share(good, judged.len()) };
        Report { task, process: looked, total_passed_rate: rate, result, to_confirm, items }
    }

    /// Whether everything passed or is confirmed: a first start may go on.
    pub fn is_complete(&self) -> bool {
        self.result == Verdict::Passed
    }

    /// What keeps a first start from going on: the items by name, each with its reason.
    pub fn failure(&self) -> Option<Failure> {
        if self.is_complete() {
            return None;
        }
        let open = self.items.iter().filter(|i| !i.confirmed && matches!(i.verdict, Verdict::Alarm | Verdict::Failed));
        let lines: Vec<String> = open.map(|item| format!("{} {}: {}", item.verdict, item.id, item.reason)).collect();
        let why = format!("{} % passed\n{}", self.total_passed_rate, lines.join("\n"));
        let tried = "the pre-check before the first start";
        if self.is_transient() {
            return Some(Failure::transient(
                "precheck_unreachable",
                tried,
                why,
                "bring the peer back; nothing else to do",
            ));
        }
        let failed = self.items.iter().find(|item| item.verdict == Verdict::Failed);
        let mend = match failed.and_then(|item| item.mend.as_deref()) {
            Some(mend) => format!("{mend}\n-- `millrace check TASK.toml` shows all items with what mends them"),
            None => format!(
                "`millrace check TASK.toml` shows the items; once read, confirm them: check.confirm = {:?}",
                self.to_confirm
            ),
        };
        let code = match failed {
            None => "precheck_unconfirmed",
            Some(item) => item.code.unwrap_or("precheck_failed"),
        };
        Some(Failure::definite(code, tried, why, mend))
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
            let confirmed = if item.confirmed { " (confirmed)" } else { "" };
            writeln!(f, "{:7} {:30} {}{confirmed}", item.verdict, item.id, item.reason)?;
            for (name, text) in [("said", &item.raw_error), ("mend", &item.mend)] {
                if let Some(text) = text {
                    for (index, line) in text.lines().enumerate() {
                        let name = if index == 0 { name } else { "" };
                        writeln!(f, "{:7} {:4} {line}", "", name)?;
                    }
                }
            }
        }
        if !self.to_confirm.is_empty() {
            writeln!(f, "to confirm: check.confirm = {:?}, or --confirm ITEM", self.to_confirm)?;
        }
        write!(f, "{}: {} ({} % passed)", self.task, self.result, self.total_passed_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_verdict_is_the_result() {
        let skipped = || Item::skipped("a", "x");
        let report = |items| Report::new("t".to_owned(), &[], items);
        assert_eq!(report(vec![skipped()]).result, Verdict::Passed);
        assert_eq!(report(vec![Item::passed("a", ""), Item::alarm("b", "", "m")]).result, Verdict::Alarm);
        let unreachable = Item::failure("a", &Failure::transient("source_unreachable", "t", "w", "m"));
        assert!(report(vec![unreachable.clone(), skipped()]).is_transient());
        assert!(!report(vec![unreachable, Item::failed("b", "", "m")]).is_transient());
        assert!(!report(vec![Item::passed("a", "")]).is_transient());
    }

    #[test]
    fn a_confirmed_alarm_counts_as_passed_and_a_failure_never() {
        let items = || vec![Item::passed("a", ""), Item::alarm("b", "careful", "m")];
        let report = |confirm: &[&str], items| {
            let confirm: Vec<String> = confirm.iter().map(|name| (*name).to_owned()).collect();
            Report::new("t".to_owned(), &confirm, items)
        };
        let open = report(&[], items());
        assert_eq!((open.total_passed_rate, open.is_complete(), &open.to_confirm[..]), (50, false, &["b"][..]));
        assert_eq!(open.failure().map(|failure| failure.code), Some("precheck_unconfirmed"));
        let confirmed = report(&["b"], items());
        assert_eq!((confirmed.total_passed_rate, confirmed.is_complete()), (100, true));
        assert!(confirmed.failure().is_none());
        let failed = report(&["b", "c"], [items(), vec![Item::failed("c", "broken", "mend it")]].concat());
        assert_eq!((failed.total_passed_rate, failed.result), (66, Verdict::Failed));
        let failure = failed.failure().unwrap();
        assert_eq!((failure.code, failure.is_definite()), ("precheck_failed", true));
        assert!(failure.why.contains("FAILED c: broken") && failure.mend.starts_with("mend it"), "{failure:?}");
        let away =
            report(&[], vec![Item::failure("a", &Failure::transient("x", "t", "w", "m")), Item::skipped("b", "")]);
        assert_eq!(
            away.failure().map(|failure| failure.is_definite()),
            Some(false),
            "an unreachable peer is waited for"
        );
        assert_eq!(away.process, 50, "half of it was not looked at");
    }

    #[test]
    fn as_json_it_is_the_documented_record() {
        let item = Item {
            node: Some("dn_1".to_owned()),
            raw_error: Some("raw".to_owned()),
            ..Item::alarm("sink.topics", "why", "do")
        };
        let report =
            serde_json::to_value(Report::new("t".to_owned(), &["sink.topics".to_owned()], vec![item])).unwrap();
        assert_eq!(
            report["items"][0],
            serde_json::json!({
                "item": "sink.topics", "group": "sink", "result": "ALARM", "failed_reason": "why", "data": null,
                "raw_error_msg": "raw", "is_support_skip": true, "is_skipped": true, "failed_sub_jobs": ["dn_1"],
                "code": null, "mend": "do",
            })
        );
        assert_eq!(
            (&report["process"], &report["total_passed_rate"], &report["result"]),
            (&100.into(), &100.into(), &"PASSED".into())
        );
        let skipped = serde_json::to_value(Item::skipped("a.b", "not here")).unwrap();
        assert_eq!((&skipped["result"], &skipped["is_skipped"]), (&serde_json::Value::Null, &true.into()));
    }

    #[test]
    fn the_text_has_reason_and_mend() {
        let report = Report::new("t".to_owned(), &[], vec![Item::failed("source.wal_level", "is replica", "A;\nB;")]);
        assert_eq!(
            report.to_string(),
            "FAILED  source.wal_level               is replica\n        mend A;\n             B;\nt: FAILED (0 % passed)"
        );
    }
}
