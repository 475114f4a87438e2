//! The shards of one task, each with a life of its own and one person's word for all.
//!
//! Owns what an action means where shards differ, and which effects come once for the whole task. A shard that fails stops no other;
//! an action is carried out for all or for none.

use crate::{Action, Effect, Event, Machine, Refused, Status, worst};

/// The life of a task: that of its shards.
#[derive(Clone, Debug)]
pub struct Fleet {
    shards: Vec<Machine>,
    /// A check for a reset is under way.
    resetting: bool,
}

impl Fleet {
    /// A new task of one shard, until more are known.
    pub fn create(now_ms: i64) -> (Fleet, Vec<Effect>) {
        let (machine, effects) = Machine::create(now_ms);
        (Fleet::of(machine), effects)
    }

    /// A task whose positions were found, as [`Machine::restore`].
    pub fn restore(paused: bool, slots_ready: bool, now_ms: i64) -> (Fleet, Vec<Effect>) {
        let (machine, effects) = Machine::restore(paused, slots_ready, now_ms);
        (Fleet::of(machine), effects)
    }

    /// A task that was stopped for good.
    pub fn over(now_ms: i64) -> Fleet {
        Fleet::of(Machine::over(now_ms))
    }

    fn of(machine: Machine) -> Fleet {
        Fleet { shards: vec![machine], resetting: false }
    }

    /// So many shards the task has; new ones are where the first is. None is no number of shards.
    pub fn resize(&mut self, count: usize) {
        if let Some(first) = self.shards.first().cloned() {
            self.shards.resize(count.max(1), first);
        }
    }

    /// The status of the task: the worst of its shards'.
    pub fn status(&self) -> Status {
        worst(self.shards.iter().map(Machine::status)).unwrap_or(Status::Creating)
    }

    /// The shards by number.
    pub fn shards(&self) -> &[Machine] {
        &self.shards
    }

    /// One shard, to be told what is its own affair.
    pub fn shard(&mut self, number: u16) -> Option<&mut Machine> {
        self.shards.get_mut(usize::from(number))
    }

    /// True while a check for a reset is under way.
    pub fn is_resetting(&self) -> bool {
        self.resetting
    }

    /// True where a forced stop is what is offered first.
    pub fn prefers_forced_stop(&self) -> bool {
        self.shards.iter().any(Machine::prefers_forced_stop)
    }

    /// Takes an action of a person, for all shards or for none. A resume is for those that are paused or failed, a reset for all once one
    /// of them may be reset; everything else needs the consent of each.
    ///
    /// # Errors
    /// The first refusal; nothing has changed then.
    pub fn act(&mut self, action: Action, now_ms: i64) -> Result<Vec<Effect>, Refused> {
        let mut after = self.clone();
        let mut effects = Vec::new();
        let (mut accepted, mut refused) = (false, None);
        for machine in &mut after.shards {
            match machine.act(action, now_ms) {
                Ok(more) => {
                    accepted = true;
                    add(&mut effects, more);
                }
                Err(no) => {
                    let flows = matches!(machine.status(), Status::Incremental | Status::Starting);
                    let goes_along = match action {
                        Action::Resume => flows,
                        Action::Reset => flows && !machine.is_changing_objects(),
                        _ => false,
                    };
                    if !goes_along {
                        return Err(no);
                    }
                    refused = Some(no);
                }
            }
        }
        if let (false, Some(refused)) = (accepted, refused) {
            return Err(refused);
        }
        after.resetting = action == Action::Reset;
        after.hold_release(&mut effects);
        *self = after;
        Ok(effects)
    }

    /// Takes an event of the whole task.
    pub fn event(&mut self, event: Event, now_ms: i64) -> Vec<Effect> {
        let checked = matches!(event, Event::Checked(_));
        let resetting = checked && std::mem::take(&mut self.resetting);
        let stopping = self.shards.iter().any(|machine| machine.status() == Status::Stopping);
        let mut effects = Vec::new();
        for machine in &mut self.shards {
            if resetting && event == Event::Checked(100) {
                // One that failed, or came to stream, while the check ran is reset like the others.
                machine.reset_along();
            }
            let event = match event {
                // A stop in order that could not deliver what was read keeps every slot of the task.
                Event::Failed(_) if stopping && machine.status() == Status::Completing => Event::ReleaseFailed,
                event => event,
            };
            add(&mut effects, machine.event(event, now_ms));
        }
        self.hold_release(&mut effects);
        effects
    }

    /// Takes an event of one shard.
    pub fn shard_event(&mut self, number: u16, event: Event, now_ms: i64) -> Vec<Effect> {
        self.shard(number).map_or_else(Vec::new, |machine| machine.event(event, now_ms))
    }

    /// No slot is dropped while another shard still delivers: its own release will come.
    fn hold_release(&self, effects: &mut Vec<Effect>) {
        if self.shards.iter().any(|machine| machine.status() == Status::Stopping) {
            effects.retain(|effect| *effect != Effect::Release);
        }
    }
}

fn add(effects: &mut Vec<Effect>, more: Vec<Effect>) {
    for effect in more {
        if !effects.contains(&effect) {
            effects.push(effect);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    /// Two shards that stream.
    fn two() -> Fleet {
        let (mut fleet, _) = Fleet::restore(false, true, 0);
        fleet.resize(2);
        fleet.event(Event::Streaming, 0);
        assert_eq!(fleet.status(), Status::Incremental);
        fleet
    }

    #[test]
    fn a_failed_shard_is_the_tasks_status_and_stops_no_other() {
        let mut fleet = two();
        assert_eq!(fleet.shard_event(1, Event::Failed(Fault::Network), 0), [Effect::RetryStream { attempt: 1 }]);
        assert_eq!(fleet.status(), Status::IncrementalFailed);
        assert_eq!(fleet.shards()[0].status(), Status::Incremental);
        assert!(fleet.act(Action::Pause, 0).is_err(), "all or none");
        assert_eq!(fleet.shards()[0].status(), Status::Incremental);
        fleet.act(Action::Resume, 0).unwrap();
        assert_eq!(
            fleet.shards().iter().map(Machine::status).collect::<Vec<_>>(),
            [Status::Incremental, Status::Starting]
        );
        fleet.shard_event(1, Event::Streaming, 0);
        assert!(fleet.act(Action::Resume, 0).is_err(), "none is paused or failed");
        assert_eq!(fleet.act(Action::Pause, 0).unwrap(), [Effect::Drain]);
    }

    #[test]
    fn a_reset_of_one_is_a_reset_of_all() {
        let mut fleet = two();
        assert!(fleet.act(Action::Reset, 0).is_err());
        fleet.shard_event(1, Event::Failed(Fault::Authentication), 0);
        assert_eq!(fleet.act(Action::Reset, 0).unwrap(), [Effect::Check]);
        assert_eq!(fleet.event(Event::Checked(90), 0), []);
        assert_eq!(fleet.shards()[0].status(), Status::Incremental, "a check that fails changes nothing");
        fleet.act(Action::Reset, 0).unwrap();
        fleet.shard_event(0, Event::Failed(Fault::Network), 0);
        assert_eq!(fleet.event(Event::Checked(100), 0), [Effect::Disconnect, Effect::Release]);
        let begun = fleet.event(Event::Released, 0);
        assert_eq!(begun, [Effect::RecordPaused(false), Effect::CreateSlots]);
        assert!(fleet.shards().iter().all(|machine| machine.status() == Status::Starting));
    }

    #[test]
    fn a_stop_drops_no_slot_before_every_shard_has_delivered() {
        let mut fleet = two();
        fleet.shard_event(1, Event::Failed(Fault::Authentication), 0);
        let effects = fleet.act(Action::Stop, 0).unwrap();
        assert!(effects.contains(&Effect::Drain) && !effects.contains(&Effect::Release), "{effects:?}");
        let mut failing = fleet.clone();
        assert!(fleet.event(Event::Drained, 0).contains(&Effect::Release));
        fleet.event(Event::Released, 0);
        assert_eq!(fleet.status(), Status::Completed);
        failing.event(Event::Failed(Fault::Network), 0);
        assert!(failing.shards().iter().all(|machine| machine.status() == Status::StopFailed));
        assert!(failing.act(Action::Stop, 0).unwrap().contains(&Effect::Release));
    }
}
