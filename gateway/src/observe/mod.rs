//! What a person and a monitor can see: logs, metrics, the state of the task, the status line.
//!
//! Owns the numbers and the state; the pipeline updates them per batch, never per change. Must not decide anything: `task` says
//! what the state is. Nothing here may hold a row value or a secret (I9).

mod audit;
mod console;
mod delay;
mod instance;
pub mod log;
mod metrics;
mod modules;
mod report;
mod status;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use delay::Delay;
use instance::{Instance, Levels, Totals};
use millrace_batch::Failure;

pub use audit::Audit;
pub use instance::METRICS;
pub use metrics::Metrics;
pub use status::{About, LiveModule, ShardStatus, Snapshot, State, Status};

/// Metrics and state of one shard, shared by every part of its session. That of shard 0 also speaks for the whole task: it knows the
/// others, and tells the worst of all.
#[derive(Debug)]
pub struct Observe {
    /// The numbers.
    pub metrics: Metrics,
    /// The state.
    pub status: Status,
    /// The shards behind shard 0.
    others: Mutex<Vec<Arc<Observe>>>,
    /// The judge of the delay of all.
    delay: Delay,
    /// The documented metrics of all.
    instance: Instance,
}

impl Observe {
    /// For a task that has not begun.
    pub fn new(about: About) -> Observe {
        Observe::of_shard(about, 0)
    }

    fn of_shard(about: About, shard: u16) -> Observe {
        let metrics = Metrics::of_shard(&about.task, shard);
        Observe {
            metrics,
            status: Status::new(about, shard),
            others: Mutex::default(),
            delay: Delay::default(),
            instance: Instance::default(),
        }
    }

    /// Names the shards of the task, by the nodes they read, and gives one for each. Series of shards that stay go on.
    pub fn shards(self: &Arc<Observe>, nodes: &[Option<String>]) -> Vec<Arc<Observe>> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.truncate(nodes.len().saturating_sub(1));
        while others.len() + 1 < nodes.len() {
            let shard = u16::try_from(others.len() + 1).unwrap_or(u16::MAX);
            others.push(Arc::new(Observe::of_shard(self.status.about(), shard)));
        }
        let all: Vec<Arc<Observe>> = std::iter::once(self.clone()).chain(others.iter().cloned()).collect();
        for (shard, node) in all.iter().zip(nodes) {
            shard.status.node(node.clone());
        }
        all
    }

    fn others(&self) -> Vec<Arc<Observe>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The task begins, or begins anew after a change of its configuration.
    pub fn starting(&self) {
        self.enter(State::Starting, None);
    }

    /// The stream flows.
    pub fn streaming(&self) {
        self.enter(State::Streaming, None);
        tracing::info!(code = "streaming", node = self.status.node_name(), "streaming");
    }

    /// SIGTERM was received: what is under way is delivered, nothing more is read.
    pub fn draining(&self) {
        self.enter(State::Draining, None);
        tracing::info!(code = "draining", "draining: delivering what was read");
    }

    /// A transient failure: the next attempt follows after `pause`.
    pub fn retrying(&self, failure: &Failure, pause: Duration) {
        self.enter(State::Retrying, Some(failure.clone()));
        self.metrics.reconnected();
        tracing::warn!(
            code = failure.code,
            node = self.status.node_name(),
            tried = %failure.tried,
            why = %failure.why,
            mend = %failure.mend,
            retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            "{failure}; trying again"
        );
    }

    /// A definite failure: nothing moves until a person has acted. Logged once, here.
    pub fn halted(&self, failure: &Failure) {
        self.enter(State::Halted, Some(failure.clone()));
        tracing::error!(
            code = failure.code,
            node = self.status.node_name(),
            tried = %failure.tried,
            why = %failure.why,
            mend = %failure.mend,
            "{failure}; halted"
        );
    }

    /// The task does not run: a person paused it, stopped it, or has not started it.
    pub fn resting(&self, state: State, failure: Option<Failure>) {
        for shard in self.others() {
            shard.enter(state, None);
        }
        self.enter(state, failure);
    }

    fn enter(&self, state: State, failure: Option<Failure>) {
        self.status.enter(state, failure);
        self.metrics.state(state);
    }

    /// When a delay is an alarm, and where spill and position files are.
    pub fn watch(&self, monitoring: &crate::config::Monitoring, disk: PathBuf) {
        self.delay.set(monitoring.delay_threshold.get(), monitoring.delay_alarm_after.get());
        self.instance.disk(disk);
    }

    /// Takes a sample of the documented metrics, and judges the delay; once a second.
    fn sample(&self) {
        let mut sum = Totals::default();
        for one in
            std::iter::once(self.metrics.totals()).chain(self.others().iter().map(|shard| shard.metrics.totals()))
        {
            sum.received_bytes += one.received_bytes;
            sum.received_rows += one.received_rows;
            sum.delivered_bytes += one.delivered_bytes;
            sum.delivered_rows += one.delivered_rows;
            sum.delivered_transactions += one.delivered_transactions;
            sum.execute_seconds += one.execute_seconds;
            sum.commit_seconds += one.commit_seconds;
            sum.commits += one.commits;
        }
        self.instance.sample(sum);
        let delay_ms = self.shard_snapshots().delay_ms;
        let (before, now) = self.delay.judge(Duration::from_millis(delay_ms), Instant::now());
        match (before.alarm, now.alarm) {
            (false, true) => tracing::warn!(
                code = "delay_alarm",
                delay_ms,
                mend = "docs/runbook.md says where to look: the broker, a module, or one very large transaction",
                "the delay has been above monitoring.delay_threshold for monitoring.delay_alarm_after"
            ),
            (true, false) => {
                tracing::info!(code = "delay_alarm_over", delay_ms, "the delay is below its threshold again")
            }
            _ => {}
        }
    }

    /// Everything `/v1/status` shows, as of now.
    pub fn snapshot(&self) -> Snapshot {
        let mut task = self.shard_snapshots();
        let judged = self.delay.judged();
        (task.late, task.delay_alarm) = (judged.late, judged.alarm);
        task.monitoring = self.monitoring(&task);
        task
    }

    fn shard_snapshots(&self) -> Snapshot {
        let mut task = self.status.snapshot(&self.metrics);
        for shard in self.others() {
            task.add(shard.status.snapshot(&shard.metrics));
        }
        task
    }

    fn monitoring(&self, task: &Snapshot) -> BTreeMap<&'static str, f64> {
        let others = self.others();
        let extract = others.iter().map(|shard| shard.metrics.extract_latency_ms()).max().unwrap_or(0);
        self.instance.values(Levels {
            extract_latency_ms: extract.max(self.metrics.extract_latency_ms()),
            apply_latency_ms: task.delay_ms,
            workers: self.metrics.workers() + others.iter().map(|shard| shard.metrics.workers()).sum::<u64>(),
            state: task.state,
        })
    }

    /// The state of the shard that is worst off.
    pub fn state(&self) -> State {
        self.shard_snapshots().state
    }

    /// Why the shard that is worst off is so.
    pub fn failure(&self) -> Option<Failure> {
        self.shard_snapshots().failure
    }

    /// Whether records of any shard wait and the sink acknowledges none.
    pub fn is_stalled(&self) -> bool {
        self.metrics.is_stalled() || self.others().iter().any(|shard| shard.metrics.is_stalled())
    }

    /// Records that all shards delivered since the start.
    pub fn delivered_records(&self) -> u64 {
        let others: u64 = self.others().iter().map(|shard| shard.metrics.delivered_records()).sum();
        self.metrics.delivered_records() + others
    }

    /// Whether the task does its work: every shard streams, and what is produced is acknowledged.
    pub fn is_ready(&self) -> bool {
        self.state() == State::Streaming && !self.is_stalled()
    }

    /// The metrics of all shards as Prometheus text (OpenMetrics), and the documented ones of the task.
    pub fn encode(&self) -> String {
        let others = self.others();
        let own = if others.is_empty() {
            self.metrics.encode()
        } else {
            let texts = std::iter::once(self.metrics.encode()).chain(others.iter().map(|shard| shard.metrics.encode()));
            merged(&texts.collect::<Vec<_>>())
        };
        let now = self.snapshot();
        let task = &now.about.task;
        let alarm = u8::from(now.delay_alarm);
        let alarm = format!(
            "# HELP millrace_delay_alarm 1 while the delay has been above monitoring.delay_threshold for long enough.\n\
             # TYPE millrace_delay_alarm gauge\nmillrace_delay_alarm{{task=\"{task}\"}} {alarm}\n"
        );
        let documented = instance::text(task, &now.monitoring);
        format!("{}{alarm}{documented}# EOF\n", own.trim_end_matches("# EOF\n"))
    }
}

/// One exposition of several: each family once, with the samples of all.
fn merged(texts: &[String]) -> String {
    let mut families: Vec<(&str, String)> = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let mut family = 0;
        for line in text.lines().filter(|line| *line != "# EOF") {
            let described = line.strip_prefix("# ").and_then(|rest| rest.split(' ').nth(1));
            if let Some(name) = described {
                family = families.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                    families.push((name, String::new()));
                    families.len() - 1
                });
            }
            let Some((_, lines)) = families.get_mut(family) else { continue };
            if described.is_none() || number == 0 {
                lines.push_str(line);
                lines.push('\n');
            }
        }
    }
    families.into_iter().map(|(_, lines)| lines).chain(std::iter::once("# EOF\n".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_as_well_as_its_worst_shard() {
        let task = Arc::new(Observe::new(About { task: "shop".to_owned(), ..About::default() }));
        let shards = task.shards(&[Some("dn_1".to_owned()), Some("dn_2".to_owned())]);
        shards[0].streaming();
        assert_eq!((task.state(), task.is_ready()), (State::Starting, false));
        shards[1].streaming();
        assert!(task.is_ready());
        shards[1].metrics.acknowledged(3, 300);
        shards[1].halted(&Failure::definite("slot_lost", "t", "w", "m"));
        let snapshot = task.snapshot();
        assert_eq!((snapshot.state, snapshot.records_delivered), (State::Halted, 3));
        assert_eq!(snapshot.failure.map(|failure| failure.code), Some("slot_lost"));
        let told: Vec<_> =
            snapshot.shards.iter().map(|shard| (shard.shard, shard.node.as_deref(), shard.state)).collect();
        assert_eq!(told, [(0, Some("dn_1"), State::Streaming), (1, Some("dn_2"), State::Halted)]);
        assert!(Arc::ptr_eq(&task.shards(&[None, None])[1], &shards[1]), "its series go on");
    }

    #[test]
    fn every_metric_is_described_once() {
        let task = Arc::new(Observe::new(About { task: "shop".to_owned(), ..About::default() }));
        task.shards(&[None, None])[1].metrics.acknowledged(3, 300);
        let text = task.encode();
        assert_eq!(text.matches("# TYPE millrace_records_delivered ").count(), 1, "{text}");
        assert_eq!(
            text.lines().filter(|line| line.starts_with("millrace_records_delivered_total{")).count(),
            2,
            "{text}"
        );
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let mut distinct = names.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(names.len(), distinct.len());
    }
}
