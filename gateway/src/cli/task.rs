//! `millrace task`: the life of running tasks, over their gateways' HTTP ports.
//!
//! Owns where a task's gateway is, the requests and the form of the answers. What an action does is the gateway's affair.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use axum::{body::Bytes, http::Method};
use clap::{Args, Subcommand};
use millrace_batch::Failure;
use serde_json::{Value, json};

use super::{Exit, Json, answer, block_on, live, quiet};
use crate::config::{self, Task};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows what tasks are doing
    Status(Tasks),
    /// Runs the check that a start needs
    Check(Tasks),
    /// Starts a task that waits for it (task.start_at), after a check that passes whole
    Start(Start),
    /// Changes the time of a start that is still to come
    StartTime(StartTime),
    /// Takes description, tags and the like from the task file
    Information(Tasks),
    /// Takes new passwords from the task file, at once
    Passwords(Tasks),
    /// Delivers what was read, then leaves both sides alone; the slot stays
    Pause(Tasks),
    /// Goes on from the durable position
    Resume(Tasks),
    /// Checks again and starts from a new slot: changes in between are lost
    Reset(Confirmed),
    /// Delivers what was read, drops the task's slots, ends for good
    Stop(Confirmed),
    /// Ends for good without waiting for either side; slots may remain
    ForcedStop(Confirmed),
    /// Ends the process of a task that is completed or failed
    Delete(Confirmed),
}

/// Which tasks.
#[derive(Debug, Args)]
pub(super) struct Tasks {
    /// The task files; they say where each gateway is
    #[arg(value_name = "TASK.toml", required_unless_present = "admin")]
    files: Vec<PathBuf>,
    /// Address of a gateway's HTTP endpoints instead; MILLRACE_ADMIN_TOKEN holds the token where it wants one
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "files")]
    admin: Option<String>,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
pub(super) struct Confirmed {
    #[command(flatten)]
    tasks: Tasks,
    /// Does not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct Start {
    #[command(flatten)]
    tasks: Tasks,
    /// When, with an offset, as 2026-12-24T18:00:00+01:00  [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct StartTime {
    #[command(flatten)]
    tasks: Tasks,
    /// When, with an offset, as 2026-12-24T18:00:00+01:00
    #[arg(long, value_name = "TIME")]
    at: String,
}

pub(super) fn run(command: &Command) -> Exit {
    quiet();
    let at = |at: Option<&String>| at.map_or_else(|| json!({}), |at| json!({ "at": at }));
    match command {
        Command::Status(tasks) => each(tasks, None, &json!({})),
        Command::Check(tasks) => each(tasks, Some("check"), &json!({})),
        Command::Start(start) => each(&start.tasks, Some("start"), &at(start.at.as_ref())),
        Command::StartTime(start) => each(&start.tasks, Some("start-time"), &at(Some(&start.at))),
        Command::Information(tasks) => each(tasks, Some("information"), &json!({})),
        Command::Passwords(tasks) => each(tasks, Some("passwords"), &json!({})),
        Command::Pause(tasks) => each(tasks, Some("pause"), &json!({})),
        Command::Resume(tasks) => each(tasks, Some("resume"), &json!({})),
        Command::Reset(confirmed) => {
            asked(confirmed, "reset", "Changes since the last delivered one until the new slot are lost.")
        }
        Command::Stop(confirmed) => {
            asked(confirmed, "stop", "The slots are dropped; the task cannot be started again.")
        }
        Command::ForcedStop(confirmed) => {
            asked(confirmed, "forced-stop", "What is not delivered is given up; slots may remain at the source.")
        }
        Command::Delete(confirmed) => asked(confirmed, "delete", "The process ends and its passwords are forgotten."),
    }
}

/// An action that a person must confirm.
fn asked(confirmed: &Confirmed, action: &str, what: &str) -> Exit {
    let json = confirmed.tasks.json.json;
    if !confirmed.yes && !says_yes(action, what) {
        let failure =
            Failure::definite("not_confirmed", format!("{action} of a task"), "nobody said yes", "--yes does not ask");
        answer::failure(&failure, json);
        return Exit::Usage;
    }
    each(&confirmed.tasks, Some(action), &json!({}))
}

/// Asks at a terminal; nobody else can answer.
fn says_yes(action: &str, what: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    eprint!("{action}: {what} [yes/no] ");
    let mut line = String::new();
    let read = std::io::stderr().flush().and_then(|()| std::io::stdin().read_line(&mut line));
    read.is_ok() && line.trim() == "yes"
}

/// Asks every gateway; one that cannot be asked keeps no other from being asked. Ends as the worst of them.
fn each(tasks: &Tasks, action: Option<&str>, body: &Value) -> Exit {
    let json = tasks.json.json;
    let places: Vec<Option<&Path>> = match &tasks.admin {
        Some(_) => vec![None],
        None => tasks.files.iter().map(|file| Some(file.as_path())).collect(),
    };
    let many = places.len() > 1;
    let (mut exit, mut told) = (Exit::Done, Vec::new());
    for file in places {
        let outcome = place(file, tasks.admin.as_deref()).and_then(|(admin, headers)| {
            let path = action.map_or_else(|| "/v1/task".to_owned(), |action| format!("/v1/task/{action}"));
            let method = if action.is_some() { Method::POST } else { Method::GET };
            let body = if action.is_some() { Bytes::from(body.to_string()) } else { Bytes::new() };
            block_on(live::ask(&admin, method, &path, &headers, body)).unwrap_or_else(|_| {
                Err(Failure::transient("internal", "asking the gateway", "no runtime could be started", "try again"))
            })
        });
        match outcome {
            Ok(view) if json => told.push(view),
            Ok(view) => show(&view, many),
            Err(failure) => {
                if json && many {
                    told.push(json!({ "file": file, "error": failure }));
                    exit = Exit::of(&failure);
                } else {
                    exit = answer::failure(&failure, json);
                }
            }
        }
    }
    match told.len() {
        _ if !json => {}
        0 => {}
        1 if !many => answer::object(&told.remove(0)),
        _ => answer::object(&json!({ "tasks": told })),
    }
    exit
}

/// Where a gateway is, and the headers of a request to it.
type Place = (String, Vec<(&'static str, String)>);

/// Where a task's gateway is.
fn place(file: Option<&Path>, admin: Option<&str>) -> Result<Place, Failure> {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    if let Ok(user) = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")) {
        headers.push(("x-millrace-actor", user.chars().filter(char::is_ascii_graphic).collect()));
    }
    let (Some(file), None) = (file, admin) else { return Ok((admin.unwrap_or_default().to_owned(), headers)) };
    let task = config::load(file).map_err(|problems| answer::refused(&problems))?;
    if let Some(token) = &task.admin.token {
        headers.push(("authorization", format!("Bearer {}", token.resolve()?.expose())));
    }
    Ok((address(&task), headers))
}

/// The address a running gateway told in its status file; without one, what the task file says.
fn address(task: &Task) -> String {
    let told = || {
        let text = std::fs::read_to_string(task.admin.status_file.as_ref()?).ok()?;
        let told: Value = serde_json::from_str(&text).ok()?;
        told["admin"].as_str().map(str::to_owned)
    };
    told().unwrap_or_else(|| task.admin.listen.to_string())
}

/// A task as lines for people; one line where there are several.
fn show(view: &Value, many: bool) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let worst =
        |name: &str| view["shards"].as_array().into_iter().flatten().filter_map(|shard| shard[name].as_u64()).max();
    let delay = worst("lag_ms").unwrap_or(0);
    let late = if view["late"] == true { " LATE" } else { "" };
    let why = view["failure"]["code"].as_str().map(|code| format!(" [{code}]")).unwrap_or_default();
    if many {
        return answer::text(&format!(
            "{:<24} {}{why}, delay {delay} ms{late}",
            text(&view["task"]),
            text(&view["title"])
        ));
    }
    answer::text(&format!("{}: {}{why} since {}", text(&view["task"]), text(&view["title"]), text(&view["since"])));
    if let Some(at) = view["start_at"].as_str() {
        answer::text(&format!("  starts at {at}"));
    }
    answer::text(&format!("  delay {delay} ms{late}"));
    for shard in view["shards"].as_array().into_iter().flatten() {
        answer::text(&format!(
            "  shard {} {}: {}, position {}, delay {} ms",
            shard["shard"],
            text(&shard["node"]),
            text(&shard["title"]),
            text(&shard["position_lsn"]),
            shard["lag_ms"]
        ));
    }
    if let Some(failure) = view["failure"].as_object() {
        let of = |name: &str| failure.get(name).map(text).unwrap_or_default();
        answer::text(&format!("  {} failed: {}\n  mend: {}", of("tried"), of("why"), of("mend")));
    }
    for statement in view["cleanup"].as_array().into_iter().flatten() {
        answer::text(&format!("  on every primary: {}", text(statement)));
    }
    let actions: Vec<String> = view["actions"].as_array().into_iter().flatten().map(text).collect();
    answer::text(&format!("  possible now: {}", actions.join(", ")));
}
