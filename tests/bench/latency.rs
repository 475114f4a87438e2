//! From the commit at the source to the append at the broker, at a fixed rate.

use crate::report::Latency;
use millrace_tests::gateway::Gateway;
use millrace_tests::kafka::Kafka;
use millrace_tests::postgres::Postgres;
use millrace_tests::task::Task;
use std::time::{Duration, Instant};

/// Changes a second, ten a transaction.
const RATE: u64 = 2000;
const ROWS: u64 = 10;

/// Runs for `seconds` after a warm-up of two.
pub fn measure(postgres: &Postgres, kafka: &Kafka, seconds: u64) -> Latency {
    let database = postgres.database("latency");
    database.exec("CREATE TABLE t(id bigint PRIMARY KEY, v text)");
    let mut task = Task::new(&database, kafka);
    database.exec(&format!("CREATE PUBLICATION {} FOR TABLE t", task.slot()));
    task.set("route.partition_policy", "2");
    let topic = format!("{}-public-t", database.name());
    // The broker's clock is this machine's, as the source's is, so the two times may be compared.
    kafka.create_topic(&topic, 4, &[("message.timestamp.type", "LogAppendTime")]);
    let mut gateway = Gateway::ready(&task);
    let transactions = RATE / ROWS * (seconds + 2);
    let warm = RATE / ROWS * 2;
    let start = Instant::now();
    for number in 0..transactions {
        // Sleeps to a point of a fixed grid: what is late is not followed by a pause.
        let due = start + Duration::from_secs(1).mul_f64(number as f64 * ROWS as f64 / RATE as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let first = number * ROWS;
        database.exec(&format!(
            "INSERT INTO t SELECT n, md5(n::text) FROM generate_series({first},{}) n",
            first + ROWS - 1
        ));
    }
    let behind = start.elapsed().as_secs_f64() - (seconds + 2) as f64;
    let count = usize::try_from(transactions * ROWS).expect("a count");
    let mut reader = kafka.reader(&[&topic]);
    let records = reader.until("all records", Duration::from_secs(60), |records| records.len() >= count);
    let mut delays: Vec<i64> = Vec::new();
    for record in records {
        let envelope = record.json();
        let row: u64 = envelope["data"][0]["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        if row >= warm * ROWS {
            delays.push(record.timestamp.expect("an append time") - envelope["es"].as_i64().expect("a commit time"));
        }
    }
    gateway.stop_cleanly();
    Latency::new(RATE, delays, behind)
}
