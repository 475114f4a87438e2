//! The numbers, in Prometheus form.
//!
//! Owns their names, helps and updates: a handful of relaxed atomic operations per batch. Where the managed service has a
//! metric of the same meaning, the help names its id.

use std::{
    borrow::Cow,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use millrace_batch::{Batch, Lsn};
use millrace_host::{Fault, OnError};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{LiveModule, State, instance::Totals, modules::Modules};

type Level = Gauge<u64, AtomicU64>;

/// Records in flight for this long without one acknowledgement mean that the sink is stuck.
const STALL: Duration = Duration::from_secs(10);

/// How long the delay of the last delivered transaction stands for the task's lag once nothing is under way.
const FRESH: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    stage: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModuleLabel {
    stage: String,
    name: String,
    sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// The metrics of one shard. Every method is cheap enough for once per batch.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    changes: Counter,
    transactions: Counter,
    received_bytes: Counter,
    batches: Counter,
    stage_seconds: Family<StageLabel, Counter<f64, AtomicU64>>,
    changes_transformed: Counter,
    records: Counter,
    delivered_records: Counter,
    delivered_bytes: Counter,
    delivery_errors: Counter,
    positions: Counter,
    reconnects: Counter,
    modules: Modules,
    module_faults: Family<FaultLabels, Counter>,
    skipped: Counter,
    dead_letters: Counter,
    swaps: Family<OutcomeLabel, Counter>,
    swaps_pending: Level,
    swap_pause: Histogram,
    trial_faults: Counter,
    active_modules: Family<ModuleLabel, Level>,
    commit_to_ack: Histogram,
    in_flight: Level,
    in_flight_bytes: Level,
    budget_used: Level,
    server_lsn: Level,
    received_lsn: Level,
    delivered_lsn: Level,
    position_lsn: Level,
    confirmed_lsn: Level,
    retained_wal: Level,
    lag_bytes: Level,
    lag_ms: Level,
    state: Family<StateLabel, Level>,
    /// Commit time of the oldest change that was received and may not be delivered, microseconds since the Unix epoch; 0: none.
    pending_since: AtomicI64,
    /// Delay of the last delivered transaction in milliseconds.
    last_delay_ms: AtomicU64,
    /// Delay of the last received transaction in milliseconds.
    extract_delay_ms: AtomicU64,
    /// Transactions that are delivered, and batches with the time the sink took for them, microseconds.
    applied: [AtomicU64; 3],
    /// Commit times of the newest transactions received and delivered, microseconds since the Unix epoch; 0: none.
    newest: [AtomicI64; 2],
    /// When the session that runs began, milliseconds since the Unix epoch, from which LSN, and with how many workers; 0: none runs.
    began_ms: AtomicI64,
    began_at: AtomicU64,
    workers: AtomicU64,
    /// When something was last delivered, or first came to be in flight.
    moved: Mutex<Instant>,
}

impl Metrics {
    /// Those of the first shard.
    pub fn new(task: &str) -> Metrics {
        Metrics::of_shard(task, 0)
    }

    /// Registers every metric with the labels `task` and `shard`.
    pub fn of_shard(task: &str, shard: u16) -> Metrics {
        let labels = [("task".into(), task.to_owned().into()), ("shard".into(), shard.to_string().into())];
        let mut registry = Registry::with_prefix_and_labels("millrace", labels.into_iter());
        let r = &mut registry;
        // Up to 16 s: 1 ms is what a broker on the same machine takes.
        let commit_to_ack = Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(0.001, 2.0, 15));
        let metrics = Metrics {
            changes: counter(r, "changes_received", "Row changes received from the source (extract_rows_rate)"),
            transactions: counter(r, "transactions_received", "Commits received from the source"),
            received_bytes: counter(
                r,
                "received_bytes",
                "Bytes of row values received from the source (extract_bytes_rate)",
            ),
            batches: counter(r, "batches", "Batches handed to the modules"),
            stage_seconds: Family::default(),
            changes_transformed: counter(r, "changes_transformed", "Row changes the modules are done with"),
            records: counter(r, "records_transformed", "Records the modules made"),
            delivered_records: counter(r, "records_delivered", "Records the sink acknowledged (apply_rows_rate)"),
            delivered_bytes: counter(r, "delivered_bytes", "Bytes of records the sink acknowledged (apply_bytes_rate)"),
            delivery_errors: counter(r, "delivery_errors", "Sessions that ended because the sink refused a record"),
            positions: counter(r, "positions_written", "Durable positions written"),
            reconnects: counter(r, "reconnects", "Attempts after a transient failure"),
            modules: Modules::default(),
            module_faults: Family::default(),
            skipped: counter(r, "changes_skipped", "Changes a stage could not handle and was told to skip"),
            dead_letters: counter(
                r,
                "dead_letters",
                "Changes a stage could not handle, handed to the dead-letter topic",
            ),
            swaps: Family::default(),
            swaps_pending: level(r, "swaps_pending", "Swaps of modules that were asked for and are not done"),
            // Up to a quarter of a second: 50 ms is the promise, microseconds are the rule.
            swap_pause: Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(0.000_016, 2.0, 15)),
            trial_faults: counter(
                r,
                "trial_faults",
                "Batches a version on trial failed on and the version before it did",
            ),
            active_modules: Family::default(),
            commit_to_ack,
            in_flight: level(r, "records_in_flight", "Records produced and not yet acknowledged"),
            in_flight_bytes: level(r, "in_flight_bytes", "Bytes of records produced and not yet acknowledged"),
            budget_used: level(r, "budget_used_bytes", "Bytes of pipeline.budget in use"),
            server_lsn: level(r, "server_lsn", "End of the source's WAL as last heard"),
            received_lsn: level(r, "received_lsn", "End of the stream received"),
            delivered_lsn: level(
                r,
                "delivered_lsn",
                "End of the last transaction whose records are acknowledged, as all before it",
            ),
            position_lsn: level(r, "position_lsn", "Durable position"),
            confirmed_lsn: level(r, "confirmed_lsn", "LSN confirmed to the slot"),
            retained_wal: level(r, "slot_retained_bytes", "WAL the source keeps for the slot"),
            lag_bytes: level(r, "lag_bytes", "WAL between the end at the source and the last delivered transaction"),
            lag_ms: level(r, "lag_milliseconds", "Time from commit to acknowledgement (apply_latency)"),
            state: Family::default(),
            pending_since: AtomicI64::new(0),
            last_delay_ms: AtomicU64::new(0),
            extract_delay_ms: AtomicU64::new(0),
            applied: Default::default(),
            newest: Default::default(),
            began_ms: AtomicI64::new(0),
            began_at: AtomicU64::new(0),
            workers: AtomicU64::new(0),
            moved: Mutex::new(Instant::now()),
            registry: Registry::default(),
        };
        r.register("module_faults", "Changes a stage could not handle", metrics.module_faults.clone());
        r.register_collector(Box::new(metrics.modules.clone()));
        r.register("swaps", "Swaps of modules, by outcome", metrics.swaps.clone());
        r.register_with_unit(
            "swap_pause",
            "Time the stream stood still for a swap of modules",
            Unit::Seconds,
            metrics.swap_pause.clone(),
        );
        r.register("active_module", "1 for each module at work", metrics.active_modules.clone());
        r.register_with_unit(
            "stage",
            "Time spent in each stage of the pipeline, over all threads",
            Unit::Seconds,
            metrics.stage_seconds.clone(),
        );
        r.register_with_unit(
            "commit_to_ack",
            "Time from commit at the source to acknowledgement, per delivered position (apply_average_commit_time)",
            Unit::Seconds,
            metrics.commit_to_ack.clone(),
        );
        r.register("state", "1 for the state the task is in (apply_current_state)", metrics.state.clone());
        metrics.state(State::Starting);
        Metrics { registry, ..metrics }
    }

    /// The end of the stream that was read, as the frames name it.
    pub fn received_lsn(&self, lsn: Lsn) {
        raise(&self.received_lsn, lsn);
    }

    /// The end of the source's WAL, from a keepalive or a query.
    pub fn server_lsn(&self, lsn: Lsn) {
        raise(&self.server_lsn, lsn);
    }

    /// A batch was cut and goes to the workers.
    pub fn batch_received(&self, batch: &Batch) {
        self.batches.inc();
        self.changes.inc_by(batch.len() as u64);
        self.received_bytes.inc_by(batch.data_len() as u64);
        self.transactions.inc_by(batch.commits().len() as u64);
        if let Some(first) = batch.commit_times().first() {
            let _ = self.pending_since.compare_exchange(0, *first, Ordering::Relaxed, Ordering::Relaxed);
        }
        if let Some(last) = batch.commits().last().map(|end| end.commit_time).filter(|time| *time > 0) {
            let delay = Duration::from_micros(u64::try_from(now_micros() - last).unwrap_or(0));
            self.extract_delay_ms.store(millis(delay), Ordering::Relaxed);
            self.newest[0].store(last, Ordering::Relaxed);
        }
    }

    /// A batch is acknowledged, with the transactions that ended in it, and the time since it was handed to the producer.
    pub fn applied(&self, transactions: u64, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for (sum, more) in self.applied.iter().zip([transactions, 1, took]) {
            sum.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// A session streams with so many workers.
    pub fn began(&self, workers: usize) {
        self.began_ms.store(now_micros() / 1000, Ordering::Relaxed);
        self.workers.store(workers as u64, Ordering::Relaxed);
    }

    /// A worker is done with a batch of so many changes.
    pub fn transformed(&self, changes: usize, records: usize, took: Duration) {
        self.changes_transformed.inc_by(changes as u64);
        self.records.inc_by(records as u64);
        self.stage("transform", took);
    }

    /// Time one stage of the pipeline spent on a batch: decode, transform, deliver, or a stage of the modules.
    pub fn stage(&self, stage: &'static str, took: Duration) {
        self.stage_seconds.get_or_create(&StageLabel { stage: stage.into() }).inc_by(took.as_secs_f64());
    }

    /// The engine whose modules are shown from now on.
    pub fn modules(&self, engine: millrace_host::HostEngine) {
        self.modules.set(engine);
    }

    /// A stage could not handle a change.
    pub fn module_fault(&self, fault: &Fault) {
        let labels = FaultLabels { stage: fault.stage.clone(), kind: fault.kind.as_str() };
        self.module_faults.get_or_create(&labels).inc();
        match fault.on_error {
            OnError::Halt => {}
            OnError::DeadLetter => _ = self.dead_letters.inc(),
            OnError::Skip => _ = self.skipped.inc(),
        }
    }

    /// A swap came to its end; `pause`: how long the stream stood still, where it flowed.
    pub fn swapped(&self, outcome: &'static str, pause: Option<Duration>) {
        self.swaps.get_or_create(&OutcomeLabel { outcome }).inc();
        if let Some(pause) = pause {
            self.swap_pause.observe(pause.as_secs_f64());
        }
    }

    /// Swaps that wait or are at work.
    pub fn swaps_pending(&self, count: usize) {
        self.swaps_pending.set(count as u64);
    }

    /// A version on trial failed on a batch.
    pub fn trial_fault(&self) {
        self.trial_faults.inc();
    }

    /// The modules at work, in the order of the chain.
    pub fn active_modules(&self, modules: &[LiveModule]) {
        self.active_modules.clear();
        for LiveModule { stage, name, sha256 } in modules {
            let label = ModuleLabel { stage: stage.clone(), name: name.clone(), sha256: sha256.clone() };
            self.active_modules.get_or_create(&label).set(1);
        }
    }

    /// What the producer holds at the moment.
    pub fn in_flight(&self, records: u64, bytes: u64) {
        if self.in_flight.set(records) == 0 && records > 0 {
            self.touch();
        }
        self.in_flight_bytes.set(bytes);
    }

    /// Records were acknowledged.
    pub fn acknowledged(&self, records: u64, bytes: u64) {
        if records > 0 {
            self.delivered_records.inc_by(records);
            self.delivered_bytes.inc_by(bytes);
            self.touch();
        }
    }

    /// Everything up to `lsn` is acknowledged. `commit_time` is that of the last transaction, microseconds since the Unix
    /// epoch; 0 where there was none (an idle source).
    pub fn delivered(&self, lsn: Lsn, commit_time: i64) {
        raise(&self.delivered_lsn, lsn);
        if commit_time > 0 {
            let delay = Duration::from_micros(u64::try_from(now_micros() - commit_time).unwrap_or(0));
            self.commit_to_ack.observe(delay.as_secs_f64());
            self.last_delay_ms.store(millis(delay), Ordering::Relaxed);
            self.newest[1].store(commit_time, Ordering::Relaxed);
            self.touch();
        }
        let caught_up = self.delivered_lsn.get() >= self.received_lsn.get();
        self.pending_since.store(if caught_up { 0 } else { commit_time }, Ordering::Relaxed);
    }

    /// Bytes of the budget in use.
    pub fn budget_used(&self, bytes: usize) {
        self.budget_used.set(bytes as u64);
    }

    /// The stream begins at a durable position.
    pub fn resumed(&self, lsn: Lsn) {
        self.began_at.store(lsn.0, Ordering::Relaxed);
        raise(&self.position_lsn, lsn);
        raise(&self.delivered_lsn, lsn);
    }

    /// A position became durable.
    pub fn position_written(&self, lsn: Lsn) {
        self.positions.inc();
        raise(&self.position_lsn, lsn);
    }

    /// The slot may forget everything before `lsn`.
    pub fn confirmed(&self, lsn: Lsn) {
        raise(&self.confirmed_lsn, lsn);
    }

    /// WAL the source keeps for the slot, in bytes.
    pub fn retained_wal(&self, bytes: u64) {
        self.retained_wal.set(bytes);
    }

    /// A session ended because the sink refused a record.
    pub fn delivery_error(&self) {
        self.delivery_errors.inc();
    }

    /// A session ended: nothing is under way any more.
    pub fn session_ended(&self) {
        self.in_flight(0, 0);
        self.budget_used.set(0);
        self.pending_since.store(0, Ordering::Relaxed);
        self.began_ms.store(0, Ordering::Relaxed);
        self.workers.store(0, Ordering::Relaxed);
    }

    pub(super) fn reconnected(&self) {
        self.reconnects.inc();
    }

    pub(super) fn state(&self, now: State) {
        for state in State::ALL {
            let label = StateLabel { state: state.as_str() };
            self.state.get_or_create(&label).set(u64::from(state == now));
        }
    }

    fn touch(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle_for(&self) -> Duration {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Whether records wait and the sink acknowledges none.
    pub fn is_stalled(&self) -> bool {
        self.in_flight.get() > 0 && self.idle_for() > STALL
    }

    /// Time from commit to acknowledgement as of now, in milliseconds; 0 for a source that is idle.
    pub fn lag_ms(&self) -> u64 {
        let pending = self.pending_since.load(Ordering::Relaxed);
        let last = self.last_delay_ms.load(Ordering::Relaxed);
        if pending > 0 {
            return u64::try_from((now_micros() - pending) / 1000).unwrap_or(0);
        }
        if self.idle_for() < FRESH { last } else { 0 }
    }

    /// WAL between the end at the source and the last delivered transaction, in bytes.
    pub fn lag_bytes(&self) -> u64 {
        let end = self.server_lsn.get().max(self.received_lsn.get());
        let delivered = self.delivered_lsn.get().max(self.position_lsn.get()).max(self.confirmed_lsn.get());
        // Before the first position is known there is nothing to subtract from.
        if delivered == 0 { 0 } else { end.saturating_sub(delivered) }
    }

    /// Time from commit to receipt of the newest transaction received, in milliseconds; 0 once nothing is under way.
    pub fn extract_latency_ms(&self) -> u64 {
        let busy = self.pending_since.load(Ordering::Relaxed) > 0 || self.idle_for() < FRESH;
        if busy { self.extract_delay_ms.load(Ordering::Relaxed) } else { 0 }
    }

    /// Totals since the start.
    pub(super) fn totals(&self) -> Totals {
        let [transactions, batches, took] = [0, 1, 2].map(|at: usize| self.applied[at].load(Ordering::Relaxed));
        let stage = |stage: &'static str| self.stage_seconds.get_or_create(&StageLabel { stage: stage.into() }).get();
        Totals {
            received_bytes: self.received_bytes.get(),
            received_rows: self.changes.get(),
            delivered_bytes: self.delivered_bytes.get(),
            delivered_rows: self.delivered_records.get(),
            delivered_transactions: transactions,
            execute_seconds: stage("transform") + stage("deliver"),
            commit_seconds: took as f64 / 1e6,
            commits: batches,
        }
    }

    /// Worker threads of the session that runs.
    pub(super) fn workers(&self) -> u64 {
        self.workers.load(Ordering::Relaxed)
    }

    /// When the session that runs began, milliseconds since the Unix epoch, and from where; the commit times of the newest transactions
    /// received and delivered, microseconds.
    pub(super) fn session(&self) -> (Option<i64>, Lsn, [Option<i64>; 2]) {
        let told = |number: i64| Some(number).filter(|number| *number > 0);
        let newest = [0, 1].map(|at: usize| told(self.newest[at].load(Ordering::Relaxed)));
        (told(self.began_ms.load(Ordering::Relaxed)), Lsn(self.began_at.load(Ordering::Relaxed)), newest)
    }

    /// Records acknowledged since the start.
    pub fn delivered_records(&self) -> u64 {
        self.delivered_records.get()
    }

    /// Changes received since the start.
    pub fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Records produced and not yet acknowledged.
    pub fn records_in_flight(&self) -> u64 {
        self.in_flight.get()
    }

    /// WAL the source keeps for the slot, in bytes.
    pub fn slot_retained_bytes(&self) -> u64 {
        self.retained_wal.get()
    }

    /// Received, delivered, durable and confirmed LSN.
    pub fn lsns(&self) -> [Lsn; 4] {
        [&self.received_lsn, &self.delivered_lsn, &self.position_lsn, &self.confirmed_lsn].map(|level| Lsn(level.get()))
    }

    /// The Prometheus text (OpenMetrics).
    pub fn encode(&self) -> String {
        self.lag_bytes.set(self.lag_bytes());
        self.lag_ms.set(self.lag_ms());
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn level(registry: &mut Registry, name: &str, help: &str) -> Level {
    let level = Level::default();
    registry.register(name, help, level.clone());
    level
}

/// LSNs are told by several parts; an older one must not overwrite a newer one.
fn raise(level: &Level, lsn: Lsn) {
    level.inner().fetch_max(lsn.0, Ordering::Relaxed);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn now_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_metric_with_the_task() {
        let metrics = Metrics::new("shop");
        metrics.acknowledged(3, 300);
        metrics.confirmed(Lsn(7));
        metrics.confirmed(Lsn(5));
        metrics.module_fault(&Fault {
            change: 0,
            kind_of_stage: millrace_host::StageKind::Format,
            stage: "format".into(),
            module: "format".into(),
            digest: millrace_host::Digest::of(b""),
            on_error: OnError::Skip,
            kind: millrace_host::FaultKind::Trap,
            message: String::new(),
            table: "public.t".into(),
            id: 1,
            commit_lsn: Lsn(1),
            ordinal: 0,
        });
        let engine = millrace_host::HostEngine::new(millrace_host::Limits::default(), None).unwrap();
        metrics.modules(engine);
        let text = metrics.encode();
        for line in [
            "millrace_records_delivered_total{task=\"shop\",shard=\"0\"} 3",
            "millrace_confirmed_lsn{task=\"shop\",shard=\"0\"} 7",
            "millrace_state{state=\"starting\",task=\"shop\",shard=\"0\"} 1",
            "millrace_module_faults_total{stage=\"format\",kind=\"transform_trap\",task=\"shop\",shard=\"0\"} 1",
            "millrace_changes_skipped_total{task=\"shop\",shard=\"0\"} 1",
            "millrace_dead_letters_total{task=\"shop\",shard=\"0\"} 0",
            "millrace_module_limit{limit=\"time\",task=\"shop\",shard=\"0\"} 1.0",
        ] {
            let sorted = |line: &str| {
                let mut parts: Vec<String> = line.split(['{', '}', ',']).map(str::to_owned).collect();
                parts.sort();
                parts
            };
            assert!(text.lines().any(|found| sorted(found) == sorted(line)), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn lag_is_that_of_what_is_under_way() {
        let metrics = Metrics::new("shop");
        assert_eq!((metrics.lag_ms(), metrics.lag_bytes()), (0, 0));
        let then = now_micros() - 5_000_000;
        metrics.pending_since.store(then, Ordering::Relaxed);
        metrics.received_lsn(Lsn(100));
        metrics.confirmed(Lsn(40));
        assert!((5000..6000).contains(&metrics.lag_ms()));
        assert_eq!(metrics.lag_bytes(), 60);
        metrics.delivered(Lsn(100), then);
        assert_eq!(metrics.lag_bytes(), 0);
        assert!(metrics.lag_ms() >= 5000, "the delay of what was just delivered");
    }

    #[test]
    fn in_flight_without_acknowledgement_is_a_stall_only_after_a_while() {
        let metrics = Metrics::new("shop");
        *metrics.moved.lock().unwrap() = Instant::now() - STALL * 2;
        assert!(!metrics.is_stalled());
        metrics.in_flight(5, 500);
        assert!(!metrics.is_stalled(), "the first record after a pause has only just been produced");
        *metrics.moved.lock().unwrap() = Instant::now() - STALL * 2;
        assert!(metrics.is_stalled());
        metrics.acknowledged(1, 100);
        assert!(!metrics.is_stalled());
    }
}
