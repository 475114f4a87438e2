//! The 19 metrics of the managed service, by their documented ids and units.
//!
//! Owns their names, and how each follows from the gateway's own counters and from what the kernel tells of the process. Rates are over the
//! last ten seconds. Where the service measures the machine a task runs on, this measures the process, or, for the network, its namespace.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::State;

/// Id, unit and what it means here, in the order of the documentation.
pub const METRICS: [(&str, &str, &str); 19] = [
    ("cpu_util", "%", "CPU time of the process, of all cores"),
    ("mem_util", "%", "Memory of the process, of what the machine or the control group has"),
    (
        "network_incoming_bytes_rate",
        "bytes/s",
        "Received in the network namespace of the process, the loopback interface left out",
    ),
    (
        "network_outgoing_bytes_rate",
        "bytes/s",
        "Sent in the network namespace of the process, the loopback interface left out",
    ),
    ("disk_read_bytes_rate", "bytes/s", "Read from storage by the process"),
    ("disk_write_bytes_rate", "bytes/s", "Written to storage by the process"),
    ("disk_util", "%", "Use of the file system that holds spill and position files"),
    ("extract_bytes_rate", "bytes/s", "Row values read from the source"),
    ("extract_rows_rate", "rows/s", "Row changes read from the source"),
    ("extract_latency", "ms", "Time from commit to receipt of the newest transaction received"),
    ("apply_bytes_rate", "bytes/s", "Bytes of records the sink acknowledged"),
    ("apply_rows_rate", "rows/s", "Records the sink acknowledged"),
    ("apply_transactions_rate", "transactions/s", "Transactions whose records are acknowledged"),
    ("apply_ddls_rate", "statements/s", "Always 0: no DDL is delivered"),
    ("apply_latency", "ms", "Time from commit to acknowledgement"),
    ("apply_average_execute_time", "ms", "Time per transaction in modules and in handing over to the producer"),
    ("apply_average_commit_time", "ms", "Time from the producer to the acknowledgement, per batch"),
    ("apply_current_state", "", "10 abnormal, 1 idle, 2 delivering changes; 3 (DDL) never"),
    ("apply_thread_workers", "threads", "Worker threads of the sessions that run"),
];

/// Span of the rates.
const SPAN: Duration = Duration::from_secs(10);

/// Totals since the start, of all shards.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub received_bytes: u64,
    pub received_rows: u64,
    pub delivered_bytes: u64,
    pub delivered_rows: u64,
    pub delivered_transactions: u64,
    pub execute_seconds: f64,
    pub commit_seconds: f64,
    pub commits: u64,
}

/// What is not a total.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    pub extract_latency_ms: u64,
    pub apply_latency_ms: u64,
    pub workers: u64,
    pub state: State,
}

/// What the kernel tells.
#[derive(Clone, Copy, Debug, Default)]
struct Kernel {
    cpu_seconds: f64,
    received: u64,
    sent: u64,
    read: u64,
    written: u64,
}

/// Samples of the last seconds, and the metrics made of them.
#[derive(Debug, Default)]
pub(super) struct Instance {
    disk: Mutex<Option<PathBuf>>,
    samples: Mutex<VecDeque<(Instant, Totals, Kernel)>>,
}

impl Instance {
    /// Where spill and position files are.
    pub fn disk(&self, folder: PathBuf) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
    }

    /// Takes a sample in; once a second.
    pub fn sample(&self, totals: Totals) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        samples.push_back((now, totals, kernel()));
        while samples.len() > 2 && samples.get(1).is_some_and(|(then, ..)| now - *then >= SPAN) {
            samples.pop_front();
        }
    }

    /// The metrics as of now.
    pub fn values(&self, levels: Levels) -> BTreeMap<&'static str, f64> {
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(|| "/".into());
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = match (samples.front(), samples.back()) {
            (Some(first), Some(last)) if samples.len() > 1 => (*first, *last),
            _ => {
                let now = (Instant::now(), Totals::default(), Kernel::default());
                (now, now)
            }
        };
        made(first, last, levels, memory(), disk_use(&disk))
    }
}

fn made(
    (then, old, before): (Instant, Totals, Kernel),
    (now, new, after): (Instant, Totals, Kernel),
    levels: Levels,
    memory: f64,
    disk: f64,
) -> BTreeMap<&'static str, f64> {
    let seconds = (now - then).as_secs_f64();
    let rate = |old: u64, new: u64| if seconds > 0.0 { new.saturating_sub(old) as f64 / seconds } else { 0.0 };
    let per = |sum: f64, count: u64| if count > 0 { sum * 1000.0 / count as f64 } else { 0.0 };
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let cpu = if seconds > 0.0 { (after.cpu_seconds - before.cpu_seconds) / seconds / cores * 100.0 } else { 0.0 };
    let rows = rate(old.delivered_rows, new.delivered_rows);
    let transactions = new.delivered_transactions.saturating_sub(old.delivered_transactions);
    let state = match levels.state {
        State::Retrying | State::Halted => 10.0,
        _ if rows > 0.0 => 2.0,
        _ => 1.0,
    };
    let values = [
        cpu.clamp(0.0, 100.0),
        memory.clamp(0.0, 100.0),
        rate(before.received, after.received),
        rate(before.sent, after.sent),
        rate(before.read, after.read),
        rate(before.written, after.written),
        disk.clamp(0.0, 100.0),
        rate(old.received_bytes, new.received_bytes),
        rate(old.received_rows, new.received_rows),
        levels.extract_latency_ms as f64,
        rate(old.delivered_bytes, new.delivered_bytes),
        rows,
        rate(old.delivered_transactions, new.delivered_transactions),
        0.0,
        levels.apply_latency_ms as f64,
        per(new.execute_seconds - old.execute_seconds, transactions),
        per(new.commit_seconds - old.commit_seconds, new.commits.saturating_sub(old.commits)),
        state,
        levels.workers as f64,
    ];
    let rounded = values.map(|value| (value * 1000.0).round() / 1000.0);
    METRICS.iter().zip(rounded).map(|((id, ..), value)| (*id, value)).collect()
}

/// The metrics as Prometheus text, keyed by the task; `drs_` and the id is the name.
pub(super) fn text(task: &str, values: &BTreeMap<&'static str, f64>) -> String {
    let mut out = String::new();
    for (id, unit, help) in METRICS {
        let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
        let value = values.get(id).copied().unwrap_or_default();
        // Writing to a String does not fail.
        let _ = write!(
            out,
            "# HELP drs_{id} {help}{unit}.\n# TYPE drs_{id} gauge\ndrs_{id}{{instance_id=\"{task}\"}} {value}\n"
        );
    }
    out
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// What is not told counts as nothing.
fn kernel() -> Kernel {
    let (received, sent) = network(&read("/proc/self/net/dev"));
    let io = read("/proc/self/io");
    Kernel {
        cpu_seconds: cpu(&read("/proc/self/stat")),
        received,
        sent,
        read: field(&io, "read_bytes:"),
        written: field(&io, "write_bytes:"),
    }
}

/// User and system time in proc_pid_stat(5): fields 14 and 15, in hundredths of a second on every Linux.
fn cpu(stat: &str) -> f64 {
    // The name in parentheses may hold anything.
    let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    behind.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Bytes received and sent in proc_pid_net(5) `dev`, over every interface but the loopback.
fn network(dev: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for (name, counters) in dev.lines().filter_map(|line| line.split_once(':')) {
        let mut counters = counters.split_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
        if name.trim() != "lo" {
            sum.0 += counters.next().unwrap_or(0);
            sum.1 += counters.nth(7).unwrap_or(0);
        }
    }
    sum
}

/// The number behind a name at the start of a line.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn memory() -> f64 {
    let own = field(&read("/proc/self/status"), "VmRSS:") * 1024;
    let machine = field(&read("/proc/meminfo"), "MemTotal:") * 1024;
    // Of control groups version 2, the limit of this one; a number, or "max".
    let group = read("/sys/fs/cgroup/memory.max").trim().parse::<u64>().unwrap_or(u64::MAX);
    let all = machine.min(group);
    if all == 0 { 0.0 } else { own as f64 / all as f64 * 100.0 }
}

fn disk_use(folder: &Path) -> f64 {
    // A folder that is not made yet lies where its nearest parent does.
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(there) {
        Ok(found) if found.f_blocks > 0 => {
            (found.f_blocks - found.f_bavail.min(found.f_blocks)) as f64 / found.f_blocks as f64 * 100.0
        }
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of spec section 19, one by one.
    const DOCUMENTED: [&str; 19] = [
        "cpu_util",
        "mem_util",
        "network_incoming_bytes_rate",
        "network_outgoing_bytes_rate",
        "disk_read_bytes_rate",
        "disk_write_bytes_rate",
        "disk_util",
        "extract_bytes_rate",
        "extract_rows_rate",
        "extract_latency",
        "apply_bytes_rate",
        "apply_rows_rate",
        "apply_transactions_rate",
        "apply_ddls_rate",
        "apply_latency",
        "apply_average_execute_time",
        "apply_average_commit_time",
        "apply_current_state",
        "apply_thread_workers",
    ];

    fn levels(state: State) -> Levels {
        Levels { extract_latency_ms: 12, apply_latency_ms: 34, workers: 2, state }
    }

    #[test]
    fn every_documented_metric_has_its_value_and_unit() {
        let then = Instant::now();
        let now = then + Duration::from_secs(10);
        let new = Totals {
            received_bytes: 5_000,
            received_rows: 100,
            delivered_bytes: 8_000,
            delivered_rows: 90,
            delivered_transactions: 20,
            execute_seconds: 0.1,
            commit_seconds: 0.6,
            commits: 30,
        };
        let kernel = Kernel { cpu_seconds: 0.0, received: 1_000, sent: 2_000, read: 10, written: 20 };
        let values = made(
            (then, Totals::default(), Kernel::default()),
            (now, new, kernel),
            levels(State::Streaming),
            1.5,
            101.0,
        );
        assert_eq!(values.keys().copied().collect::<std::collections::BTreeSet<_>>(), DOCUMENTED.into());
        let expected = [
            ("network_incoming_bytes_rate", 100.0),
            ("network_outgoing_bytes_rate", 200.0),
            ("disk_read_bytes_rate", 1.0),
            ("disk_write_bytes_rate", 2.0),
            ("mem_util", 1.5),
            ("disk_util", 100.0),
            ("extract_bytes_rate", 500.0),
            ("extract_rows_rate", 10.0),
            ("extract_latency", 12.0),
            ("apply_bytes_rate", 800.0),
            ("apply_rows_rate", 9.0),
            ("apply_transactions_rate", 2.0),
            ("apply_ddls_rate", 0.0),
            ("apply_latency", 34.0),
            ("apply_average_execute_time", 5.0),
            ("apply_average_commit_time", 20.0),
            ("apply_current_state", 2.0),
            ("apply_thread_workers", 2.0),
        ];
        for (id, value) in expected {
            assert_eq!(values[id], value, "{id}");
        }
        let text = text("shop", &values);
        for id in DOCUMENTED {
            assert!(text.contains(&format!("\ndrs_{id}{{instance_id=\"shop\"}} ")), "{id} in\n{text}");
        }
        assert!(text.contains(
            "# HELP drs_extract_latency Time from commit to receipt of the newest transaction received (ms).\n"
        ));
    }

    #[test]
    fn the_current_state_is_one_of_four_and_never_ddl() {
        for state in State::ALL {
            for rows in [0, 5] {
                let now = Instant::now();
                let totals = Totals { delivered_rows: rows, ..Totals::default() };
                let first = (now, Totals::default(), Kernel::default());
                let last = (now + Duration::from_secs(1), totals, Kernel::default());
                let value = made(first, last, levels(state), 0.0, 0.0)["apply_current_state"];
                let abnormal = matches!(state, State::Retrying | State::Halted);
                assert_eq!(
                    value,
                    if abnormal {
                        10.0
                    } else if rows > 0 {
                        2.0
                    } else {
                        1.0
                    },
                    "{state:?}"
                );
            }
        }
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        let mut stat = "7 (a ) b) S".to_owned();
        for field in 4..=20 {
            stat += &format!(
                " {}",
                if field == 14 {
                    250
                } else if field == 15 {
                    50
                } else {
                    9
                }
            );
        }
        assert_eq!(cpu(&stat), 3.0);
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n  eth1: 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n";
        assert_eq!(network(dev), (101, 202));
        assert_eq!(field("VmRSS:\t  12 kB\n", "VmRSS:"), 12);
        assert!(memory() > 0.0 && memory() <= 100.0);
        assert!((0.0..=100.0).contains(&disk_use(Path::new("/no/such/folder"))));
    }
}
