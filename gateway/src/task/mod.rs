//! A task from start to stop: sessions one after another, and what a failure leads to.
//!
//! Owns the decision between retry, halt and stop. Must not move data (that is `pipeline`). Transient failures are retried with
//! back-off and never given up; after a definite one the process stays up, halted and not ready, until a person changed the
//! task file or a secret, or leaves where the task says so.

mod attempt;
pub mod backoff;
mod changes;
mod modules;
mod publication;
mod slot_watch;
pub mod source;
pub mod start;
pub(crate) mod store;
pub(crate) mod topics;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use millrace_batch::Failure;
use tokio::sync::watch;

pub(crate) use modules::{default_cache as module_cache, limits as module_limits};
pub(crate) use store::Store;

use crate::{
    config::{self, OnHalt, Task},
    observe::Observe,
    pipeline::SessionEnd,
};

/// How often a halted task looks whether a person has acted.
const LOOK: Duration = Duration::from_secs(1);
/// A session that lasted this long was no failed start: the next back-off starts over.
const SETTLED: Duration = Duration::from_secs(10);

/// How a task ended.
#[derive(Debug)]
pub enum Outcome {
    /// Asked to stop; what was read is delivered or will come again.
    Stopped,
    /// A definite failure, and the task leaves instead of staying halted.
    Halted(Failure),
}

/// Runs a task until SIGTERM or SIGINT. `file`: the task file, watched while halted.
pub async fn run(task: Task, file: Option<PathBuf>, observe: Arc<Observe>) -> Outcome {
    let (stop, stopped) = watch::channel(false);
    let signals = tokio::spawn(async move {
        interrupted().await;
        let _ = stop.send(true);
        // Keeps the channel open: a closed one would read as a stop that nobody asked for.
        std::future::pending::<()>().await;
    });
    let outcome = run_until(task, file, observe, stopped).await;
    signals.abort();
    outcome
}

/// Runs a task until `stop` says true.
pub async fn run_until(
    mut task: Task,
    file: Option<PathBuf>,
    observe: Arc<Observe>,
    mut stop: watch::Receiver<bool>,
) -> Outcome {
    let mut backoff = backoff::Backoff::default();
    let mut runner = attempt::Runner::new(observe.clone());
    loop {
        observe.starting();
        let began = std::time::Instant::now();
        let watched = changes::Watched::new(file.as_deref(), &task);
        let (mut early, in_session) = (stop.clone(), runner.in_session());
        let ended = tokio::select! {
            // An attempt that has become a session ends itself in order when it is told to stop.
            ended = runner.attempt(&task, stop.clone()) => ended,
            () = stopped_early(&mut early, &in_session) => return Outcome::Stopped,
        };
        observe.metrics.session_ended();
        let failure = match ended {
            SessionEnd::Stopped { unacknowledged: 0 } => return Outcome::Stopped,
            SessionEnd::Stopped { unacknowledged } => {
                tracing::warn!(code = "not_drained", unacknowledged, "stopped with records under way: they come again");
                return Outcome::Stopped;
            }
            SessionEnd::Failed(failure) => failure,
        };
        if *stop.borrow() {
            tracing::warn!(code = failure.code, "{failure}; stopping all the same, nothing is lost");
            return Outcome::Stopped;
        }
        if failure.is_definite() {
            observe.halted(&failure);
            if task.pipeline.on_halt == OnHalt::Exit {
                return Outcome::Halted(failure);
            }
            let known_login = runner.logged_in();
            let reporting = async {
                if known_login {
                    slot_watch::while_halted(&task, &observe).await;
                }
                std::future::pending().await
            };
            let acted = tokio::select! {
                acted = halted(&task, file.as_ref(), &watched, &mut stop) => acted,
                () = reporting => None,
            };
            match acted {
                Some(changed) => task = *changed,
                None => return Outcome::Stopped,
            }
            runner.forget();
            backoff.reset();
            continue;
        }
        if began.elapsed() >= SETTLED {
            backoff.reset();
        }
        let pause = backoff.pause();
        observe.retrying(&failure, pause);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return Outcome::Stopped,
        }
    }
}

/// Until a stop that comes before there is a session to end in order.
async fn stopped_early(stop: &mut watch::Receiver<bool>, in_session: &AtomicBool) {
    let _ = stop.wait_for(|stop| *stop).await;
    if in_session.load(Ordering::Acquire) {
        std::future::pending::<()>().await;
    }
}

/// Waits until a person has acted; gives the task to go on with, or `None` when asked to stop.
async fn halted(
    task: &Task,
    file: Option<&PathBuf>,
    watched: &changes::Watched,
    stop: &mut watch::Receiver<bool>,
) -> Option<Box<Task>> {
    let mut refused = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.wait_for(|stop| *stop) => return None,
        }
        if !watched.changed() {
            continue;
        }
        let Some(file) = file else { return Some(Box::new(task.clone())) };
        match config::load(file) {
            Ok(mut changed) if changed.task.name == task.task.name => {
                // May have been overridden on the command line.
                changed.pipeline.on_halt = task.pipeline.on_halt;
                tracing::info!(code = "changed", "the task file or a secret changed: trying again");
                return Some(Box::new(changed));
            }
            Ok(_) => report_once(&mut refused, "task.name changed: start another process for another task".to_owned()),
            Err(problems) => report_once(&mut refused, problems.to_string()),
        }
    }
}

fn report_once(last: &mut Option<String>, text: String) {
    if last.as_ref() != Some(&text) {
        tracing::error!(code = "config_invalid", "the changed task file is refused: {text}");
        *last = Some(text);
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

/// Milliseconds since the Unix epoch.
pub(crate) fn now_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
