//! The life of a task: what persons ask for, what shards report, and the one state machine both go through.
//!
//! Owns the machine of `millrace-lifecycle`, the actions that wait to be carried out, and the words about both. Must not carry them out
//! (that is `task`, by way of `carry`), nor know HTTP. What must survive the process is not here but in the position records: whether
//! the task is paused, or over.

pub(super) mod carry;
mod fault;
mod reset_check;
mod view;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use millrace_batch::{Failure, Lsn};
use millrace_lifecycle::{Action, Effect, Event, Fleet, Status};
use millrace_position::{PositionRecord, SlotState};
use tokio::sync::watch;

use super::now_millis;
use crate::{
    config::{self, Moment, Task},
    observe::{Audit, Observe},
};

pub use view::{ShardView, TaskView};

/// Whether a failure is the refusal of a log-in, at either side.
pub(super) fn is_refused_login(failure: &Failure) -> bool {
    fault::of(failure) == millrace_lifecycle::Fault::Authentication
}

/// How a task that was found in its positions does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resting {
    /// A person paused it.
    Paused,
    /// A person stopped it for good.
    Over,
}

/// What a shard does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Tries again after a pause.
    Retry,
    /// Waits for a person.
    Halt,
    /// Ends: the task is about to do something else.
    End,
}

/// What `task` does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Carries this out.
    Effect(Effect),
    /// Runs the shards.
    Run,
    /// Waits for a person, or for time to pass.
    Wait,
    /// Ends the process: the task is deleted.
    End,
}

/// The life of one task. Cheap to clone: all clones are the same.
#[derive(Clone, Debug)]
pub struct Life(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// Counts what happened, for whoever waits for it.
    changed: watch::Sender<u64>,
    audit: Audit,
    observe: Arc<Observe>,
    /// A forced stop waits for nothing.
    hurry: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Inner {
    fleet: Fleet,
    /// What the machine asked for and is not carried out.
    todo: VecDeque<Effect>,
    /// Something is being carried out.
    busy: bool,
    task: Arc<Task>,
    file: Option<PathBuf>,
    /// The task goes on with this one, its sessions begun anew.
    replacement: Option<Box<Task>>,
    /// Number of the last resume, for shards that are halted.
    resumes: u64,
    /// A session that was told to end did not deliver what it had read.
    undrained: bool,
    shards: Vec<OfShard>,
    /// What an action came to that failed.
    failure: Option<Failure>,
    /// Statements that list and drop the slots that may remain.
    cleanup: Vec<String>,
    start_at_ms: Option<i64>,
    operation: Option<Operation>,
}

/// What is kept of one shard beside its machine.
#[derive(Clone, Debug, Default)]
struct OfShard {
    failure: Option<Failure>,
    /// Durable position when it last failed.
    failed_at: Lsn,
}

/// An action that was accepted, until it is known what it came to.
#[derive(Debug)]
struct Operation {
    who: String,
    action: Action,
}

impl Life {
    /// Of a task that has not begun. `file`: where new passwords are read from.
    pub fn new(task: &Task, file: Option<PathBuf>, observe: Arc<Observe>, audit: Audit) -> Life {
        let (fleet, effects) = Fleet::create(now_millis());
        let inner = Inner {
            fleet,
            todo: effects.into(),
            busy: false,
            task: Arc::new(task.clone()),
            file,
            replacement: None,
            resumes: 0,
            undrained: false,
            shards: vec![OfShard::default()],
            failure: None,
            cleanup: Vec::new(),
            start_at_ms: None,
            operation: None,
        };
        let (changed, _) = watch::channel(0);
        Life(Arc::new(Shared { inner: Mutex::new(inner), changed, audit, observe, hurry: Arc::default() }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever waits, and writes down what an operation came to once that is known.
    fn told(&self, mut inner: MutexGuard<'_, Inner>) {
        let status = inner.fleet.status();
        if inner.is_settled()
            && let Some(Operation { who, action }) = inner.operation.take()
        {
            let failed = status.is_failed().then(|| inner.failure()).flatten();
            let result = if status.is_failed() { "failed" } else { "done" };
            self.0.audit.write(&who, action.name(), result, status.name(), failed.as_ref());
        }
        drop(inner);
        self.0.changed.send_modify(|count| *count += 1);
    }

    /// The flag that makes sessions end without waiting for acknowledgements.
    pub(super) fn hurry(&self) -> Arc<AtomicBool> {
        self.0.hurry.clone()
    }

    /// Takes an action of a person; `who`: as the audit log shows it. Gives as soon as it is begun.
    ///
    /// # Errors
    /// Definite `action_refused` where the status does not allow it, `check_failed` where a check is below 100 %, `config_invalid` where
    /// the task file that should give passwords is refused.
    pub async fn act(&self, action: Action, who: &str) -> Result<(), Failure> {
        let outcome = self.judge(action, who).await;
        if let Err(failure) = &outcome {
            let status = self.inner().fleet.status().name();
            self.0.audit.write(who, action.name(), "refused", status, Some(failure));
        }
        outcome
    }

    async fn judge(&self, action: Action, who: &str) -> Result<(), Failure> {
        // Both need a check that passed whole, by an action before it or now.
        if matches!(action, Action::Start | Action::StartAt { .. }) && self.status() == Status::Configuration {
            self.check(Action::Check).await?;
        }
        let replacement = if action == Action::EditPasswords { Some(self.new_passwords()?) } else { None };
        let about = if action == Action::EditInformation { Some(self.new_information()?) } else { None };
        let check = self.begin(action, who, replacement)?;
        if let Some(about) = about {
            let mut inner = self.inner();
            let mut task = Task::clone(&inner.task);
            task.task = about;
            inner.task = Arc::new(task);
        }
        if check { self.check(action).await } else { Ok(()) }
    }

    /// Gives an action to the machine. True where a check must follow.
    fn begin(&self, action: Action, who: &str, replacement: Option<Box<Task>>) -> Result<bool, Failure> {
        let mut inner = self.inner();
        let before = inner.fleet.status();
        let effects = inner.fleet.act(action, now_millis()).map_err(|refused| refused.failure())?;
        self.0.audit.write(who, action.name(), "accepted", before.name(), None);
        inner.operation = Some(Operation { who: who.to_owned(), action });
        inner.failure = None;
        match action {
            Action::StartAt { at_ms } | Action::EditStartTime { at_ms } => inner.start_at_ms = Some(at_ms),
            Action::Start => inner.start_at_ms = None,
            Action::ForcedStop => self.0.hurry.store(true, Ordering::Release),
            Action::Resume => inner.resumes += 1,
            _ => {}
        }
        if replacement.is_some() {
            inner.replacement = replacement;
        }
        let check = effects.contains(&Effect::Check);
        inner.take(effects);
        self.told(inner);
        Ok(check)
    }

    /// Begins an edit of the selection, which whoever asked for it carries out: sessions end at a durable position by its doing, not by
    /// the machine's, so what the machine asks for is left. Until [`Self::objects_edited`] nothing else that needs flowing changes is begun.
    ///
    /// # Errors
    /// Definite `action_refused` where changes do not flow, or another edit is under way.
    pub fn edit_objects(&self, who: &str) -> Result<(), Failure> {
        let mut inner = self.inner();
        let before = inner.fleet.status();
        let outcome = inner.fleet.act(Action::EditObjects, now_millis()).map_err(|refused| refused.failure());
        let result = if outcome.is_ok() { "accepted" } else { "refused" };
        self.0.audit.write(who, Action::EditObjects.name(), result, before.name(), outcome.as_ref().err());
        self.told(inner);
        outcome.map(drop)
    }

    /// The edit of the selection came to this; `failure` where it did not.
    pub fn objects_edited(&self, who: &str, failure: Option<&Failure>) {
        let mut inner = self.inner();
        let now = now_millis();
        let outcome = if failure.is_none() { Event::ObjectsApplied } else { Event::ObjectsFailed };
        for number in 0..inner.fleet.shards().len() as u16 {
            // One that failed meanwhile has given the edit up by itself.
            if inner.fleet.shard(number).is_some_and(|machine| machine.is_changing_objects()) {
                for event in [Event::Drained, outcome, Event::Streaming] {
                    inner.fleet.shard_event(number, event, now);
                }
            }
        }
        let status = inner.fleet.status();
        let result = if failure.is_none() { "done" } else { "failed" };
        self.0.audit.write(who, Action::EditObjects.name(), result, status.name(), failure);
        self.told(inner);
    }

    /// Runs the check that a start or a reset needs, and tells the machine.
    async fn check(&self, purpose: Action) -> Result<(), Failure> {
        let task = self.inner().task.clone();
        let judged = reset_check::judge(&task, purpose == Action::Reset).await;
        self.checked(judged)
    }

    fn checked(&self, judged: Result<(), reset_check::Failed>) -> Result<(), Failure> {
        let percent = judged.as_ref().map_or_else(|failed| failed.percent, |()| 100);
        let mut inner = self.inner();
        if let Err(failed) = &judged {
            inner.failure = Some(failed.failure.clone());
            inner.operation = None;
        }
        let effects = inner.fleet.event(Event::Checked(percent), now_millis());
        inner.take(effects);
        self.told(inner);
        judged.map_err(|failed| failed.failure)
    }

    /// The task with the passwords its file names now; nothing else of the file is taken.
    fn new_passwords(&self) -> Result<Box<Task>, Failure> {
        let mut task = Task::clone(&self.inner().task);
        if let Some(changed) = self.file_now("reading new passwords from the task file")? {
            task.take_secrets(&changed);
        }
        Ok(Box::new(task))
    }

    /// What the task file says about the task now; its name is for life.
    fn new_information(&self) -> Result<config::About, Failure> {
        let now = self.inner().task.task.clone();
        let Some(changed) = self.file_now("reading what the task file says about the task")? else { return Ok(now) };
        if changed.task.name == now.name {
            return Ok(changed.task);
        }
        Err(Failure::definite(
            "config_invalid",
            "reading what the task file says about the task",
            format!("task.name is {:?}, the task that runs is {:?}", changed.task.name.as_str(), now.name.as_str()),
            "slot and positions carry the name: start another process for another task",
        ))
    }

    /// The task file as it is now, where the task has one.
    fn file_now(&self, tried: &'static str) -> Result<Option<Task>, Failure> {
        let Some(file) = self.inner().file.clone() else { return Ok(None) };
        config::load(&file).map(Some).map_err(|problems| {
            Failure::definite("config_invalid", tried, problems.to_string(), "mend the named keys, then ask again")
        })
    }

    /// Waits until nothing is under way any more, at most so long. False where something still is.
    pub async fn settled(&self, limit: Duration) -> bool {
        let mut changes = self.0.changed.subscribe();
        let settle = async {
            while !self.inner().is_settled() {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(limit, settle).await.is_ok()
    }

    /// The status of the task.
    pub fn status(&self) -> Status {
        self.inner().fleet.status()
    }

    // What shards report.

    /// So many shards the task has.
    pub(super) fn has_shards(&self, count: usize) {
        let mut inner = self.inner();
        inner.fleet.resize(count);
        inner.shards.resize(count.max(1), OfShard::default());
    }

    /// A shard begins an attempt.
    pub(super) fn attempting(&self, shard: u16) {
        let mut inner = self.inner();
        if inner.status_of(shard) == Some(Status::Rebuilding) {
            // What broke down is built anew by the attempt.
            inner.fleet.shard_event(shard, Event::Repaired, now_millis());
            self.told(inner);
        }
    }

    /// What a shard's position store holds; where a person paused or stopped the task, the shard does not go on.
    pub(super) fn found(&self, shard: u16, record: Option<&PositionRecord>) -> Option<Resting> {
        let record = record?;
        match record.slot_state {
            SlotState::Dropped => return Some(Resting::Over),
            SlotState::Created if !record.paused => self.slots_ready(shard),
            SlotState::Created | SlotState::Intended => {}
        }
        record.paused.then_some(Resting::Paused)
    }

    /// A shard's slot exists, and its position is durable.
    pub(super) fn slots_ready(&self, shard: u16) {
        let mut inner = self.inner();
        if inner.fleet.shard(shard).is_some_and(|machine| !machine.slots_are_ready()) {
            let effects = inner.fleet.shard_event(shard, Event::SlotsReady, now_millis());
            inner.take(effects);
            self.told(inner);
        }
    }

    /// A shard streams.
    pub(super) fn streaming(&self, shard: u16) {
        let mut inner = self.inner();
        if let Some(of) = inner.shards.get_mut(usize::from(shard)) {
            of.failure = None;
        }
        let effects = inner.fleet.shard_event(shard, Event::Streaming, now_millis());
        inner.take(effects);
        self.told(inner);
    }

    /// A shard failed with this durable position: what it does now.
    pub(super) fn failed(&self, shard: u16, failure: &Failure, durable: Lsn) -> Verdict {
        let mut inner = self.inner();
        if inner.must_end() {
            return Verdict::End;
        }
        if let Some(of) = inner.shards.get_mut(usize::from(shard)) {
            of.failure = Some(failure.clone());
            let progressed = durable > of.failed_at;
            of.failed_at = durable;
            if progressed {
                inner.fleet.shard_event(shard, Event::Progressed, now_millis());
            }
        }
        if fault::is_of_the_runtime(failure) && inner.status_of(shard) == Some(Status::Incremental) {
            inner.fleet.shard_event(shard, Event::RuntimeFault, now_millis());
            self.told(inner);
            return Verdict::Retry;
        }
        let effects = inner.fleet.shard_event(shard, Event::Failed(fault::of(failure)), now_millis());
        let retry = effects.iter().any(|effect| opens(*effect));
        self.told(inner);
        if retry { Verdict::Retry } else { Verdict::Halt }
    }

    /// Why a shard waits for a person, where it does.
    pub(super) fn halted(&self, shard: u16) -> Option<Failure> {
        let mut inner = self.inner();
        let waits = inner.fleet.shard(shard)?.waits_for_person();
        waits.then(|| inner.shards.get(usize::from(shard))?.failure.clone())?
    }

    /// What failed was mended, though nobody asked: the shard is opened again.
    pub(super) fn open_again(&self, shard: u16) {
        let mut inner = self.inner();
        if let Some(machine) = inner.fleet.shard(shard) {
            machine.open_again(now_millis());
        }
        self.told(inner);
    }

    /// A session that was told to end left records that are not acknowledged.
    pub(super) fn undrained(&self) {
        self.inner().undrained = true;
    }

    /// Waits for a resume of a person that comes after `seen`.
    pub(super) async fn resumed(&self, seen: u64) {
        let mut changes = self.0.changed.subscribe();
        while self.inner().resumes == seen {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How many resumes there were.
    pub(super) fn resumes(&self) -> u64 {
        self.inner().resumes
    }

    /// Waits until the task shall run.
    pub(super) async fn runs(&self) {
        let mut changes = self.0.changed.subscribe();
        while !self.inner().runs() {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the sessions shall end because a person wants something else.
    pub(super) async fn must_end(&self) {
        let mut changes = self.0.changed.subscribe();
        while !self.inner().must_end() {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Inner {
    /// Keeps what `task` has to carry out. That streams are opened needs no word: they are as long as the status says so.
    fn take(&mut self, effects: Vec<Effect>) {
        let own = |effect: &Effect| {
            !opens(*effect) && !matches!(effect, Effect::Disconnect | Effect::Check | Effect::UsePasswords)
        };
        self.todo.extend(effects.into_iter().filter(own));
    }

    fn must_end(&self) -> bool {
        !self.todo.is_empty() || self.replacement.is_some()
    }

    fn is_settled(&self) -> bool {
        use Status::{Completing, Creating, Pausing, Rebuilding, Starting, Stopping};
        let passing = matches!(self.fleet.status(), Creating | Starting | Pausing | Stopping | Completing | Rebuilding);
        !passing && !self.busy && !self.must_end() && !self.fleet.is_resetting()
    }

    fn status_of(&self, shard: u16) -> Option<Status> {
        self.fleet.shards().get(usize::from(shard)).map(millrace_lifecycle::Machine::status)
    }

    /// Why the task is where it is, where something failed.
    fn failure(&self) -> Option<Failure> {
        self.failure.clone().or_else(|| self.shards.iter().find_map(|of| of.failure.clone()))
    }

    /// Whether sessions run, or wait halted, in the status.
    fn runs(&self) -> bool {
        use Status::{
            Incremental, IncrementalFailed, ModifyFailed, Modifying, Pausing, RebuildFailed, Rebuilding, StartFailed,
            Starting, Stopping,
        };
        matches!(
            self.fleet.status(),
            Starting
                | StartFailed
                | Incremental
                | IncrementalFailed
                | Modifying
                | ModifyFailed
                | Rebuilding
                | RebuildFailed
                | Pausing
                | Stopping
        )
    }

    fn start_at(&self) -> Option<String> {
        self.start_at_ms.map(|at| Moment(at).to_string())
    }
}

/// Whether an effect opens streams, now or after a pause.
fn opens(effect: Effect) -> bool {
    use Effect::{CreateSlots, RetrySlots, RetryStream, Stream};
    matches!(effect, Stream | CreateSlots | RetryStream { .. } | RetrySlots { .. })
}
