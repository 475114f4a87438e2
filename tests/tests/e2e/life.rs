//! Start, stop, restart and the slot: what a task leaves behind and what it confirms.

use crate::stage::{SOON, Stage, summary};
use millrace_tests::gateway::{Gateway, millrace};
use millrace_tests::postgres::{PASSWORD, Postgres};
use millrace_tests::process::Exit;
use millrace_tests::{eventually, servers};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn a_stopped_gateway_goes_on_where_it_stopped() {
    let stage = Stage::new("resume", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut reader = stage.reader(&["t"]);
    for round in 0..3 {
        let mut gateway = Gateway::ready(&stage.task);
        stage.database.exec(&format!("INSERT INTO t SELECT generate_series({},{})", round * 10, round * 10 + 4));
        reader.until("what came while it ran", SOON, |records| records.len() >= round * 10 + 5);
        gateway.stop_cleanly();
        assert_eq!(stage.slot_field("active").as_deref(), Some("false"), "the slot stays and is free");
        stage.database.exec(&format!("INSERT INTO t SELECT generate_series({},{})", round * 10 + 5, round * 10 + 9));
    }
    let mut gateway = Gateway::ready(&stage.task);
    // A clean stop has drained and noted its position, so nothing is sent twice.
    let ids: Vec<String> = summary(reader.exactly(30, SOON))
        .iter()
        .map(|(_, row)| row["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(ids, (0..30).map(|n| n.to_string()).collect::<Vec<_>>());
    let ids: Vec<u64> = reader.records().iter().map(|record| record.json()["id"].as_u64().expect("an id")).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "ids go on rising over restarts: {ids:?}");
    gateway.stop_cleanly();
}

#[test]
fn sigterm_drains_what_is_in_flight() {
    let stage = Stage::new("drain", "CREATE TABLE t(id int PRIMARY KEY, v text)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t SELECT n, repeat('x',500) FROM generate_series(1,20000) n");
    let start = Instant::now();
    gateway.stop_cleanly();
    assert!(start.elapsed() < Duration::from_secs(32), "drain_timeout bounds the stop");
    let mut reader = stage.reader(&["t"]);
    let mut again = Gateway::ready(&stage.task);
    reader.until("all rows", SOON, |records| records.len() >= 20_000);
    let (first, _) = millrace_tests::oracle::first_occurrences(reader.records());
    assert_eq!(first.len(), 20_000);
    again.stop_cleanly();
}

#[test]
fn sigterm_ends_a_gateway_in_every_state() {
    // Not ready yet: stopped in the middle of its start.
    let stage = Stage::new("early", "CREATE TABLE t(id int PRIMARY KEY)");
    for delay in [0, 20, 60, 150, 400] {
        let mut gateway = Gateway::start(&stage.task);
        std::thread::sleep(Duration::from_millis(delay));
        let exit = gateway.stop(Duration::from_secs(40));
        // Before its handler is in place the signal's default action is as good an end.
        assert!(matches!(exit, Exit::Code(0) | Exit::Signal(15)), "{exit:?} after {delay} ms");
    }
    // Halted.
    let mut task = stage.task.clone();
    task.text("source.password", "wrong");
    let mut gateway = Gateway::start(&task);
    gateway.wait_halted("authentication_failed", SOON);
    gateway.stop_cleanly();
    // Retrying.
    let mut task = stage.task.clone();
    task.set("source.hosts", &format!("[\"127.0.0.1:{}\"]", millrace_tests::ports::free()));
    let mut gateway = Gateway::start(&task);
    gateway.wait_state("retrying", SOON);
    gateway.stop_cleanly();
}

#[test]
fn an_idle_slot_does_not_hold_wal() {
    let postgres = Postgres::start("wal_sender_timeout = 2s");
    let stage = Stage::on(&postgres, servers::kafka(), "idle", "CREATE TABLE t(id int PRIMARY KEY)");
    let other = postgres.database("busy");
    other.exec("CREATE TABLE noise(v text)");
    let mut gateway = Gateway::ready(&stage.task);
    // Nothing of the task's tables changes, but the server's WAL grows.
    other.exec("INSERT INTO noise SELECT repeat('x',1000) FROM generate_series(1,20000)");
    let target = other.one("SELECT pg_current_wal_insert_lsn()").expect("an LSN");
    let slot = stage.task.slot();
    let passed =
        format!("SELECT confirmed_flush_lsn >= '{target}'::pg_lsn FROM pg_replication_slots WHERE slot_name='{slot}'");
    stage.database.wait_until(&passed, "t", Duration::from_secs(30));
    stage.database.exec("INSERT INTO t VALUES (1)");
    stage.reader(&["t"]).exactly(1, SOON);
    gateway.stop_cleanly();
}

#[test]
fn what_is_confirmed_is_durable_first() {
    let stage = Stage::new("confirm", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t SELECT generate_series(1,100)");
    let lsn = |text: &str| {
        let (high, low) = text.split_once('/').unwrap_or_else(|| panic!("no LSN: {text:?}"));
        u64::from_str_radix(high, 16).expect("hex") << 32 | u64::from_str_radix(low, 16).expect("hex")
    };
    let mut looks = 0;
    for _ in 0..40 {
        // Read in this order, so that time in between can only help the claim to be false.
        let confirmed = stage.slot_field("confirmed_flush_lsn").expect("a slot");
        let status = gateway.status();
        let durable =
            lsn(status["shards"][0]["position_lsn"].as_str().unwrap_or_else(|| panic!("no position in {status}")));
        // Zero until this process has written one.
        if durable > 0 {
            assert!(lsn(&confirmed) <= durable, "confirmed {confirmed} is beyond the durable position: {status}");
            looks += 1;
        }
        stage.database.exec("DELETE FROM t WHERE id=(SELECT min(id) FROM t)");
        std::thread::sleep(Duration::from_millis(25));
    }
    assert!(looks >= 10, "positions are written all the time");
    gateway.stop_cleanly();
}

#[test]
fn positions_in_a_file() {
    let stage = Stage::new("file", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut task = stage.task.clone();
    let path = task.dir().join("task.position").display().to_string();
    task.text("position.store", "file").text("position.path", &path).unset("position.topic");
    let mut reader = stage.reader(&["t"]);
    for round in 0..2 {
        let mut gateway = Gateway::ready(&task);
        stage.database.exec(&format!("INSERT INTO t VALUES ({round})"));
        reader.exactly(round + 1, SOON);
        gateway.stop_cleanly();
    }
    let mut locked = Gateway::ready(&task);
    let mut other = Gateway::start_beside(&task);
    other.wait_halted("position_locked", SOON);
    stage.database.exec("INSERT INTO t VALUES (2)");
    reader.exactly(3, SOON);
    other.stop_cleanly();
    locked.stop_cleanly();
    assert!(!stage.kafka.topics().contains_key(&format!("{}-positions", stage.database.name())));
}

#[test]
fn a_second_gateway_of_the_task_takes_over_and_the_first_is_fenced() {
    let stage = Stage::new("fence", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut first = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    let mut reader = stage.reader(&["t"]);
    reader.exactly(1, SOON);
    let mut second = Gateway::start_beside(&stage.task);
    eventually("the first is fenced", Duration::from_secs(60), || {
        stage.database.exec("INSERT INTO t SELECT coalesce(max(id),0)+1 FROM t");
        std::thread::sleep(Duration::from_millis(100));
        let (_, body) = first.get("/readyz")?;
        let body: Value = serde_json::from_str(&body).ok()?;
        (body["state"] == "halted").then_some(())
    });
    first.wait_halted("position_fenced", SOON);
    second.wait_ready(Duration::from_secs(90));
    stage.database.exec("INSERT INTO t VALUES (1000000)");
    let rows: usize = stage.database.number("SELECT count(*) FROM t").try_into().expect("a count");
    reader.until("the last row", SOON, |records| records.iter().any(|r| r.json()["data"][0]["id"] == "1000000"));
    let (changes, _) = millrace_tests::oracle::first_occurrences(reader.records());
    assert_eq!(changes.len(), rows, "nothing lost in the change of hands");
    second.stop_cleanly();
    first.stop_cleanly();
}

#[test]
fn status_and_metrics_tell_what_happened() {
    let stage = Stage::new("status", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t SELECT generate_series(1,250)");
    stage.reader(&["t"]).exactly(250, SOON);
    let status = eventually("all is acknowledged", SOON, || {
        let status = gateway.status();
        (status["records_delivered"] == 250 && status["shards"][0]["in_flight"] == 0).then_some(status)
    });
    assert_eq!(status["task"], stage.task.name());
    assert_eq!(status["state"], "streaming");
    assert!(status.get("failure").is_none_or(Value::is_null), "{status}");
    assert_eq!(status["modules"].as_array().map(Vec::len), Some(3), "select, topic-router, drs-json: {status}");
    let (code, metrics) = gateway.get("/metrics").expect("an answer");
    assert_eq!(code, 200);
    assert!(gateway.metric("millrace_changes_received_total").is_some_and(|count| count >= 250.0), "{metrics}");
    assert!(gateway.metric("millrace_records_delivered_total").is_some_and(|count| count >= 250.0), "{metrics}");
    for (_, body) in [gateway.get("/v1/status"), gateway.get("/metrics"), gateway.get("/healthz")].into_iter().flatten()
    {
        assert!(!body.contains(PASSWORD), "a secret in {body}");
    }
    gateway.stop_cleanly();
}

#[test]
fn slot_drop_drops_the_slot_and_nothing_else_does() {
    let stage = Stage::new("dropped", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    let file = stage.task.write().display().to_string();
    let busy = millrace(&["slot", "drop", &file, "--yes", "--json"]);
    assert_eq!(busy.status.code(), Some(3), "in use: {busy:?}");
    gateway.stop_cleanly();
    assert_eq!(stage.slot_field("active").as_deref(), Some("false"));
    let dropped = millrace(&["slot", "drop", &file, "--yes", "--json"]);
    assert_eq!(dropped.status.code(), Some(0), "{dropped:?}");
    assert_eq!(stage.slot_field("active"), None, "no slot left");
}

#[test]
fn the_gateway_makes_its_publication_when_told_to() {
    let stage = Stage::new("publish", "CREATE TABLE t(id int PRIMARY KEY)");
    stage.database.exec(&format!("DROP PUBLICATION {}", stage.task.slot()));
    let mut task = stage.task.clone();
    // The role must own the table to publish it.
    stage.database.exec("ALTER TABLE t OWNER TO millrace");
    stage.database.exec(&format!("GRANT CREATE ON DATABASE \"{}\" TO millrace", stage.database.name()));
    task.set("source.create_publication", "true").set("objects.include", r#"["public.t"]"#);
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    assert_eq!(summary(stage.reader(&["t"]).exactly(1, SOON)), [("INSERT".into(), json!({"id":"1"}))]);
    gateway.stop_cleanly();
}
