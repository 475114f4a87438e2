//! `millrace check`, and confirming what it found.
//!
//! Owns where a confirmation is written: `check.confirm` of the task file, in the text as it is, or not at all.

use std::path::Path;

use clap::Args;
use millrace_batch::Failure;

use super::{Exit, TaskFile, answer, block_on, quiet, secrets};
use crate::{
    check::{Report, Verdict, check},
    config,
};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    task: TaskFile,
    /// Confirms an item that raises an ALARM: writes it into check.confirm of the task file; may be given several times
    #[arg(long, value_name = "ITEM")]
    confirm: Vec<String>,
}

pub(super) fn run(options: &Options) -> Exit {
    quiet();
    let json = options.task.json.json;
    let mut task = match secrets::load(&options.task.file) {
        Ok(task) => task,
        Err(problems) => return answer::problems(&problems, json),
    };
    let mut report = match block_on(check(&task)) {
        Ok(report) => report,
        Err(exit) => return exit,
    };
    if !options.confirm.is_empty() {
        if let Err(failure) = confirm(&options.task.file, &report, &options.confirm, &mut task.check.confirm) {
            return answer::failure(&failure, json);
        }
        report = Report::new(report.task, &task.check.confirm, report.items);
    }
    answer::data(&report, json);
    match report.result {
        Verdict::Failed if report.is_transient() => Exit::Transient,
        Verdict::Failed => Exit::Definite,
        _ => Exit::Done,
    }
}

/// Only an alarm that this very check raised can be confirmed: it was just shown.
fn confirm(file: &Path, report: &Report, names: &[String], confirmed: &mut Vec<String>) -> Result<(), Failure> {
    let tried = "confirming items of the check";
    for name in names {
        let alarm = report.items.iter().any(|item| item.id == name && item.verdict == Verdict::Alarm);
        if !alarm {
            let why = format!("{name:?} raises no alarm now");
            let mend = format!("confirm what does: {:?}", report.to_confirm);
            return Err(Failure::definite("not_to_confirm", tried, why, mend));
        }
        if !confirmed.contains(name) {
            confirmed.push(name.clone());
        }
    }
    let by_hand = |why: String| {
        let mend = format!("write it yourself, under [check]: confirm = {confirmed:?}");
        Failure::definite("not_confirmed", tried, why, mend)
    };
    let text = std::fs::read_to_string(file).map_err(|error| by_hand(error.to_string()))?;
    let written =
        with_confirmed(&text, confirmed).ok_or_else(|| by_hand("the file has [check] in another form".into()))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    match config::parse(&written, folder) {
        Ok(task) if task.check.confirm == *confirmed => {}
        _ => return Err(by_hand("the file has [check] in another form".into())),
    }
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    let replaced = std::fs::write(&beside, written).and_then(|()| std::fs::rename(&beside, file));
    replaced.map_err(|error| by_hand(error.to_string()))
}

/// The text of a task file with this list under `[check]`; everything else stays as it is.
fn with_confirmed(text: &str, confirmed: &[String]) -> Option<String> {
    let line = format!("confirm = {confirmed:?}");
    let mut lines: Vec<&str> = text.lines().collect();
    let Some(section) = lines.iter().position(|line| line.trim() == "[check]") else {
        return Some(format!("{}\n\n[check]\n{line}\n", text.trim_end()));
    };
    let end =
        lines[section + 1..].iter().position(|line| line.trim_start().starts_with('[')).map(|at| section + 1 + at);
    let body = section + 1..end.unwrap_or(lines.len());
    let is_list = |line: &&str| line.split('=').next().is_some_and(|key| key.trim() == "confirm");
    match lines[body.clone()].iter().position(is_list) {
        Some(at) => {
            let at = body.start + at;
            // A list over several lines is somebody's layout.
            if !lines[at].contains(']') {
                return None;
            }
            lines[at] = &line;
        }
        None => lines.insert(body.start, &line),
    }
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::with_confirmed;

    #[test]
    fn a_confirmation_changes_one_line() {
        let confirmed = ["a.b".to_owned()];
        let with = |text: &str| with_confirmed(text, &confirmed);
        assert_eq!(with("[task]\nx = 1\n").as_deref(), Some("[task]\nx = 1\n\n[check]\nconfirm = [\"a.b\"]\n"));
        let list = "[check]\nstrict = true\nconfirm = []  # none\n[sink]\n";
        assert_eq!(with(list).as_deref(), Some("[check]\nstrict = true\nconfirm = [\"a.b\"]\n[sink]\n"));
        let none = "[check]\n# seen\n\n[sink]\nconfirm = 1\n";
        assert_eq!(with(none).as_deref(), Some("[check]\nconfirm = [\"a.b\"]\n# seen\n\n[sink]\nconfirm = 1\n"));
        assert_eq!(with("[check]\nconfirm = [\n]\n"), None);
    }
}
