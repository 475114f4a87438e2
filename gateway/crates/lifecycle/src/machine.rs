//! The machine itself: one function for actions, one for events.

use millrace_batch::Failure;

use crate::{Action, Effect, Event, Fault, Status};

/// Tries after a fault that is neither of the network nor of a log-in.
const TRIES: u32 = 3;
/// How long a task that was never started keeps what it holds, and a failed creation is kept: three days, in milliseconds.
pub const UNCONFIGURED_MS: i64 = 3 * 24 * 3_600_000;
/// Longest wait for a slot to be made, in milliseconds: it waits for every transaction that is open.
pub const SLOT_BOUND_MS: i64 = 300_000;
/// A pause longer than this is warned of, since the source may not keep its log that long: 24 hours, in milliseconds.
const PAUSE_MS: i64 = 24 * 3_600_000;

/// Why an action was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was asked for.
    pub action: Action,
    /// Status it was asked in.
    pub status: Status,
    /// The rule.
    pub why: &'static str,
    /// What to do instead.
    pub mend: &'static str,
}

impl Refused {
    /// The refusal as a person sees it.
    pub fn failure(&self) -> Failure {
        Failure::definite(
            "action_refused",
            format!("{} of a task in status \"{}\"", self.action.name(), self.status.title()),
            self.why,
            self.mend,
        )
    }
}

/// What a check or a drain was begun for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    None,
    /// Drain before the set of tables changes.
    Objects,
    /// The set changed; streams are opened again.
    ObjectsReopen,
    /// Check before a reset.
    Reset,
    /// Drop the old slots before a reset makes new ones.
    ResetRelease,
}

/// One task's life.
#[derive(Clone, Debug)]
pub struct Machine {
    status: Status,
    /// When the status was entered, milliseconds since the Unix epoch.
    since_ms: i64,
    checked: bool,
    start_at_ms: Option<i64>,
    /// Attempts since changes last flowed.
    tries: u32,
    /// Faults that are neither of the network nor of a log-in, since anything was last delivered for good: a session that fails at
    /// the same change again and again has begun each time and got nowhere.
    faults: u32,
    /// The last fault was one of a log-in and no new password came since.
    stale_password: bool,
    /// Another gateway runs the task: opening again would take it back.
    taken_over: bool,
    purpose: Purpose,
    /// Slots of the task may exist at the source.
    slots: bool,
    /// They exist, and positions that belong to them are durable.
    slots_ready: bool,
    holds_resources: bool,
    warned: bool,
    forced: bool,
}

impl Machine {
    /// A new task, and what is to be done first.
    pub fn create(now_ms: i64) -> (Machine, Vec<Effect>) {
        let machine = Machine {
            status: Status::Creating,
            since_ms: now_ms,
            checked: false,
            start_at_ms: None,
            tries: 0,
            faults: 0,
            stale_password: false,
            taken_over: false,
            purpose: Purpose::None,
            slots: false,
            slots_ready: false,
            holds_resources: true,
            warned: false,
            forced: false,
        };
        (machine, vec![Effect::Build])
    }

    /// A task whose position was found: a paused one stays paused, any other goes on from there. `slots_ready`: the slots exist; where
    /// only the intent to make them is durable, they are made now. A restart never fails on the task's own slot and needs no new check.
    pub fn restore(paused: bool, slots_ready: bool, now_ms: i64) -> (Machine, Vec<Effect>) {
        let (mut machine, _) = Machine::create(now_ms);
        machine.slots = true;
        machine.slots_ready = slots_ready;
        machine.checked = true;
        if paused {
            machine.status = Status::Paused;
            return (machine, vec![]);
        }
        machine.status = Status::Starting;
        let effects = vec![machine.open()];
        (machine, effects)
    }

    /// A task that was stopped for good, found so by a restart: its durable record says so.
    pub fn over(now_ms: i64) -> Machine {
        let (machine, _) = Machine::create(now_ms);
        Machine { status: Status::Completed, holds_resources: false, ..machine }
    }

    /// What failed was mended in another way than by an action: the task file changed, or the module that was to blame. The streams
    /// are opened as if nothing had been tried.
    pub fn open_again(&mut self, now_ms: i64) {
        if matches!(self.status, Status::StartFailed | Status::IncrementalFailed) {
            self.forgive();
            self.enter(Status::Starting, now_ms);
        }
    }

    /// A person acted: what was tried before does not count.
    fn forgive(&mut self) {
        (self.tries, self.faults, self.stale_password, self.taken_over) = (0, 0, false, false);
    }

    /// Whether slots exist and positions that belong to them are durable.
    pub fn slots_are_ready(&self) -> bool {
        self.slots_ready
    }

    /// Another shard of the task is reset, whatever this one does: the task has one set of slots, so all begin anew.
    pub(crate) fn reset_along(&mut self) {
        self.purpose = Purpose::Reset;
    }

    /// What opens the streams: slots come first where they do not exist.
    fn open(&self) -> Effect {
        if self.slots_ready { Effect::Stream } else { Effect::CreateSlots }
    }

    /// The status now.
    pub fn status(&self) -> Status {
        self.status
    }

    /// When it was entered, milliseconds since the Unix epoch.
    pub fn since_ms(&self) -> i64 {
        self.since_ms
    }

    /// True while the set of tables is being changed; the task itself stays in incremental synchronization.
    pub fn is_changing_objects(&self) -> bool {
        matches!(self.purpose, Purpose::Objects | Purpose::ObjectsReopen)
    }

    /// True where nothing is tried again by itself until a person acts.
    pub fn waits_for_person(&self) -> bool {
        match self.status {
            Status::IncrementalFailed => self.stale_password || self.taken_over || self.faults > TRIES,
            Status::Starting => false,
            status => status.is_failed(),
        }
    }

    /// True where a forced stop is what is offered first.
    pub fn prefers_forced_stop(&self) -> bool {
        self.status.is_failed()
    }

    fn enter(&mut self, status: Status, now_ms: i64) {
        if self.status != status {
            self.status = status;
            self.since_ms = now_ms;
            self.warned = false;
        }
    }

    /// Takes an action of a person.
    pub fn act(&mut self, action: Action, now_ms: i64) -> Result<Vec<Effect>, Refused> {
        let status = self.status;
        let refuse = |why, mend| Err(Refused { action, status, why, mend });
        if status == Status::Deleted {
            return refuse("the task is deleted", "create a new task");
        }
        let over = matches!(status, Status::Stopping | Status::Completing | Status::Completed);
        match action {
            Action::EditInformation | Action::EditTags => Ok(vec![]),
            Action::Edit => match status {
                Status::Creating => Ok(vec![]),
                Status::Configuration => {
                    self.checked = false;
                    self.since_ms = now_ms;
                    let build = !self.holds_resources;
                    self.holds_resources = true;
                    Ok(if build { vec![Effect::Build] } else { vec![] })
                }
                _ => refuse("the configuration is edited before the start only", "reset the task, or edit its objects"),
            },
            Action::Check if status == Status::Configuration => Ok(vec![Effect::Check]),
            Action::Check => {
                refuse("the check before a start runs while the task is configured", "use `millrace check`, or reset")
            }
            Action::EditObjects if status == Status::Incremental && self.purpose == Purpose::None => {
                self.purpose = Purpose::Objects;
                Ok(vec![Effect::Drain])
            }
            Action::EditObjects => refuse(
                "tables are added and removed while changes flow, one edit at a time",
                "bring the task to incremental synchronization, or wait for the edit under way",
            ),
            Action::EditStartTime { at_ms } if status == Status::PendingStart => {
                self.start_at_ms = Some(at_ms);
                Ok(vec![])
            }
            Action::EditStartTime { .. } => refuse("only a start that is still to come has a time", "start the task"),
            Action::EditPasswords if over => refuse("the task is over", "create a new task"),
            Action::EditPasswords => {
                let retry = self.stale_password;
                self.forgive();
                let mut effects = vec![Effect::UsePasswords];
                // Tried again at once, as a person vouches for them.
                if retry && matches!(status, Status::IncrementalFailed | Status::StartFailed) {
                    self.enter(Status::Starting, now_ms);
                    effects.push(if self.slots_ready {
                        Effect::RetryStream { attempt: 1 }
                    } else {
                        Effect::CreateSlots
                    });
                }
                Ok(effects)
            }
            Action::Start | Action::StartAt { .. }
                if !matches!(status, Status::Configuration | Status::PendingStart) =>
            {
                refuse(
                    "only a configured task is started",
                    "resume it where it is paused or failed; reset it where its slot is lost",
                )
            }
            Action::Start | Action::StartAt { .. } if !self.checked => {
                refuse("the last check is below 100 %", "run the check, mend what failed and confirm what it asks for")
            }
            Action::Start => Ok(self.begin(now_ms)),
            Action::StartAt { at_ms } => {
                self.start_at_ms = Some(at_ms);
                self.enter(Status::PendingStart, now_ms);
                Ok(vec![])
            }
            Action::Pause if status == Status::Incremental && self.purpose == Purpose::None => {
                self.enter(Status::Pausing, now_ms);
                Ok(vec![Effect::Drain])
            }
            Action::Pause => refuse("a task is paused while changes flow", "wait for incremental synchronization"),
            Action::Resume
                if self.purpose == Purpose::None && matches!(status, Status::Paused | Status::IncrementalFailed) =>
            {
                let was_paused = status == Status::Paused;
                self.forgive();
                self.enter(Status::Starting, now_ms);
                let open = self.open();
                Ok(if was_paused { vec![Effect::RecordPaused(false), open] } else { vec![open] })
            }
            Action::Resume => refuse("a task is resumed from paused or failed", "reset it where its slot is lost"),
            Action::Reset
                if self.purpose == Purpose::None
                    && matches!(status, Status::Paused | Status::IncrementalFailed | Status::StartFailed) =>
            {
                self.purpose = Purpose::Reset;
                self.stale_password = false;
                Ok(vec![Effect::Check])
            }
            Action::Reset => refuse("a task is reset from paused or failed", "pause it first"),
            Action::Stop => self.stop(now_ms, refuse),
            Action::ForcedStop if over && status != Status::Stopping => {
                refuse("the task is over or about to be", "wait")
            }
            Action::ForcedStop => {
                self.forced = true;
                self.purpose = Purpose::None;
                self.enter(Status::Completing, now_ms);
                Ok(vec![Effect::Disconnect, Effect::Release])
            }
            Action::Delete if status == Status::Completed || status.is_failed() && status != Status::ModifyFailed => {
                self.purpose = Purpose::None;
                self.enter(Status::Deleted, now_ms);
                let mut effects = vec![Effect::Disconnect];
                if self.slots {
                    effects.extend([Effect::DiscardPositions, Effect::TellCleanup]);
                }
                effects.push(Effect::EraseCredentials);
                Ok(effects)
            }
            Action::Delete => refuse("only a task that is completed or failed is deleted", "stop it first"),
        }
    }

    fn stop(
        &mut self,
        now_ms: i64,
        refuse: impl Fn(&'static str, &'static str) -> Result<Vec<Effect>, Refused>,
    ) -> Result<Vec<Effect>, Refused> {
        match self.status {
            Status::Rebuilding => refuse("a fault is being repaired", "wait for the repair, or force the stop"),
            Status::Creating | Status::Configuration | Status::PendingStart => {
                self.enter(Status::Completing, now_ms);
                Ok(vec![Effect::Release])
            }
            Status::Incremental => {
                self.purpose = Purpose::None;
                self.enter(Status::Stopping, now_ms);
                Ok(vec![Effect::Drain])
            }
            // Nothing is under way: what is not delivered is given up together with the position, as its person asked.
            Status::IncrementalFailed | Status::Paused => {
                self.purpose = Purpose::None;
                self.enter(Status::Completing, now_ms);
                Ok(vec![Effect::Disconnect, Effect::Release])
            }
            Status::StopFailed => {
                self.enter(Status::Completing, now_ms);
                Ok(vec![Effect::Release])
            }
            Status::Stopping | Status::Completing | Status::Completed => {
                refuse("the task stops or has stopped", "wait")
            }
            _ => refuse("this status cannot be stopped in order", "force the stop, or wait until the status changes"),
        }
    }

    fn begin(&mut self, now_ms: i64) -> Vec<Effect> {
        self.start_at_ms = None;
        self.forgive();
        self.slots = true;
        self.slots_ready = false;
        self.enter(Status::Starting, now_ms);
        vec![Effect::CreateSlots]
    }

    /// Takes an event. One that cannot belong to the status (it was under way when an action came) changes nothing.
    pub fn event(&mut self, event: Event, now_ms: i64) -> Vec<Effect> {
        match (self.status, event) {
            (_, Event::Tick) => self.tick(now_ms),
            (Status::Creating, Event::Built) => {
                self.enter(Status::Configuration, now_ms);
                vec![]
            }
            (Status::Creating, Event::BuildFailed) => {
                self.enter(Status::CreateFailed, now_ms);
                vec![]
            }
            (_, Event::Checked(percent)) => self.checked(percent, now_ms),
            (Status::Starting, Event::SlotsReady) => {
                self.slots_ready = true;
                self.tries = 0;
                vec![Effect::Stream]
            }
            (Status::Starting | Status::IncrementalFailed, Event::Streaming) => {
                self.tries = 0;
                self.enter(Status::Incremental, now_ms);
                vec![]
            }
            // The edit ends here and not before: a second one must not drain what does not stream yet.
            (Status::Incremental, Event::Streaming) if self.purpose == Purpose::ObjectsReopen => {
                self.purpose = Purpose::None;
                vec![]
            }
            (_, Event::Failed(fault)) => self.failed(fault, now_ms),
            (_, Event::Progressed) => {
                self.faults = 0;
                vec![]
            }
            (Status::Incremental, Event::Drained) if self.purpose == Purpose::Objects => vec![Effect::ApplyObjects],
            (Status::Incremental, Event::ObjectsApplied | Event::ObjectsFailed) if self.purpose == Purpose::Objects => {
                self.purpose = Purpose::ObjectsReopen;
                vec![Effect::Stream]
            }
            (Status::Pausing, Event::Drained) => {
                self.enter(Status::Paused, now_ms);
                vec![Effect::RecordPaused(true), Effect::Disconnect]
            }
            (Status::Stopping, Event::Drained) => {
                self.enter(Status::Completing, now_ms);
                vec![Effect::Disconnect, Effect::Release]
            }
            (Status::Incremental, Event::RuntimeFault) => {
                self.purpose = Purpose::None;
                self.enter(Status::Rebuilding, now_ms);
                vec![Effect::Build]
            }
            (Status::Rebuilding, Event::Repaired | Event::Built) => {
                self.tries = 0;
                self.enter(Status::Starting, now_ms);
                vec![Effect::Stream]
            }
            (Status::Rebuilding, Event::RepairFailed | Event::BuildFailed) => {
                self.enter(Status::RebuildFailed, now_ms);
                vec![]
            }
            (_, Event::Released) if self.purpose == Purpose::ResetRelease => {
                self.purpose = Purpose::None;
                let mut effects = vec![Effect::RecordPaused(false)];
                effects.extend(self.begin(now_ms));
                effects
            }
            (_, Event::ReleaseFailed) if self.purpose == Purpose::ResetRelease => {
                self.purpose = Purpose::None;
                vec![]
            }
            (Status::Completing, Event::Released) => {
                self.slots = false;
                self.slots_ready = false;
                self.enter(Status::Completed, now_ms);
                vec![Effect::DiscardPositions, Effect::EraseCredentials]
            }
            (Status::Completing, Event::ReleaseFailed) if self.forced => {
                self.enter(Status::Completed, now_ms);
                vec![Effect::DiscardPositions, Effect::TellCleanup, Effect::EraseCredentials]
            }
            (Status::Completing, Event::ReleaseFailed) => {
                self.enter(Status::StopFailed, now_ms);
                vec![Effect::TellCleanup]
            }
            _ => vec![],
        }
    }

    fn tick(&mut self, now_ms: i64) -> Vec<Effect> {
        let for_ms = now_ms.saturating_sub(self.since_ms);
        match self.status {
            Status::PendingStart if self.start_at_ms.is_some_and(|at| now_ms >= at) => self.begin(now_ms),
            Status::Configuration if self.holds_resources && for_ms >= UNCONFIGURED_MS => {
                self.holds_resources = false;
                vec![Effect::FreeResources]
            }
            Status::CreateFailed if for_ms >= UNCONFIGURED_MS => {
                self.enter(Status::Completed, now_ms);
                vec![Effect::EraseCredentials]
            }
            Status::Paused if !self.warned && for_ms >= PAUSE_MS => {
                self.warned = true;
                vec![Effect::WarnPausedLong]
            }
            _ => vec![],
        }
    }

    fn checked(&mut self, percent: u8, now_ms: i64) -> Vec<Effect> {
        if self.purpose == Purpose::Reset {
            self.purpose = Purpose::None;
            if percent < 100 {
                return vec![];
            }
            if self.slots {
                self.purpose = Purpose::ResetRelease;
                return vec![Effect::Disconnect, Effect::Release];
            }
            return self.begin(now_ms);
        }
        if self.status == Status::Configuration {
            self.checked = percent == 100;
        }
        vec![]
    }

    fn failed(&mut self, fault: Fault, now_ms: i64) -> Vec<Effect> {
        let starting = self.status == Status::Starting;
        match self.status {
            Status::Starting | Status::Incremental | Status::IncrementalFailed => {}
            // Nothing more can be delivered in order: the position is durable up to where it is, the slot keeps the rest.
            Status::Pausing => {
                self.enter(Status::Paused, now_ms);
                return vec![Effect::RecordPaused(true), Effect::Disconnect];
            }
            // The slot is kept: dropping it now would lose what was read and is not delivered.
            Status::Stopping => {
                self.enter(Status::StopFailed, now_ms);
                return vec![Effect::Disconnect];
            }
            _ => return vec![],
        }
        self.purpose = Purpose::None;
        self.tries = self.tries.saturating_add(1);
        let again = match fault {
            Fault::Network => true,
            Fault::Authentication => {
                self.stale_password = true;
                false
            }
            Fault::TakenOver => {
                self.taken_over = true;
                false
            }
            // A slot that cannot be made has been waited for long enough.
            Fault::Other => {
                self.faults = self.faults.saturating_add(1);
                self.faults <= TRIES && (self.slots_ready || !starting)
            }
        };
        let attempt = self.tries;
        match (starting, again) {
            (true, true) if !self.slots_ready => vec![Effect::RetrySlots { attempt }],
            (true, true) => vec![Effect::RetryStream { attempt }],
            (true, false) => {
                // A start has failed where its slot could not be made; with the slot there, a resume goes on from the position.
                let ran = self.slots_ready;
                self.enter(if ran { Status::IncrementalFailed } else { Status::StartFailed }, now_ms);
                vec![Effect::Disconnect]
            }
            (false, again) => {
                self.enter(Status::IncrementalFailed, now_ms);
                if again { vec![Effect::RetryStream { attempt }] } else { vec![Effect::Disconnect] }
            }
        }
    }
}
