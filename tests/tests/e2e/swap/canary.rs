//! Canaries: exactly the chosen tables and keys go through the new version, in order, and nothing is lost or doubled when it comes,
//! fails, goes, or takes over.

use super::{component, history, stage, versions, with_grants};
use crate::stage::SOON;
use fastrand::Rng;
use millrace_tests::gateway::Gateway;
use millrace_tests::oracle::Oracle;
use millrace_tests::shop::{self, Workload};
use millrace_tests::topics::Record;
use millrace_tests::{eventually, seed};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

fn canary(gateway: &mut Gateway, place: &str, body: &Value) -> Value {
    let (code, answer) = gateway.send("PUT", &format!("/v1/modules/{place}/canary"), body);
    assert_eq!(code, 200, "{answer}");
    answer
}

fn told(gateway: &mut Gateway, place: &str) -> Value {
    gateway.send("GET", &format!("/v1/modules/{place}/canary"), &Value::Null).1
}

/// The row a record is of.
fn id(record: &Record) -> String {
    let envelope = record.json();
    let image = if envelope["data"].is_null() { &envelope["old"][0] } else { &envelope["data"][0] };
    image["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_share_of_the_keys_of_one_table_and_promote_makes_it_all() {
    const ROWS: usize = 400;
    let mut stage = stage(
        "canary",
        "CREATE TABLE a(id int PRIMARY KEY, v text); CREATE TABLE b(id int PRIMARY KEY, v text); \
         CREATE TABLE c(id int, v text); ALTER TABLE c REPLICA IDENTITY FULL",
    );
    stage.task.set("pipeline.workers", "2").set("route.partitions", "3").set("route.partition_policy", "2");
    let mut gateway = Gateway::ready(&stage.task);
    let share = json!({ "tables": ["public.a", "public.c"], "percent": 30 });
    let answer = canary(&mut gateway, "format", &json!({ "config": { "db_type": "Canary" }, "share": share }));
    assert_eq!(answer["drained"], false, "{answer}");
    let view = gateway.send("GET", "/v1/modules", &Value::Null).1;
    assert_eq!((&view["canary"]["share"], &view["history"][0]["canary"]), (&share, &share), "{view}");
    // The same rows again and again, in small and large transactions: a row must not change sides.
    stage.database.exec(&format!("INSERT INTO a SELECT n,'x' FROM generate_series(1,{ROWS}) n"));
    for round in 0..4 {
        for part in 0..4 {
            stage.database.exec(&format!("UPDATE a SET v='{round}' WHERE id%4={part}"));
        }
    }
    stage.database.exec("INSERT INTO b SELECT n,'x' FROM generate_series(1,100) n");
    stage.database.exec("INSERT INTO c SELECT n,'x' FROM generate_series(1,100) n");
    stage.database.exec("DELETE FROM a");
    let (changes, others) = (ROWS * 6, 200);
    let mut reader = stage.reader(&["a", "b", "c"]);
    let records = reader.exactly(changes + others, SOON);
    let (mut sides, mut digests) =
        (BTreeMap::<String, BTreeSet<bool>>::new(), BTreeMap::<bool, BTreeSet<[u8; 8]>>::new());
    let mut answered = 0;
    for (record, digest) in records.iter().zip(versions(records)) {
        let new = record.json()["dbType"] == "Canary";
        digests.entry(new).or_default().insert(digest);
        answered += usize::from(new);
        if record.json()["table"] == "a" {
            sides.entry(id(record)).or_default().insert(new);
        } else {
            assert!(!new, "another table, or rows without a key: {record:?}");
        }
    }
    assert!(sides.values().all(|side| side.len() == 1), "every row is on one side");
    let rows = sides.values().filter(|side| side.contains(&true)).count();
    assert_eq!(answered, rows * 6, "all changes of a row");
    assert!((ROWS / 5..ROWS * 2 / 5).contains(&rows), "some 30 of a hundred keys: {rows} of {ROWS}");
    assert!(digests.values().all(|digests| digests.len() == 1) && digests[&true] != digests[&false], "{digests:?}");
    let report = eventually("the report counts all", SOON, || {
        Some(told(&mut gateway, "format")["report"].clone()).filter(|report| report["changes"] == answered)
    });
    assert_eq!(
        (&report["records"], &report["differences"]),
        (&json!(answered), &json!({ "value": answered })),
        "{report}"
    );
    assert_eq!(report["samples"][0]["at"], "/dbType", "{report}");
    // It takes over.
    let (code, answer) = gateway.send("POST", "/v1/modules/format/promote", &Value::Null);
    assert_eq!(code, 200, "{answer}");
    assert_eq!(told(&mut gateway, "format")["running"], false);
    stage.database.exec("INSERT INTO a SELECT n,'x' FROM generate_series(1,100) n; INSERT INTO b VALUES (0,'x')");
    let records = reader.exactly(changes + others + 101, SOON);
    assert!(records[changes + others..].iter().all(|record| record.json()["dbType"] == "Canary"), "all of it");
    let view = gateway.send("GET", "/v1/modules", &Value::Null).1;
    assert_eq!(view["modules"][2]["swapped"], true, "{view}");
    gateway.stop_cleanly();
}

#[test]
fn canaries_that_come_and_go_under_load_keep_everything_in_order() {
    let seed = seed("canaries");
    let mut rng = Rng::with_seed(seed);
    let mut stage = stage("canaries", shop::SCHEMA);
    stage.task.set("route.partitions", "3").set("route.partition_policy", "2").set("pipeline.workers", "2");
    let oracle = Oracle::observe(&stage.database, &shop::TABLES);
    let topics = oracle.topics(&stage.database);
    let mut reader = stage.kafka.reader(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    let mut gateway = Gateway::ready(&stage.task);
    let workload = Workload::start(&stage.database, seed, 4, Duration::from_millis(1));
    for round in 0..40 {
        let body = json!({ "config": { "db_type": format!("v{round}") }, "share": { "percent": rng.u8(1..=100) } });
        canary(&mut gateway, "format", &body);
        std::thread::sleep(Duration::from_millis(rng.u64(0..40)));
        let (method, what) = [("POST", "promote"), ("DELETE", "canary"), ("GET", "canary")][rng.usize(0..3)];
        let (code, answer) = gateway.send(method, &format!("/v1/modules/format/{what}"), &Value::Null);
        assert_eq!(code, 200, "round {round}: {answer}");
    }
    workload.stop();
    let count = oracle.count(&stage.database);
    let (mut seen, mut read) = (HashSet::new(), 0);
    reader.until("every committed change", Duration::from_secs(120), |records| {
        seen.extend(records[read..].iter().map(|record| record.json()["id"].as_u64()));
        read = records.len();
        seen.len() >= count
    });
    let agreement = oracle.compare(&stage.database, reader.records());
    assert_eq!(agreement.repeats, 0, "nothing is doubled");
    let used: BTreeSet<[u8; 8]> = versions(reader.records()).into_iter().collect();
    assert!(used.len() > 10, "many versions made records: {}", used.len());
    gateway.stop_cleanly();
}

#[test]
fn what_it_fails_on_is_done_by_the_version_at_work_and_too_much_of_it_ends_it() {
    for policy in ["halt", "dead-letter"] {
        let mut stage = with_grants(&format!("canary_{}", policy.replace('-', "")));
        stage.task.text("modules.format.on_error", policy).set("modules.swap.max_errors", "1");
        stage.task.text("dead_letters.topic", &format!("{}-dead", stage.database.name()));
        // A trial is for what has taken over; a canary is always on trial.
        stage.task.set("modules.swap.trial", "\"0s\"");
        let mut gateway = Gateway::ready(&stage.task);
        let mut reader = stage.reader(&["t"]);
        let path = stage.task.dir().join("probe.wasm");
        std::fs::write(&path, component("probe")).expect("written");
        let does = "on 3 fault; on 5 fault; plan k k empty";
        let body = json!({ "path": path, "config": does, "share": { "tables": ["public.t"] } });
        let answer = canary(&mut gateway, "format", &body);
        let mut insert = |id: usize| {
            stage.database.exec(&format!("INSERT INTO t VALUES ({id})"));
            reader
                .exactly(id, SOON)
                .iter()
                .map(|record| !record.value.as_deref().unwrap_or_default().is_empty())
                .collect()
        };
        (1..4).for_each(|id| drop::<Vec<bool>>(insert(id)));
        assert_eq!(told(&mut gateway, "format")["running"], true, "one is within the budget");
        (4..6).for_each(|id| drop::<Vec<bool>>(insert(id)));
        let over =
            eventually("it is over", SOON, || Some(told(&mut gateway, "format")).filter(|t| t["running"] == false));
        assert_eq!(
            (&over["ended"], &over["report"]["failures"]),
            (&json!("it spent its budget"), &json!({ "transform_fault": 2 })),
            "{over}"
        );
        let by_the_default: Vec<bool> = insert(6);
        assert_eq!(by_the_default, [false, false, true, false, true, true]);
        let entry =
            history(&mut gateway).into_iter().find(|entry| entry["version"] == answer["version"]).expect("there");
        assert_eq!((&entry["outcome"], &entry["failure"]["code"]), (&json!("rolled_back"), &json!("swap_rolled_back")));
        assert_eq!(gateway.metric("millrace_dead_letters_total").unwrap_or_default(), 0.0);
        gateway.stop_cleanly();
    }
}

#[test]
fn one_that_routes_ends_at_a_durable_position_and_a_crash_brings_the_version_at_work() {
    let mut stage = stage("canary_route", "CREATE TABLE t(id int PRIMARY KEY, n int)");
    stage.task.set("pipeline.workers", "2");
    // Positions are written late, so that a crash has much to replay.
    stage.task.text("position.interval", "20s");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t SELECT n, 0 FROM generate_series(1,50) n");
    let elsewhere = format!("{}-elsewhere", stage.database.name());
    let body = json!({
        "config": { "topic_policy": 0, "topic": elsewhere, "partition_policy": 1 }, "share": { "percent": 50 },
    });
    let answer = canary(&mut gateway, "route", &body);
    assert_eq!(answer["drained"], false, "a crash replays all of it with the version at work: {answer}");
    let update = |n: i32| stage.database.exec(&format!("UPDATE t SET n = {n}"));
    (1..=10).for_each(update);
    let (mut here, mut there) = (stage.reader(&["t"]), stage.kafka.reader(&[&elsewhere]));
    let last = |n: i32| {
        let n = json!(n.to_string());
        move |records: &[Record]| records.iter().any(|record| record.json()["data"][0]["n"] == n)
    };
    there.until("its share", SOON, last(10));
    let report = told(&mut gateway, "route");
    assert!(report["report"]["differences"]["topic"].as_u64() > Some(100), "{report}");
    let (code, answer) = gateway.send("DELETE", "/v1/modules/route/canary", &Value::Null);
    assert_eq!((code, &answer["running"]), (200, &json!(false)), "{answer}");
    let drained =
        gateway.log_lines().iter().filter(|line| line["code"] == "module_swapped" && line["drained"] == true).count();
    assert_eq!(drained, 1, "it ends at a durable position");
    (11..=15).for_each(update);
    here.until("all of them again", SOON, last(15));
    // Another one, and a crash in the middle of it.
    canary(&mut gateway, "route", &body);
    (16..=20).for_each(update);
    there.until("its share", SOON, last(20));
    gateway.kill();
    let mut gateway = Gateway::ready(&stage.task);
    assert_eq!(gateway.send("GET", "/v1/modules", &Value::Null).1["canary"], Value::Null);
    update(21);
    // First occurrences of each key's changes follow commit order in each topic, whoever made them (I3).
    let keys_in_order = |records: &[Record]| {
        let (mut seen, mut last) = (HashSet::new(), BTreeMap::new());
        for record in records {
            let number = record.json()["id"].as_u64().expect("an id");
            if seen.insert(number) {
                let before = last.insert(id(record), number);
                assert!(before < Some(number), "out of order: {before:?} before {number}");
            }
        }
        seen
    };
    let all = |records: &[Record]| {
        let done = |record: &&Record| record.json()["data"][0]["n"] == "21";
        records.iter().filter(done).map(id).collect::<HashSet<_>>().len() == 50
    };
    here.until("the last round", SOON, all);
    let (old, new) = (keys_in_order(here.records()), keys_in_order(there.until("all", SOON, |_| true)));
    assert_eq!(old.union(&new).count(), 50 * 22, "nothing is lost");
    gateway.stop_cleanly();
}

#[test]
fn one_that_routes_and_fails_ends_with_its_session() {
    let mut stage = with_grants("canary_broken");
    stage.task.set("modules.swap.max_traps", "1000");
    let mut gateway = Gateway::ready(&stage.task);
    let path = stage.task.dir().join("probe.wasm");
    std::fs::write(&path, component("probe")).expect("written");
    let elsewhere = format!("{}-elsewhere", stage.database.name());
    let body = json!({
        "path": path, "config": format!("on 4 panic; plan fixed {elsewhere} 0; plan per k k"), "share": { "percent": 100 },
    });
    // The probe routes by what its first plan says: everything to one topic. It is asked of no change, so it fails on none.
    canary(&mut gateway, "route", &body);
    (1..=3).for_each(|id| stage.database.exec(&format!("INSERT INTO t VALUES ({id})")));
    stage.kafka.reader(&[&elsewhere]).exactly(3, SOON);
    let body = json!({ "path": path, "config": "on 4 panic; plan per k k", "share": { "percent": 100 } });
    canary(&mut gateway, "route", &body);
    stage.database.exec("INSERT INTO t VALUES (4)");
    let over =
        eventually("it is over", SOON, || Some(told(&mut gateway, "route")).filter(|told| told["running"] == false));
    assert_eq!(over["ended"], "a session ended", "{over}");
    gateway.wait_ready(SOON);
    stage.database.exec("INSERT INTO t VALUES (5)");
    let records = stage.reader(&["t"]).exactly(2, SOON).to_vec();
    assert_eq!(records.iter().map(id).collect::<Vec<_>>(), ["4", "5"], "the version at work goes on");
    assert!(gateway.log().contains("canary_failed"));
    gateway.stop_cleanly();
}

#[test]
fn what_is_refused_and_the_command_line() {
    let stage = stage("canary_line", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    for (method, path, body, status, code) in [
        ("PUT", "format/canary", json!({ "config": {} }), 400, "request_invalid"),
        ("PUT", "format/canary", json!({ "share": { "percent": 0 } }), 400, "request_invalid"),
        ("PUT", "format/canary", json!({ "share": { "tables": ["t"] } }), 400, "request_invalid"),
        ("PUT", "format", json!({ "share": { "percent": 5 } }), 400, "request_invalid"),
        ("PUT", "format/canary", json!({ "config": { "no": 1 }, "share": { "percent": 5 } }), 422, "stage_config"),
        ("PUT", "map.0/canary", json!({ "share": { "percent": 5 } }), 422, "stage_unknown"),
        ("GET", "format/canary", Value::Null, 404, "canary_unknown"),
        ("DELETE", "format/canary", Value::Null, 404, "canary_unknown"),
        ("POST", "format/promote", Value::Null, 404, "shadow_unknown"),
    ] {
        let (found, answer) = gateway.send(method, &format!("/v1/modules/{path}"), &body);
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)), "{method} {path} {body}: {answer}");
    }
    let told: Value = serde_json::from_slice(&std::fs::read(stage.task.status_file()).expect("written")).expect("JSON");
    let admin = told["admin"].as_str().expect("an address").to_owned();
    let run = |args: &[&str]| {
        let args: Vec<&str> = ["module"].iter().chain(args).chain(&["--admin", &admin, "--json"]).copied().collect();
        let out = millrace_tests::gateway::millrace(&args);
        serde_json::from_slice::<Value>(&out.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {out:?}"))
    };
    let path = stage.task.dir().join("format.wasm");
    std::fs::write(&path, component("drs-json")).expect("written");
    let (file, config) = (path.display().to_string(), r#"{"db_type":"Ünder"}"#);
    let answer = run(&["canary", "format", &file, "--config", config, "--table", "public.t", "--percent", "100"]);
    assert!(answer["version"].is_u64(), "{answer}");
    stage.database.exec("INSERT INTO t VALUES (1)");
    let mut reader = stage.reader(&["t"]);
    assert_eq!(reader.exactly(1, SOON)[0].json()["dbType"], "Ünder");
    assert_eq!(run(&["report", "format", "--canary"])["share"]["tables"], json!(["public.t"]));
    assert_eq!(run(&["end", "format", "--canary"])["ended"], "it was ended");
    assert_eq!(run(&["shadow", "format", "--config", config])["running"], true);
    stage.database.exec("INSERT INTO t VALUES (2)");
    assert_eq!(reader.exactly(2, SOON)[1].json()["dbType"], "PostgreSQL");
    let report =
        eventually("it has seen it", SOON, || Some(run(&["report", "format"])).filter(|t| t["report"]["changes"] == 1));
    assert_eq!(report["report"]["differences"], json!({ "value": 1 }), "{report}");
    assert!(run(&["promote", "format"])["version"].is_u64());
    stage.database.exec("INSERT INTO t VALUES (3)");
    assert_eq!(reader.exactly(3, SOON)[2].json()["dbType"], "Ünder");
    gateway.stop_cleanly();
}
