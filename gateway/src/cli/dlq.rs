//! `millrace dlq`: what lies in a task's dead-letter topic, and sending it through the chain again.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use clap::{Args, Subcommand};
use millrace_batch::Failure;
use millrace_sink::{Stored, scan_topic};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Exit, TaskFile, answer, quiet, secrets};
use crate::{
    check,
    config::{SinkKind, Task},
    dead_letter::{Named, Outcome, Replay},
    task::topics,
};

/// How long the next record of the topic may take.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists dead letters: where they are, what failed on which change
    List(List),
    /// Prints dead letters whole
    Show(Show),
    /// Sends dead letters through the task's modules and produces what comes out, behind everything that was delivered since
    Replay(ReplayOptions),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    task: TaskFile,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    task: TaskFile,
    #[command(flatten)]
    which: Which,
    /// Prints the lines of a file of events instead: for `millrace module test` and `millrace replay`
    #[arg(long, conflicts_with = "json")]
    events: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReplayOptions {
    #[command(flatten)]
    task: TaskFile,
    #[command(flatten)]
    which: Which,
    /// Every dead letter of the topic
    #[arg(long, conflicts_with_all = ["at", "table", "code"])]
    all: bool,
    /// Runs the modules and produces nothing
    #[arg(long)]
    dry_run: bool,
}

/// Which dead letters; without any of these, all.
#[derive(Debug, Args)]
struct Which {
    /// The one at this partition and offset; may be given several times
    #[arg(long, value_name = "PARTITION/OFFSET")]
    at: Vec<Place>,
    /// Those of this table
    #[arg(long, value_name = "SCHEMA.TABLE")]
    table: Option<String>,
    /// Those with this code, such as transform_trap
    #[arg(long)]
    code: Option<String>,
}

impl Which {
    fn is_everything(&self) -> bool {
        self.at.is_empty() && self.table.is_none() && self.code.is_none()
    }

    fn takes(&self, stored: &Stored, named: &Named) -> bool {
        let place = Place { partition: stored.partition, offset: stored.offset };
        (self.at.is_empty() || self.at.contains(&place))
            && self.table.as_ref().is_none_or(|table| *table == named.table)
            && self.code.as_ref().is_none_or(|code| *code == named.code)
    }
}

/// Where a record of a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    partition: i32,
    offset: i64,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Place, &'static str> {
        let numbers = || {
            let (partition, offset) = text.split_once('/')?;
            Some(Place { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        };
        numbers().ok_or("must be a partition and an offset, such as 0/17")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

#[derive(Debug, Serialize)]
struct Line {
    at: String,
    timestamp_ms: Option<i64>,
    #[serde(flatten)]
    named: Named,
}

impl Line {
    fn of(stored: &Stored, named: Named) -> Line {
        let at = Place { partition: stored.partition, offset: stored.offset }.to_string();
        Line { at, timestamp_ms: stored.timestamp_ms, named }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { at, named, .. } = self;
        write!(
            f,
            "{at}  {}  change {} of {}  {} in {}: {}",
            named.table, named.ordinal, named.commit_lsn, named.code, named.stage, named.error
        )
    }
}

pub(super) fn run(command: &Command) -> Exit {
    quiet();
    let file = match command {
        Command::List(options) => &options.task,
        Command::Show(options) => &options.task,
        Command::Replay(options) => &options.task,
    };
    let json = file.json.json;
    let task = match secrets::load(&file.file) {
        Ok(task) => task,
        Err(problems) => return answer::problems(&problems, json),
    };
    let done = match command {
        Command::List(options) => list(&task, &options.which, json),
        Command::Show(options) => show(&task, options),
        Command::Replay(options) => replay(&task, options),
    };
    done.unwrap_or_else(|failure| answer::failure(&failure, json))
}

/// Hands the dead letters that are asked for to `take`.
fn scan(task: &Task, which: &Which, mut take: impl FnMut(Stored, Named) -> Result<(), Failure>) -> Result<(), Failure> {
    let tried = "reading the dead letters";
    let Some(letters) = task.dead_letters.as_ref().filter(|_| task.sink.kind == SinkKind::Kafka) else {
        let why = "the task has no topic for them";
        return Err(Failure::definite("dead_letters_missing", tried, why, "set dead_letters.topic"));
    };
    let kafka = topics::kafka_config(task)?;
    let mut failed = None;
    scan_topic(&kafka, letters.topic.as_str(), PATIENCE, |stored| {
        let named = Named::of(stored.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        // Tasks may share a topic; what has no task is not ours to judge by it.
        let ours = named.task.is_empty() || named.task == task.task.name.as_str();
        if ours && which.takes(&stored, &named) {
            failed = take(stored, named).err();
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(()), Err)
}

fn list(task: &Task, which: &Which, json: bool) -> Result<Exit, Failure> {
    let mut lines = Vec::new();
    scan(task, which, |stored, named| {
        let line = Line::of(&stored, named);
        match json {
            true => lines.push(line),
            false => answer::text(&line.to_string()),
        }
        Ok(())
    })?;
    if json {
        answer::object(&json!({ "dead_letters": lines }));
    }
    Ok(Exit::Done)
}

fn show(task: &Task, options: &Show) -> Result<Exit, Failure> {
    let mut letters = Vec::new();
    scan(task, &options.which, |stored, named| {
        let value = stored.value.as_deref().unwrap_or_default();
        let parsed: Value = serde_json::from_slice(value).unwrap_or_else(|_| String::from_utf8_lossy(value).into());
        if options.events {
            for name in ["relation", "change"] {
                answer::text(&json!({ name: parsed[name] }).to_string());
            }
            return Ok(());
        }
        let letter = json!({ "about": Line::of(&stored, named), "event": parsed });
        match options.task.json.json {
            true => letters.push(letter),
            false => answer::object(&letter),
        }
        Ok(())
    })?;
    if options.task.json.json {
        answer::object(&json!({ "dead_letters": letters }));
    }
    Ok(Exit::Done)
}

fn replay(task: &Task, options: &ReplayOptions) -> Result<Exit, Failure> {
    if options.which.is_everything() && !options.all {
        let mend = "--all, or --at, --table or --code";
        return Err(Failure::definite("not_confirmed", "replaying dead letters", "nobody said which", mend));
    }
    let json = options.task.json.json;
    let pinned = pinned(task)?;
    let mut replay = None;
    let mut told = Vec::new();
    let mut failing = 0;
    scan(task, &options.which, |stored, named| {
        let replay = match &mut replay {
            Some(replay) => replay,
            none => none.insert(Replay::start(task, pinned.clone(), options.dry_run)?),
        };
        let outcome = replay.letter(&stored)?;
        failing += usize::from(matches!(outcome, Outcome::Fails { .. }));
        let line = Line::of(&stored, named);
        if json {
            told.push(json!({ "about": line, "outcome": outcome }));
        } else {
            let what = match &outcome {
                Outcome::Produced(0) => "becomes no record".to_owned(),
                Outcome::Produced(count) => format!("{count} produced"),
                Outcome::Fails { code, stage, error } => format!("still fails, {code} in {stage}: {error}"),
            };
            answer::text(&format!("{}  {}  id {}  {what}", line.at, line.named.table, line.named.id));
        }
        Ok(())
    })?;
    if let Some(replay) = replay {
        replay.finish()?;
    }
    let note = match options.dry_run {
        true => "nothing was produced",
        false => {
            "replayed records are out of order: they stand behind everything delivered since; the dead letters stay in their topic"
        }
    };
    match json {
        true => answer::object(
            &json!({ "replayed": told, "still_failing": failing, "dry_run": options.dry_run, "note": note }),
        ),
        false => answer::text(note),
    }
    Ok(if failing > 0 { Exit::Definite } else { Exit::Done })
}

/// Partition counts the task has pinned: the keys of what is replayed go where its other records are.
fn pinned(task: &Task) -> Result<BTreeMap<String, u32>, Failure> {
    let records = check::position::read(task).map_err(|why| {
        let mend = "look at the position with `millrace check`";
        Failure::definite("position_malformed", "reading the pinned partition counts", why, mend)
    })?;
    Ok(records.into_values().flat_map(|record| record.partitions).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_partition_and_an_offset() {
        assert_eq!("3/17".parse(), Ok(Place { partition: 3, offset: 17 }));
        for bad in ["3", "3/", "/1", "a/1", "1/2/3"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
