//! One shard from start to stop: sessions one after another, and what a failure leads to.
//!
//! Owns carrying out retry, halt and stop of its shard; which of them it is, the task's life says. Must not move data (that is `pipeline`),
//! nor know the other shards. A halted shard waits until a person resumes it or changed the task file or a secret.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use millrace_batch::Failure;
use tokio::sync::watch;

use super::{
    Swaps, attempt, backoff, changes,
    life::{Life, Resting, Verdict},
    login::Gate,
    precheck::Precheck,
    slot_watch, topology,
};
use crate::{
    config::{self, OnHalt, Task},
    observe::Observe,
    pipeline::{SessionEnd, SpillRoom},
};

/// How often a halted shard looks whether a person has acted.
const LOOK: Duration = Duration::from_secs(1);
/// A session that lasted this long was no failed start: the next back-off starts over.
const SETTLED: Duration = Duration::from_secs(10);

/// How a shard ended.
#[derive(Debug)]
pub(super) enum End {
    /// Asked to stop; what was read is delivered or will come again.
    Stopped,
    /// A definite failure, and the task leaves instead of staying halted.
    Halted(Failure),
    /// A person acted while it was halted: the task begins anew with this file.
    Changed(Box<Task>),
    /// Its position says that a person paused the task or stopped it for good.
    Rests(Resting),
}

/// What is the same for every shard of a task.
#[derive(Clone)]
pub(super) struct Common {
    /// The task.
    pub task: Arc<Task>,
    /// Its file, watched while halted.
    pub file: Option<PathBuf>,
    /// The versions of the chain of modules.
    pub swaps: Swaps,
    /// Where every log-in passes.
    pub gate: Arc<Gate>,
    /// The check of a first start.
    pub precheck: Arc<Precheck>,
    /// Room on disk for large transactions.
    pub spill: Arc<SpillRoom>,
    /// The life of the task.
    pub life: Life,
}

impl Common {
    /// The task file and secrets as they are now.
    pub fn watch(&self) -> changes::Watched {
        changes::Watched::new(self.file.as_deref(), &self.task)
    }
}

/// Runs a shard until `stop` says true, or until something else ends it.
pub(super) async fn run(
    common: Common,
    mut shard: topology::Shard,
    observe: Arc<Observe>,
    mut stop: watch::Receiver<bool>,
) -> End {
    let task = &common.task;
    let mut backoff = backoff::Backoff::default();
    let life = &common.life;
    let mut runner = attempt::Runner::new(&common, observe.clone());
    let mut first = true;
    // What it waited for a person with before something that came to nothing: it waits on.
    if let Some(failure) = life.halted(shard.number) {
        let watched = common.watch();
        if let Some(end) = halt(&common, &shard, &observe, failure, false, &watched, stop.clone()).await {
            return end;
        }
        observe.starting();
    }
    loop {
        life.attempting(shard.number);
        let began = std::time::Instant::now();
        let watched = common.watch();
        let (mut early, in_session) = (stop.clone(), runner.in_session());
        let attempt = async {
            if !std::mem::take(&mut first) {
                shard = match common.gate.pass(topology::again(task, &shard)).await {
                    Ok(shard) => shard,
                    Err(failure) => return SessionEnd::Failed(failure),
                };
            }
            // What SIGHUP has taken of the task file since counts for this session too.
            runner.attempt(&shard.share(&common.swaps.now(task)), &shard, stop.clone()).await
        };
        let ended = tokio::select! {
            // An attempt that has become a session ends itself in order when it is told to stop.
            ended = attempt => ended,
            () = stopped_early(&mut early, &in_session) => return End::Stopped,
        };
        observe.metrics.session_ended();
        let failure = match ended {
            SessionEnd::Stopped { unacknowledged: 0 } => return End::Stopped,
            SessionEnd::Rests(resting) => return End::Rests(resting),
            SessionEnd::Stopped { unacknowledged } => {
                life.undrained();
                tracing::warn!(code = "not_drained", unacknowledged, "stopped with records under way: they come again");
                return End::Stopped;
            }
            SessionEnd::Failed(failure) => failure,
        };
        let [.., durable, _] = observe.metrics.lsns();
        let verdict = if *stop.borrow() { Verdict::End } else { life.failed(shard.number, &failure, durable) };
        if verdict == Verdict::End {
            life.undrained();
            tracing::warn!(code = failure.code, "{failure}; stopping all the same, nothing is lost");
            let _ = stop.wait_for(|stop| *stop).await;
            return End::Stopped;
        }
        if verdict == Verdict::Halt {
            let known_login = runner.logged_in();
            match halt(&common, &shard, &observe, failure, known_login, &watched, stop.clone()).await {
                Some(end) => return end,
                None => backoff.reset(),
            }
            observe.starting();
            continue;
        }
        if began.elapsed() >= SETTLED {
            backoff.reset();
        }
        let pause = backoff.pause();
        observe.retrying(&failure, pause);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return End::Stopped,
        }
    }
}

/// Halted until a person acts, or the task leaves; `None` where a person resumed it, or a module that was to blame was replaced: try
/// again.
pub(super) async fn halt(
    common: &Common,
    shard: &topology::Shard,
    observe: &Observe,
    failure: Failure,
    known_login: bool,
    watched: &changes::Watched,
    mut stop: watch::Receiver<bool>,
) -> Option<End> {
    let resumes = common.life.resumes();
    observe.halted(&failure);
    if common.task.pipeline.on_halt == OnHalt::Exit {
        return Some(End::Halted(failure));
    }
    let reporting = async {
        if known_login {
            slot_watch::while_halted(&common.task, shard, &common.gate, observe).await;
        }
        std::future::pending().await
    };
    let acted = tokio::select! {
        acted = acted(common, &failure, watched, &mut stop) => acted,
        () = replaced(&common.swaps, &failure) => {
            common.life.open_again(shard.number);
            return None;
        }
        () = common.life.resumed(resumes) => {
            tracing::info!(code = "resumed", "a person resumed the task: trying again");
            common.gate.reopen().await;
            return None;
        }
        () = reporting => None,
    };
    Some(acted.map_or(End::Stopped, End::Changed))
}

/// Waits until a version is installed, where the failure was the modules'. Other failures wait for what they are about: a login, for
/// one, must not be tried again because a module was swapped.
async fn replaced(swaps: &Swaps, failure: &Failure) {
    const OURS: [&str; 5] = ["transform_", "stage_", "module", "topic_", "partition_out_of_range"];
    let mut installs = swaps.installs();
    if !OURS.iter().any(|ours| failure.code.starts_with(ours)) || installs.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    tracing::info!(code = "changed", "modules were swapped: trying again");
}

/// Until a stop that comes before there is a session to end in order.
async fn stopped_early(stop: &mut watch::Receiver<bool>, in_session: &AtomicBool) {
    let _ = stop.wait_for(|stop| *stop).await;
    if in_session.load(Ordering::Acquire) {
        std::future::pending::<()>().await;
    }
}

/// Waits until a person has acted; gives the task to go on with, or `None` when asked to stop.
async fn acted(
    common: &Common,
    failure: &Failure,
    watched: &changes::Watched,
    stop: &mut watch::Receiver<bool>,
) -> Option<Box<Task>> {
    let task = &common.task;
    let mut refused = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.wait_for(|stop| *stop) => return None,
        }
        if !watched.changed() {
            continue;
        }
        let login = super::life::is_refused_login(failure);
        let Some(file) = &common.file else { return Some(Box::new(Task::clone(task))) };
        match config::load(file) {
            Ok(changed) if login && watched.has_logins_of(&changed) => {
                report_once(
                    &mut refused,
                    "the log-in was refused and is not tried again before user or secret change".to_owned(),
                );
            }
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
        tracing::error!(code = "config_invalid", "the changed task file is not taken: {text}");
        *last = Some(text);
    }
}
