//! `millrace slot list|drop`: the slots of a task, on every primary, without its gateway.

use std::io::{IsTerminal, Write};

use clap::{Args, Subcommand};
use millrace_batch::Failure;
use serde_json::json;

use super::{Exit, TaskFile, answer, block_on, quiet, secrets};
use crate::{
    config::{SinkKind, Task},
    task,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the slots of the task's database on every primary
    List(TaskFile),
    /// Drops the slot and forgets the position: the next start begins anew, changes in between are lost
    Drop(Options),
}

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    task: TaskFile,
    /// Does not ask
    #[arg(long)]
    yes: bool,
    /// Drops it although no position of the task says that the task made it
    #[arg(long)]
    without_position: bool,
}

pub(super) fn run(command: &Command) -> Exit {
    quiet();
    let options = match command {
        Command::List(options) => return list(options),
        Command::Drop(options) => options,
    };
    let json = options.task.json.json;
    let task = match secrets::load(&options.task.file) {
        Ok(task) => task,
        Err(problems) => return answer::problems(&problems, json),
    };
    if !options.yes && !confirmed(&task) {
        let tried = format!("dropping slot {:?}", task.source.slot.as_str());
        let failure = Failure::definite("not_confirmed", tried, "nobody said yes", "--yes drops without asking");
        answer::failure(&failure, json);
        return Exit::Usage;
    }
    match block_on(drop_slot(&task, options.without_position)) {
        Ok(Ok(dropped)) => {
            let slot = task.source.slot.as_str();
            if json {
                answer::object(&json!({ "slot": slot, "dropped": dropped, "position_forgotten": true }));
            } else {
                let what = if dropped { "dropped" } else { "did not exist" };
                answer::text(&format!("slot {slot} {what}; the position is forgotten: the next start begins anew"));
            }
            Exit::Done
        }
        Ok(Err(failure)) => answer::failure(&failure, json),
        Err(exit) => exit,
    }
}

/// The slots, node by node, one line each.
fn list(options: &TaskFile) -> Exit {
    let json = options.json.json;
    let task = match secrets::load(&options.file) {
        Ok(task) => task,
        Err(problems) => return answer::problems(&problems, json),
    };
    let nodes = match block_on(task::release::list(&task)) {
        Ok(Ok(nodes)) => nodes,
        Ok(Err(failure)) => return answer::failure(&failure, json),
        Err(exit) => return exit,
    };
    if json {
        let slot = |(slot, own): &(millrace_replication::catalog::gauss::ListedSlot, bool)| {
            json!({
                "slot": slot.name, "plugin": slot.plugin, "active": slot.active, "own": own,
            })
        };
        let node = |(node, slots): &(Option<String>, Vec<_>)| {
            json!({
                "node": node, "slots": slots.iter().map(slot).collect::<Vec<_>>(),
            })
        };
        let nodes: Vec<_> = nodes.iter().map(node).collect();
        answer::object(&json!({ "database": task.source.database.as_str(), "nodes": nodes }));
        return Exit::Done;
    }
    for (node, slots) in nodes {
        let node = node.unwrap_or_else(|| "the server".to_owned());
        if slots.is_empty() {
            answer::text(&format!("{node}: no slot of database {}", task.source.database));
        }
        for (slot, own) in slots {
            let whose = if own { "this task's" } else { "another's: not touched by slot drop" };
            let active = if slot.active { "in use" } else { "idle" };
            answer::text(&format!("{node}: {} ({}), {active}, {whose}", slot.name, slot.plugin));
        }
    }
    Exit::Done
}

/// Asks at a terminal; nobody else can answer.
fn confirmed(task: &Task) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    eprint!(
        "Drop slot {} of database {} and forget the position of task {}? Changes until the next start are lost. [yes/no] ",
        task.source.slot, task.source.database, task.task.name
    );
    let mut line = String::new();
    let read = std::io::stderr().flush().and_then(|()| std::io::stdin().read_line(&mut line));
    read.is_ok() && line.trim() == "yes"
}

/// Drops the slot of every shard. Gives whether there was any.
async fn drop_slot(task: &Task, without_position: bool) -> Result<bool, Failure> {
    let slot = task.source.slot.as_str();
    let shards = task::topology::find(task).await?;
    if !without_position && !task::release::is_own(task, slot).await? {
        for shard in &shards {
            let (_, client) = connect(task, shard).await?;
            if task::family::slot(task, &client).await.map_err(|error| error.failure())?.is_some() {
                return Err(Failure::definite(
                    "slot_without_position",
                    format!("dropping slot {slot:?}"),
                    "no position of the task says that the task made it: it may be somebody else's",
                    "correct source.slot; or, where it is this task's all the same, say --without-position",
                ));
            }
        }
    }
    let mut dropped = false;
    for shard in &shards {
        dropped |= drop_one(task, shard).await?;
    }
    Ok(dropped)
}

type Connected = (millrace_replication::ConnectOptions, millrace_replication::SqlConnection);

async fn connect(task: &Task, shard: &task::topology::Shard) -> Result<Connected, Failure> {
    task::family::primary(task::source::options_at(task, &shard.hosts)?).await.map_err(|error| error.failure())
}

/// Takes the position store, drops the slot, forgets the position; in this order, so that a failure leaves a position without a
/// slot at worst, which is refused until the command is run again. Gives whether there was a slot.
async fn drop_one(task: &Task, shard: &task::topology::Shard) -> Result<bool, Failure> {
    let slot = task.source.slot.as_str();
    let (_, client) = connect(task, shard).await?;
    // Before the store, which would take the task from a gateway that runs it.
    let found = task::family::slot(task, &client).await.map_err(|error| error.failure())?;
    if let Some(found) = found.filter(|found| found.active) {
        let pid = found.active_pid.map_or_else(String::new, |pid| format!(" by process {pid} of the server"));
        let mend = "stop the gateway that runs this task, then try again";
        let tried = format!("dropping slot {slot:?}");
        return Err(Failure::definite("slot_in_use", tried, format!("it is in use{pid}"), mend));
    }
    let mut store = blocking({
        let (task, shard) = (task.clone(), shard.number);
        move || {
            let kafka = match task.sink.kind {
                SinkKind::Kafka => Some(task::topics::kafka_config(&task)?),
                SinkKind::Blackhole => None,
            };
            task::store::open(&task, kafka.as_ref(), shard).map(|(store, _)| store)
        }
    })
    .await?;
    let dropped = task::release::drop_slot(task, &client, slot, shard.node.as_deref()).await?;
    blocking(move || store.forget()).await?;
    Ok(dropped)
}

/// Position stores block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Failure::transient("internal", "using the position store", error.to_string(), "report this with the log"))
    })
}
