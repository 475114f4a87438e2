//! `millrace slot drop`: the only thing that drops a slot.

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
}

pub(super) fn run(command: &Command) -> Exit {
    let Command::Drop(options) = command;
    quiet();
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
    match block_on(drop_slot(&task)) {
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
async fn drop_slot(task: &Task) -> Result<bool, Failure> {
    let mut dropped = false;
    for shard in task::topology::find(task).await? {
        dropped |= drop_one(task, &shard).await?;
    }
    Ok(dropped)
}

/// Takes the position store, drops the slot, forgets the position; in this order, so that a failure leaves a position without a
/// slot at worst, which is refused until the command is run again. Gives whether there was a slot.
async fn drop_one(task: &Task, shard: &task::topology::Shard) -> Result<bool, Failure> {
    let slot = task.source.slot.as_str();
    let at = shard.node.as_deref().map_or_else(String::new, |node| format!(" of {node}"));
    let tried = || format!("dropping slot {slot:?}{at}");
    let failed = |error: millrace_replication::Error| Failure { tried: tried(), ..error.failure() };
    let options = task::source::options_at(task, &shard.hosts)?;
    let (_, client) = task::family::primary(options).await.map_err(failed)?;
    let found = task::family::slot(task, &client).await.map_err(failed)?;
    if let Some(found) = &found {
        if found.active {
            let pid = found.active_pid.map_or_else(String::new, |pid| format!(" by process {pid} of the server"));
            let mend = "stop the gateway that runs this task, then try again";
            return Err(Failure::definite("slot_in_use", tried(), format!("it is in use{pid}"), mend));
        }
        let plugin = found.plugin.as_deref().unwrap_or_default();
        if plugin != task.source.decoding.plugin() {
            let mend = "correct source.slot; a slot of somebody else is not dropped";
            return Err(Failure::definite("slot_mismatch", tried(), format!("it belongs to plugin {plugin:?}"), mend));
        }
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
    if found.is_some() {
        millrace_replication::catalog::gauss::drop_slot(&client, slot).await.map_err(failed)?;
    }
    blocking(move || store.forget()).await?;
    Ok(found.is_some())
}

/// Position stores block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Failure::transient("internal", "using the position store", error.to_string(), "report this with the log"))
    })
}
