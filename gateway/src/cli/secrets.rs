//! The task file of a command that connects: its environment variables must be there, since none can come later.

use std::path::Path;

use crate::config::{self, Problem, Problems, SecretSource, Task};

/// Loads a task file, and refuses one whose secrets name environment variables that are not set.
pub(super) fn load(file: &Path) -> Result<Task, Problems> {
    let task = config::load(file)?;
    let missing = |(path, source): (&'static str, &SecretSource)| match source {
        SecretSource::Env(_) => source.resolve().err().map(|failure| Problem {
            path: path.to_owned(),
            rule: format!("{}: {}", failure.tried, failure.why),
            value: None,
        }),
        _ => None,
    };
    let problems: Vec<Problem> = task.secrets().filter_map(missing).collect();
    if problems.is_empty() { Ok(task) } else { Err(Problems { problems }) }
}
