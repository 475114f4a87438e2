//! `--shards ROWS`: a simulated GaussDB Distributed at full speed, read by 1, 2 and 4 shards in the layouts of most and least cost, into
//! nothing and through the whole chain into a real broker.
//!
//! Simulator, gateway and broker share the machine's cores, so the rate says what the machine had to spare (idle time is told), and the CPU
//! time of an event what the gateway costs. Writes target/bench/shards.json.

use millrace_gaussdb_sim::{Cluster, Flood, Hba, Options};
use millrace_tests::gateway::Gateway;
use millrace_tests::kafka::Kafka;
use millrace_tests::process::{cpu_time, peak_rss_kib};
use millrace_tests::task::Task;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows of a transaction.
const ROWS: u64 = 100;

/// Longer than any machine should take.
const LIMIT: Duration = Duration::from_secs(600);

/// Of the rows into nothing, so many less go into the broker, which keeps them.
const LESS: u64 = 5;

/// Measures all of it; `rows` on each data node.
pub fn measure(kafka: &Kafka, rows: u64, rounds: usize) {
    let mut runs = Vec::new();
    for round in 0..rounds {
        for (layout, decoding) in [("b", "parallel"), ("serial", "serial")] {
            for shards in [1, 2, 4] {
                for (sink, rows) in [("blackhole", rows), ("kafka", rows.div_ceil(LESS))] {
                    let run = one(kafka, (layout, decoding), shards, sink, rows, round);
                    println!("  {run}");
                    runs.push(run);
                }
            }
        }
    }
    let text = serde_json::to_string_pretty(&json!({ "rows_per_node": rows, "runs": runs })).expect("JSON");
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::fs::create_dir_all(&dir).expect("create target/bench");
    std::fs::write(dir.join("shards.json"), text + "\n").expect("write target/bench/shards.json");
    println!("written: target/bench/shards.json");
}

fn one(kafka: &Kafka, (layout, decoding): (&str, &str), shards: usize, sink: &str, rows: u64, round: usize) -> Value {
    let mut options = Options { data_nodes: shards, standbys: false, ..Options::new() };
    (options.sql_hba, options.replication_hba) = (Hba::Sha256, Hba::Sha256);
    let table = options.catalogue.add(Flood::example_table());
    options.flood = Some(Flood::new(Arc::clone(&table), ROWS, rows.div_ceil(ROWS)));
    let cluster = Cluster::start(options).expect("a cluster");
    let name = format!("flood-{layout}-{shards}-{sink}-{round}");
    let mut task = Task::bare(&name);
    let positions = task.dir().join("positions").display().to_string();
    task.text("source.kind", "gaussdb")
        .set("source.hosts", &format!("[\"127.0.0.1:{}\"]", cluster.port()))
        .text("source.database", "shop")
        .text("source.user", "cdc")
        .text("source.password", "Gauss@123")
        .text("source.sslmode", "disable")
        .text("source.decoding", decoding)
        .set("objects.include", "[\"shop.events\"]")
        .text("route.topic_name_format", &format!("{name}-$tablename$"))
        .set("route.partitions", "4")
        .set("route.partition_policy", "2")
        .text("position.store", "file")
        .text("position.path", &positions)
        .text("sink.kind", sink);
    if sink == "kafka" {
        task.set("sink.brokers", &format!("[\"{}\"]", kafka.address()));
    }
    let own = std::process::id();
    let cpu = |pid| cpu_time(pid).unwrap_or_default();
    let load = load();
    let total = rows.div_ceil(ROWS) * ROWS * shards as u64;
    let start = Instant::now();
    let mut gateway = Gateway::start(&task);
    let mut first = None;
    let (began, already, (gateway_before, sim_before, idle_before)) = loop {
        assert!(start.elapsed() < LIMIT, "not drained within {LIMIT:?}");
        assert!(gateway.process().exit().is_none(), "the gateway ended:\n{}", gateway.log());
        std::thread::sleep(Duration::from_millis(20));
        let seen = delivered(&mut gateway);
        if seen > 0 {
            // From here on: the start of a process is no cost of an event.
            first.get_or_insert_with(|| {
                let used = (cpu(gateway.process().pid()), cpu(own), idle());
                (Instant::now(), seen, used)
            });
        }
        if let Some(first) = first.filter(|_| seen >= total) {
            break first;
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    let pid = gateway.process().pid();
    let gateway_cpu = cpu(pid).saturating_sub(gateway_before);
    let sim_cpu = cpu(own).saturating_sub(sim_before);
    let idle = (idle() - idle_before) / seconds;
    let rss = peak_rss_kib(pid).unwrap_or_default() / 1024;
    gateway.stop_cleanly();
    let counted = total - already.min(total - 1);
    let us = |cpu: Duration| (cpu.as_secs_f64() * 1e9 / counted as f64).round() / 1e3;
    json!({
        "layout": layout, "shards": shards, "sink": sink, "round": round,
        "events_per_second": (counted as f64 / seconds.max(0.001)).round(),
        "gateway_cpu_us_per_event": us(gateway_cpu),
        "simulator_cpu_us_per_event": us(sim_cpu),
        "idle_cores": (idle * 100.0).round() / 100.0,
        "load_before": load,
        "peak_rss_mib": rss,
    })
}

/// Records of all shards that were acknowledged.
fn delivered(gateway: &mut Gateway) -> u64 {
    let Some((200, body)) = gateway.get("/v1/status") else { return 0 };
    let status: Value = serde_json::from_str(&body).unwrap_or_default();
    assert_ne!(status["state"], "halted", "{status}");
    status["records_delivered"].as_u64().unwrap_or(0)
}

/// Seconds all cores together were idle since the machine started.
fn idle() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or_default()
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}
