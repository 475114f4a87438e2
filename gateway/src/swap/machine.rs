//! The order of swaps: one at a time, every session of the task together.
//!
//! Owns the queue, which sessions run, how far the swap at work is, and the trial of the version that runs. Events in, actions
//! out; no clocks, no IO. A version's number is the ticket of the request that brought it.
//!
//! ```text
//! Ask --> queue --> Prepare .. Prepared --> Arm every session .. Crossed by all --> Done
//!                           .. Refused  --> Refuse                 NotCrossed   --> Disarm, Refuse (none has crossed)
//!                                                                               --> Arm again      (one has: the rest must follow)
//! ```
//!
//! A session that begins takes the version that is installed. It begins only between swaps, so that no swap has to reckon with a
//! session it was not prepared for; without any session a prepared version is installed at once, for the next one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millrace_host::FaultKind;

use super::budget::{Budget, Reason, Spent};

/// Number of a request, rising; also the number of the version it brings.
pub type Ticket = u64;

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Others are before it.
    Queued,
    /// Its modules are loaded, told of the tables and tried on the last events.
    Preparing,
    /// It waits for a transaction boundary.
    Pending,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody asks for a swap. `trial`: it may be rolled back by itself.
    Ask {
        /// Its number.
        ticket: Ticket,
        /// Whether it begins with a trial.
        trial: bool,
    },
    /// The roll back that [`Action::RollBack`] asked for; it goes before what others asked for.
    AskBack {
        /// Its number.
        ticket: Ticket,
        /// The version that failed: where another one runs by then, there is nothing to roll back.
        of: Ticket,
    },
    /// A session of this shard wants to begin.
    Open(u16),
    /// It streams.
    Opened(u16),
    /// It ended, or never came to stream.
    Closed(u16),
    /// The version is ready for every session named in [`Action::Prepare`].
    Prepared(Ticket),
    /// It cannot be made.
    Refused(Ticket),
    /// The session dispatches with it from now on.
    Crossed(Ticket, u16),
    /// The session goes on with the version before: it could not change over, or was told not to.
    NotCrossed(Ticket, u16),
    /// A version failed on a batch while on trial.
    Fault {
        /// The version.
        version: Ticket,
        /// How; `None` where it failed as a whole.
        kind: Option<FaultKind>,
    },
    /// The time of a version's trial is over.
    TrialOver(Ticket),
    /// The task ends.
    Stop,
    /// Sessions begin again after that.
    GoOn,
}

/// Why a request came to nothing although its modules are well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many wait already.
    Full,
    /// The task ends.
    Stopping,
    /// Its preparation or its change-over failed; whoever reported that knows why.
    Failed,
    /// The version it was to roll back does not run any more.
    Moot,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Let the session begin with the installed version.
    Admit(u16),
    /// Make the version, with instances for these sessions.
    Prepare(Ticket, Vec<u16>),
    /// Put it in place before the reader of this session.
    Arm(Ticket, u16),
    /// Take it back; whether that was in time is told as `Crossed` or `NotCrossed`.
    Disarm(Ticket, u16),
    /// The version is what new sessions begin with.
    Install(Ticket),
    /// Every session runs it.
    Done(Ticket),
    /// It came to nothing.
    Refuse(Ticket, Refusal),
    /// The version stays: what it fails on meets the task's error policy.
    EndTrial(Ticket),
    /// Ask for the version before this one, as [`Event::AskBack`].
    RollBack(Ticket, Reason),
}

#[derive(Debug, PartialEq, Eq)]
enum Link {
    Opening,
    Streaming,
}

#[derive(Debug)]
struct Request {
    ticket: Ticket,
    trial: bool,
    back_from: Option<Ticket>,
}

#[derive(Debug)]
struct Work {
    request: Request,
    /// Sessions it is prepared for and that have not reported; empty while it is being prepared.
    waiting: BTreeSet<u16>,
    prepared: bool,
    /// A session has changed over: the rest must follow.
    crossed: bool,
    /// One could not and none has: it is being taken back.
    withdrawn: bool,
    /// Sessions that reported they did not, while it is being taken back.
    staying: BTreeSet<u16>,
}

/// See the module.
#[derive(Debug)]
pub struct Machine {
    limit: usize,
    budget: Budget,
    queue: VecDeque<Request>,
    work: Option<Work>,
    links: BTreeMap<u16, Link>,
    at_the_door: VecDeque<u16>,
    installed: Ticket,
    trial: Option<(Ticket, Spent)>,
    stopping: bool,
    actions: Vec<Action>,
}

impl Machine {
    /// With version `installed` for the first session; at most `limit` requests wait.
    pub fn new(installed: Ticket, limit: usize, budget: Budget) -> Machine {
        Machine {
            limit,
            budget,
            queue: VecDeque::new(),
            work: None,
            links: BTreeMap::new(),
            at_the_door: VecDeque::new(),
            installed,
            trial: None,
            stopping: false,
            actions: Vec::new(),
        }
    }

    /// The version new sessions begin with.
    pub fn installed(&self) -> Ticket {
        self.installed
    }

    /// Another version is what sessions begin with, without a swap: the chain was loaded anew.
    pub fn adopt(&mut self, version: Ticket) {
        self.installed = version;
        self.trial = None;
        // A task that begins anew in this process takes requests again.
        self.stopping = false;
    }

    /// The version on trial and what it has spent.
    pub fn trial(&self) -> Option<(Ticket, Spent)> {
        self.trial
    }

    /// Requests that are not answered, in the order they will be.
    pub fn pending(&self) -> impl Iterator<Item = (Ticket, Phase)> {
        let at_work = self
            .work
            .iter()
            .map(|work| (work.request.ticket, if work.prepared { Phase::Pending } else { Phase::Preparing }));
        at_work.chain(self.queue.iter().map(|request| (request.ticket, Phase::Queued)))
    }

    /// Whether the task ends.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Takes an event in; what is to be done about it, in order.
    pub fn on(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Ask { ticket, trial } => self.ask(Request { ticket, trial, back_from: None }),
            Event::AskBack { ticket, of } => self.ask(Request { ticket, trial: false, back_from: Some(of) }),
            Event::Open(shard) => self.at_the_door.push_back(shard),
            Event::Opened(shard) => {
                if let Some(link) = self.links.get_mut(&shard) {
                    *link = Link::Streaming;
                }
            }
            Event::Closed(shard) => self.closed(shard),
            Event::Prepared(ticket) => self.prepared(ticket),
            Event::Refused(ticket) => {
                if self.work.take_if(|work| work.request.ticket == ticket).is_some() {
                    self.actions.push(Action::Refuse(ticket, Refusal::Failed));
                }
            }
            Event::Crossed(ticket, shard) => self.crossed(ticket, shard),
            Event::NotCrossed(ticket, shard) => self.not_crossed(ticket, shard),
            Event::Fault { version, kind } => self.fault(version, kind),
            Event::TrialOver(version) => {
                if self.trial.take_if(|(on_trial, _)| *on_trial == version).is_some() {
                    self.actions.push(Action::EndTrial(version));
                }
            }
            Event::GoOn => self.stopping = false,
            Event::Stop => {
                self.stopping = true;
                let queue = std::mem::take(&mut self.queue);
                self.actions.extend(queue.iter().map(|waits| Action::Refuse(waits.ticket, Refusal::Stopping)));
            }
        }
        self.next();
        std::mem::take(&mut self.actions)
    }

    fn ask(&mut self, request: Request) {
        if self.stopping {
            self.actions.push(Action::Refuse(request.ticket, Refusal::Stopping));
        } else if request.back_from.is_some() {
            self.queue.push_front(request);
        } else if self.queue.len() >= self.limit {
            self.actions.push(Action::Refuse(request.ticket, Refusal::Full));
        } else {
            self.queue.push_back(request);
        }
    }

    /// Begins what can begin now: sessions first, they are what moves data.
    fn next(&mut self) {
        if self.work.is_some() {
            return;
        }
        while let Some(shard) = self.at_the_door.pop_front() {
            self.links.insert(shard, Link::Opening);
            self.actions.push(Action::Admit(shard));
        }
        if self.links.values().any(|link| *link == Link::Opening) {
            return;
        }
        while let Some(request) = self.queue.pop_front() {
            let ticket = request.ticket;
            if request.back_from.is_some_and(|of| of != self.installed) {
                self.actions.push(Action::Refuse(ticket, Refusal::Moot));
                continue;
            }
            let (waiting, staying) = (BTreeSet::new(), BTreeSet::new());
            self.work = Some(Work { request, waiting, prepared: false, crossed: false, withdrawn: false, staying });
            self.actions.push(Action::Prepare(ticket, self.links.keys().copied().collect()));
            return;
        }
    }

    fn prepared(&mut self, ticket: Ticket) {
        let Some(work) = self.work.as_mut().filter(|work| work.request.ticket == ticket) else { return };
        if self.stopping {
            self.work = None;
            self.actions.push(Action::Refuse(ticket, Refusal::Stopping));
            return;
        }
        work.prepared = true;
        // Sessions that ended meanwhile are gone from the list, none has been added.
        work.waiting = self.links.keys().copied().collect();
        self.actions.extend(work.waiting.iter().map(|shard| Action::Arm(ticket, *shard)));
        self.settle();
    }

    fn crossed(&mut self, ticket: Ticket, shard: u16) {
        let Some(work) = self.work.as_mut().filter(|work| work.request.ticket == ticket && work.prepared) else {
            return;
        };
        work.waiting.remove(&shard);
        if !work.crossed {
            work.crossed = true;
            self.install();
        }
        self.settle();
    }

    fn not_crossed(&mut self, ticket: Ticket, shard: u16) {
        let Some(work) = self.work.as_mut().filter(|work| work.request.ticket == ticket) else { return };
        if !work.waiting.remove(&shard) {
            return;
        }
        work.staying.insert(shard);
        if !work.crossed && !work.withdrawn {
            work.withdrawn = true;
            self.actions.extend(work.waiting.iter().map(|shard| Action::Disarm(ticket, *shard)));
        }
        self.settle();
    }

    fn closed(&mut self, shard: u16) {
        self.links.remove(&shard);
        self.at_the_door.retain(|waits| *waits != shard);
        if let Some(work) = &mut self.work {
            work.waiting.remove(&shard);
            work.staying.remove(&shard);
        }
        self.settle();
    }

    /// Ends or goes on with the swap at work once every session it was put before has reported.
    fn settle(&mut self) {
        let Some(work) = self.work.as_mut().filter(|work| work.prepared) else { return };
        let ticket = work.request.ticket;
        if work.crossed && !work.staying.is_empty() {
            // Where one session runs the new version the others must: they are asked until they do, or end.
            work.withdrawn = false;
            let staying = std::mem::take(&mut work.staying);
            self.actions.extend(staying.iter().map(|shard| Action::Arm(ticket, *shard)));
            work.waiting.extend(staying);
        }
        if !work.waiting.is_empty() {
            return;
        }
        let refusal = match (work.crossed, work.withdrawn, self.stopping) {
            (true, ..) => None,
            (false, true, _) => Some(Refusal::Failed),
            (false, false, true) => Some(Refusal::Stopping),
            // There is no session any more; the next one begins with it.
            (false, false, false) => {
                self.install();
                None
            }
        };
        self.work = None;
        self.actions.push(match refusal {
            Some(refusal) => Action::Refuse(ticket, refusal),
            None => Action::Done(ticket),
        });
    }

    fn install(&mut self) {
        let Some(work) = &self.work else { return };
        let (ticket, trial) = (work.request.ticket, work.request.trial);
        if let Some((before, _)) = self.trial.take() {
            self.actions.push(Action::EndTrial(before));
        }
        // Without a session nothing fails: a version that a session begins with has no version before it there.
        self.trial = (trial && work.crossed).then(|| (ticket, Spent::default()));
        self.installed = ticket;
        self.actions.push(Action::Install(ticket));
    }

    fn fault(&mut self, version: Ticket, kind: Option<FaultKind>) {
        let Some((on_trial, spent)) = &mut self.trial else { return };
        if *on_trial != version {
            return;
        }
        if let Some(reason) = spent.count(kind, &self.budget) {
            self.trial = None;
            if !self.stopping {
                self.actions.push(Action::RollBack(version, reason));
            }
        }
    }
}
