//! SIGKILL at random moments and at named points: nothing is lost, order per key holds, what comes again carries the same id.

use crate::stage::{SOON, Stage};
use fastrand::Rng;
use millrace_tests::gateway::Gateway;
use millrace_tests::oracle::{Agreement, Oracle};
use millrace_tests::process::Exit;
use millrace_tests::shop::{self, Workload};
use millrace_tests::topics::Reader;
use millrace_tests::{eventually, seed};
use serde_json::json;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The gateway's named points, in the order a change passes them.
const FAILPOINTS: [&str; 9] = [
    "after_receive",
    "after_decode",
    "after_transform",
    "after_produce",
    "after_ack",
    "before_position",
    "after_position",
    "before_confirm",
    "after_confirm",
];

/// SIGABRT, with which a failpoint ends the process.
const ABORTED: Exit = Exit::Signal(6);

/// Reads until every committed change has come at least once, then lets the oracle judge.
fn judge(stage: &Stage, oracle: &Oracle, reader: &mut Reader) -> Agreement {
    let count = oracle.count(&stage.database);
    let (mut seen, mut read, start) = (HashSet::new(), 0, Instant::now());
    reader.until("every committed change", Duration::from_secs(120), |records| {
        seen.extend(records[read..].iter().map(|record| record.json()["id"].as_u64()));
        read = records.len();
        // When it takes too long the oracle says what is missing.
        seen.len() >= count || start.elapsed() > Duration::from_secs(60)
    });
    oracle.compare(&stage.database, reader.records())
}

fn shop_stage(purpose: &str) -> (Stage<'static>, Oracle, Reader) {
    let mut stage = Stage::new(purpose, shop::SCHEMA);
    stage.task.set("route.partitions", "3").set("route.partition_policy", "2");
    let oracle = Oracle::observe(&stage.database, &shop::TABLES);
    let topics = oracle.topics(&stage.database);
    let reader = stage.kafka.reader(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    (stage, oracle, reader)
}

#[test]
fn ten_kills_at_random_moments_under_load() {
    let seed = seed("kills");
    let mut rng = Rng::with_seed(seed);
    let (stage, oracle, mut reader) = shop_stage("kills");
    let mut gateway = Gateway::ready(&stage.task);
    let workload = Workload::start(&stage.database, seed, 4, Duration::from_millis(4));
    for kill in 0..10 {
        // Some of them before it is ready again.
        std::thread::sleep(Duration::from_millis(rng.u64(20..1500)));
        gateway.kill();
        if kill == 4 {
            // A while away, so that there is a backlog.
            std::thread::sleep(Duration::from_millis(1500));
        }
        gateway = Gateway::start(&stage.task);
    }
    gateway.wait_ready(SOON);
    workload.stop();
    let agreement = judge(&stage, &oracle, &mut reader);
    println!("{agreement:?}");
    assert!(agreement.changes > 500, "there was a load: {agreement:?}");
    gateway.stop_cleanly();
}

#[test]
fn a_kill_at_every_named_point_under_load() {
    let seed = seed("points");
    let mut rng = Rng::with_seed(seed);
    let (stage, oracle, mut reader) = shop_stage("points");
    Gateway::ready(&stage.task).stop_cleanly();
    let workload = Workload::start(&stage.database, seed, 3, Duration::from_millis(4));
    for point in FAILPOINTS {
        // Positions are written a few times a second, the other points are passed with every batch.
        let nth = rng.u32(1..=if point.contains("position") || point.contains("confirm") { 4 } else { 15 });
        let mut gateway = Gateway::start_with(&stage.task, &[("MILLRACE_FAILPOINT", &format!("{point}:{nth}"))]);
        assert_eq!(
            gateway.process().wait(SOON),
            ABORTED,
            "{point}:{nth} (the program must be built with the feature failpoints)"
        );
    }
    let mut gateway = Gateway::ready(&stage.task);
    workload.stop();
    let agreement = judge(&stage, &oracle, &mut reader);
    println!("{agreement:?}");
    assert!(agreement.changes > 500, "there was a load: {agreement:?}");
    gateway.stop_cleanly();
}

#[test]
fn a_kill_between_delivery_and_position_sends_the_same_ids_again() {
    let stage = Stage::new("again", "CREATE TABLE t(id int PRIMARY KEY)");
    Gateway::ready(&stage.task).stop_cleanly();
    let mut gateway = Gateway::start_with(&stage.task, &[("MILLRACE_FAILPOINT", "before_position:2")]);
    gateway.wait_ready(SOON);
    for id in 0.. {
        if gateway.process().exit().is_some() {
            break;
        }
        stage.database.exec(&format!("INSERT INTO t VALUES ({id})"));
        std::thread::sleep(Duration::from_millis(10));
        assert!(id < 3000, "never aborted");
    }
    assert_eq!(gateway.process().exit(), Some(ABORTED));
    let mut reader = stage.reader(&["t"]);
    reader.until("what was delivered before", SOON, |records| !records.is_empty());
    let mut gateway = Gateway::ready(&stage.task);
    let rows: usize = stage.database.number("SELECT count(*) FROM t").try_into().expect("a count");
    stage.database.exec("INSERT INTO t VALUES (-1)");
    reader.until("the last row", SOON, |r| r.iter().any(|r| r.json()["data"][0]["id"] == "-1"));
    let (changes, repeats) = millrace_tests::oracle::first_occurrences(reader.records());
    assert_eq!(changes.len(), rows + 1);
    assert!(repeats > 0, "the position was not written, so something is sent again");
    gateway.stop_cleanly();
}

#[test]
fn kills_during_the_first_start_leave_nothing_that_blocks_it() {
    let seed = seed("first");
    let mut rng = Rng::with_seed(seed);
    let stage = Stage::new("first", "CREATE TABLE t(id int PRIMARY KEY)");
    for _ in 0..12 {
        let mut gateway = Gateway::start(&stage.task);
        std::thread::sleep(Duration::from_millis(rng.u64(0..800)));
        gateway.kill();
    }
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    let mut reader = stage.reader(&["t"]);
    assert_eq!(reader.exactly(1, SOON)[0].json()["data"], json!([{"id":"1"}]));
    gateway.stop_cleanly();
}

#[test]
fn a_kill_in_the_middle_of_a_large_transaction() {
    let stage = Stage::new("middle", "CREATE TABLE t(id int PRIMARY KEY, v text)");
    let mut gateway = Gateway::ready(&stage.task);
    let mut reader = stage.reader(&["t"]);
    stage.database.exec("INSERT INTO t SELECT n, repeat('x',300) FROM generate_series(1,60000) n");
    reader.until("its beginning", SOON, |records| records.len() > 100);
    gateway.kill();
    let mut gateway = Gateway::ready(&stage.task);
    let (mut seen, mut read) = (HashSet::new(), 0);
    reader.until("all of it", Duration::from_secs(90), |records| {
        seen.extend(records[read..].iter().map(|record| record.json()["id"].as_u64()));
        read = records.len();
        seen.len() >= 60_000
    });
    let (changes, repeats) = millrace_tests::oracle::first_occurrences(reader.records());
    println!("{repeats} records were sent again");
    let rows =
        changes.iter().map(|change| change.data.as_ref().expect("an image")["id"].as_str().expect("an id").to_owned());
    assert!(rows.eq((1..=60_000).map(|n| n.to_string())), "each row once, in order");
    // Wait for the drain to be noted.
    eventually("it is ready", SOON, || (gateway.get("/readyz")?.0 == 200).then_some(()));
    gateway.stop_cleanly();
}
