//! Figures, as text for people and as JSON for comparison over time.

use millrace_tests::postgres::Postgres;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// One backlog drained once.
#[derive(Debug, Clone)]
pub struct Drain {
    /// Changes that came between the first and the last look.
    pub changes: u64,
    /// Time between these looks.
    pub seconds: f64,
    /// From the start of the process to its first change.
    pub first_record: Duration,
    /// CPU time of the reader (pg_recvlogical or the gateway).
    pub client_cpu: Duration,
    /// CPU time of the walsender.
    pub walsender_cpu: Duration,
    /// CPU time of the broker.
    pub broker_cpu: Duration,
    /// Peak resident memory of the reader.
    pub peak_rss_kib: u64,
    /// Seconds by stage, as the gateway counts them.
    pub breakdown: Vec<(String, f64)>,
}

impl Drain {
    fn rate(&self) -> f64 {
        self.changes as f64 / self.seconds.max(0.001)
    }

    fn us_per_change(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.changes as f64
    }

    fn json(&self) -> Value {
        json!({
            "events_per_second": self.rate().round(),
            "seconds": rounded(self.seconds),
            "first_record_ms": self.first_record.as_millis() as u64,
            "client_cpu_us_per_event": rounded(self.us_per_change(self.client_cpu)),
            "walsender_cpu_us_per_event": rounded(self.us_per_change(self.walsender_cpu)),
            "broker_cpu_us_per_event": rounded(self.us_per_change(self.broker_cpu)),
            "peak_rss_mib": self.peak_rss_kib / 1024,
        })
    }
}

impl std::fmt::Display for Drain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>8.0} events/s  CPU us/event: reader {:>5.2} walsender {:>5.2} broker {:>5.2}  first record {:>5} ms  peak RSS {:>4} MiB",
            self.rate(),
            self.us_per_change(self.client_cpu),
            self.us_per_change(self.walsender_cpu),
            self.us_per_change(self.broker_cpu),
            self.first_record.as_millis(),
            self.peak_rss_kib / 1024
        )
    }
}

/// Milliseconds from commit to append, at a fixed rate.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    rate: u64,
    p50: i64,
    p99: i64,
    max: i64,
    records: usize,
    behind: f64,
}

impl Latency {
    /// From single delays in milliseconds; `behind` is how many seconds the load itself was late.
    pub fn new(rate: u64, mut delays: Vec<i64>, behind: f64) -> Self {
        delays.sort_unstable();
        let at = |part: f64| delays[((delays.len() - 1) as f64 * part) as usize];
        Self { rate, p50: at(0.5), p99: at(0.99), max: at(1.0), records: delays.len(), behind }
    }
}

/// Everything measured in one run.
pub struct Report {
    changes: u64,
    machine: Value,
    /// pg_recvlogical, one a round.
    pub ceiling: Vec<Drain>,
    /// The gateway into nothing.
    pub blackhole: Vec<Drain>,
    /// The gateway into the broker.
    pub kafka: Vec<Drain>,
    /// Commit to broker.
    pub latency: Option<Latency>,
}

impl Report {
    /// An empty report about this machine.
    pub fn new(postgres: &Postgres, changes: u64) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let machine = json!({
            "cpu": field(&read("/proc/cpuinfo"), "model name"),
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "memory": field(&read("/proc/meminfo"), "MemTotal"),
            "kernel": read("/proc/sys/kernel/osrelease").trim(),
            "load_before": read("/proc/loadavg").split(' ').next(),
            "postgresql": postgres.database_named("postgres").one("SHOW server_version"),
        });
        Self { changes, machine, ceiling: Vec::new(), blackhole: Vec::new(), kafka: Vec::new(), latency: None }
    }

    /// Ratio of each round to the ceiling of the same round; the median of them.
    fn ratio(&self, drains: &[Drain]) -> f64 {
        median(drains.iter().zip(&self.ceiling).map(|(drain, ceiling)| drain.rate() / ceiling.rate()))
    }

    /// The figures and the goals they are measured against.
    pub fn print(&self) {
        let cpu = |drains: &[Drain]| median(drains.iter().map(|drain| drain.us_per_change(drain.client_cpu)));
        println!("\nmedian of {} rounds, {} changes each", self.ceiling.len(), self.changes);
        let line = |what: &str, value: f64, unit: &str, goal: f64, at_least: bool| {
            let met = if at_least { value >= goal } else { value <= goal };
            let (sign, met) = (if at_least { ">=" } else { "<=" }, if met { "met" } else { "NOT met" });
            println!("  {what:<44} {value:>8.2} {unit:<9} goal {sign} {goal} {met}");
        };
        line("blackhole, ratio to pg_recvlogical", self.ratio(&self.blackhole), "", 1.0, true);
        line("broker on the same cores, ratio", self.ratio(&self.kafka), "", 0.75, true);
        line("gateway CPU into the broker", cpu(&self.kafka), "us/event", 5.0, false);
        println!("  {:<44} {:>8.2} us/event", "gateway CPU into nothing", cpu(&self.blackhole));
        line("peak RSS", self.peak_rss_mib(), "MiB", 128.0, false);
        line("first record after start", self.first_record_ms(), "ms", 1000.0, false);
        if let Some(latency) = self.latency {
            line(&format!("commit to broker at {}/s, p99", latency.rate), latency.p99 as f64, "ms", 15.0, false);
            println!(
                "  {:<44} {:>8} ms (max {} ms, load {:.1} s behind)",
                "  p50", latency.p50, latency.max, latency.behind
            );
        }
        for (name, seconds) in self.kafka.last().map(|drain| drain.breakdown.as_slice()).unwrap_or_default() {
            println!("  {name:<70} {:>7.3} us/event", seconds * 1e6 / self.changes as f64);
        }
    }

    fn peak_rss_mib(&self) -> f64 {
        let peak = self.kafka.iter().chain(&self.blackhole).map(|drain| drain.peak_rss_kib).max();
        peak.unwrap_or_default() as f64 / 1024.0
    }

    fn first_record_ms(&self) -> f64 {
        median(self.kafka.iter().map(|drain| drain.first_record.as_secs_f64() * 1e3))
    }

    /// Writes target/bench/latest.json.
    pub fn write(&self) {
        let rates = |drains: &[Drain]| median(drains.iter().map(Drain::rate)).round();
        let last = self.kafka.last();
        let value = json!({
            "ratio_to_ceiling": rounded(self.ratio(&self.kafka)),
            "blackhole_ratio_to_ceiling": rounded(self.ratio(&self.blackhole)),
            "gateway_cpu_us_per_event": rounded(median(self.kafka.iter().map(|d| d.us_per_change(d.client_cpu)))),
            "peak_rss_mib": self.peak_rss_mib().round(),
            "first_record_ms": self.first_record_ms().round(),
            "events_per_second": { "ceiling": rates(&self.ceiling), "blackhole": rates(&self.blackhole), "kafka": rates(&self.kafka) },
            "latency_ms": self.latency.map(|l| json!({
                "rate": l.rate, "p50": l.p50, "p99": l.p99, "max": l.max, "records": l.records, "load_behind_s": rounded(l.behind),
            })),
            "breakdown_us_per_event": last.map(|drain| {
                let us = |(name, seconds): &(String, f64)| (name.clone(), json!(rounded(seconds * 1e6 / self.changes as f64)));
                drain.breakdown.iter().map(us).collect::<serde_json::Map<_, _>>()
            }),
            "changes": self.changes,
            "rounds": {
                "ceiling": self.ceiling.iter().map(Drain::json).collect::<Vec<_>>(),
                "blackhole": self.blackhole.iter().map(Drain::json).collect::<Vec<_>>(),
                "kafka": self.kafka.iter().map(Drain::json).collect::<Vec<_>>(),
            },
            "machine": self.machine,
        });
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
        std::fs::create_dir_all(&dir).expect("create target/bench");
        let text = serde_json::to_string_pretty(&value).expect("JSON of plain values");
        std::fs::write(dir.join("latest.json"), text + "\n").expect("write target/bench/latest.json");
        println!("written: target/bench/latest.json");
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
