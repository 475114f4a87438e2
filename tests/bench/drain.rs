//! The gateway on the same backlog.

use crate::backlog::Backlog;
use crate::report::Drain;
use millrace_tests::gateway::Gateway;
use millrace_tests::kafka::Kafka;
use millrace_tests::process::{cpu_time, peak_rss_kib};
use millrace_tests::task::Task;
use std::time::{Duration, Instant};

/// Longer than any machine should take for a backlog.
const LIMIT: Duration = Duration::from_secs(600);

/// With a sink that acknowledges at once: what the gateway itself can do.
pub fn into_nothing(backlog: &Backlog, round: usize, changes: u64) -> Drain {
    run(backlog, &backlog.blackhole[round], changes, None, |gateway| {
        // Seldom, because the answer costs the gateway time. The only witness is the gateway's own counter; the pulses are in it too, which at most ends the run early by those few.
        std::thread::sleep(Duration::from_millis(20));
        gateway.metric(DELIVERED).map_or(0, |count| count as u64)
    })
}

/// With the broker: a change counts when the broker has it, seen by the end offsets of its topic.
pub fn into_kafka(backlog: &Backlog, kafka: &Kafka, round: usize, changes: u64) -> Drain {
    let mut offsets = kafka.end_offsets(&backlog.topic(round));
    run(backlog, &backlog.kafka[round], changes, Some(kafka), move |_| offsets())
}

/// Records the sink has acknowledged.
const DELIVERED: &str = "millrace_records_delivered_total";

fn run(
    backlog: &Backlog,
    task: &Task,
    changes: u64,
    kafka: Option<&Kafka>,
    mut count: impl FnMut(&mut Gateway) -> u64,
) -> Drain {
    let broker_before = kafka.and_then(|kafka| cpu_time(kafka.pid())).unwrap_or_default();
    let start = Instant::now();
    let mut gateway = Gateway::start(task);
    let mut first = None;
    let last = loop {
        assert!(start.elapsed() < LIMIT, "not drained within {LIMIT:?}");
        assert!(gateway.process().exit().is_none(), "the gateway ended:\n{}", gateway.log());
        let seen = count(&mut gateway);
        let now = Instant::now();
        if seen > 0 {
            // What was there already at the first look belongs to the time before it.
            first.get_or_insert((now, seen));
        }
        if seen >= changes {
            break now;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let pid = gateway.process().pid();
    let slot = format!("SELECT active_pid FROM pg_replication_slots WHERE slot_name='millrace_{}'", task_name(task));
    let walsender = backlog.database.one(&slot).and_then(|pid| cpu_time(pid.parse().ok()?)).unwrap_or_default();
    let (first, already) = first.expect("some record came");
    let drain = Drain {
        changes: changes - already.min(changes - 1),
        seconds: (last - first).as_secs_f64(),
        first_record: first - start,
        client_cpu: cpu_time(pid).unwrap_or_default(),
        walsender_cpu: walsender,
        broker_cpu: kafka.and_then(|kafka| cpu_time(kafka.pid())).unwrap_or_default().saturating_sub(broker_before),
        peak_rss_kib: peak_rss_kib(pid).unwrap_or_default(),
        breakdown: breakdown(&mut gateway),
    };
    gateway.stop_cleanly();
    drain
}

fn task_name(task: &Task) -> String {
    task.value("task.name").trim_matches('"').to_owned()
}

/// The gateway's own account of where its time went: counters of seconds, by stage.
fn breakdown(gateway: &mut Gateway) -> Vec<(String, f64)> {
    let Some((_, metrics)) = gateway.get("/metrics") else { return Vec::new() };
    let seconds = metrics.lines().filter(|line| !line.starts_with('#') && line.contains("seconds_total"));
    let split = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    seconds.filter_map(split).collect()
}
