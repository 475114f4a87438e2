//! Swaps while the task runs: the shell around [`swap::Machine`](crate::swap::Machine).
//!
//! Owns the versions of the chain, who waits for an answer, the history, and carrying out what the machine decides. Must not
//! decide an order itself. Every version is made on a blocking thread; the stream hears of it only when it is ready.

mod beside;
mod canary;
mod carry_out;
mod park;
mod prepare;
mod request;
mod restore;
mod view;
mod watch;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use millrace_batch::{Failure, Lsn};
use millrace_position::ActiveModule;
use tokio::sync::{mpsc, oneshot, watch as tokio_watch};

pub(crate) use prepare::{Link, Version};
pub(crate) use request::{Change, Request};
pub use request::{Entry, Outcome, Source, StageChange, Swapped, Trigger};

use self::{
    prepare::{Ready, Tools, prepare},
    request::micros,
    restore::restore,
};
use super::{
    module_store::{self, ModuleStore},
    modules::{Loaded, digests},
    now_millis,
};
use crate::{
    config::Task,
    observe::Observe,
    pipeline::{Armed, Drain, Generation, TrialFault},
    swap::{Action, Budget, Event, Machine, Place, Refusal, Ticket},
};

/// Lines of history that are kept.
const HISTORY: usize = 64;
/// Versions that can be rolled back to.
const VERSIONS: usize = 16;
/// How often chains that workers are done with are taken down.
const SWEEP: Duration = Duration::from_secs(1);

/// Swaps of one task; clones are handles of the same.
#[derive(Clone)]
pub struct Swaps(Arc<Inner>);

struct Inner {
    observe: Arc<Observe>,
    state: Mutex<State>,
    installed: tokio_watch::Sender<Ticket>,
    /// The task to go on with, once its sessions stand still.
    edit: tokio_watch::Sender<Option<Arc<Task>>>,
    /// One change of the selection at a time.
    editing: tokio::sync::Mutex<()>,
    faults: mpsc::UnboundedSender<TrialFault>,
    told: Mutex<Option<mpsc::UnboundedReceiver<TrialFault>>>,
    /// The task file's own chain, until it is installed; held while it is loaded.
    loading: tokio::sync::Mutex<Option<Loaded>>,
}

struct State {
    machine: Machine,
    /// Of the last request.
    ticket: Ticket,
    task: Arc<Task>,
    current: Option<Arc<Version>>,
    versions: BTreeMap<Ticket, Arc<Version>>,
    history: VecDeque<Entry>,
    jobs: HashMap<Ticket, Job>,
    links: BTreeMap<u16, Link>,
    shadow: Option<beside::Run>,
    canary: Option<canary::Run>,
    doors: HashMap<u16, oneshot::Sender<Option<Arc<Version>>>>,
    /// Instances of the version on trial.
    on_trial: Vec<Arc<Generation>>,
}

/// The number of a request, and where its answer comes.
pub type Asked = (Ticket, oneshot::Receiver<Result<Swapped, Failure>>);

/// A request that is not answered.
struct Job {
    request: Request,
    answer: Option<oneshot::Sender<Result<Swapped, Failure>>>,
    began: Instant,
    ready: Option<Arc<Ready>>,
    failure: Option<Failure>,
    pause: Duration,
    /// Some session's position record names its modules already.
    noted: bool,
    crossed: bool,
    /// Sessions it was taken back from.
    disarmed: Vec<u16>,
}

impl Swaps {
    /// Of a task that has not begun.
    pub fn new(task: &Task, observe: Arc<Observe>) -> Swaps {
        let swap = &task.modules.swap;
        let budget = Budget {
            traps: swap.max_traps.to_usize() as u64,
            deadlines: swap.max_deadlines.to_usize() as u64,
            errors: swap.max_errors.to_usize() as u64,
        };
        let (faults, told) = mpsc::unbounded_channel();
        let state = State {
            machine: Machine::new(0, swap.queue.to_usize(), budget),
            ticket: 0,
            task: Arc::new(task.clone()),
            current: None,
            versions: BTreeMap::new(),
            history: VecDeque::new(),
            jobs: HashMap::new(),
            links: BTreeMap::new(),
            shadow: None,
            canary: None,
            doors: HashMap::new(),
            on_trial: Vec::new(),
        };
        let (installed, _) = tokio_watch::channel(0);
        Swaps(Arc::new(Inner {
            observe,
            state: Mutex::new(state),
            installed,
            faults,
            told: Mutex::new(Some(told)),
            loading: tokio::sync::Mutex::default(),
            edit: tokio_watch::Sender::new(None),
            editing: tokio::sync::Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what workers report, and looks after files and old instances, until dropped.
    pub(crate) async fn serve(self) {
        let Some(mut told) = self.0.told.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let mut sweep = tokio::time::interval(SWEEP);
        let mut watch = watch::Watch::default();
        loop {
            tokio::select! {
                Some(fault) = told.recv() => self.fault(fault),
                _ = sweep.tick() => {
                    let switches: Vec<_> = self.state().links.values().map(|link| link.switch.clone()).collect();
                    // Unmapping memory blocks.
                    let swept = tokio::task::spawn_blocking(move || switches.iter().for_each(|s| s.retired.clear()));
                    drop(swept);
                    watch = self.look(watch).await;
                }
            }
        }
    }

    fn fault(&self, fault: TrialFault) {
        let TrialFault { version, kind, failure } = fault;
        self.0.observe.metrics.trial_fault();
        tracing::warn!(
            code = "trial_fault",
            version,
            cause = failure.code,
            tried = %failure.tried,
            why = %failure.why,
            "a new version failed on a batch: the version before it made the records"
        );
        self.state().on(self, Event::Fault { version, kind });
    }

    /// Asks for another module or configuration in one stage. The answer comes when every session runs it, or when it came to
    /// nothing and the version before goes on.
    pub fn swap_stage(&self, change: StageChange, drain: bool, peer: IpAddr) -> Asked {
        self.enqueue(Request { change: Change::Stage(change), drain, trigger: Trigger::Http { peer } }, true)
    }

    /// Asks for what an earlier version had in one stage; without a number, the version before the one that runs.
    ///
    /// # Errors
    /// Definite `version_unknown`: it is not kept any more, or never was.
    pub fn roll_back_stage(&self, place: Place, version: Option<Ticket>, peer: IpAddr) -> Result<Asked, Failure> {
        let (stage, over, to) = {
            let state = self.state();
            let to = version.or_else(|| state.current.as_ref().map(|current| current.before)).unwrap_or_default();
            let found = state.versions.get(&to).and_then(|version| {
                let stage = place.get(&version.loaded.spec)?.clone();
                Some((stage, version.loaded.over.get(&place).cloned()))
            });
            let (stage, over) = found.ok_or_else(|| {
                let kept: Vec<String> = state.versions.keys().map(Ticket::to_string).collect();
                Failure::definite(
                    "version_unknown",
                    format!("rolling {place} back to version {to}"),
                    format!("the versions that are kept are {}", kept.join(", ")),
                    "GET /v1/modules lists them; an older module is swapped in like a new one",
                )
            })?;
            (stage, over, to)
        };
        let change = Change::Back(place, Box::new(stage), over);
        Ok(self.enqueue(Request { change, drain: false, trigger: Trigger::Rollback { peer, to } }, true))
    }

    /// Puts a request in the queue; gives its number and where its answer comes.
    pub(crate) fn enqueue(&self, request: Request, trial: bool) -> Asked {
        let (answer, told) = oneshot::channel();
        let mut state = self.state();
        let canary = matches!(request.change, Change::Canary(..));
        let trial = trial && (canary || !state.task.modules.swap.trial.get().is_zero());
        let ticket = state.job(request, Some(answer));
        state.on(self, Event::Ask { ticket, trial });
        (ticket, told)
    }

    /// A session is about to begin: gives the version it begins with once no swap is at work; `None` before the first.
    pub(crate) async fn open(&self, shard: u16) -> Option<Arc<Version>> {
        let (door, opened) = oneshot::channel();
        {
            let mut state = self.state();
            state.doors.insert(shard, door);
            state.on(self, Event::Open(shard));
        }
        opened.await.ok().flatten()
    }

    /// Compiles the task file's modules, until a version is installed; from then on that is what runs.
    pub(crate) async fn load(&self, task: &Task) -> Result<(), Failure> {
        let mut loading = self.0.loading.lock().await;
        if self.current().is_none() && loading.is_none() {
            let task = task.clone();
            *loading = Some(super::attempt::blocking("loading modules", move || Loaded::load(&task)).await?);
        }
        Ok(())
    }

    /// Installs the first chain of the process, or another after the task file changed while halted. `ran`: what the position names;
    /// what had been swapped in takes its place again.
    pub(crate) async fn begin(&self, task: &Task, ran: Vec<ActiveModule>) -> Result<(), Failure> {
        let mut loading = self.0.loading.lock().await;
        if self.current().is_some() {
            return Ok(());
        }
        let (task, loaded) = (task.clone(), loading.clone());
        let work = move || {
            let loaded = loaded.map_or_else(|| Loaded::load(&task), Ok)?;
            restore(&task, loaded, &ran)
        };
        let loaded = super::attempt::blocking("bringing back modules", work).await?;
        *loading = None;
        self.first(loaded);
        Ok(())
    }

    fn first(&self, loaded: Loaded) {
        let mut state = self.state();
        state.ticket += 1;
        let number = state.ticket;
        state.machine.adopt(number);
        let version = Arc::new(Version { number, loaded, before: number, canary: None });
        state.install(self, version);
        state.remember(Entry {
            version: number,
            at_ms: now_millis(),
            canary: None,
            stage: None,
            trigger: Trigger::Start,
            name: None,
            sha256: None,
            config_sha256: None,
            outcome: Outcome::Done,
            failure: None,
            pause_us: 0,
            took_ms: 0,
        });
    }

    /// A session streams.
    pub(crate) fn opened(&self, shard: u16, link: Link) {
        let mut state = self.state();
        state.links.insert(shard, link);
        state.on(self, Event::Opened(shard));
        state.canary_over(self);
    }

    /// A session ended, or never came to stream.
    pub(crate) fn closed(&self, shard: u16) {
        let mut state = self.state();
        state.end_shadow("the session ended");
        state.links.remove(&shard);
        state.doors.remove(&shard);
        state.on(self, Event::Closed(shard));
        state.canary_over(self);
    }

    /// The task ends: what waits is refused.
    pub(crate) fn stop(&self) {
        self.state().on(self, Event::Stop);
    }

    /// Sessions begin again after a stop of the task, a pause for one.
    pub(crate) fn go_on(&self) {
        self.state().on(self, Event::GoOn);
    }

    /// The chain new sessions begin with.
    pub(crate) fn current(&self) -> Option<Arc<Version>> {
        self.state().current.clone()
    }

    /// The task file changed while halted: the next start loads its chain anew.
    pub(crate) fn forget(&self, task: &Task) {
        let mut state = self.state();
        state.current = None;
        state.task = Arc::new(task.clone());
    }

    /// The task with what was taken of its file since: the sections that make the chain.
    pub(crate) fn now(&self, task: &Task) -> Task {
        let now = self.state().task.clone();
        Task {
            objects: now.objects.clone(),
            route: now.route.clone(),
            format: now.format.clone(),
            modules: now.modules.clone(),
            ..task.clone()
        }
    }

    /// Told whenever a version is installed.
    pub(crate) fn installs(&self) -> tokio_watch::Receiver<Ticket> {
        self.0.installed.subscribe()
    }

    fn store(task: &Task) -> Option<ModuleStore> {
        task.modules.store.clone().or_else(module_store::default_directory).map(ModuleStore::new)
    }
}

fn stopping() -> Failure {
    Failure::transient(
        "swap_stopping",
        "swapping modules",
        "the task ends; the version before it ran to the end",
        "swap again after the start",
    )
}
