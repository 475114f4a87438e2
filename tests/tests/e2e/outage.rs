//! Servers that go away and come back.

use crate::stage::{SOON, Stage, summary};
use millrace_tests::gateway::Gateway;
use millrace_tests::kafka::{Jvm, Kafka};
use millrace_tests::oracle::{Oracle, first_occurrences};
use millrace_tests::postgres::{Postgres, Stop};
use millrace_tests::shop::{self, Workload};
use millrace_tests::topics::Reader;
use millrace_tests::{eventually, seed, servers};
use std::collections::HashSet;
use std::time::Duration;

fn distinct(reader: &mut Reader, count: usize) {
    let (mut seen, mut read) = (HashSet::new(), 0);
    reader.until(&format!("{count} changes"), Duration::from_secs(90), |records| {
        seen.extend(records[read..].iter().map(|record| record.json()["id"].as_u64()));
        read = records.len();
        seen.len() >= count
    });
}

#[test]
fn the_broker_stops_is_killed_and_comes_back() {
    let seed = seed("broker");
    let mut kafka = Kafka::start(Jvm::Light, "");
    let (mut task, database, oracle, slot) = {
        let stage = Stage::on(servers::postgres(), &kafka, "broker", shop::SCHEMA);
        let oracle = Oracle::observe(&stage.database, &shop::TABLES);
        (stage.task.clone(), stage.database.clone(), oracle, stage.task.slot())
    };
    task.set("route.partitions", "3").set("route.partition_policy", "2");
    let mut gateway = Gateway::ready(&task);
    let workload = Workload::start(&database, seed, 3, Duration::from_millis(5));
    std::thread::sleep(Duration::from_millis(700));
    kafka.stop();
    gateway.wait_unready(SOON);
    std::thread::sleep(Duration::from_secs(1));
    let confirmed =
        || database.one(&format!("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name='{slot}'"));
    let before = confirmed();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(confirmed(), before, "positions lie in the broker: while it is away nothing may be confirmed");
    kafka.start_again();
    gateway.wait_ready(Duration::from_secs(60));
    std::thread::sleep(Duration::from_millis(700));
    kafka.kill();
    std::thread::sleep(Duration::from_secs(1));
    // Both at once.
    gateway.kill();
    let mut gateway = Gateway::start(&task);
    std::thread::sleep(Duration::from_secs(1));
    kafka.start_again();
    gateway.wait_ready(Duration::from_secs(60));
    workload.stop();
    let topics = oracle.topics(&database);
    let mut reader = kafka.reader(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    distinct(&mut reader, oracle.count(&database));
    println!("{:?}", oracle.compare(&database, reader.records()));
    gateway.stop_cleanly();
}

#[test]
fn the_source_stops_crashes_and_comes_back() {
    let seed = seed("source");
    let mut postgres = Postgres::start("");
    let stage = Stage::on(&postgres, servers::kafka(), "source", shop::SCHEMA);
    let oracle = Oracle::observe(&stage.database, &shop::TABLES);
    let topics = oracle.topics(&stage.database);
    let mut reader = stage.kafka.reader(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    let mut gateway = Gateway::ready(&stage.task);
    let workload = Workload::start(&stage.database, seed, 3, Duration::from_millis(5));
    for how in [Stop::Fast, Stop::Immediate, Stop::Immediate] {
        std::thread::sleep(Duration::from_millis(700));
        postgres.stop(how);
        gateway.wait_state("retrying", SOON);
        assert_eq!(gateway.get("/readyz").map(|(code, _)| code), Some(503));
        std::thread::sleep(Duration::from_millis(500));
        postgres.start_again();
        gateway.wait_ready(Duration::from_secs(60));
    }
    workload.stop();
    distinct(&mut reader, oracle.count(&stage.database));
    println!("{:?}", oracle.compare(&stage.database, reader.records()));
    gateway.stop_cleanly();
}

#[test]
fn a_cut_connection_is_made_again() {
    let stage = Stage::new("cut", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    let mut reader = stage.reader(&["t"]);
    for id in 1..=5 {
        stage.database.exec(&format!("INSERT INTO t VALUES ({id})"));
        stage.database.exec(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname='{}' AND usename='millrace'",
            stage.database.name()
        ));
        distinct(&mut reader, id);
    }
    gateway.wait_ready(SOON);
    gateway.stop_cleanly();
}

#[test]
fn a_broker_that_stalls_longer_than_wal_sender_timeout() {
    let postgres = Postgres::start("wal_sender_timeout = 3s");
    let mut kafka = Kafka::start(Jvm::Light, "");
    let (mut task, database, slot) = {
        let stage = Stage::on(&postgres, &kafka, "stall", "CREATE TABLE t(id int PRIMARY KEY, v text)");
        (stage.task.clone(), stage.database.clone(), stage.task.slot())
    };
    // Small, so that the gateway has to stop reading from the source.
    task.set("pipeline.budget", "\"1MiB\"").set("sink.queue", "\"1MiB\"");
    let mut gateway = Gateway::ready(&task);
    database.exec("INSERT INTO t VALUES (0,'')");
    let topic = format!("{}-public-t", database.name());
    kafka.reader(&[&topic]).exactly(1, SOON);
    let walsender =
        || database.one(&format!("SELECT max(active_pid) FROM pg_replication_slots WHERE slot_name='{slot}'"));
    let before = walsender().expect("it streams");
    kafka.freeze();
    database.exec("INSERT INTO t SELECT n, repeat('x',1000) FROM generate_series(1,30000) n");
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(walsender().as_ref(), Some(&before), "keepalives are answered while the sink is stuck");
    kafka.thaw();
    let mut reader = kafka.reader(&[&topic]);
    distinct(&mut reader, 30_001);
    let (changes, _) = first_occurrences(reader.records());
    let rows =
        changes.iter().map(|change| change.data.as_ref().expect("an image")["id"].as_str().expect("an id").to_owned());
    assert!(rows.eq((0..=30_000).map(|n| n.to_string())), "each row once, in order");
    assert_eq!(walsender(), Some(before), "the same connection all the time");
    gateway.wait_ready(SOON);
    gateway.stop_cleanly();
}

#[test]
fn a_deleted_topic_is_a_definite_error_and_nothing_is_lost() {
    let stage = Stage::new("gone", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    stage.reader(&["t"]).exactly(1, SOON);
    eventually("the first row is noted", SOON, || (gateway.status()["shards"][0]["in_flight"] == 0).then_some(()));
    std::thread::sleep(Duration::from_millis(600));
    stage.kafka.delete_topic(&stage.topic("t"));
    stage.database.exec("INSERT INTO t VALUES (2)");
    gateway.wait_halted("kafka_unknown_topic", Duration::from_secs(90));
    stage.database.exec("INSERT INTO t VALUES (3)");
    gateway.stop_cleanly();
    let mut gateway = Gateway::ready(&stage.task);
    let rows = summary(stage.reader(&["t"]).exactly(2, SOON));
    assert_eq!(rows.iter().map(|(_, row)| &row["id"]).collect::<Vec<_>>(), ["2", "3"]);
    gateway.stop_cleanly();
}

#[test]
fn a_message_too_large_stops_before_it_is_sent() {
    let stage = Stage::new("big", "CREATE TABLE t(id int PRIMARY KEY, v text)");
    stage.kafka.create_topic(&stage.topic("t"), 1, &[("max.message.bytes", "4000000")]);
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1,'small'); INSERT INTO t VALUES (2,repeat('x',1500000)); INSERT INTO t VALUES (3,'small')");
    let body = gateway.wait_halted("message_too_large", SOON);
    assert!(body.to_string().contains(&stage.topic("t")), "it names the topic: {body}");
    // The row before it in the transaction comes with each of the three tries; nothing behind it does.
    let mut reader = stage.reader(&["t"]);
    distinct(&mut reader, 1);
    assert!(reader.records().iter().all(|record| record.json()["data"][0]["id"] == "1"));
    gateway.stop_cleanly();
    // The same again: what could not be sent is not confirmed.
    let mut gateway = Gateway::start(&stage.task);
    gateway.wait_halted("message_too_large", SOON);
    gateway.stop_cleanly();
    let mut task = stage.task.clone();
    task.text("sink.max_message", "3MiB");
    let mut gateway = Gateway::ready(&task);
    let mut reader = stage.reader(&["t"]);
    distinct(&mut reader, 3);
    let (changes, _) = first_occurrences(reader.records());
    assert_eq!(
        changes.iter().map(|c| c.data.as_ref().expect("an image")["id"].clone()).collect::<Vec<_>>(),
        ["1", "2", "3"]
    );
    gateway.stop_cleanly();
}
