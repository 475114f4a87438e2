//! `millrace config schema`, `millrace config reference` and `millrace config print`.

use clap::Subcommand;

use super::{Exit, Json, TaskFile, answer};
use crate::config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The JSON Schema of a task file
    Schema(Json),
    /// Every key of a task file with its default and what it means, as tables of Markdown
    Reference(Json),
    /// A task file's effective values, defaults filled in, secrets masked
    Print(TaskFile),
}

pub(super) fn run(command: &Command) -> Exit {
    match command {
        // The schema is JSON either way.
        Command::Schema(_) => answer::object(&config::schema()),
        Command::Reference(json) if json.json => answer::object(&serde_json::json!({ "keys": config::reference() })),
        Command::Reference(_) => answer::text(config::markdown().trim_end()),
        Command::Print(task) => match config::load(&task.file) {
            Ok(loaded) if task.json.json => answer::object(&loaded.to_json()),
            Ok(loaded) => answer::text(loaded.to_toml().trim_end()),
            Err(problems) => return answer::problems(&problems, task.json.json),
        },
    }
    Exit::Done
}
