//! What modules use up, and which limits they meet.
//!
//! Owns one record of numbers per stage and module of a process, updated once per call with relaxed atomics; it outlives instances and
//! swaps. Must not know how the numbers are shown.

use crate::error::{FaultKind, StageKind};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A limit that a module can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// Time of a call or a start.
    Time,
    /// Linear memory of an instance.
    Memory,
    /// Bytes one call hands to the host: its answer, its log lines, names of counters.
    Output,
    /// Records and headers of a call.
    Records,
    /// Elements of a table.
    Table,
    /// Guest stack.
    Stack,
    /// Instructions of a call, where there is a budget.
    Fuel,
    /// Log lines in a second: the lines beyond it are held back, the call goes on.
    Log,
}

impl LimitKind {
    /// All there are.
    pub const ALL: [LimitKind; 8] = [
        LimitKind::Time,
        LimitKind::Memory,
        LimitKind::Output,
        LimitKind::Records,
        LimitKind::Table,
        LimitKind::Stack,
        LimitKind::Fuel,
        LimitKind::Log,
    ];

    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitKind::Time => "time",
            LimitKind::Memory => "memory",
            LimitKind::Output => "output",
            LimitKind::Records => "records",
            LimitKind::Table => "table",
            LimitKind::Stack => "stack",
            LimitKind::Fuel => "fuel",
            LimitKind::Log => "log",
        }
    }
}

/// What the instances of one stage of one module have used since the process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleUsage {
    /// What the configuration calls the module.
    pub module: Arc<str>,
    /// The stage.
    pub stage: StageKind,
    /// Instances made, those after a failure included.
    pub instances_started: u64,
    /// Instances there are.
    pub instances: u64,
    /// Calls of `announce` and `process`, failed ones included.
    pub calls: u64,
    /// Time in those calls, on the wall clock.
    pub call_time: Duration,
    /// The longest of them.
    pub call_time_max: Duration,
    /// Linear memory of all instances there are, in bytes.
    pub memory_bytes: u64,
    /// The most linear memory one instance had, in bytes.
    pub memory_bytes_max: u64,
    /// The most elements one table had.
    pub table_elements_max: u64,
    /// Bytes of answers that were taken.
    pub output_bytes: u64,
    /// The largest of those answers, in bytes.
    pub output_bytes_max: u64,
    /// Bytes of text handed to `log` and `counter`.
    pub host_call_bytes: u64,
    /// Lines that passed to the log.
    pub log_lines: u64,
    /// Fuel burnt, where there is a budget.
    pub fuel: u64,
    /// Failed calls by what happened, in the order of [`FaultKind::ALL`]: as often as an instance was lost, not per change.
    pub failures: [u64; FaultKind::ALL.len()],
    /// How often each limit was met, in the order of [`LimitKind::ALL`].
    pub limit_hits: [u64; LimitKind::ALL.len()],
}

/// The numbers of one stage and module.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    started: AtomicU64,
    live: AtomicU64,
    calls: AtomicU64,
    call_ns: AtomicU64,
    call_ns_max: AtomicU64,
    memory: AtomicU64,
    memory_max: AtomicU64,
    table_max: AtomicU64,
    output: AtomicU64,
    output_max: AtomicU64,
    host_calls: AtomicU64,
    log_lines: AtomicU64,
    fuel: AtomicU64,
    failures: [AtomicU64; FaultKind::ALL.len()],
    limits: [AtomicU64; LimitKind::ALL.len()],
}

fn add(to: &AtomicU64, by: u64) {
    to.fetch_add(by, Ordering::Relaxed);
}

impl Usage {
    pub(crate) fn started(&self) {
        add(&self.started, 1);
        add(&self.live, 1);
    }

    /// An instance is gone, and its memory with it.
    pub(crate) fn ended(&self, memory: usize) {
        self.live.fetch_sub(1, Ordering::Relaxed);
        self.memory.fetch_sub(memory as u64, Ordering::Relaxed);
    }

    pub(crate) fn called(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        add(&self.calls, 1);
        add(&self.call_ns, took);
        self.call_ns_max.fetch_max(took, Ordering::Relaxed);
    }

    pub(crate) fn burnt(&self, fuel: u64) {
        add(&self.fuel, fuel);
    }

    /// An instance's memory has grown by so many bytes to so many.
    pub(crate) fn memory(&self, by: usize, to: usize) {
        add(&self.memory, by as u64);
        self.memory_max.fetch_max(to as u64, Ordering::Relaxed);
    }

    pub(crate) fn table(&self, elements: usize) {
        self.table_max.fetch_max(elements as u64, Ordering::Relaxed);
    }

    pub(crate) fn output(&self, bytes: usize) {
        add(&self.output, bytes as u64);
        self.output_max.fetch_max(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn host_call(&self, bytes: usize) {
        add(&self.host_calls, bytes as u64);
    }

    pub(crate) fn log_line(&self) {
        add(&self.log_lines, 1);
    }

    pub(crate) fn failed(&self, kind: FaultKind) {
        add(&self.failures[kind as usize], 1);
    }

    pub(crate) fn hit(&self, limit: LimitKind) {
        add(&self.limits[limit as usize], 1);
    }

    fn snapshot(&self, module: &Arc<str>, stage: StageKind) -> ModuleUsage {
        let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
        ModuleUsage {
            module: module.clone(),
            stage,
            instances_started: get(&self.started),
            instances: get(&self.live),
            calls: get(&self.calls),
            call_time: Duration::from_nanos(get(&self.call_ns)),
            call_time_max: Duration::from_nanos(get(&self.call_ns_max)),
            memory_bytes: get(&self.memory),
            memory_bytes_max: get(&self.memory_max),
            table_elements_max: get(&self.table_max),
            output_bytes: get(&self.output),
            output_bytes_max: get(&self.output_max),
            host_call_bytes: get(&self.host_calls),
            log_lines: get(&self.log_lines),
            fuel: get(&self.fuel),
            failures: self.failures.each_ref().map(get),
            limit_hits: self.limits.each_ref().map(get),
        }
    }
}

/// The numbers of a process.
#[derive(Debug, Default)]
pub(crate) struct Usages(Mutex<BTreeMap<UsageKey, Arc<Usage>>>);

/// Stage and name of the module.
type UsageKey = (StageKind, Arc<str>);

impl Usages {
    pub(crate) fn of(&self, stage: StageKind, module: &Arc<str>) -> Arc<Usage> {
        let mut known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.entry((stage, module.clone())).or_default().clone()
    }

    pub(crate) fn snapshot(&self) -> Vec<ModuleUsage> {
        let known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.iter().map(|((stage, module), usage)| usage.snapshot(module, *stage)).collect()
    }
}
