//! Golden results for a terminal and as JSON.

use std::{
    io::{IsTerminal, Write},
    path::Path,
};

use millrace_host::{Module, StageKind};
use millrace_module::golden::{Case, Outcome};
use serde_json::{Value, json};

/// Differing lines of one case that are shown; the rest is counted.
const SHOWN: usize = 20;

/// Colours, where a person reads.
struct Paint(bool);

impl Paint {
    fn stdout() -> Paint {
        Paint(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn wrap(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn red(&self, text: &str) -> String {
        self.wrap("31", text)
    }

    fn green(&self, text: &str) -> String {
        self.wrap("32", text)
    }
}

/// Prints the cases: those that hold on one line each, differences by field.
pub(super) fn cases(cases: &[Case], folder: &Path) {
    // A reader that is gone is not an error of ours.
    let _ = write_cases(cases, folder, &Paint::stdout(), &mut std::io::stdout().lock());
}

fn write_cases(cases: &[Case], folder: &Path, paint: &Paint, out: &mut impl Write) -> std::io::Result<()> {
    for case in cases {
        let verdict = match &case.outcome {
            Outcome::Passed => paint.green("ok"),
            Outcome::Blessed => paint.green("blessed"),
            Outcome::Unblessed => paint.red("no expected file: run with --bless and look at what it writes"),
            Outcome::Differs(differences) => paint.red(&format!("{} lines differ", differences.len())),
        };
        writeln!(out, "{} ... {verdict} ({} answers)", case.name, case.answers)?;
        let Outcome::Differs(differences) = &case.outcome else { continue };
        for difference in differences.iter().take(SHOWN) {
            writeln!(out, "  {}.expected.jsonl:{} {}", case.name, difference.line, difference.about)?;
            for field in &difference.fields {
                let path = if field.path.is_empty() { "the line" } else { &field.path };
                writeln!(out, "    {path}")?;
                if let Some(expected) = &field.expected {
                    writeln!(out, "      {}", paint.red(&format!("- {expected}")))?;
                }
                if let Some(got) = &field.got {
                    writeln!(out, "      {}", paint.green(&format!("+ {got}")))?;
                }
            }
            if difference.more > 0 {
                writeln!(out, "    and {} fields more", difference.more)?;
            }
        }
        if differences.len() > SHOWN {
            writeln!(out, "  and {} lines more", differences.len() - SHOWN)?;
        }
    }
    let failed = cases.iter().filter(|case| !case.passed()).count();
    writeln!(out, "{} of {} golden files hold in {}", cases.len() - failed, cases.len(), folder.display())
}

/// The cases as the object of `--json`.
pub(super) fn cases_json(cases: &[Case], kind: StageKind, module: &Module) -> Value {
    let shown = cases.iter().map(|case| {
        let (outcome, differences) = match &case.outcome {
            Outcome::Passed => ("passed", json!([])),
            Outcome::Blessed => ("blessed", json!([])),
            Outcome::Unblessed => ("unblessed", json!([])),
            Outcome::Differs(differences) => ("differs", json!(differences)),
        };
        json!({ "name": case.name, "outcome": outcome, "answers": case.answers, "differences": differences })
    });
    json!({
        "module": module.about().name,
        "sha256": module.digest().to_string(),
        "stage": kind.as_str(),
        "passed": cases.iter().all(Case::passed),
        "cases": shown.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_module::diff;

    #[test]
    fn a_difference_names_the_field_in_two_colours_or_none() {
        let differences = diff::lines(&[json!({"id": 7, "keep": true})], &[json!({"id": 7, "keep": false})]);
        let case = Case { name: "a".into(), answers: 1, outcome: Outcome::Differs(differences) };
        let text = |colour| {
            let mut out = Vec::new();
            write_cases(std::slice::from_ref(&case), Path::new("golden"), &Paint(colour), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let plain = "a ... 1 lines differ (1 answers)\n  a.expected.jsonl:1 id 7\n    keep\n      - true\n      + false\n\
                     0 of 1 golden files hold in golden\n";
        assert_eq!(text(false), plain);
        assert!(text(true).contains("\x1b[31m- true\x1b[0m\n      \x1b[32m+ false\x1b[0m"));
    }
}
