//! What a person is shown of a task's life.

use millrace_batch::Failure;
use millrace_lifecycle::{Action, Status};
use serde::Serialize;

use super::Life;
use crate::{
    config::{About, Moment},
    observe::ShardStatus,
    task::now_millis,
};

/// A task, as `/v1/task` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct TaskView {
    /// Its name.
    pub task: String,
    /// What its file says about it.
    pub about: About,
    /// Its status by the documented name.
    pub status: &'static str,
    /// The same for people.
    pub title: &'static str,
    /// Since when.
    pub since: String,
    /// Something is under way.
    pub pending: bool,
    /// Nothing is tried again before a person acts.
    pub waits_for_person: bool,
    /// Time of a start that is still to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_at: Option<String>,
    /// What a person may do now.
    pub actions: Vec<&'static str>,
    /// Whether a forced stop is what is offered first.
    pub forced_stop_first: bool,
    /// Why it is where it is, where something failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Statements for slots that a forced stop may have left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cleanup: Vec<String>,
    /// Longest delay of any shard, milliseconds.
    pub delay_ms: u64,
    /// It is above `monitoring.delay_threshold`.
    pub late: bool,
    /// And has been for `monitoring.delay_alarm_after`.
    pub delay_alarm: bool,
    /// Its shards.
    pub shards: Vec<ShardView>,
}

/// One shard of it.
#[derive(Clone, Debug, Serialize)]
pub struct ShardView {
    /// Status by the documented name; `CHANGE_JOB_STARTED` while the set of tables changes.
    pub status: &'static str,
    /// The same for people.
    pub title: &'static str,
    /// Since when.
    pub since: String,
    /// Where it stands.
    #[serde(flatten)]
    pub at: ShardStatus,
}

/// Every action, as far as it is offered by name.
const ACTIONS: [Action; 11] = [
    Action::EditInformation,
    Action::Start,
    Action::EditStartTime { at_ms: 0 },
    Action::EditPasswords,
    Action::EditObjects,
    Action::Pause,
    Action::Resume,
    Action::Reset,
    Action::Stop,
    Action::ForcedStop,
    Action::Delete,
];

impl Life {
    /// The task as it is now.
    pub fn view(&self) -> TaskView {
        let seen = self.0.observe.snapshot();
        let places = seen.shards;
        let inner = self.inner();
        let now = now_millis();
        // A start runs its check first, whether one has passed before or not.
        let startable = |action: &Action| *action == Action::Start && inner.fleet.status() == Status::Configuration;
        let allowed = |action: &Action| startable(action) || inner.fleet.clone().act(*action, now).is_ok();
        let machines = inner.fleet.shards();
        let shards = machines.iter().zip(places).map(|(machine, at)| {
            let status = if machine.is_changing_objects() { Status::Modifying } else { machine.status() };
            ShardView {
                status: status.name(),
                title: status.title(),
                since: Moment(machine.since_ms()).to_string(),
                at,
            }
        });
        let status = inner.fleet.status();
        let failed = status.is_failed() || status == Status::Starting || inner.failure.is_some();
        let about = &inner.task.task;
        TaskView {
            task: about.name.to_string(),
            about: about.clone(),
            status: status.name(),
            title: status.title(),
            since: Moment(machines.iter().map(|machine| machine.since_ms()).max().unwrap_or(now)).to_string(),
            pending: !inner.is_settled(),
            waits_for_person: machines.iter().any(millrace_lifecycle::Machine::waits_for_person),
            start_at: inner.start_at().filter(|_| status == Status::PendingStart),
            actions: ACTIONS.iter().filter(|action| allowed(action)).map(|action| action.name()).collect(),
            forced_stop_first: inner.fleet.prefers_forced_stop(),
            failure: inner.failure().filter(|_| failed),
            cleanup: inner.cleanup.clone(),
            delay_ms: seen.delay_ms,
            late: seen.late,
            delay_alarm: seen.delay_alarm,
            shards: shards.collect(),
        }
    }
}
