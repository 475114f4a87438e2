//! Answers on standard output: text, or one JSON object. Failures are text on standard error, or JSON on standard output.

use std::fmt::Display;
use std::io::{self, Write};

use millrace_batch::Failure;
use serde::Serialize;
use serde_json::{Value, json};

use super::Exit;
use crate::config::Problems;

/// Prints data; a reader that is gone is not an error of ours.
pub(super) fn data(data: &(impl Serialize + Display), json: bool) {
    if json { object(&serde_json::to_value(data).unwrap_or_default()) } else { text(&data.to_string()) }
}

/// Prints one JSON value.
pub(super) fn object(value: &Value) {
    text(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Prints text with a line end.
pub(super) fn text(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Reports a failed command.
pub(super) fn failure(failure: &Failure, json: bool) -> Exit {
    if json {
        object(&json!({ "error": failure }));
    } else {
        eprintln!("error [{}]: {} failed: {}", failure.code, failure.tried, failure.why);
        for (index, line) in failure.mend.lines().enumerate() {
            eprintln!("{} {line}", if index == 0 { "mend:" } else { "     " });
        }
    }
    Exit::of(failure)
}

/// The failure that a refused task file is.
pub(super) fn refused(problems: &Problems) -> Failure {
    let count = problems.problems.len();
    let why = if count == 1 { problems.to_string() } else { format!("{count} problems:\n{problems}") };
    Failure::definite(
        "config_invalid",
        "reading the task file",
        why,
        "mend the named keys; docs/configuration.md explains each",
    )
}

/// Reports a refused task file.
pub(super) fn problems(problems: &Problems, json: bool) -> Exit {
    if json {
        object(&json!({ "error": refused(problems), "problems": problems.problems }));
    } else {
        eprintln!("error [config_invalid]: the task file is refused:\n{problems}");
    }
    Exit::Usage
}
