//! A task from start to stop: its shards, side by side.
//!
//! Owns which shards there are, and that they begin and end together; each decides for itself between retry and halt. Must not move data (that is
//! `pipeline`). After a definite failure the process stays up, not ready, until a person changed the task file or a secret, or
//! leaves where the task says so. A shard that is halted or stalled stops no other.

mod attempt;
pub mod backoff;
pub mod capture;
mod changes;
pub(crate) mod family;
mod heartbeat;
pub mod life;
mod login;
pub(crate) mod module_store;
pub(crate) mod modules;
pub(crate) mod objects;
mod precheck;
mod publication;
pub(crate) mod release;
mod shard;
mod slot_watch;
pub mod source;
pub(crate) mod spread;
pub mod start;
pub(crate) mod store;
pub mod swaps;
pub(crate) mod topics;
pub mod topology;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use millrace_batch::Failure;
use tokio::{sync::watch, task::JoinSet};

use life::Next;

pub use life::Life;
pub(crate) use modules::{default_cache as module_cache, limits as module_limits};
pub(crate) use store::Store;
pub use swaps::Swaps;

/// The chain of a task and its engine, for tools: it halts on every fault, so that none is skipped unseen. Blocking.
pub(crate) fn chain(task: &Task) -> Result<(millrace_host::ChainSpec, millrace_host::HostEngine), Failure> {
    let loaded = modules::Loaded::load(task)?;
    let mut spec = loaded.spec;
    let last = [&mut spec.route, &mut spec.format];
    for stage in spec.filters.iter_mut().chain(&mut spec.maps).chain(last) {
        stage.on_error = millrace_host::OnError::Halt;
    }
    Ok((spec, loaded.engine))
}

use crate::{config::Task, observe::Observe};

/// How often a task that does not run looks at the clock.
const TICK: std::time::Duration = std::time::Duration::from_millis(500);

/// How a task ended.
#[derive(Debug)]
pub enum Outcome {
    /// Asked to stop; what was read is delivered or will come again.
    Stopped,
    /// A definite failure, and the task leaves instead of staying halted.
    Halted(Failure),
}

/// Runs a task until SIGTERM or SIGINT, or until it is deleted. `file`: the task file, watched while halted.
pub async fn run(task: Task, file: Option<PathBuf>, observe: Arc<Observe>, swaps: Swaps, life: Life) -> Outcome {
    let (stop, stopped) = watch::channel(false);
    let signals = tokio::spawn(async move {
        interrupted().await;
        let _ = stop.send(true);
        // Keeps the channel open: a closed one would read as a stop that nobody asked for.
        std::future::pending::<()>().await;
    });
    let reloads = file.clone().map(|file| tokio::spawn(reload_on_signal(swaps.clone(), file)));
    let outcome = run_until(task, file, observe, swaps, life, stopped).await;
    signals.abort();
    reloads.iter().for_each(tokio::task::JoinHandle::abort);
    outcome
}

/// Runs a task until `stop` says true. `observe` is that of shard 0.
pub async fn run_until(
    task: Task,
    file: Option<PathBuf>,
    observe: Arc<Observe>,
    swaps: Swaps,
    life: Life,
    stop: watch::Receiver<bool>,
) -> Outcome {
    let serving = tokio::spawn(swaps.clone().serve());
    let outcome = live(task, file, observe, &swaps, &life, stop).await;
    swaps.stop();
    serving.abort();
    outcome
}

/// Carries out what the life of the task asks for, and runs its shards as long as that says so.
async fn live(
    task: Task,
    file: Option<PathBuf>,
    observe: Arc<Observe>,
    swaps: &Swaps,
    life: &Life,
    mut stop: watch::Receiver<bool>,
) -> Outcome {
    let mut task = Arc::new(task);
    while !*stop.borrow() {
        match life.next() {
            Next::Effect(effect) => {
                life.show_resting();
                life.carry_out(effect, &task, swaps).await;
            }
            Next::End => {
                tracing::info!(code = "deleted", "the task is deleted: the process ends");
                return Outcome::Stopped;
            }
            Next::Wait => {
                life.show_resting();
                if let Some(replaced) = life.replacement() {
                    task = Arc::new(*replaced);
                }
                tokio::select! {
                    () = life.must_end() => {}
                    () = life.runs() => {}
                    () = tokio::time::sleep(TICK) => life.tick(),
                    () = told(&mut stop) => {}
                }
            }
            Next::Run => {
                if let Some(replaced) = life.replacement() {
                    swaps.forget(&replaced);
                    task = Arc::new(*replaced);
                }
                match sessions(&task, file.as_ref(), &observe, swaps, life, stop.clone()).await {
                    shard::End::Stopped => {}
                    shard::End::Halted(failure) => return Outcome::Halted(failure),
                    shard::End::Rests(resting) => life.rests(resting),
                    shard::End::Changed(changed) => {
                        swaps.forget(&changed);
                        life.begin_again(&changed, &life::carry::changed_keys(&task, &changed));
                        task = Arc::new(*changed);
                    }
                }
            }
        }
    }
    Outcome::Stopped
}

/// All shards, until `stop` says true or a person wants something else of the task.
async fn sessions(
    task: &Arc<Task>,
    file: Option<&PathBuf>,
    observe: &Arc<Observe>,
    swaps: &Swaps,
    life: &Life,
    mut stop: watch::Receiver<bool>,
) -> shard::End {
    observe.starting();
    swaps.go_on();
    let common = shard::Common {
        swaps: swaps.clone(),
        gate: Arc::default(),
        precheck: Arc::default(),
        spill: Arc::new(source::spill(task)),
        file: file.cloned(),
        task: task.clone(),
        life: life.clone(),
    };
    let (end, ended) = watch::channel(false);
    let running = async {
        match shards(&common, observe, ended.clone()).await {
            Ok(shards) => {
                life.has_shards(shards.len());
                side_by_side(&common, shards, observe, ended.clone()).await
            }
            Err(end) => end,
        }
    };
    let asked = async {
        tokio::select! {
            () = life.must_end() => {}
            () = told(&mut stop) => {}
        }
        let _ = end.send(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = running => ended,
        () = asked => shard::End::Stopped,
    }
}

/// Until told to stop. A channel that closed asks for nothing.
async fn told(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Finds the shards, however long the source takes to answer.
async fn shards(
    common: &shard::Common,
    observe: &Arc<Observe>,
    mut stop: watch::Receiver<bool>,
) -> Result<Vec<topology::Shard>, shard::End> {
    let mut backoff = backoff::Backoff::default();
    loop {
        let watched = common.watch();
        let found = tokio::select! {
            found = common.gate.pass(topology::find(&common.task)) => found,
            _ = stop.wait_for(|stop| *stop) => return Err(shard::End::Stopped),
        };
        let failure = match found {
            Ok(shards) => return Ok(shards),
            Err(failure) => failure,
        };
        let verdict = common.life.failed(0, &failure, millrace_batch::Lsn(0));
        if verdict == life::Verdict::End {
            let _ = stop.wait_for(|stop| *stop).await;
            return Err(shard::End::Stopped);
        }
        if verdict == life::Verdict::Halt {
            let only = topology::Shard::only(&common.task);
            if let Some(end) = shard::halt(common, &only, observe, failure, false, &watched, stop.clone()).await {
                return Err(end);
            }
            continue;
        }
        let pause = backoff.pause();
        observe.retrying(&failure, pause);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return Err(shard::End::Stopped),
        }
    }
}

/// Runs all shards. The first that ends for another reason than a stop ends the others in order.
async fn side_by_side(
    common: &shard::Common,
    shards: Vec<topology::Shard>,
    observe: &Arc<Observe>,
    mut stop: watch::Receiver<bool>,
) -> shard::End {
    let nodes: Vec<Option<String>> = shards.iter().map(|shard| shard.node.clone()).collect();
    if let [first, .., _] = &shards[..] {
        tracing::info!(code = "shards", count = shards.len(), nodes = ?nodes, tables = first.tables.len(), "one shard for each data node");
    }
    let (end, ended) = watch::channel(*stop.borrow());
    let mut running = JoinSet::new();
    for (shard, observe) in shards.into_iter().zip(observe.shards(&nodes)) {
        observe.starting();
        let span =
            tracing::info_span!("shard", number = shard.number, node = shard.node.as_deref().unwrap_or_default());
        let single = shard.count == 1;
        let work = shard::run(common.clone(), shard, observe, ended.clone());
        if single {
            running.spawn(work);
        } else {
            running.spawn(tracing::Instrument::instrument(work, span));
        }
    }
    let mut edits = common.swaps.edits();
    edits.mark_unchanged();
    let heartbeat = tokio::spawn(heartbeat::beat(common.task.clone(), common.gate.clone()));
    let mut outcome = shard::End::Stopped;
    let mut stopping = false;
    while !running.is_empty() {
        tokio::select! {
            asked = stop.wait_for(|stop| *stop), if !stopping => {
                // A channel that closed asks for nothing; the shards then run until they end by themselves.
                stopping = true;
                if asked.is_ok() {
                    let _ = end.send(true);
                }
            }
            Ok(()) = edits.changed(), if !stopping => {
                // Every session stands still at a durable position.
                let task = edits.borrow_and_update().clone();
                if let Some(task) = task {
                    outcome = shard::End::Changed(Box::new(Task::clone(&task)));
                    let _ = end.send(true);
                }
            }
            Some(joined) = running.join_next() => {
                let one = joined.unwrap_or_else(|error| shard::End::Halted(Failure::transient(
                    "internal",
                    "running a shard",
                    error.to_string(),
                    "report this with the log",
                )));
                if !matches!(one, shard::End::Stopped) {
                    let _ = end.send(true);
                    outcome = one;
                }
            }
        }
    }
    heartbeat.abort();
    outcome
}

/// Swaps to what the task file names at each SIGHUP, without end.
async fn reload_on_signal(swaps: Swaps, file: PathBuf) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            while hangups.recv().await.is_some() {
                swaps.reload(&file).await;
            }
        }
        Err(error) => tracing::error!(%error, "cannot listen for SIGHUP"),
    }
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "cannot listen for signals");
            std::future::pending::<()>().await;
        }
    }
}

/// The one clock a module sees, microseconds since the Unix epoch.
pub(crate) fn now_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
