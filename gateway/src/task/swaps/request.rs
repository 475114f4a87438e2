//! What somebody asks for, and what came of it.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use millrace_batch::Failure;
use millrace_host::StageSpec;
use millrace_position::Over;
use serde::Serialize;

use crate::{
    config::Task,
    swap::{Place, Share, Ticket},
    task::modules::Loaded,
};

/// Where a module's bytes come from.
#[derive(Clone)]
pub enum Source {
    /// The module that stands there; only its configuration changes.
    Same,
    /// The request itself.
    Bytes(Vec<u8>),
    /// A file of this machine.
    File(PathBuf),
}

/// Another module or configuration in one place.
#[derive(Clone)]
pub struct StageChange {
    /// Where.
    pub place: Place,
    /// What.
    pub source: Source,
    /// SHA-256 its bytes must have.
    pub pin: Option<[u8; 32]>,
    /// What its `init` gets; `None`: what the module before it got.
    pub config: Option<String>,
}

/// What is to change.
#[derive(Clone)]
pub(crate) enum Change {
    /// One stage, against the task file: kept in the module store.
    Stage(StageChange),
    /// One stage, for a part of the changes; the rest of the chain stays as it is.
    Canary(StageChange, Share),
    /// One stage, as the task file names it: its file has changed.
    File(StageChange),
    /// One stage, as an earlier version had it.
    Back(Place, Box<StageSpec>, Option<Over>),
    /// The whole chain, as an earlier version had it.
    Whole(Box<Loaded>),
    /// The whole chain, as the task file names it now.
    Task(Box<Task>),
}

impl Change {
    /// The place it is about, where it is one.
    pub fn place(&self) -> Option<Place> {
        match self {
            Change::Stage(change) | Change::File(change) | Change::Canary(change, _) => Some(change.place),
            Change::Back(place, ..) => Some(*place),
            Change::Whole(_) | Change::Task(_) => None,
        }
    }
}

/// Who or what asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Trigger {
    /// The start of the process.
    Start,
    /// A request over HTTP.
    Http {
        /// Who.
        peer: IpAddr,
    },
    /// A request over HTTP to go back to an earlier version.
    Rollback {
        /// Who.
        peer: IpAddr,
        /// The version.
        to: Ticket,
    },
    /// A module's file changed.
    File {
        /// Its path.
        path: PathBuf,
    },
    /// SIGHUP.
    Signal,
    /// The version before spent its budget.
    Automatic {
        /// The version that did.
        of: Ticket,
        /// On what.
        reason: &'static str,
    },
}

/// A request.
#[derive(Clone)]
pub(crate) struct Request {
    pub change: Change,
    /// Whether the stream drains to a durable position first although no stage is changed that decides over topics.
    pub drain: bool,
    pub trigger: Trigger,
}

/// What came of a swap that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Swapped {
    /// Number of the version that runs now.
    pub version: Ticket,
    /// Longest time a session's stream stood still for it, in microseconds.
    pub pause_us: u64,
    /// Whether it first drained to a durable position.
    pub drained: bool,
    /// No session was there: the next one begins with it.
    pub at_next_start: bool,
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// One line of the history.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Number of the version.
    pub version: Ticket,
    /// When its fate was known, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The part of the changes it is for, where it is a canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Share>,
    /// The stage that was changed; absent where it was the whole chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Who or what asked.
    pub trigger: Trigger,
    /// Name the module gives itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Digest of the component, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Digest of its configuration, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it came to nothing, or why it was rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Longest time a stream stood still for it, microseconds.
    pub pause_us: u64,
    /// Time from the request until it ran, milliseconds.
    pub took_ms: u64,
}

/// What came of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It took over.
    Done,
    /// It took over for the next session: none was there.
    NextStart,
    /// It came to nothing.
    Refused,
    /// It took over and was rolled back by itself.
    RolledBack,
}

impl Outcome {
    /// Stable name, as in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::NextStart => "next_start",
            Outcome::Refused => "refused",
            Outcome::RolledBack => "rolled_back",
        }
    }
}
