//! What the machine asks for, carried out, and what it came to, told.
//!
//! Owns the order: sessions have ended before anything here begins. Blocking work and waiting are here, the rules are not.

use std::{sync::atomic::Ordering, time::Duration};

use millrace_batch::Failure;
use millrace_lifecycle::{Action, Effect, Event, Fault, Fleet, Status};

use super::{Life, Next, OfShard, Resting};
use crate::{
    config::{StartAt, Task},
    observe::State,
    task::{Swaps, now_millis, release},
};

/// Longest time for dropping slots, where their task is stopped in order or reset.
const RELEASE: Duration = Duration::from_secs(60);
/// The same for a forced stop.
const FORCED: Duration = Duration::from_secs(10);
/// How often the pause is tried to be written down.
const RECORD_TRIES: u32 = 5;

impl Life {
    /// What is to be done next.
    pub(in crate::task) fn next(&self) -> Next {
        let mut inner = self.inner();
        if let Some(effect) = inner.todo.pop_front() {
            inner.busy = true;
            return Next::Effect(effect);
        }
        if inner.fleet.status() == Status::Deleted {
            return Next::End;
        }
        let runs = inner.runs();
        if runs { Next::Run } else { Next::Wait }
    }

    /// The task goes on with another configuration, where one was given since.
    pub(in crate::task) fn replacement(&self) -> Option<Box<Task>> {
        let mut inner = self.inner();
        let task = inner.replacement.take()?;
        inner.task = std::sync::Arc::new(Task::clone(&task));
        self.told(inner);
        Some(task)
    }

    /// The task file changed while halted: everything begins anew with it, as a new process would.
    pub(in crate::task) fn begin_again(&self, task: &Task, keys: &[String]) {
        let mut inner = self.inner();
        let (fleet, effects) = Fleet::create(now_millis());
        inner.fleet = fleet;
        inner.todo = effects.into();
        inner.task = std::sync::Arc::new(task.clone());
        inner.shards = vec![OfShard::default()];
        inner.failure = None;
        let detail = if keys.is_empty() { "a secret".to_owned() } else { keys.join(" ") };
        self.0.audit.write("task file", "edit", "done", &detail, None);
        self.told(inner);
    }

    /// The task was found paused, or over, in its positions.
    pub(in crate::task) fn rests(&self, resting: Resting) {
        let now = now_millis();
        let mut inner = self.inner();
        inner.fleet = match resting {
            Resting::Paused => Fleet::restore(true, true, now).0,
            Resting::Over => Fleet::over(now),
        };
        self.told(inner);
        let status = self.status();
        tracing::info!(code = "resting", status = status.name(), "found {}: waiting for a person", status.title());
    }

    /// Time passed.
    pub(in crate::task) fn tick(&self) {
        let mut inner = self.inner();
        let effects = inner.fleet.event(Event::Tick, now_millis());
        if !effects.is_empty() {
            inner.take(effects);
            self.told(inner);
        }
    }

    /// Shows a task that does not run as what it is.
    pub(in crate::task) fn show_resting(&self) {
        let (status, failure) = {
            let inner = self.inner();
            (inner.fleet.status(), inner.failure())
        };
        let observe = &self.0.observe;
        match status {
            Status::Paused => observe.resting(State::Paused, None),
            Status::Completed | Status::Deleted => observe.resting(State::Completed, None),
            status if status.is_failed() => observe.resting(State::Halted, failure),
            Status::Pausing | Status::Stopping | Status::Completing => observe.resting(State::Draining, None),
            _ => observe.resting(State::Waiting, None),
        }
    }

    /// Carries one effect out.
    pub(in crate::task) async fn carry_out(&self, effect: Effect, task: &Task, swaps: &Swaps) {
        let event = match effect {
            Effect::Build => self.build(task, swaps).await,
            Effect::Drain => Some(self.drained()),
            Effect::Release => Some(self.release(task).await),
            Effect::RecordPaused(paused) => {
                self.record_paused(task, paused).await;
                None
            }
            Effect::DiscardPositions => {
                if let Err(failure) = release::end(task).await {
                    tracing::error!(
                        code = "stop_not_recorded",
                        tried = %failure.tried,
                        why = %failure.why,
                        mend = "run `millrace slot drop` before the task is started again, or do not start it: it would go on",
                        "{failure}: the stop is not durable"
                    );
                }
                None
            }
            Effect::TellCleanup => {
                let statements = release::cleanup(task);
                for statement in &statements {
                    tracing::warn!(
                        code = "cleanup",
                        statement,
                        "slots of the task may remain: run this on every primary"
                    );
                }
                self.inner().cleanup = statements;
                None
            }
            Effect::WarnPausedLong => {
                tracing::warn!(
                    code = "paused_long",
                    "paused for 24 hours: the source keeps WAL for the slot, and may not keep it for ever; resume or stop the task"
                );
                None
            }
            Effect::FreeResources => {
                tracing::info!(code = "resources_freed", "not started for three days: what it held is given back");
                swaps.forget(task);
                None
            }
            // The edit of a selection is carried out by whoever asked for it; see `Life::drained`.
            Effect::ApplyObjects => Some(Event::ObjectsApplied),
            Effect::EraseCredentials => {
                let mut inner = self.inner();
                let mut bare = Task::clone(&inner.task);
                bare.erase_secrets();
                inner.task = std::sync::Arc::new(bare);
                None
            }
            // Sessions have ended; that they are opened is the status itself.
            Effect::Disconnect
            | Effect::Check
            | Effect::UsePasswords
            | Effect::Stream
            | Effect::RetryStream { .. }
            | Effect::CreateSlots
            | Effect::RetrySlots { .. } => None,
        };
        let mut inner = self.inner();
        if let Some(event) = event {
            let effects = inner.fleet.event(event, now_millis());
            inner.take(effects);
        }
        inner.busy = false;
        self.told(inner);
    }

    /// Builds what the task needs, then starts it where nothing says otherwise. A start waits only for a task that has never begun.
    async fn build(&self, task: &Task, swaps: &Swaps) -> Option<Event> {
        // A module that cannot be loaded is told by the first attempt, which then waits for its mend.
        if let Err(failure) = swaps.load(task).await {
            tracing::debug!(code = failure.code, "{failure}");
        }
        let waits = task.task.start_at != StartAt::Now && !release::has_begun(task).await;
        let now = now_millis();
        let mut inner = self.inner();
        inner.fleet.event(Event::Built, now);
        let action = match (&task.task.start_at, waits) {
            (StartAt::Manual, true) => return None,
            (StartAt::At(moment), true) => {
                inner.start_at_ms = Some(moment.0);
                Action::StartAt { at_ms: moment.0 }
            }
            _ => Action::Start,
        };
        // The first attempt compares and refuses by itself, with the codes of `check`.
        inner.fleet.event(Event::Checked(100), now);
        match inner.fleet.act(action, now) {
            Ok(effects) => inner.take(effects),
            Err(refused) => tracing::error!(code = "internal", "{}", refused.failure()),
        }
        self.told(inner);
        None
    }

    /// The sessions have ended: everything they had read is delivered, or it is not.
    fn drained(&self) -> Event {
        let mut inner = self.inner();
        let undrained = std::mem::take(&mut inner.undrained);
        if undrained && inner.fleet.status() == Status::Stopping {
            inner.failure = Some(Failure::transient(
                "not_drained",
                "delivering what was read before the slot is dropped",
                "the sink did not acknowledge it within pipeline.drain_timeout",
                "mend the sink and stop again; or force the stop, which gives up what is not delivered",
            ));
            return Event::Failed(Fault::Network);
        }
        Event::Drained
    }

    /// Drops the task's slots; for a reset, the positions are set to begin anew.
    async fn release(&self, task: &Task) -> Event {
        let completing = self.status() == Status::Completing;
        let forced = self.0.hurry.load(Ordering::Acquire);
        let how = if completing { release::How::Stop } else { release::How::Reset };
        let limit = if forced { FORCED } else { RELEASE };
        let released = match tokio::time::timeout(limit, release::release(task, how)).await {
            Ok(released) => released,
            Err(_) => Err(Failure::transient(
                "release_timeout",
                "dropping the slots of the task",
                format!("no answer within {} s", limit.as_secs()),
                "look at the source; then stop or reset again",
            )),
        };
        match released {
            Ok(()) => Event::Released,
            Err(failure) => {
                tracing::error!(code = failure.code, tried = %failure.tried, why = %failure.why, mend = %failure.mend, "{failure}");
                self.inner().failure = Some(failure);
                Event::ReleaseFailed
            }
        }
    }

    /// Writes down whether the task is paused. A failure is told, and does not change what it is.
    async fn record_paused(&self, task: &Task, paused: bool) {
        let mut wait = Duration::from_millis(250);
        for attempt in 1..=RECORD_TRIES {
            let failure = match release::record_paused(task, paused).await {
                Ok(()) => return,
                Err(failure) => failure,
            };
            if failure.is_definite() || attempt == RECORD_TRIES {
                tracing::error!(
                    code = "pause_not_recorded",
                    paused,
                    why = %failure.why,
                    mend = "mend the position store, then pause or resume again: a restart of the process would not know of it",
                    "{failure}"
                );
                self.inner().failure = Some(failure);
                return;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }
}

/// Keys that differ between two task files; never their values (I9).
pub(in crate::task) fn changed_keys(before: &Task, now: &Task) -> Vec<String> {
    fn walk(path: &str, before: &serde_json::Value, now: &serde_json::Value, into: &mut Vec<String>) {
        if before == now {
            return;
        }
        let (Some(old), Some(new)) = (before.as_object(), now.as_object()) else { return into.push(path.to_owned()) };
        let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            walk(
                &path,
                old.get(key).unwrap_or(&serde_json::Value::Null),
                new.get(key).unwrap_or(&serde_json::Value::Null),
                into,
            );
        }
    }
    let mut keys = Vec::new();
    walk("", &before.to_json(), &now.to_json(), &mut keys);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_changed_are_named_without_values() {
        let parse = |more: &str| {
            let text = format!(
                "[task]\nname = \"shop-orders\"\n[source]\nkind = \"postgresql\"\nhosts = [\"a:1\"]\ndatabase = \"d\"\n\
                 user = \"u\"\n{more}\n[sink]\nkind = \"kafka\"\nbrokers = [\"b:1\"]\n"
            );
            crate::config::parse(&text, std::path::Path::new("/")).unwrap()
        };
        let (before, now) =
            (parse("password = \"planted-1\""), parse("connect_timeout = \"7s\"\npassword = \"planted-2\""));
        assert_eq!(changed_keys(&before, &now), ["source.connect_timeout"]);
        assert_eq!(changed_keys(&before, &before), [""; 0]);
    }
}
