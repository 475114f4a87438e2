//! The state of the task as people and probes ask for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millrace_batch::{Failure, Lsn};
use serde::{Serialize, Serializer};

use super::Metrics;
use crate::config::Moment;

/// What the task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Connecting, checking, loading modules.
    Starting,
    /// Changes flow.
    Streaming,
    /// Waiting for the next attempt after a transient failure.
    Retrying,
    /// Waiting for a person after a definite failure.
    Halted,
    /// Delivering what was read, then ending.
    Draining,
    /// A person paused it.
    Paused,
    /// Not started yet: waits for a person or for its time.
    Waiting,
    /// Stopped for good.
    Completed,
}

impl State {
    /// All of them.
    pub const ALL: [State; 8] = [
        State::Starting,
        State::Streaming,
        State::Retrying,
        State::Halted,
        State::Draining,
        State::Paused,
        State::Waiting,
        State::Completed,
    ];

    /// Its name in answers, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Streaming => "streaming",
            State::Retrying => "retrying",
            State::Halted => "halted",
            State::Draining => "draining",
            State::Paused => "paused",
            State::Waiting => "waiting",
            State::Completed => "completed",
        }
    }

    /// The larger, the more a person should look.
    fn weight(self) -> u8 {
        match self {
            State::Streaming => 0,
            State::Draining => 1,
            State::Paused | State::Waiting | State::Completed => 2,
            State::Starting => 3,
            State::Retrying => 4,
            State::Halted => 5,
        }
    }
}

/// What does not change while the process runs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct About {
    /// Task name.
    pub task: String,
    /// Replication slot.
    pub slot: String,
    /// Database at the source.
    pub database: String,
    /// Sink: its kind and where it is.
    pub sink: String,
}

/// A module that is at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveModule {
    /// Stage: filter, map, route or format.
    pub stage: String,
    /// Name the module gives itself.
    pub name: String,
    /// SHA-256 of the component, hexadecimal.
    pub sha256: String,
}

/// Where a shard stands.
#[derive(Clone, Debug, Serialize)]
pub struct ShardStatus {
    /// Number of the shard.
    pub shard: u16,
    /// Data node it reads; absent where the source is one server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What it is doing.
    pub state: State,
    /// The failure that halts or delays it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// End of the stream received.
    #[serde(serialize_with = "as_text")]
    pub received_lsn: Lsn,
    /// End of the last transaction that is delivered, as all before it.
    #[serde(serialize_with = "as_text")]
    pub delivered_lsn: Lsn,
    /// Durable position.
    #[serde(serialize_with = "as_text")]
    pub position_lsn: Lsn,
    /// Confirmed to the slot.
    #[serde(serialize_with = "as_text")]
    pub confirmed_lsn: Lsn,
    /// WAL between the end at the source and what is delivered.
    pub lag_bytes: u64,
    /// Time from commit to acknowledgement, milliseconds.
    pub lag_ms: u64,
    /// Records produced and not acknowledged.
    pub in_flight: u64,
    /// WAL the source keeps for the slot, bytes.
    pub slot_retained_bytes: u64,
    /// What reads from the source, and what delivers to the sink.
    pub components: [Component; 2],
}

/// One side of a shard.
#[derive(Clone, Debug, Serialize)]
pub struct Component {
    /// capture or apply.
    pub r#type: &'static str,
    /// STOPPED, STARTING, STARTED or STOPPING.
    pub status: &'static str,
    /// When its session began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// Where it began.
    #[serde(serialize_with = "as_text")]
    pub start_point: Lsn,
    /// Where it is: what is received, what is delivered.
    #[serde(serialize_with = "as_text")]
    pub current_point: Lsn,
    /// Commit time of the newest transaction it has dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution_time: Option<String>,
    /// Milliseconds from the commit until it had dealt with it.
    pub delay: u64,
}

fn components(state: State, metrics: &Metrics) -> [Component; 2] {
    let status = match state {
        State::Streaming => "STARTED",
        State::Starting | State::Retrying => "STARTING",
        State::Draining => "STOPPING",
        State::Halted | State::Paused | State::Waiting | State::Completed => "STOPPED",
    };
    let (began, start_point, [received_at, delivered_at]) = metrics.session();
    let [received, delivered, ..] = metrics.lsns();
    let moment = |millis: i64| Moment(millis).to_string();
    let one = |r#type, current_point, newest: Option<i64>, delay| Component {
        r#type,
        status,
        start_time: began.map(moment),
        start_point,
        current_point,
        resolution_time: newest.map(|micros| moment(micros / 1000)),
        delay,
    };
    [
        one("capture", received, received_at, metrics.extract_latency_ms()),
        one("apply", delivered, delivered_at, metrics.lag_ms()),
    ]
}

fn as_text<S: Serializer>(lsn: &Lsn, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(lsn)
}

/// Everything `/v1/status` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// What does not change.
    #[serde(flatten)]
    pub about: About,
    /// Version of the gateway.
    pub version: &'static str,
    /// What the task is doing.
    pub state: State,
    /// For how long, milliseconds.
    pub state_ms: u64,
    /// Whether it does its work.
    pub ready: bool,
    /// Whether records wait and the sink acknowledges none.
    pub stalled: bool,
    /// Records delivered per second, over the last seconds.
    pub rate: f64,
    /// Changes received since the start.
    pub changes_received: u64,
    /// Records delivered since the start.
    pub records_delivered: u64,
    /// Longest delay of any shard, from commit to acknowledgement, milliseconds; 0 when everything is delivered.
    pub delay_ms: u64,
    /// It is above `monitoring.delay_threshold`.
    pub late: bool,
    /// And has been for `monitoring.delay_alarm_after`.
    pub delay_alarm: bool,
    /// The 19 documented metrics, by their ids.
    pub monitoring: BTreeMap<&'static str, f64>,
    /// Where each shard stands.
    pub shards: Vec<ShardStatus>,
    /// The failure that halts or delays it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The modules at work.
    pub modules: Vec<LiveModule>,
}

impl Snapshot {
    /// Takes a further shard in: numbers add up, and the worse state is the state.
    pub(super) fn add(&mut self, mut other: Snapshot) {
        self.changes_received += other.changes_received;
        self.records_delivered += other.records_delivered;
        self.stalled |= other.stalled;
        self.ready &= other.ready;
        if other.state.weight() > self.state.weight() {
            (self.state, self.state_ms, self.failure) = (other.state, other.state_ms, other.failure);
        }
        self.delay_ms = self.delay_ms.max(other.delay_ms);
        self.shards.append(&mut other.shards);
    }
}

#[derive(Debug)]
struct Inner {
    node: Option<String>,
    state: State,
    since: Instant,
    failure: Option<Failure>,
    modules: Vec<LiveModule>,
    rate: f64,
}

/// The state of one task.
#[derive(Debug)]
pub struct Status {
    about: About,
    shard: u16,
    inner: Mutex<Inner>,
}

impl Status {
    pub(super) fn new(about: About, shard: u16) -> Status {
        let inner = Inner {
            node: None,
            state: State::Starting,
            since: Instant::now(),
            failure: None,
            modules: Vec::new(),
            rate: 0.0,
        };
        Status { about, shard, inner: Mutex::new(inner) }
    }

    pub(super) fn about(&self) -> About {
        self.about.clone()
    }

    /// Data node the shard reads, where there are several.
    pub(super) fn node_name(&self) -> Option<String> {
        self.inner().node.clone()
    }

    pub(super) fn node(&self, node: Option<String>) {
        self.inner().node = node;
    }

    // A panic elsewhere leaves the state readable: each change of it is one assignment.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, state: State, failure: Option<Failure>) {
        let mut inner = self.inner();
        if inner.state != state {
            inner.since = Instant::now();
        }
        inner.state = state;
        inner.failure = failure;
    }

    /// The modules at work, in the order of the chain.
    pub fn modules(&self, modules: Vec<LiveModule>) {
        self.inner().modules = modules;
    }

    pub(super) fn rate(&self, rate: f64) {
        self.inner().rate = rate;
    }

    /// What the task is doing.
    pub fn state(&self) -> State {
        self.inner().state
    }

    /// The failure that halts or delays it.
    pub fn failure(&self) -> Option<Failure> {
        self.inner().failure.clone()
    }

    pub(super) fn snapshot(&self, metrics: &Metrics) -> Snapshot {
        let inner = self.inner();
        let [received_lsn, delivered_lsn, position_lsn, confirmed_lsn] = metrics.lsns();
        let stalled = metrics.is_stalled();
        Snapshot {
            about: self.about.clone(),
            version: env!("CARGO_PKG_VERSION"),
            state: inner.state,
            state_ms: millis(inner.since.elapsed()),
            ready: inner.state == State::Streaming && !stalled,
            stalled,
            rate: (inner.rate * 10.0).round() / 10.0,
            changes_received: metrics.changes(),
            records_delivered: metrics.delivered_records(),
            shards: vec![ShardStatus {
                shard: self.shard,
                node: inner.node.clone(),
                state: inner.state,
                failure: inner.failure.clone(),
                received_lsn,
                delivered_lsn,
                position_lsn,
                confirmed_lsn,
                lag_bytes: metrics.lag_bytes(),
                lag_ms: metrics.lag_ms(),
                in_flight: metrics.records_in_flight(),
                slot_retained_bytes: metrics.slot_retained_bytes(),
                components: components(inner.state, metrics),
            }],
            delay_ms: metrics.lag_ms(),
            late: false,
            delay_alarm: false,
            monitoring: BTreeMap::new(),
            failure: inner.failure.clone(),
            modules: inner.modules.clone(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
