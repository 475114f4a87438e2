//! Swaps while the task runs: the shell around [`swap::Machine`](crate::swap::Machine).
//!
//! Owns the versions of the chain, who waits for an answer, the history, and carrying out what the machine decides. Must not
//! decide an order itself. Every version is made on a blocking thread; the stream hears of it only when it is ready.

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
            trial: swap.trial.get(),
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
        let version = Arc::new(Version { number, loaded, before: number });
        state.install(self, version);
        state.remember(Entry {
            version: number,
            at_ms: now_millis(),
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
    }

    /// A session ended, or never came to stream.
    pub(crate) fn closed(&self, shard: u16) {
        let mut state = self.state();
        state.links.remove(&shard);
        state.doors.remove(&shard);
        state.on(self, Event::Closed(shard));
    }

    /// The task ends: what waits is refused.
    pub(crate) fn stop(&self) {
        self.state().on(self, Event::Stop);
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

impl State {
    fn job(&mut self, request: Request, answer: Option<oneshot::Sender<Result<Swapped, Failure>>>) -> Ticket {
        self.ticket += 1;
        let (began, pause) = (Instant::now(), Duration::ZERO);
        let job = Job {
            request,
            answer,
            began,
            ready: None,
            failure: None,
            pause,
            noted: false,
            crossed: false,
            disarmed: Vec::new(),
        };
        self.jobs.insert(self.ticket, job);
        self.ticket
    }

    /// Takes an event in and carries out what follows from it.
    fn on(&mut self, swaps: &Swaps, event: Event) {
        for action in self.machine.on(event) {
            self.act(swaps, action);
        }
        swaps.0.observe.metrics.swaps_pending(self.machine.pending().count());
    }

    fn act(&mut self, swaps: &Swaps, action: Action) {
        match action {
            Action::Admit(shard) => {
                if let Some(door) = self.doors.remove(&shard) {
                    // A session that gave up is told as closed.
                    let _ = door.send(self.current.clone());
                }
            }
            Action::Prepare(ticket, shards) => self.prepare(swaps, ticket, &shards),
            Action::Arm(ticket, shard) => self.arm(swaps, ticket, shard),
            Action::Disarm(ticket, shard) => {
                if let Some(job) = self.jobs.get_mut(&ticket) {
                    job.disarmed.push(shard);
                }
                if let Some(link) = self.links.get(&shard) {
                    link.turn.withdraw();
                    link.switch.disarm();
                }
            }
            Action::Install(ticket) => {
                if let Some(ready) = self.jobs.get(&ticket).and_then(|job| job.ready.clone()) {
                    self.install(swaps, ready.version.clone());
                    self.on_trial = ready.generations.values().filter(|g| g.trial.is_some()).cloned().collect();
                    if !self.on_trial.is_empty() {
                        let (swaps, trial) = (swaps.clone(), self.task.modules.swap.trial.get());
                        tokio::spawn(async move {
                            tokio::time::sleep(trial).await;
                            swaps.state().on(&swaps, Event::TrialOver(ticket));
                        });
                    }
                }
            }
            Action::Done(ticket) => self.done(swaps, ticket),
            Action::Refuse(ticket, refusal) => self.refuse(swaps, ticket, refusal),
            Action::EndTrial(version) => {
                for generation in self.on_trial.extract_if(.., |generation| generation.version == version) {
                    generation.trial.iter().for_each(crate::pipeline::Trial::end);
                }
            }
            Action::RollBack(of, reason) => self.roll_back(swaps, of, reason),
        }
    }

    fn prepare(&mut self, swaps: &Swaps, ticket: Ticket, shards: &[u16]) {
        let links: BTreeMap<u16, Link> =
            self.links.iter().filter(|(shard, _)| shards.contains(shard)).map(|(s, link)| (*s, link.clone())).collect();
        let (Some(job), current) = (self.jobs.get(&ticket), self.current.clone()) else { return };
        let (request, automatic) = (job.request.clone(), matches!(job.request.trigger, Trigger::Automatic { .. }));
        let trial = !automatic && !self.task.modules.swap.trial.get().is_zero();
        let tools = Tools {
            task: self.task.clone(),
            store: Swaps::store(&self.task),
            faults: trial.then(|| swaps.0.faults.clone()),
        };
        let swaps = swaps.clone();
        tokio::spawn(async move {
            let made = super::attempt::blocking("preparing a swap", move || match current {
                Some(current) => prepare(ticket, &current, &request, &links, &tools),
                None => Err(Failure::transient(
                    "swap_not_started",
                    "preparing a swap",
                    "the task has not loaded its modules yet",
                    "try again in a moment, or look at /readyz",
                )),
            })
            .await;
            let mut state = swaps.state();
            let Some(job) = state.jobs.get_mut(&ticket) else { return };
            let event = match made {
                Ok(ready) => {
                    job.ready = Some(Arc::new(ready));
                    Event::Prepared(ticket)
                }
                Err(failure) => {
                    job.failure = Some(failure);
                    Event::Refused(ticket)
                }
            };
            state.on(&swaps, event);
        });
    }

    /// Notes the modules first and puts the version in place then, so that a restart after the first record of the version runs
    /// it too; where it drains, the reader has both noted together at the boundary.
    fn arm(&mut self, swaps: &Swaps, ticket: Ticket, shard: u16) {
        let ready = self.jobs.get(&ticket).and_then(|job| job.ready.clone());
        let (Some(ready), Some(link)) = (ready, self.links.get(&shard).cloned()) else { return };
        let Some(generation) = ready.generations.get(&shard).cloned() else { return };
        let (swaps, patience) = (swaps.clone(), self.task.modules.swap.drain_timeout.get());
        tokio::spawn(async move {
            let modules = link.active(&ready.version.loaded);
            let mut noted = true;
            let drain = if ready.drain {
                Some(Drain { modules, patience })
            } else {
                noted = link.turn.ask(Lsn(0), modules).await.is_ok();
                None
            };
            let (done, told) = oneshot::channel();
            let answer = if noted {
                link.switch.arm(Armed { generation: generation.clone(), drain, done });
                told.await.ok()
            } else {
                None
            };
            let mut state = swaps.state();
            let Some(job) = state.jobs.get_mut(&ticket) else { return };
            job.noted |= noted;
            let event = match answer {
                Some(Ok(stood)) => {
                    job.pause = job.pause.max(stood);
                    job.crossed = true;
                    Event::Crossed(ticket, shard)
                }
                Some(Err(failure)) => {
                    job.failure = Some(failure);
                    Event::NotCrossed(ticket, shard)
                }
                None if job.disarmed.contains(&shard) => {
                    job.disarmed.retain(|taken| *taken != shard);
                    Event::NotCrossed(ticket, shard)
                }
                // The session is ending, which is told by whoever ran it.
                None => return,
            };
            state.on(&swaps, event);
        });
    }

    fn install(&mut self, swaps: &Swaps, version: Arc<Version>) {
        let observe = &swaps.0.observe;
        observe.status.modules(version.loaded.live());
        observe.metrics.active_modules(&version.loaded.live());
        self.versions.insert(version.number, version.clone());
        while self.versions.len() > VERSIONS {
            self.versions.pop_first();
        }
        let number = version.number;
        self.current = Some(version);
        swaps.0.installed.send_replace(number);
    }

    fn done(&mut self, swaps: &Swaps, ticket: Ticket) {
        let Some(job) = self.jobs.remove(&ticket) else { return };
        let Some(ready) = job.ready.as_ref() else { return };
        if let Change::Task(task) = &job.request.change {
            self.task = Arc::new((**task).clone());
        }
        let taking = ready.generations.values().map(|generation| generation.taking()).max().unwrap_or_default();
        let pause = job.pause + taking;
        let outcome = if job.crossed { Outcome::Done } else { Outcome::NextStart };
        let entry = self.entry(ticket, &job, Some(&ready.version.loaded), outcome, None, pause);
        tracing::info!(
            code = "module_swapped",
            version = ticket,
            stage = entry.stage,
            name = entry.name,
            sha256 = entry.sha256,
            trigger = ?entry.trigger,
            drained = ready.drain,
            pause_us = entry.pause_us,
            took_ms = entry.took_ms,
            "modules swapped"
        );
        let observe = &swaps.0.observe.metrics;
        observe.swapped(outcome.as_str(), job.crossed.then_some(pause));
        self.remember(entry);
        if let Some(answer) = job.answer {
            let at_next_start = !job.crossed;
            let _ = answer.send(Ok(Swapped {
                version: ticket,
                pause_us: micros(pause),
                drained: ready.drain && job.crossed,
                at_next_start,
            }));
        }
    }

    fn refuse(&mut self, swaps: &Swaps, ticket: Ticket, refusal: Refusal) {
        let Some(mut job) = self.jobs.remove(&ticket) else { return };
        let failure = match (refusal, job.failure.take()) {
            (Refusal::Failed, Some(failure)) => failure,
            (Refusal::Full, _) => Failure::transient(
                "swap_queue_full",
                "asking for a swap",
                format!("{} wait already", self.task.modules.swap.queue.get()),
                "wait for them: GET /v1/modules lists what is pending",
            ),
            (Refusal::Moot, _) => Failure::transient("swap_moot", "rolling back", "another version runs by now", ""),
            (Refusal::Stopping, _) => stopping(),
            (Refusal::Failed, None) => Failure::transient(
                "swap_interrupted",
                "changing to the new version",
                "the session ended before its next transaction boundary",
                "swap again; the version before it goes on",
            ),
        };
        if job.noted
            && let Some(current) = &self.current
        {
            // A record that names the version must not outlive its refusal. Where a session is gone its end sees to that.
            for link in self.links.values() {
                drop(link.turn.ask(Lsn(0), link.active(&current.loaded)));
            }
        }
        let loaded = job.ready.as_ref().map(|ready| &ready.version.loaded);
        let entry = self.entry(ticket, &job, loaded, Outcome::Refused, Some(failure.clone()), Duration::ZERO);
        tracing::warn!(
            code = failure.code,
            tried = %failure.tried,
            why = %failure.why,
            mend = %failure.mend,
            version = ticket,
            stage = entry.stage,
            trigger = ?entry.trigger,
            "swap refused: {failure}; the version before it goes on"
        );
        swaps.0.observe.metrics.swapped(Outcome::Refused.as_str(), None);
        self.remember(entry);
        if let Some(answer) = job.answer {
            let _ = answer.send(Err(failure));
        }
    }

    fn roll_back(&mut self, swaps: &Swaps, of: Ticket, reason: crate::swap::Reason) {
        let before = self.versions.get(&of).and_then(|version| self.versions.get(&version.before)).cloned();
        let Some(before) = before else { return };
        let failure = Failure::definite(
            "swap_rolled_back",
            format!("running version {of} of the modules"),
            format!("it spent its budget of {}", reason.as_str()),
            "mend the module; modules.swap has the budgets",
        );
        tracing::error!(
            code = failure.code,
            tried = %failure.tried,
            why = %failure.why,
            mend = %failure.mend,
            version = of,
            to = before.number,
            "{failure}; rolling back"
        );
        swaps.0.observe.metrics.swapped(Outcome::RolledBack.as_str(), None);
        if let Some(entry) = self.history.iter_mut().find(|entry| entry.version == of) {
            entry.outcome = Outcome::RolledBack;
            entry.failure = Some(failure);
        }
        let change = Change::Whole(Box::new(before.loaded.clone()));
        let ticket = self.job(Request { change, drain: false, trigger: Trigger::automatic(of, reason) }, None);
        self.on(swaps, Event::AskBack { ticket, of });
    }

    fn entry(
        &self,
        version: Ticket,
        job: &Job,
        loaded: Option<&Loaded>,
        outcome: Outcome,
        failure: Option<Failure>,
        pause: Duration,
    ) -> Entry {
        let place = job.request.change.place();
        let stage = place.zip(loaded).and_then(|(place, loaded)| place.get(&loaded.spec));
        let hex = |text: String| text.trim_start_matches("sha256:").to_owned();
        Entry {
            version,
            at_ms: now_millis(),
            stage: place.map(|place: Place| place.to_string()),
            trigger: job.request.trigger.clone(),
            name: stage.map(|stage| stage.module.about().name.clone()),
            sha256: stage.map(|stage| stage.module.digest().to_string()),
            config_sha256: stage.map(|stage| hex(digests(stage).config_digest)),
            outcome,
            failure,
            pause_us: micros(pause),
            took_ms: u64::try_from(job.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn remember(&mut self, entry: Entry) {
        self.history.push_back(entry);
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }
}
