//! Random actions and events against a model of both sides. The model carries out every effect as a driver would and checks, at every
//! step, what must hold: no log is given up that holds undelivered changes unless a person ended or reset the task (I1), positions
//! and slots live and die together (I2), streams are opened one at a time and only behind what is durable (I3).

#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

use std::sync::atomic::{AtomicU32, Ordering};

use millrace_lifecycle::{Action, Effect, Event, Fault, Machine, Status};
use proptest::prelude::*;

/// What a driver and both sides would know.
#[derive(Debug, Default)]
struct World {
    now_ms: i64,
    slot: bool,
    /// A durable position exists.
    position: bool,
    streaming: bool,
    pending: Vec<Effect>,
    /// A person asked for something that gives the slot up.
    given_up: bool,
    passwords_good: bool,
    refused_log_in: bool,
    credentials: bool,
    paused_durable: bool,
    /// Something was read and is not delivered.
    undelivered: bool,
    /// A person asked to stop in order: what was read comes first.
    deliver_first: bool,
    /// Tries after faults that are neither of the network nor of a log-in, since anything was delivered for good or a person acted.
    tries: u32,
    /// Another gateway runs the task.
    taken_over: bool,
}

impl World {
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Stream | Effect::RetryStream { .. } | Effect::CreateSlots | Effect::RetrySlots { .. } => {
                    assert!(!self.refused_log_in, "a log-in that was refused is tried again by itself: {effect:?}");
                    assert!(!self.taken_over, "a task that was taken over is taken back by itself: {effect:?}");
                    assert!(self.credentials, "credentials are erased");
                    // A new opening takes the place of one that is still to come, as a driver has one connection per shard.
                    self.pending.retain(|pending| {
                        !matches!(
                            pending,
                            Effect::Stream
                                | Effect::RetryStream { .. }
                                | Effect::CreateSlots
                                | Effect::RetrySlots { .. }
                        )
                    });
                    self.pending.push(effect);
                }
                Effect::Disconnect => {
                    self.streaming = false;
                    self.pending.retain(|pending| matches!(pending, Effect::Check | Effect::Build | Effect::Release));
                }
                Effect::RecordPaused(paused) => self.paused_durable = paused,
                Effect::DiscardPositions => {
                    assert!(self.given_up, "positions are discarded only where a person ended the task");
                    self.position = false;
                }
                Effect::EraseCredentials => self.credentials = false,
                Effect::UsePasswords => self.passwords_good = true,
                Effect::Release => {
                    assert!(self.given_up, "slots are dropped only by stop, forced stop and reset");
                    assert!(!self.streaming, "a slot in use is not dropped");
                    assert!(!(self.deliver_first && self.undelivered), "a stop in order delivers what was read first");
                    self.pending.push(effect);
                }
                Effect::Build | Effect::Check | Effect::Drain | Effect::ApplyObjects => self.pending.push(effect),
                Effect::FreeResources | Effect::TellCleanup | Effect::WarnPausedLong => {}
            }
        }
    }

    /// Tells the machine of a fault, and counts what it makes of it.
    fn fails(&mut self, machine: &mut Machine, fault: Fault) {
        self.refused_log_in |= fault == Fault::Authentication;
        let effects = machine.event(Event::Failed(fault), self.now_ms);
        let retried = |effect: &Effect| matches!(effect, Effect::RetryStream { .. } | Effect::RetrySlots { .. });
        if fault == Fault::Other && effects.iter().any(retried) {
            self.tries += 1;
            assert!(self.tries <= 3, "a fault that is not the network's is tried again for ever");
        }
        // Told before it leads to anything: what opens again now would take the task back.
        self.taken_over |= fault == Fault::TakenOver;
        self.take(effects);
    }

    /// Carries out one thing that is under way, well or badly.
    fn carry_out(&mut self, machine: &mut Machine, which: usize, well: bool, fault: Fault) {
        if self.pending.is_empty() {
            return;
        }
        let effect = self.pending.remove(which % self.pending.len());
        let fault = if self.passwords_good { fault } else { Fault::Authentication };
        let fault = if fault == Fault::Authentication && self.passwords_good { Fault::Other } else { fault };
        let event = match effect {
            Effect::Build if well => Event::Built,
            Effect::Build => Event::BuildFailed,
            Effect::Check => Event::Checked(if well { 100 } else { 96 }),
            Effect::CreateSlots | Effect::RetrySlots { .. } if well && self.passwords_good => {
                (self.slot, self.position) = (true, true);
                self.given_up = false;
                Event::SlotsReady
            }
            Effect::Stream | Effect::RetryStream { .. } if well && self.passwords_good => {
                assert!(self.slot && self.position, "a stream needs its slot and its position");
                assert!(!self.paused_durable, "a paused task must not be restarted as a running one");
                (self.streaming, self.undelivered) = (true, true);
                Event::Streaming
            }
            Effect::CreateSlots | Effect::RetrySlots { .. } | Effect::Stream | Effect::RetryStream { .. } => {
                return self.fails(machine, fault);
            }
            Effect::Drain if well => {
                (self.streaming, self.undelivered) = (false, false);
                Event::Drained
            }
            Effect::Drain => {
                self.streaming = false;
                return self.fails(machine, fault);
            }
            Effect::ApplyObjects => {
                if well {
                    Event::ObjectsApplied
                } else {
                    Event::ObjectsFailed
                }
            }
            Effect::Release if well => {
                self.slot = false;
                Event::Released
            }
            Effect::Release => Event::ReleaseFailed,
            other => unreachable!("{other:?} has no outcome"),
        };
        let effects = machine.event(event, self.now_ms);
        self.take(effects);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Act(Action),
    CarryOut(usize, bool, Fault),
    Break(Fault),
    PasswordsChange,
    /// A position became durable.
    Progress,
    Wait(i64),
    Crash,
    Runtime(bool),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        1 => Just(Action::Edit),
        6 => Just(Action::Check),
        3 => Just(Action::EditObjects),
        1 => Just(Action::EditInformation),
        1 => Just(Action::EditTags),
        1 => (0..10_000i64).prop_map(|at_ms| Action::EditStartTime { at_ms }),
        3 => Just(Action::EditPasswords),
        8 => Just(Action::Start),
        1 => (0..10_000i64).prop_map(|at_ms| Action::StartAt { at_ms }),
        4 => Just(Action::Pause),
        5 => Just(Action::Resume),
        1 => Just(Action::Reset),
        1 => Just(Action::Stop),
        1 => Just(Action::ForcedStop),
        1 => Just(Action::Delete),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::Network),
        4 => Just(Fault::Other),
        2 => Just(Fault::Authentication),
        1 => Just(Fault::TakenOver),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => action().prop_map(Step::Act),
        16 => (0..4usize, proptest::bool::weighted(0.85), fault()).prop_map(|(n, well, fault)| Step::CarryOut(n, well, fault)),
        1 => fault().prop_map(Step::Break),
        1 => Just(Step::PasswordsChange),
        1 => Just(Step::Progress),
        1 => prop_oneof![Just(1_000i64), Just(100_000_000i64)].prop_map(Step::Wait),
        1 => Just(Step::Crash),
        1 => any::<bool>().prop_map(Step::Runtime),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    fn invariants_hold_at_every_step(steps in proptest::collection::vec(step(), 1..200)) {
        let mut world = World { passwords_good: true, credentials: true, ..World::default() };
        let (mut machine, effects) = Machine::create(0);
        world.take(effects);
        for step in steps {
            let before = machine.status();
            match step {
                Step::Act(action) => {
                    let mended = matches!(action, Action::EditPasswords | Action::Resume | Action::Reset);
                    let gives_up = matches!(action, Action::Stop | Action::ForcedStop | Action::Reset | Action::Delete);
                    // The person's word counts before what it leads to.
                    let (refused_log_in, given_up) = (world.refused_log_in, world.given_up);
                    let (tries, taken_over) = (world.tries, world.taken_over);
                    if mended || matches!(action, Action::Start) {
                        (world.tries, world.taken_over) = (0, false);
                    }
                    world.refused_log_in &= !mended;
                    world.given_up |= gives_up;
                    let deliver_first = world.deliver_first;
                    if gives_up {
                        world.deliver_first = action == Action::Stop && before == Status::Incremental;
                    }
                    match machine.act(action, world.now_ms) {
                        Ok(effects) => world.take(effects),
                        Err(refused) => {
                            prop_assert_eq!(machine.status(), before, "a refusal changes nothing");
                            prop_assert!(!refused.why.is_empty() && !refused.mend.is_empty());
                            (world.refused_log_in, world.given_up) = (refused_log_in, given_up);
                            (world.tries, world.taken_over) = (tries, taken_over);
                            world.deliver_first = deliver_first;
                        }
                    }
                }
                Step::CarryOut(which, well, fault) => world.carry_out(&mut machine, which, well, fault),
                Step::Break(fault) if world.streaming => {
                    world.streaming = false;
                    let fault = if world.passwords_good && fault == Fault::Authentication { Fault::Network } else { fault };
                    world.pending.retain(|pending| *pending != Effect::Drain && *pending != Effect::ApplyObjects);
                    world.fails(&mut machine, fault);
                }
                Step::Break(_) => {}
                Step::PasswordsChange => world.passwords_good = false,
                Step::Progress if world.streaming => {
                    world.tries = 0;
                    let effects = machine.event(Event::Progressed, world.now_ms);
                    prop_assert_eq!(effects, vec![]);
                }
                Step::Progress => {}
                Step::Wait(ms) => {
                    world.now_ms += ms;
                    let effects = machine.event(Event::Tick, world.now_ms);
                    world.take(effects);
                }
                Step::Runtime(heals) if world.streaming && machine.status() == Status::Incremental => {
                    world.streaming = false;
                    world.pending.clear();
                    let effects = machine.event(Event::RuntimeFault, world.now_ms);
                    SEEN[machine.status() as usize].fetch_add(1, Ordering::Relaxed);
                    world.take(effects);
                    prop_assert!(machine.act(Action::Stop, world.now_ms).is_err(), "a task under repair is not stopped");
                    world.pending.clear();
                    let effects = machine.event(if heals { Event::Repaired } else { Event::RepairFailed }, world.now_ms);
                    world.take(effects);
                }
                Step::Runtime(_) => {}
                // What a restart knows is what is durable: position, slot, pause. A task that is over is not run again.
                Step::Crash if world.position && world.credentials && !world.refused_log_in && !world.given_up => {
                    world.streaming = false;
                    // A new process is started by somebody.
                    (world.tries, world.taken_over) = (0, false);
                    world.pending.clear();
                    let (restored, effects) = Machine::restore(world.paused_durable, world.slot, world.now_ms);
                    machine = restored;
                    world.take(effects);
                    prop_assert_eq!(machine.status() == Status::Paused, world.paused_durable);
                }
                Step::Crash => {}
            }
            let status = machine.status();
            SEEN[status as usize].fetch_add(1, Ordering::Relaxed);
            if status == Status::Incremental {
                prop_assert!(world.slot && world.position, "changes flow only from a slot with a position");
            }
            if matches!(status, Status::Paused | Status::Incremental) {
                prop_assert_eq!(status == Status::Paused, world.paused_durable, "what a restart runs is what ran");
            }
            if world.streaming {
                prop_assert!(matches!(status, Status::Incremental | Status::Pausing | Status::Stopping), "streaming in {status:?}");
            }
            if matches!(status, Status::Completed | Status::Deleted) {
                prop_assert!(!world.streaming && !world.credentials, "what is over holds nothing");
                let opens = |pending: &Effect| matches!(pending, Effect::Stream | Effect::RetryStream { .. });
                prop_assert!(!world.pending.iter().any(opens), "what is over opens nothing");
            }
            if before == Status::Completed {
                prop_assert!(matches!(status, Status::Completed | Status::Deleted), "a completed task is never run again");
            }
        }
    }
}

/// How often the random walks were in each status: a test that never gets anywhere proves nothing.
static SEEN: [AtomicU32; 19] = [const { AtomicU32::new(0) }; 19];

#[test]
fn random_lives_hold_the_invariants_and_reach_every_status() {
    invariants_hold_at_every_step();
    for status in Status::ALL {
        let seen = SEEN[status as usize].load(Ordering::Relaxed);
        let subtask = matches!(status, Status::Modifying | Status::ModifyFailed);
        assert!(subtask || seen > 20, "{status:?} was reached {seen} times");
    }
}

/// Status by action: allowed or not, as documented. `+` allowed.
#[test]
fn the_table_of_allowed_actions() {
    let stoppable = "Configuration PendingStart Incremental IncrementalFailed Paused StopFailed";
    let cases: [(&str, Action, &str); 10] = [
        ("check", Action::Check, "Configuration"),
        ("edit", Action::Edit, "Creating Configuration"),
        ("edit-objects", Action::EditObjects, "Incremental"),
        ("pause", Action::Pause, "Incremental"),
        ("resume", Action::Resume, "IncrementalFailed Paused"),
        ("reset", Action::Reset, "IncrementalFailed Paused StartFailed"),
        ("stop", Action::Stop, stoppable),
        ("edit-start-time", Action::EditStartTime { at_ms: 1 }, "PendingStart"),
        ("delete", Action::Delete, "CreateFailed StartFailed IncrementalFailed RebuildFailed StopFailed Completed"),
        ("start", Action::Start, "Configuration PendingStart"),
    ];
    for (name, action, allowed) in cases {
        assert_eq!(action.name(), name);
        for status in Status::ALL {
            let Some(mut machine) = reach(status) else { continue };
            let allowed = allowed.split(' ').any(|known| known == format!("{status:?}"))
                || status == Status::Creating && action == Action::Stop;
            assert_eq!(machine.act(action, 0).is_ok(), allowed, "{name} in {status:?}");
        }
    }
}

/// A machine in a status, by the shortest way. `None` for the two that only a subtask shows.
fn reach(status: Status) -> Option<Machine> {
    let (mut machine, _) = Machine::create(0);
    let run = |machine: &mut Machine| {
        machine.event(Event::Built, 0);
        machine.event(Event::Checked(100), 0);
        machine.act(Action::Start, 0).unwrap();
        machine.event(Event::SlotsReady, 0);
        machine.event(Event::Streaming, 0);
    };
    match status {
        Status::Creating => {}
        Status::CreateFailed => drop(machine.event(Event::BuildFailed, 0)),
        Status::Configuration | Status::PendingStart | Status::Starting | Status::StartFailed => {
            machine.event(Event::Built, 0);
            machine.event(Event::Checked(100), 0);
            match status {
                Status::PendingStart => drop(machine.act(Action::StartAt { at_ms: 9 }, 0).unwrap()),
                Status::Starting | Status::StartFailed => {
                    machine.act(Action::Start, 0).unwrap();
                    if status == Status::StartFailed {
                        machine.event(Event::Failed(Fault::Other), 0);
                    }
                }
                _ => {}
            }
        }
        Status::Modifying | Status::ModifyFailed => return None,
        _ => {
            run(&mut machine);
            match status {
                Status::IncrementalFailed => drop(machine.event(Event::Failed(Fault::Authentication), 0)),
                Status::Rebuilding => drop(machine.event(Event::RuntimeFault, 0)),
                Status::RebuildFailed => {
                    machine.event(Event::RuntimeFault, 0);
                    machine.event(Event::RepairFailed, 0);
                }
                Status::Pausing | Status::Paused => {
                    machine.act(Action::Pause, 0).unwrap();
                    if status == Status::Paused {
                        machine.event(Event::Drained, 0);
                    }
                }
                Status::Stopping | Status::Completing | Status::StopFailed | Status::Completed | Status::Deleted => {
                    machine.act(Action::Stop, 0).unwrap();
                    if status != Status::Stopping {
                        machine.event(Event::Drained, 0);
                    }
                    match status {
                        Status::StopFailed => drop(machine.event(Event::ReleaseFailed, 0)),
                        Status::Completed => drop(machine.event(Event::Released, 0)),
                        Status::Deleted => {
                            machine.event(Event::Released, 0);
                            machine.act(Action::Delete, 0).unwrap();
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
    assert_eq!(machine.status(), status);
    Some(machine)
}

#[test]
fn three_tries_then_a_person_but_the_network_for_ever() {
    let mut machine = reach(Status::Incremental).unwrap();
    for attempt in 1..=3 {
        assert_eq!(machine.event(Event::Failed(Fault::Other), 0), [Effect::RetryStream { attempt }]);
        assert!(attempt == 3 || !machine.waits_for_person());
    }
    assert_eq!(machine.event(Event::Failed(Fault::Other), 0), [Effect::Disconnect]);
    assert!(machine.waits_for_person() && machine.status() == Status::IncrementalFailed);

    let mut machine = reach(Status::Incremental).unwrap();
    for attempt in 1..=1000 {
        assert_eq!(machine.event(Event::Failed(Fault::Network), 0), [Effect::RetryStream { attempt }]);
    }
    machine.event(Event::Streaming, 0);
    assert_eq!(machine.status(), Status::Incremental);
    assert_eq!(machine.event(Event::Failed(Fault::Other), 0), [Effect::RetryStream { attempt: 1 }]);
}

#[test]
fn a_stale_password_waits_for_the_new_one() {
    let mut machine = reach(Status::Incremental).unwrap();
    assert_eq!(machine.event(Event::Failed(Fault::Authentication), 0), [Effect::Disconnect]);
    assert!(machine.waits_for_person());
    assert_eq!(
        machine.act(Action::EditPasswords, 0).unwrap(),
        [Effect::UsePasswords, Effect::RetryStream { attempt: 1 }]
    );
}

#[test]
fn a_start_needs_a_full_check_and_an_edit_takes_it_away() {
    let mut machine = reach(Status::Configuration).unwrap();
    machine.act(Action::Edit, 0).unwrap();
    let refused = machine.act(Action::Start, 0).unwrap_err();
    assert_eq!((refused.failure().code, refused.failure().is_definite()), ("action_refused", true));
    machine.event(Event::Checked(96), 0);
    assert!(machine.act(Action::Start, 0).is_err());
    machine.event(Event::Checked(100), 0);
    assert_eq!(machine.act(Action::Start, 0).unwrap(), [Effect::CreateSlots]);
}

#[test]
fn a_reset_after_a_lost_slot_needs_no_new_configuration() {
    let mut machine = reach(Status::StartFailed).unwrap();
    assert_eq!(machine.act(Action::Reset, 0).unwrap(), [Effect::Check]);
    assert_eq!(machine.event(Event::Checked(96), 0), []);
    assert_eq!(machine.status(), Status::StartFailed);
    machine.act(Action::Reset, 0).unwrap();
    assert_eq!(machine.event(Event::Checked(100), 0), [Effect::Disconnect, Effect::Release]);
    assert_eq!(machine.event(Event::Released, 0), [Effect::RecordPaused(false), Effect::CreateSlots]);
    assert_eq!(machine.status(), Status::Starting);
}

#[test]
fn time_starts_frees_and_warns() {
    let day = 24 * 3_600_000;
    let mut machine = reach(Status::PendingStart).unwrap();
    assert_eq!(machine.event(Event::Tick, 8), []);
    assert_eq!(machine.event(Event::Tick, 9), [Effect::CreateSlots]);

    let mut machine = reach(Status::Configuration).unwrap();
    assert_eq!(machine.event(Event::Tick, 3 * day), [Effect::FreeResources]);
    assert_eq!((machine.status(), machine.event(Event::Tick, 4 * day)), (Status::Configuration, vec![]));
    assert_eq!(machine.act(Action::Edit, 4 * day).unwrap(), [Effect::Build]);

    let mut machine = reach(Status::CreateFailed).unwrap();
    machine.event(Event::Tick, 3 * day);
    assert_eq!(machine.status(), Status::Completed);

    let mut machine = reach(Status::Paused).unwrap();
    assert_eq!(machine.event(Event::Tick, day), [Effect::WarnPausedLong]);
    assert_eq!(machine.event(Event::Tick, 2 * day), []);
}

#[test]
fn a_forced_stop_ends_with_both_sides_away() {
    let mut machine = reach(Status::IncrementalFailed).unwrap();
    assert!(machine.prefers_forced_stop());
    assert_eq!(machine.act(Action::ForcedStop, 0).unwrap(), [Effect::Disconnect, Effect::Release]);
    assert_eq!(
        machine.event(Event::ReleaseFailed, 0),
        [Effect::DiscardPositions, Effect::TellCleanup, Effect::EraseCredentials]
    );
    assert_eq!(machine.status(), Status::Completed);
    assert!(machine.act(Action::Resume, 0).is_err());
}

/// Found by the random walks: between the new set of tables and the stream that carries it nothing flows that a second edit could drain.
#[test]
fn an_edit_of_objects_ends_when_changes_flow_again() {
    let mut machine = reach(Status::Incremental).unwrap();
    assert_eq!(machine.act(Action::EditObjects, 0).unwrap(), [Effect::Drain]);
    assert_eq!(machine.event(Event::Drained, 0), [Effect::ApplyObjects]);
    assert_eq!(machine.event(Event::ObjectsFailed, 0), [Effect::Stream]);
    assert!(machine.act(Action::EditObjects, 0).is_err());
    assert!(machine.act(Action::Pause, 0).is_err());
    assert!(machine.event(Event::Streaming, 0).is_empty());
    assert!(machine.act(Action::EditObjects, 0).is_ok());
}
