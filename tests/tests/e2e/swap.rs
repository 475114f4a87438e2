//! Modules swapped while the task runs: nothing is lost, doubled or reordered, and what fails leaves the version before at work.

mod canary;
mod rollback;

use crate::stage::{SOON, Stage};
use fastrand::Rng;
use millrace_tests::gateway::{Gateway, field};
use millrace_tests::oracle::Oracle;
use millrace_tests::process::{Exit, ProcessSignal};
use millrace_tests::shop::{self, Workload};
use millrace_tests::topics::Record;
use millrace_tests::{eventually, seed};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The default format as a file of its own, and a module with any mischief (see its source for the words of its configuration).
fn component(name: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = match name {
        "probe" => root.join("gateway/crates/host/tests/components/probe.wasm"),
        name => root.join(format!("transforms/prebuilt/{name}.wasm")),
    };
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The same component with another digest: a custom section of this name behind it, which means nothing to anybody.
fn renamed(bytes: &[u8], name: &str) -> Vec<u8> {
    let size = u8::try_from(name.len() + 1).expect("a short name");
    assert!(size < 128, "one byte of LEB128");
    [bytes, &[0, size, size - 1], name.as_bytes()].concat()
}

fn stage(purpose: &str, schema: &str) -> Stage<'static> {
    let mut stage = Stage::new(purpose, schema);
    let store = stage.task.dir().join("modules").display().to_string();
    stage.task.text("modules.store", &store);
    stage
}

/// A task whose format and router are the default ones as files of its own, whose places grant what the probe imports.
fn with_grants(purpose: &str) -> Stage<'static> {
    let mut stage = stage(purpose, "CREATE TABLE t(id int PRIMARY KEY)");
    for (place, name) in [("format", "drs-json"), ("route", "topic-router")] {
        let path = stage.task.dir().join(format!("{name}.wasm"));
        std::fs::write(&path, component(name)).expect("written");
        stage.task.text(&format!("modules.{place}.path"), &path.display().to_string());
        stage.task.set(&format!("modules.{place}.grants"), "[\"counter\"]");
    }
    stage
}

fn history(gateway: &mut Gateway) -> Vec<Value> {
    gateway.send("GET", "/v1/modules", &Value::Null).1["history"].as_array().expect("a list").clone()
}

fn put_config(gateway: &mut Gateway, html_escape: bool) -> Value {
    let (code, answer) =
        gateway.send("PUT", "/v1/modules/format", &json!({ "config": { "html_escape": html_escape } }));
    assert_eq!(code, 200, "{answer}");
    answer
}

/// Which version of the chain made each record.
fn versions(records: &[Record]) -> Vec<[u8; 8]> {
    records.iter().map(|record| record.position().expect("a header").modules).collect()
}

#[test]
fn a_thousand_swaps_at_full_load() {
    const SWAPS: usize = 1000;
    let seed = seed("swaps");
    let mut rng = Rng::with_seed(seed);
    let mut stage = stage("swaps", shop::SCHEMA);
    stage.task.set("route.partitions", "3").set("route.partition_policy", "2").set("pipeline.workers", "2");
    let oracle = Oracle::observe(&stage.database, &shop::TABLES);
    let topics = oracle.topics(&stage.database);
    let mut reader = stage.kafka.reader(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    let mut gateway = Gateway::ready(&stage.task);
    let workload = Workload::start(&stage.database, seed, 4, Duration::from_millis(1));
    let mut pauses = Vec::new();
    let (mut drained, began) = (Vec::new(), Instant::now());
    for swap in 0..SWAPS {
        std::thread::sleep(Duration::from_micros(rng.u64(0..6_000)));
        // Now and then as if it changed routing, which waits for a durable position.
        let drain = swap % 10 == 9;
        let body =
            json!({ "config": { "html_escape": swap % 2 == 0, "db_type": format!("v{}", swap % 7) }, "drain": drain });
        let (code, answer) = gateway.send("PUT", "/v1/modules/format", &body);
        assert_eq!(code, 200, "swap {swap}: {answer}");
        assert_eq!(answer["drained"], drain, "{answer}");
        let pause = answer["pause_us"].as_u64().expect("a number");
        if drain { drained.push(pause) } else { pauses.push(pause) }
    }
    let took = began.elapsed();
    workload.stop();
    let count = oracle.count(&stage.database);
    let (mut seen, mut read) = (HashSet::new(), 0);
    reader.until("every committed change", Duration::from_secs(120), |records| {
        seen.extend(records[read..].iter().map(|record| record.json()["id"].as_u64()));
        read = records.len();
        seen.len() >= count
    });
    let agreement = oracle.compare(&stage.database, reader.records());
    let used: BTreeSet<[u8; 8]> = versions(reader.records()).into_iter().collect();
    pauses.sort_unstable();
    drained.sort_unstable();
    println!(
        "{SWAPS} swaps in {took:?} over {} changes: pause p50 {} us, p99 {} us, max {} us; {} drained: p50 {} us, p99 {} us, max {} us; {} versions seen",
        agreement.changes,
        pauses[pauses.len() / 2],
        pauses[pauses.len() * 99 / 100],
        pauses[pauses.len() - 1],
        drained.len(),
        drained[drained.len() / 2],
        drained[drained.len() * 99 / 100],
        drained[drained.len() - 1],
        used.len()
    );
    assert_eq!(agreement.repeats, 0, "nothing is doubled");
    assert!(agreement.changes > 2000, "there was a load: {agreement:?}");
    assert!(used.len() >= 14, "14 configurations, and perhaps the first: {}", used.len());
    assert!(*pauses.last().expect("swaps") <= 50_000, "the stream stands still for 50 ms at most");
    // Where it drains the broker has its part in it: acknowledgements and a transaction.
    assert!(drained[drained.len() / 2] <= 50_000, "and so it does where it drains, in the middle: {drained:?}");
    assert_eq!(gateway.metric("millrace_swaps_total"), Some(SWAPS as f64));
    assert_eq!(gateway.metric("millrace_swaps_pending"), Some(0.0));
    gateway.stop_cleanly();
}

/// Waits until a large transaction is on its way. Asked of the gateway: a consumer sees the first record late.
fn begun(gateway: &mut Gateway) {
    eventually("the transaction begins", SOON, || {
        (gateway.status()["changes_received"].as_u64() > Some(100)).then_some(())
    });
}

#[test]
fn swaps_wait_for_the_end_of_a_large_transaction_and_ten_wait_in_order() {
    const ROWS: usize = 300_000;
    // Wide rows: what takes its time is the broker, however fast the gateway is.
    let stage = stage("boundary", "CREATE TABLE t(id int PRIMARY KEY, v text DEFAULT repeat('x',1200))");
    let mut gateway = Gateway::ready(&stage.task);
    let mut reader = stage.reader(&["t"]);
    stage.database.exec(&format!("INSERT INTO t SELECT generate_series(1,{ROWS})"));
    begun(&mut gateway);
    let asked: Vec<u64> = (0..10)
        .map(|n| {
            let body = json!({ "config": { "db_type": format!("v{n}") } });
            let (code, answer) = gateway.send("PUT", "/v1/modules/format?wait=false", &body);
            assert_eq!(code, 202, "{answer}");
            answer["version"].as_u64().expect("a version")
        })
        .collect();
    let (_, view) = gateway.send("GET", "/v1/modules", &Value::Null);
    let pending = view["pending"].as_array().expect("a list");
    assert!(pending.len() >= 9, "they wait visibly: {view}");
    let sent = gateway.status()["records_delivered"].as_u64();
    assert!(sent < Some(ROWS as u64), "the transaction is still under way, so this test shows something: {sent:?}");
    reader.until("all rows", Duration::from_secs(120), |records| records.len() >= ROWS);
    stage.database.exec("INSERT INTO t VALUES (0)");
    let done = eventually("all are done", SOON, || {
        let done: Vec<u64> = history(&mut gateway)
            .iter()
            .rev()
            .filter(|entry| entry["outcome"] == "done" && entry["trigger"]["by"] == "http")
            .map(|entry| entry["version"].as_u64().expect("a version"))
            .collect();
        (done.len() == 10).then_some(done)
    });
    assert_eq!(done, asked, "in the order they were asked for");
    stage.database.exec("INSERT INTO t VALUES (-1)");
    let records = reader.until("the last row", SOON, |records| records.len() >= ROWS + 2);
    assert_eq!(records.len(), ROWS + 2);
    let made = versions(records);
    assert!(made[..ROWS].iter().all(|version| *version == made[0]), "one transaction, one version");
    assert_ne!(made[ROWS + 1], made[0]);
    assert_eq!(records[ROWS + 1].json()["dbType"], "v9");
    gateway.stop_cleanly();
}

#[test]
fn what_is_refused_leaves_the_version_before_at_work() {
    let stage = with_grants("refused");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t SELECT generate_series(1,5)");
    let mut reader = stage.reader(&["t"]);
    reader.exactly(5, SOON);
    let path = stage.task.dir().join("probe.wasm");
    std::fs::write(&path, component("probe")).expect("written");
    let probe = |config: &str| json!({ "path": path, "config": config });
    for (path, body, status, code) in [
        ("/v1/modules/format", probe("on * panic; plan * *"), 422, "swap_dry_run"),
        ("/v1/modules/format", probe("on * loop; plan * *"), 422, "swap_dry_run"),
        ("/v1/modules/format", probe("on * huge; plan * *"), 422, "swap_dry_run"),
        ("/v1/modules/format", probe("announce loop"), 422, "stage_announce"),
        ("/v1/modules/format", probe("announce panic"), 422, "stage_announce"),
        ("/v1/modules/format", probe("refuse no"), 422, "stage_config"),
        ("/v1/modules/route", probe("plan fixed a/b 0"), 422, "stage_plan"),
        ("/v1/modules/format", json!({ "path": "/no/such/file" }), 422, "module_unreadable"),
        ("/v1/modules/format", json!({ "path": "/proc/self/status" }), 422, "module_not_component"),
        ("/v1/modules/format", json!({ "path": path, "sha256": "00".repeat(32) }), 422, "module_digest_mismatch"),
        ("/v1/modules/format", json!({ "config": { "no": 1 } }), 422, "stage_config"),
        ("/v1/modules/map.0", probe("plan unchanged"), 422, "stage_unknown"),
        ("/v1/modules/sink", probe(""), 404, "stage_unknown"),
        ("/v1/modules/format", json!({ "pth": "x" }), 400, "request_invalid"),
        ("/v1/modules/format", json!([1]), 400, "request_invalid"),
    ] {
        let (found, answer) = gateway.send("PUT", path, &body);
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)), "{path} {body}: {answer}");
    }
    let bytes = component("select");
    let (status, answer) =
        gateway.send_as("PUT", "/v1/modules/format", &[("Content-Type", "application/wasm")], &bytes);
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("module_missing_export")), "{answer}");
    let (status, answer) = gateway.send_as("PUT", "/v1/modules/format", &[("Origin", "http://x.example")], b"{}");
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("admin_forbidden")), "{answer}");
    let (status, answer) = gateway.send("POST", "/v1/modules/format/rollback", &json!({ "version": 99 }));
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("version_unknown")), "{answer}");
    assert!(history(&mut gateway).iter().filter(|entry| entry["outcome"] == "refused").count() >= 12);
    stage.database.exec("INSERT INTO t VALUES (6)");
    let records = reader.exactly(6, SOON);
    assert!(versions(records).windows(2).all(|pair| pair[0] == pair[1]), "one version made all records");
    assert!(records.iter().all(|record| record.json()["dbType"] == "GaussDB"), "the default of the module");
    gateway.stop_cleanly();
}

#[test]
fn a_version_that_traps_is_rolled_back_by_itself_and_loses_nothing() {
    let mut stage = with_grants("traps");
    stage.task.set("modules.swap.max_traps", "0");
    let mut gateway = Gateway::ready(&stage.task);
    let mut reader = stage.reader(&["t"]);
    for id in 1..=3 {
        stage.database.exec(&format!("INSERT INTO t VALUES ({id})"));
    }
    reader.exactly(3, SOON);
    let path = stage.task.dir().join("probe.wasm");
    std::fs::write(&path, component("probe")).expect("written");
    // Ids are given from 1 on, one per change: it traps on the seventh.
    let body = json!({ "path": path, "config": "on 7 panic; plan * *" });
    let (code, answer) = gateway.send("PUT", "/v1/modules/format", &body);
    assert_eq!(code, 200, "{answer}");
    for id in 4..=6 {
        stage.database.exec(&format!("INSERT INTO t VALUES ({id})"));
    }
    let probes = |records: &[Record]| records.iter().filter(|record| !is_envelope(record)).count();
    // The probe makes as many records as the id modulo 3, but at least one, some of them for another topic.
    reader.until("records of the probe", SOON, |records| probes(records) >= 3);
    stage.database.exec("INSERT INTO t VALUES (7)");
    let entry = eventually("it is rolled back", SOON, || {
        history(&mut gateway)
            .into_iter()
            .find(|entry| entry["trigger"]["by"] == "automatic" && entry["outcome"] == "done")
    });
    assert_eq!(
        (&entry["trigger"]["of"], &entry["trigger"]["reason"]),
        (&answer["version"], &json!("traps")),
        "{entry}"
    );
    for id in 8..=10 {
        stage.database.exec(&format!("INSERT INTO t VALUES ({id})"));
    }
    let records = reader.until("the rest", SOON, |records| {
        records.iter().any(|record| is_envelope(record) && record.json()["data"][0]["id"] == "10")
    });
    let rows: Vec<String> = records
        .iter()
        .filter(|record| is_envelope(record))
        .map(|record| record.json()["data"][0]["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(rows, ["1", "2", "3", "7", "8", "9", "10"], "what it trapped on was done by the version before");
    let rolled = history(&mut gateway).into_iter().find(|entry| entry["version"] == answer["version"]).expect("there");
    assert_eq!((&rolled["outcome"], &rolled["failure"]["code"]), (&json!("rolled_back"), &json!("swap_rolled_back")));
    assert!(gateway.metric("millrace_trial_faults_total") >= Some(1.0));
    assert_eq!(gateway.get("/readyz").map(|(code, _)| code), Some(200), "it never stopped");
    gateway.stop_cleanly();
}

fn is_envelope(record: &Record) -> bool {
    record.value.as_deref().is_some_and(|value| value.starts_with(b"{"))
}

#[test]
fn a_module_file_that_changes_is_taken_when_it_is_whole() {
    let mut stage = stage("files", "CREATE TABLE t(id int PRIMARY KEY)");
    let path = stage.task.dir().join("format.wasm");
    let first = component("drs-json");
    std::fs::write(&path, &first).expect("written");
    stage.task.text("modules.format.path", &path.display().to_string()).set("modules.watch", "true");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    let mut reader = stage.reader(&["t"]);
    reader.exactly(1, SOON);
    // Half of it, for long enough to be seen at rest: refused, and everything goes on.
    let second = renamed(&first, "second");
    std::fs::write(&path, &second[..second.len() / 2]).expect("written");
    let refused = eventually("half a file is refused", SOON, || {
        history(&mut gateway).into_iter().find(|entry| entry["outcome"] == "refused")
    });
    assert_eq!(refused["trigger"]["by"], "file");
    stage.database.exec("INSERT INTO t VALUES (2)");
    reader.exactly(2, SOON);
    std::fs::write(&path, &second).expect("written");
    eventually("the whole file is taken", SOON, || {
        history(&mut gateway).into_iter().find(|entry| entry["outcome"] == "done" && entry["trigger"]["by"] == "file")
    });
    stage.database.exec("INSERT INTO t VALUES (3)");
    let made = versions(reader.exactly(3, SOON));
    assert!(made[0] == made[1] && made[1] != made[2]);
    std::fs::remove_file(&path).expect("removed");
    eventually("the loss is told", SOON, || gateway.log().contains("module_file_gone").then_some(()));
    stage.database.exec("INSERT INTO t VALUES (4)");
    assert_eq!(versions(reader.exactly(4, SOON))[3], made[2], "the module goes on without its file");
    gateway.stop_cleanly();
}

#[test]
fn sighup_takes_what_the_task_file_names() {
    let mut stage = stage("hangup", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    stage.task.text("format.db_type", "After").text("sink.linger", "7ms");
    stage.task.write();
    gateway.process().signal(ProcessSignal::HUP);
    eventually("it is done", SOON, || {
        history(&mut gateway).into_iter().find(|entry| entry["outcome"] == "done" && entry["trigger"]["by"] == "signal")
    });
    assert!(
        gateway
            .log_lines()
            .iter()
            .any(|line| field(line, "code") == "restart_needed" && field(line, "section") == "sink")
    );
    stage.database.exec("INSERT INTO t VALUES (2)");
    let records = stage.reader(&["t"]).exactly(2, SOON).to_vec();
    assert_eq!(records[1].json()["dbType"], "After");
    // A file that is refused changes nothing.
    std::fs::write(stage.task.dir().join("task.toml"), "[task]\nname = 1").expect("written");
    gateway.process().signal(ProcessSignal::HUP);
    eventually("it is told", SOON, || gateway.log().contains("config_invalid").then_some(()));
    stage.task.write();
    gateway.stop_cleanly();
}

#[test]
fn a_restart_runs_what_was_swapped_in_until_the_task_file_says_something_new() {
    let mut stage = stage("restart", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    let bytes = renamed(&component("drs-json"), "swapped");
    let headers = [("Content-Type", "application/wasm")];
    let (code, answer) = gateway.send_as("PUT", "/v1/modules/format", &headers, &bytes);
    assert_eq!(code, 200, "{answer}");
    let (code, answer) = gateway.send("PUT", "/v1/modules/format", &json!({ "config": { "db_type": "Swapped" } }));
    assert_eq!(code, 200, "{answer}");
    let running = |gateway: &mut Gateway| gateway.send("GET", "/v1/modules", &Value::Null).1["modules"][2].clone();
    let swapped = running(&mut gateway);
    assert_eq!((&swapped["stage"], &swapped["swapped"]), (&json!("format"), &json!(true)));
    // Killed, so that nothing but what was durable at the answer counts.
    gateway.kill();
    let mut gateway = Gateway::ready(&stage.task);
    assert_eq!(running(&mut gateway), swapped);
    let mut reader = stage.reader(&["t"]);
    stage.database.exec("INSERT INTO t VALUES (1)");
    assert_eq!(reader.exactly(1, SOON)[0].json()["dbType"], "Swapped");
    gateway.stop_cleanly();
    // The task file says something new: which of the two counts?
    let mut task = stage.task.clone();
    task.text("format.db_type", "File");
    let mut gateway = Gateway::start(&task);
    gateway.wait_halted("modules_disagree", SOON);
    task.text("modules.on_restart", "active").write();
    gateway.wait_ready(SOON);
    stage.database.exec("INSERT INTO t VALUES (2)");
    assert_eq!(reader.exactly(2, SOON)[1].json()["dbType"], "Swapped");
    gateway.stop_cleanly();
    task.text("modules.on_restart", "task");
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO t VALUES (3)");
    assert_eq!(reader.exactly(3, SOON)[2].json()["dbType"], "File");
    gateway.stop_cleanly();
    // From here on the task file has won: nothing is asked any more.
    let mut gateway = Gateway::ready(stage.task.text("format.db_type", "Again"));
    stage.database.exec("INSERT INTO t VALUES (4)");
    assert_eq!(reader.exactly(4, SOON)[3].json()["dbType"], "Again");
    gateway.stop_cleanly();
}

#[test]
fn rolling_back_brings_the_earlier_version_and_the_task_file_counts_again() {
    let stage = stage("rollback", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    put_config(&mut gateway, false);
    put_config(&mut gateway, true);
    let (code, answer) = gateway.send("POST", "/v1/modules/format/rollback", &Value::Null);
    assert_eq!(code, 200, "{answer}");
    let (code, answer) = gateway.send("POST", "/v1/modules/format/rollback", &json!({ "version": 1 }));
    assert_eq!(code, 200, "{answer}");
    let (_, view) = gateway.send("GET", "/v1/modules", &Value::Null);
    assert_eq!(
        (&view["modules"][2]["swapped"], &view["modules"][2]["built_in"]),
        (&json!(false), &json!(true)),
        "{view}"
    );
    stage.database.exec("INSERT INTO t VALUES (1)");
    assert_eq!(stage.reader(&["t"]).exactly(1, SOON)[0].json()["dbType"], "PostgreSQL");
    gateway.stop_cleanly();
}

#[test]
fn routing_changes_at_a_durable_position_and_only_where_its_topics_can_be_had() {
    let mut stage = stage("reroute", "CREATE TABLE t(id int PRIMARY KEY, n int)");
    stage.task.set("route.create_topics", "false").set("pipeline.workers", "2");
    let topic = stage.topic("t");
    stage.kafka.create_topic(&topic, 1, &[]);
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t SELECT n, 0 FROM generate_series(1,50) n");
    let elsewhere = format!("{}-elsewhere", stage.database.name());
    let body = json!({ "config": { "topic_policy": 0, "topic": elsewhere, "partition_policy": 1 } });
    let (code, answer) = gateway.send("PUT", "/v1/modules/route", &body);
    assert_eq!((code, &answer["error"]["code"]), (422, &json!("topic_missing")), "{answer}");
    stage.database.exec("UPDATE t SET n = 1");
    let mut reader = stage.reader(&["t"]);
    reader.exactly(100, SOON);
    stage.kafka.create_topic(&elsewhere, 1, &[]);
    let workload = {
        let database = stage.database.clone();
        std::thread::spawn(move || {
            (2..60).for_each(|n| {
                database.exec(&format!("UPDATE t SET n = {n}"));
                std::thread::sleep(Duration::from_millis(20));
            })
        })
    };
    let (code, answer) = gateway.send("PUT", "/v1/modules/route", &body);
    assert_eq!((code, &answer["drained"]), (200, &json!(true)), "{answer}");
    println!("pause of a swap that drains: {} us", answer["pause_us"]);
    // What was before the boundary is durable with the new modules: a kill right now replays nothing into the old topic.
    gateway.kill();
    workload.join().expect("the workload ends");
    let before = reader.until("the old topic is quiet", SOON, |records| records.len() >= 100).len();
    let mut gateway = Gateway::ready(&stage.task);
    let mut moved = stage.kafka.reader(&[&elsewhere]);
    let last = |records: &[Record]| records.iter().any(|record| record.json()["data"][0]["n"] == "59");
    moved.until("the last update", SOON, last);
    std::thread::sleep(Duration::from_millis(500));
    let (old, _) = millrace_tests::oracle::first_occurrences(reader.until("all", SOON, |_| true));
    let (new, _) = millrace_tests::oracle::first_occurrences(moved.until("all", SOON, |_| true));
    assert!(old.len() >= before);
    let ids: HashSet<u64> = old.iter().chain(&new).map(|change| change.id).collect();
    assert_eq!(ids.len(), 50 * 60, "nothing is lost");
    assert_eq!(old.len() + new.len(), 50 * 60, "nothing is in both");
    let newest_old = old.iter().map(|change| change.id).max();
    assert!(new.iter().all(|change| Some(change.id) > newest_old), "the topics meet at one boundary");
    gateway.stop_cleanly();
}

#[test]
fn a_swap_that_waits_when_the_gateway_stops_comes_to_nothing() {
    let stage = stage("stopping", "CREATE TABLE t(id int PRIMARY KEY, v text)");
    let mut gateway = Gateway::ready(&stage.task);
    let mut reader = stage.reader(&["t"]);
    // Some 400 MB for the broker: the transaction is still on its way when the swap is ready.
    stage.database.exec("INSERT INTO t SELECT n, repeat(md5(n::text),56) FROM generate_series(1,200000) n");
    begun(&mut gateway);
    let (code, answer) =
        gateway.send("PUT", "/v1/modules/format?wait=false", &json!({ "config": { "db_type": "Late" } }));
    assert_eq!(code, 202, "{answer}");
    eventually("it waits for the boundary", SOON, || {
        let (_, view) = gateway.send("GET", "/v1/modules", &Value::Null);
        (view["pending"][0]["phase"] == "pending").then_some(())
    });
    assert_eq!(gateway.stop(Duration::from_secs(60)), Exit::Code(0));
    assert!(gateway.log().contains("swap_stopping"), "it is told");
    let mut gateway = Gateway::ready(&stage.task);
    let (_, view) = gateway.send("GET", "/v1/modules", &Value::Null);
    assert_eq!(view["modules"][2]["swapped"], false, "{view}");
    let mut seen = HashSet::new();
    let mut read = 0;
    reader.until("every row", Duration::from_secs(120), |records| {
        seen.extend(records[read..].iter().map(|record| record.json()["id"].as_u64()));
        read = records.len();
        seen.len() >= 200_000
    });
    assert!(reader.records().iter().all(|record| record.json()["dbType"] == "PostgreSQL"));
    gateway.stop_cleanly();
}

#[test]
fn a_halted_task_goes_on_with_a_module_that_is_swapped_in() {
    let mut stage = with_grants("mended");
    // Without a trial a fault meets the error policy, which is to halt.
    stage.task.set("modules.swap.trial", "\"0s\"");
    let mut gateway = Gateway::ready(&stage.task);
    let path = stage.task.dir().join("probe.wasm");
    std::fs::write(&path, component("probe")).expect("written");
    let (code, answer) =
        gateway.send("PUT", "/v1/modules/format", &json!({ "path": path, "config": "on 2 fault; plan * *" }));
    assert_eq!(code, 200, "{answer}");
    stage.database.exec("INSERT INTO t VALUES (1)");
    stage.database.exec("INSERT INTO t VALUES (2)");
    gateway.wait_halted("transform_fault", SOON);
    let (code, answer) = gateway.send("POST", "/v1/modules/format/rollback", &json!({ "version": 1 }));
    assert_eq!((code, &answer["at_next_start"]), (200, &json!(true)), "{answer}");
    gateway.wait_ready(SOON);
    let mut reader = stage.reader(&["t"]);
    reader.until("what it halted on", SOON, |records| {
        records.iter().any(|record| is_envelope(record) && record.json()["data"][0]["id"] == "2")
    });
    gateway.stop_cleanly();
}

#[test]
fn a_shadow_sees_everything_sends_nothing_and_tells_what_differs() {
    let stage = stage("shadow", "CREATE TABLE t(id int PRIMARY KEY, v text)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (0,'a=b')");
    let mut reader = stage.reader(&["t"]);
    reader.exactly(1, SOON);
    let body = json!({ "config": { "db_type": "PostgreSQL", "html_escape": false } });
    let (code, answer) = gateway.send("PUT", "/v1/modules/format/shadow", &body);
    assert_eq!((code, &answer["running"]), (200, &json!(true)), "{answer}");
    stage.database.exec("INSERT INTO t VALUES (1,'plain'),(2,'a=b'),(3,'c<d')");
    stage.database.exec("DELETE FROM t WHERE id=1");
    reader.exactly(5, SOON);
    let report =
        |gateway: &mut Gateway| gateway.send("GET", "/v1/modules/format/shadow", &Value::Null).1["report"].clone();
    let told = eventually("it has seen all", SOON, || Some(report(&mut gateway)).filter(|told| told["changes"] == 4));
    assert_eq!((&told["records"], &told["differences"]), (&json!(4), &json!({ "value": 2 })), "{told}");
    let sample = &told["samples"][0];
    // The same JSON in other bytes: a place in the text, and no value.
    assert!(sample["at"].as_str().is_some_and(|at| at.starts_with("byte ")), "{sample}");
    assert_eq!((&sample["table"], &sample["ordinal"]), (&json!("public.t"), &json!(1)), "{sample}");
    assert!(!told.to_string().contains("a=b"), "no values: {told}");
    // Another one takes its place, with a difference that has a pointer; then it takes over.
    let body = json!({ "config": { "db_type": "Beside" } });
    assert_eq!(gateway.send("PUT", "/v1/modules/format/shadow", &body).0, 200);
    stage.database.exec("INSERT INTO t VALUES (4,'x')");
    reader.exactly(6, SOON);
    let told = eventually("it has seen it", SOON, || Some(report(&mut gateway)).filter(|told| told["changes"] == 1));
    assert_eq!(told["samples"][0]["at"], "/dbType", "{told}");
    let (code, answer) = gateway.send("POST", "/v1/modules/format/promote", &Value::Null);
    assert_eq!(code, 200, "{answer}");
    stage.database.exec("INSERT INTO t VALUES (5,'x')");
    let records = reader.exactly(7, SOON);
    assert!(records[..6].iter().all(|record| record.json()["dbType"] == "PostgreSQL"), "a shadow sends nothing");
    assert_eq!(records[6].json()["dbType"], "Beside");
    let (code, answer) = gateway.send("DELETE", "/v1/modules/format/shadow", &Value::Null);
    assert_eq!((code, &answer["running"]), (200, &json!(false)), "{answer}");
    assert_eq!(gateway.send("GET", "/v1/modules/format/shadow", &Value::Null).0, 404);
    gateway.stop_cleanly();
}

#[test]
fn the_command_line_swaps_and_rolls_back() {
    let stage = stage("command", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    let told: Value = serde_json::from_slice(&std::fs::read(stage.task.status_file()).expect("written")).expect("JSON");
    let admin = told["admin"].as_str().expect("an address").to_owned();
    let run = |args: &[&str]| {
        let args: Vec<&str> = ["module"].iter().chain(args).chain(&["--admin", &admin, "--json"]).copied().collect();
        let out = millrace_tests::gateway::millrace(&args);
        let answer: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {out:?}"));
        (out.status.code(), answer)
    };
    let path = stage.task.dir().join("format.wasm");
    std::fs::write(&path, renamed(&component("drs-json"), "by hand")).expect("written");
    let file = path.display().to_string();
    let (code, answer) = run(&["swap", "format", &file, "--config", r#"{"db_type":"Ünder"}"#]);
    assert_eq!(code, Some(0), "{answer}");
    stage.database.exec("INSERT INTO t VALUES (1)");
    let mut reader = stage.reader(&["t"]);
    assert_eq!(reader.exactly(1, SOON)[0].json()["dbType"], "Ünder");
    let (code, list) = run(&["list"]);
    assert_eq!((code, &list["modules"][2]["swapped"]), (Some(0), &json!(true)), "{list}");
    let (code, answer) = run(&["swap", "format", "--config", "{\"no\":1}"]);
    assert_eq!((code, &answer["error"]["code"]), (Some(3), &json!("gateway_refused")), "{answer}");
    let (code, answer) = run(&["rollback", "format"]);
    assert_eq!(code, Some(0), "{answer}");
    stage.database.exec("INSERT INTO t VALUES (2)");
    assert_eq!(reader.exactly(2, SOON)[1].json()["dbType"], "PostgreSQL");
    gateway.stop_cleanly();
    let (code, answer) = run(&["list"]);
    assert_eq!((code, &answer["error"]["code"]), (Some(4), &json!("gateway_unreachable")), "{answer}");
}
