//! What goes into the machine and what comes out.

use serde::{Deserialize, Serialize};

/// What a person asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum Action {
    /// Change the configuration of a task that has not started.
    Edit,
    /// Run the check; a start needs one that passed whole.
    Check,
    /// Change the set of tables of a running task.
    EditObjects,
    /// Change name or description.
    EditInformation,
    /// Add, change or remove tags.
    EditTags,
    /// Change the time of a start that is still to come.
    EditStartTime {
        /// Milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// Take new passwords of source or sink.
    EditPasswords,
    /// Start now.
    Start,
    /// Start later.
    StartAt {
        /// Milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// Deliver what was read, then leave both sides alone; slots stay.
    Pause,
    /// Go on from the durable position.
    Resume,
    /// Check again and start from a new slot; what happened in between is not delivered.
    Reset,
    /// Deliver what was read, drop the task's slots, end for good.
    Stop,
    /// End for good without waiting for either side; slots may remain.
    ForcedStop,
    /// Take a task that is over off the list.
    Delete,
}

impl Action {
    /// Its name in commands and answers.
    pub fn name(self) -> &'static str {
        match self {
            Action::Edit => "edit",
            Action::Check => "check",
            Action::EditObjects => "edit-objects",
            Action::EditInformation => "edit-information",
            Action::EditTags => "edit-tags",
            Action::EditStartTime { .. } => "edit-start-time",
            Action::EditPasswords => "edit-passwords",
            Action::Start => "start",
            Action::StartAt { .. } => "start-at",
            Action::Pause => "pause",
            Action::Resume => "resume",
            Action::Reset => "reset",
            Action::Stop => "stop",
            Action::ForcedStop => "forced-stop",
            Action::Delete => "delete",
        }
    }
}

/// What a failure means for trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The network or a restart of a peer: tried again until it heals.
    Network,
    /// A password is wrong or an account locked: never tried again by itself, since every try can lock the account.
    Authentication,
    /// Another gateway took the task over: never tried again by itself, since every try would take it back.
    TakenOver,
    /// Anything else: tried again three times; a slot that cannot be made is not.
    Other,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What the task needs to run is built.
    Built,
    /// It could not be built.
    BuildFailed,
    /// A check ended; share of its items that passed or are confirmed, 0 to 100.
    Checked(u8),
    /// Time passed.
    Tick,
    /// The slots of all shards exist and their positions are durable.
    SlotsReady,
    /// The stream of every shard is open.
    Streaming,
    /// Something failed.
    Failed(Fault),
    /// A later position became durable than the one the last failure left.
    Progressed,
    /// Everything read is delivered, its position durable.
    Drained,
    /// The new set of tables is in force.
    ObjectsApplied,
    /// It could not be applied; the old set is in force.
    ObjectsFailed,
    /// The runtime broke down (a worker died, a disk is full) and repairs itself.
    RuntimeFault,
    /// The repair worked.
    Repaired,
    /// The repair failed.
    RepairFailed,
    /// The task's slots are dropped on every primary.
    Released,
    /// At least one could not be dropped.
    ReleaseFailed,
}

/// What must be done now; the outcome comes back as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Build what the task needs: answered by `Built` or `BuildFailed`.
    Build,
    /// Give back what an idle task holds.
    FreeResources,
    /// Run the check: answered by `Checked`.
    Check,
    /// Make the intent to create slots durable, then create them within [`crate::SLOT_BOUND_MS`]: `SlotsReady` or `Failed`.
    CreateSlots,
    /// Open the streams from the durable positions: `Streaming` or `Failed`.
    Stream,
    /// Open them again after back-off; `attempt` counts from 1.
    RetryStream {
        /// Number of the attempt.
        attempt: u32,
    },
    /// Create the slots after back-off; `attempt` counts from 1.
    RetrySlots {
        /// Number of the attempt.
        attempt: u32,
    },
    /// Stop reading, deliver what was read, write the position: `Drained` or `Failed`.
    Drain,
    /// Close every connection.
    Disconnect,
    /// Write whether the task is paused beside the position.
    RecordPaused(bool),
    /// Put the new set of tables in force at the drained position: `ObjectsApplied` or `ObjectsFailed`.
    ApplyObjects,
    /// Drop the task's own slots, inactive ones only, on every primary, then discard the positions: `Released` or `ReleaseFailed`.
    Release,
    /// Discard the positions without asking the source.
    DiscardPositions,
    /// Tell the statements that list and drop the slots that may remain.
    TellCleanup,
    /// Use the new passwords from now on.
    UsePasswords,
    /// Forget passwords.
    EraseCredentials,
    /// Warn that the source may give up the log a paused task needs (after 24 hours).
    WarnPausedLong,
}
