//! Statuses by their documented names, and the status of a task that has several shards.

use serde::{Deserialize, Serialize};

/// What a task, or one shard of it, is doing. Statuses of a full phase do not exist here: no row is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// What the task needs to run is being built: modules compiled, position store opened.
    Creating,
    /// That failed; kept three days.
    CreateFailed,
    /// Ready to be configured, checked and started.
    Configuration,
    /// Waits for its time.
    #[serde(rename = "WAITING_FOR_START")]
    PendingStart,
    /// Slots are made, or the stream is opened where slots exist.
    #[serde(rename = "STARTJOBING")]
    Starting,
    /// Starting failed.
    #[serde(rename = "START_JOB_FAILED")]
    StartFailed,
    /// Changes flow.
    #[serde(rename = "INCRE_TRANSFER_STARTED")]
    Incremental,
    /// Changes stopped flowing; retried by itself as long as a retry is due.
    #[serde(rename = "INCRE_TRANSFER_FAILED")]
    IncrementalFailed,
    /// The set of tables is being changed.
    #[serde(rename = "CHANGE_JOB_STARTED")]
    Modifying,
    /// That failed; the old set goes on.
    #[serde(rename = "CHANGE_JOB_FAILED")]
    ModifyFailed,
    /// The runtime is faulty and heals itself.
    #[serde(rename = "REBUILD_NODE_STARTED")]
    Rebuilding,
    /// It did not heal.
    #[serde(rename = "REBUILD_NODE_FAILED")]
    RebuildFailed,
    /// What was read is delivered, then the task is paused.
    Pausing,
    /// No contact with either side; slots are kept.
    Paused,
    /// Told to stop; what was read is delivered.
    #[serde(rename = "RELEASE_RESOURCE_STARTED")]
    Stopping,
    /// Slots are dropped, positions discarded.
    #[serde(rename = "COMPLETING")]
    Completing,
    /// Slots could not be dropped.
    #[serde(rename = "RELEASE_RESOURCE_FAILED")]
    StopFailed,
    /// Over; cannot be started again.
    #[serde(rename = "RELEASE_RESOURCE_COMPLETE")]
    Completed,
    /// Not listed any more.
    Deleted,
}

impl Status {
    /// All of them, in the order of a task's life.
    pub const ALL: [Status; 19] = [
        Status::Creating,
        Status::CreateFailed,
        Status::Configuration,
        Status::PendingStart,
        Status::Starting,
        Status::StartFailed,
        Status::Incremental,
        Status::IncrementalFailed,
        Status::Modifying,
        Status::ModifyFailed,
        Status::Rebuilding,
        Status::RebuildFailed,
        Status::Pausing,
        Status::Paused,
        Status::Stopping,
        Status::Completing,
        Status::StopFailed,
        Status::Completed,
        Status::Deleted,
    ];

    /// The name people read, as the managed service's console has it.
    pub fn title(self) -> &'static str {
        match self {
            Status::Creating => "Creating",
            Status::CreateFailed => "Task creation failed",
            Status::Configuration => "Configuration",
            Status::PendingStart => "Pending start",
            Status::Starting => "Starting",
            Status::StartFailed => "Start failed",
            Status::Incremental => "Incremental synchronization",
            Status::IncrementalFailed => "Incremental synchronization failed",
            Status::Modifying => "Modifying task",
            Status::ModifyFailed => "Modifying task failed",
            Status::Rebuilding => "Fault rectification",
            Status::RebuildFailed => "Fault rectification failed",
            Status::Pausing => "Pausing",
            Status::Paused => "Paused",
            Status::Stopping => "Task stopping",
            Status::Completing => "Completing",
            Status::StopFailed => "Stopping task failed",
            Status::Completed => "Completed",
            Status::Deleted => "Deleted",
        }
    }

    /// The name in answers of the API. The service has one name for stopping and completing; here each has its own.
    pub fn name(self) -> &'static str {
        match self {
            Status::Creating => "CREATING",
            Status::CreateFailed => "CREATE_FAILED",
            Status::Configuration => "CONFIGURATION",
            Status::PendingStart => "WAITING_FOR_START",
            Status::Starting => "STARTJOBING",
            Status::StartFailed => "START_JOB_FAILED",
            Status::Incremental => "INCRE_TRANSFER_STARTED",
            Status::IncrementalFailed => "INCRE_TRANSFER_FAILED",
            Status::Modifying => "CHANGE_JOB_STARTED",
            Status::ModifyFailed => "CHANGE_JOB_FAILED",
            Status::Rebuilding => "REBUILD_NODE_STARTED",
            Status::RebuildFailed => "REBUILD_NODE_FAILED",
            Status::Pausing => "PAUSING",
            Status::Paused => "PAUSED",
            Status::Stopping => "RELEASE_RESOURCE_STARTED",
            Status::Completing => "COMPLETING",
            Status::StopFailed => "RELEASE_RESOURCE_FAILED",
            Status::Completed => "RELEASE_RESOURCE_COMPLETE",
            Status::Deleted => "DELETED",
        }
    }

    /// True where something failed and a person, or time, must mend it.
    pub fn is_failed(self) -> bool {
        use Status::{CreateFailed, IncrementalFailed, ModifyFailed, RebuildFailed, StartFailed, StopFailed};
        matches!(self, CreateFailed | StartFailed | IncrementalFailed | ModifyFailed | RebuildFailed | StopFailed)
    }

    /// How bad it is, where the status of several shards is put into one: failures, then repairs, then whatever is not flowing.
    fn badness(self) -> u8 {
        match self {
            Status::Incremental => 0,
            Status::Completed | Status::Deleted => 1,
            Status::Paused => 2,
            Status::Pausing | Status::Modifying => 3,
            Status::Configuration | Status::Creating | Status::PendingStart | Status::Starting => 4,
            Status::Stopping | Status::Completing => 5,
            Status::Rebuilding => 6,
            Status::ModifyFailed => 7,
            _ => 8,
        }
    }
}

/// The status of a task: the worst of its shards'. `None` where it has none.
pub fn worst(shards: impl IntoIterator<Item = Status>) -> Option<Status> {
    shards.into_iter().max_by_key(|status| status.badness())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_status_has_names_of_its_own_and_none_of_a_full_phase() {
        let titles: HashSet<_> = Status::ALL.iter().map(|status| status.title()).collect();
        let names: HashSet<_> = Status::ALL.iter().map(|status| status.name()).collect();
        assert_eq!((titles.len(), names.len()), (Status::ALL.len(), Status::ALL.len()));
        assert!(!titles.iter().any(|title| title.contains("Full")) && !names.iter().any(|name| name.contains("FULL")));
    }

    #[test]
    fn one_bad_shard_decides() {
        use Status::{Incremental, IncrementalFailed, Paused, Rebuilding};
        assert_eq!(worst([Incremental, IncrementalFailed, Rebuilding]), Some(IncrementalFailed));
        assert_eq!(worst([Incremental, Rebuilding, Paused]), Some(Rebuilding));
        assert_eq!(worst([Incremental, Incremental]), Some(Incremental));
        assert_eq!(worst([]), None);
    }
}
