//! The machine walked at random beside a model of sessions and of whoever prepares versions.

use std::collections::{BTreeMap, BTreeSet};

use millrace_host::FaultKind;
use proptest::prelude::*;

use super::*;

/// What the world may do next; numbers choose among what is possible.
#[derive(Clone, Debug)]
enum Step {
    Ask,
    Open(u16),
    Opened,
    Close(usize),
    Prepare(bool),
    Cross(usize, bool),
    Fault(u8),
    TrialOver,
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Ask),
        4 => (0u16..3).prop_map(Step::Open),
        8 => Just(Step::Opened),
        2 => (0usize..3).prop_map(Step::Close),
        9 => prop::bool::weighted(0.85).prop_map(Step::Prepare),
        12 => (0usize..3, prop::bool::weighted(0.85)).prop_map(|(at, crosses)| Step::Cross(at, crosses)),
        5 => (0u8..4).prop_map(Step::Fault),
        1 => Just(Step::TrialOver),
    ];
    let stop = prop::option::weighted(0.3, Just(Step::Stop));
    (prop::collection::vec(step, 0..150), stop).prop_map(|(mut steps, stop)| {
        let middle = steps.len() / 2;
        stop.into_iter().for_each(|stop| steps.insert(middle, stop));
        steps
    })
}

const LIMIT: usize = 4;

struct World {
    machine: Machine,
    next: Ticket,
    /// Asked and not answered, in order; roll backs are not in it.
    asked: Vec<Ticket>,
    answered: BTreeSet<Ticket>,
    /// Version each session runs; `None` while it is opening.
    running: BTreeMap<u16, Option<Ticket>>,
    /// Sessions that knocked and were not let in.
    knocking: BTreeSet<u16>,
    preparing: Option<Ticket>,
    armed: BTreeMap<u16, Ticket>,
    /// Disarmed: will report at the next occasion.
    disarmed: BTreeMap<u16, Ticket>,
    installed: Ticket,
    refused: BTreeSet<Ticket>,
    rolled_back: Vec<Ticket>,
    stopped: bool,
}

impl World {
    fn new() -> World {
        let budget = Budget { traps: 1, deadlines: 1, errors: 1 };
        World {
            machine: Machine::new(1, LIMIT, budget),
            next: 1,
            asked: Vec::new(),
            answered: BTreeSet::new(),
            running: BTreeMap::new(),
            knocking: BTreeSet::new(),
            preparing: None,
            armed: BTreeMap::new(),
            disarmed: BTreeMap::new(),
            installed: 1,
            refused: BTreeSet::new(),
            rolled_back: Vec::new(),
            stopped: false,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next += 1;
        self.next
    }

    fn tell(&mut self, event: Event) {
        for action in self.machine.on(event) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Admit(shard) => {
                assert!(self.knocking.remove(&shard), "only who knocks is let in");
                assert!(self.preparing.is_none() && self.armed.is_empty(), "sessions begin between swaps");
                self.running.insert(shard, None);
            }
            Action::Prepare(ticket, shards) => {
                assert!(self.preparing.is_none() && self.armed.is_empty(), "one at a time");
                assert!(self.running.values().all(Option::is_some), "nobody is just beginning");
                assert_eq!(shards, self.running.keys().copied().collect::<Vec<_>>(), "for every session");
                if let Some(at) = self.asked.iter().position(|asked| *asked == ticket) {
                    assert!(
                        self.asked[..at].iter().all(|before| self.answered.contains(before)),
                        "first come, first served"
                    );
                }
                self.preparing = Some(ticket);
            }
            Action::Arm(ticket, shard) => {
                assert!(self.running.contains_key(&shard), "the session is there");
                assert!(!self.refused.contains(&ticket));
                assert!(self.armed.insert(shard, ticket).is_none(), "once");
            }
            Action::Disarm(ticket, shard) => {
                assert_eq!(self.armed.remove(&shard), Some(ticket));
                self.disarmed.insert(shard, ticket);
            }
            Action::Install(ticket) => self.installed = ticket,
            Action::Done(ticket) => {
                self.answer(ticket);
                assert!(self.running.values().all(|runs| *runs == Some(ticket)), "every session runs what is done");
                assert_eq!(self.installed, ticket);
            }
            Action::Refuse(ticket, refusal) => {
                self.answer(ticket);
                self.refused.insert(ticket);
                assert!(self.running.values().all(|runs| *runs != Some(ticket)), "no session runs what was refused");
                assert_ne!(self.installed, ticket);
                assert!(refusal != Refusal::Stopping || self.stopped);
            }
            Action::EndTrial(version) => assert!(!self.rolled_back.contains(&version)),
            Action::RollBack(of, _) => {
                assert!(!self.stopped && !self.rolled_back.contains(&of));
                self.rolled_back.push(of);
                let ticket = self.ticket();
                self.tell(Event::AskBack { ticket, of });
            }
        }
    }

    fn answer(&mut self, ticket: Ticket) {
        assert!(self.answered.insert(ticket), "{ticket} is answered once");
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Ask => {
                let ticket = self.ticket();
                self.asked.push(ticket);
                self.tell(Event::Ask { ticket, trial: true });
            }
            Step::Open(shard) => {
                if !self.running.contains_key(shard) && self.knocking.insert(*shard) {
                    self.tell(Event::Open(*shard));
                }
            }
            Step::Opened => {
                if let Some(shard) = self.running.iter().find(|(_, runs)| runs.is_none()).map(|(shard, _)| *shard) {
                    self.running.insert(shard, Some(self.installed));
                    self.tell(Event::Opened(shard));
                }
            }
            Step::Close(at) => {
                if let Some(shard) = self.running.keys().nth(*at).copied() {
                    self.running.remove(&shard);
                    self.armed.remove(&shard);
                    self.disarmed.remove(&shard);
                    self.tell(Event::Closed(shard));
                }
            }
            Step::Prepare(works) => {
                if let Some(ticket) = self.preparing.take() {
                    self.tell(if *works { Event::Prepared(ticket) } else { Event::Refused(ticket) });
                }
            }
            Step::Cross(at, crosses) => {
                let reports: Vec<(u16, Ticket)> =
                    self.armed.iter().chain(&self.disarmed).map(|(s, t)| (*s, *t)).collect();
                if let Some((shard, ticket)) = reports.get(*at).copied() {
                    self.armed.remove(&shard);
                    // A reader that had taken it when it was disarmed crosses all the same.
                    self.disarmed.remove(&shard);
                    if *crosses {
                        self.running.insert(shard, Some(ticket));
                        self.tell(Event::Crossed(ticket, shard));
                    } else {
                        self.tell(Event::NotCrossed(ticket, shard));
                    }
                }
            }
            Step::Fault(kind) => {
                let kind = [None, Some(FaultKind::Trap), Some(FaultKind::Deadline), Some(FaultKind::Guest)]
                    [usize::from(*kind)];
                self.tell(Event::Fault { version: self.installed, kind });
            }
            Step::TrialOver => self.tell(Event::TrialOver(self.installed)),
            Step::Stop => {
                self.stopped = true;
                self.tell(Event::Stop);
            }
        }
        let unanswered = self.asked.iter().filter(|asked| !self.answered.contains(asked)).count();
        assert!(unanswered <= LIMIT + 1, "the queue is bounded");
        assert_eq!(self.machine.installed(), self.installed);
    }

    /// Lets everything come to rest: everybody who is asked answers.
    fn rest(&mut self) {
        for _ in 0..1000 {
            self.step(&Step::Opened);
            self.step(&Step::Prepare(true));
            self.step(&Step::Cross(0, true));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn every_request_is_answered_once_and_all_sessions_run_the_same(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.rest();
        prop_assert_eq!(world.machine.pending().count(), 0);
        prop_assert!(world.asked.iter().all(|asked| world.answered.contains(asked)), "nobody waits for ever");
        prop_assert!(world.knocking.is_empty(), "nobody stands before the door for ever");
        prop_assert!(world.running.values().all(|runs| *runs == Some(world.installed)));
    }
}

#[test]
fn a_version_that_spends_its_budget_is_rolled_back_before_what_waits() {
    let mut world = World::new();
    for step in [Step::Open(0), Step::Opened, Step::Ask, Step::Prepare(true), Step::Cross(0, true)] {
        world.step(&step);
    }
    assert_eq!((world.installed, world.running[&0]), (2, Some(2)));
    world.step(&Step::Fault(1));
    assert!(world.rolled_back.is_empty(), "one trap is within the budget");
    world.step(&Step::Fault(0));
    assert_eq!(world.rolled_back, [2]);
    assert_eq!(world.preparing, Some(3), "the version before is asked for at once");
    world.step(&Step::Fault(1));
    world.rest();
    assert_eq!((world.installed, world.rolled_back.len()), (3, 1), "once");
    assert_eq!(world.machine.trial(), None, "what is rolled back to is not on trial");
}

#[test]
fn a_swap_that_waits_when_the_task_ends_is_refused_and_one_without_a_session_is_for_the_next() {
    let mut world = World::new();
    world.step(&Step::Ask);
    world.step(&Step::Prepare(true));
    assert_eq!(world.installed, 2, "without a session it is installed at once");
    for step in [Step::Open(0), Step::Opened, Step::Ask, Step::Ask, Step::Prepare(true)] {
        world.step(&step);
    }
    assert_eq!(world.machine.pending().collect::<Vec<_>>(), [(3, Phase::Pending), (4, Phase::Queued)]);
    world.step(&Step::Stop);
    world.step(&Step::Close(0));
    assert!(world.refused.contains(&3) && world.refused.contains(&4));
    assert_eq!(world.installed, 2);
}
