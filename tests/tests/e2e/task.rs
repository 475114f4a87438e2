//! The life of a task: what a person asks for, what it does to slot, position and records, and what is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::stage::{SOON, Stage};
use millrace_tests::eventually;
use millrace_tests::gateway::{Gateway, field, millrace};
use millrace_tests::oracle::first_occurrences;
use millrace_tests::postgres::{PASSWORD, Postgres, Stop, USER};
use millrace_tests::process::Exit;
use millrace_tests::servers;
use millrace_tests::topics::Reader;
use serde_json::{Value, json};

/// Asks for an action and gives what the task is then.
fn act(gateway: &mut Gateway, action: &str) -> Value {
    let (code, view) = gateway.send("POST", &format!("/v1/task/{action}"), &Value::Null);
    assert_eq!(code, 200, "{action}: {view}");
    view
}

fn view(gateway: &mut Gateway) -> Value {
    let (code, body) = gateway.get("/v1/task").expect("the gateway answers");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn wait_status(gateway: &mut Gateway, status: &str) -> Value {
    let mut last = Value::Null;
    eventually(status, SOON * 2, || {
        let (_, body) = gateway.get("/v1/task")?;
        last = serde_json::from_str(&body).expect("JSON");
        (last["status"] == status).then(|| last.clone())
    })
}

/// Whether the first occurrences are the numbers 1 to `count`, in this order: one table, one partition, one writer.
fn in_order(reader: &mut Reader, count: usize) -> usize {
    let wanted = count.to_string();
    reader.until("every row", SOON * 2, |records| {
        records.last().is_some_and(|record| record.json()["data"][0]["id"].as_str() == Some(wanted.as_str()))
    });
    let (first, repeats) = first_occurrences(reader.records());
    let ids: Vec<String> = first
        .iter()
        .map(|change| change.data.as_ref().expect("an insert")["id"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(ids, (1..=count).map(|id| id.to_string()).collect::<Vec<_>>());
    repeats
}

#[test]
fn a_pause_under_load_loses_nothing_keeps_order_and_outlives_the_process() {
    let stage = Stage::new("pause", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    let (stop, database) = (Arc::new(AtomicBool::new(false)), stage.database.clone());
    let writer = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let session = database.session();
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                session.exec(&format!("INSERT INTO t SELECT generate_series({},{})", last + 1, last + 20));
                last += 20;
                std::thread::sleep(Duration::from_millis(25));
            }
            last
        }
    });
    let mut reader = stage.reader(&["t"]);
    reader.until("a load", SOON, |records| records.len() > 200);
    assert_eq!(act(&mut gateway, "pause")["status"], "PAUSED");
    let state = stage.slot_field("active");
    assert_eq!(state.as_deref(), Some("false"), "the slot is kept, and nobody reads it");
    let (code, ready) = gateway.get("/readyz").expect("an answer");
    assert_eq!((code, serde_json::from_str::<Value>(&ready).expect("JSON")["state"].clone()), (503, json!("paused")));
    let confirmed = stage.slot_field("confirmed_flush_lsn");
    let delivered = view(&mut gateway)["shards"][0]["delivered_lsn"].clone();
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(view(&mut gateway)["shards"][0]["delivered_lsn"], delivered, "nothing is delivered while it is paused");
    // A restart of the process is no resume.
    gateway.stop_cleanly();
    let mut gateway = Gateway::start(&stage.task);
    assert_eq!(
        wait_status(&mut gateway, "PAUSED")["actions"],
        json!(["edit-information", "edit-passwords", "resume", "reset", "stop", "forced-stop"])
    );
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(stage.slot_field("confirmed_flush_lsn"), confirmed, "nobody has confirmed anything meanwhile");
    let (code, refused) = gateway.send("POST", "/v1/task/pause", &Value::Null);
    assert_eq!((code, &refused["error"]["code"]), (409, &json!("action_refused")), "{refused}");
    assert_eq!(act(&mut gateway, "resume")["status"], "INCRE_TRANSFER_STARTED");
    gateway.wait_ready(SOON);
    std::thread::sleep(Duration::from_millis(300));
    // Once more, at once.
    act(&mut gateway, "pause");
    act(&mut gateway, "resume");
    stop.store(true, Ordering::Relaxed);
    let rows = writer.join().expect("the writer");
    let repeats = in_order(&mut reader, rows);
    assert_eq!(repeats, 0, "a pause drains: nothing is sent again");
    gateway.stop_cleanly();
    // And a restart of a task that was resumed is no pause.
    Gateway::ready(&stage.task).stop_cleanly();
}

#[test]
fn a_lost_slot_is_retried_three_times_and_a_reset_begins_anew() {
    let stage = Stage::new("reset", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    let mut reader = stage.reader(&["t"]);
    reader.exactly(1, SOON);
    act(&mut gateway, "pause");
    stage.database.exec(&format!("SELECT pg_drop_replication_slot('{}')", stage.task.slot()));
    stage.database.exec("INSERT INTO t VALUES (2)");
    let failed = act(&mut gateway, "resume");
    assert_eq!(
        (&failed["status"], &failed["waits_for_person"]),
        (&json!("INCRE_TRANSFER_FAILED"), &json!(true)),
        "{failed}"
    );
    gateway.wait_halted("position_without_slot", SOON);
    let lines = gateway.log_lines();
    let tries = lines.iter().filter(|line| line["level"] == "WARN" && field(line, "code") == "position_without_slot");
    assert_eq!(tries.count(), 3, "three tries by itself, then a person");
    // Nothing happens by itself from here on.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(view(&mut gateway)["status"], "INCRE_TRANSFER_FAILED");
    assert_eq!(act(&mut gateway, "reset")["status"], "INCRE_TRANSFER_STARTED");
    stage.database.exec("INSERT INTO t VALUES (3)");
    let records = reader.exactly(2, SOON);
    let ids: Vec<u64> = records.iter().map(|record| record.json()["id"].as_u64().expect("an id")).collect();
    assert_eq!(records[1].json()["data"][0]["id"], "3", "what came between is lost, as the reset said");
    assert!(ids[1] > ids[0], "ids go on over a reset: {ids:?}");
    gateway.stop_cleanly();
    Gateway::ready(&stage.task).stop_cleanly();
}

#[test]
fn a_reset_needs_a_check_that_passes_whole() {
    let stage = Stage::new("recheck", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    act(&mut gateway, "pause");
    stage.database.exec(&format!("DROP PUBLICATION {}", stage.task.slot()));
    let (code, refused) = gateway.send("POST", "/v1/task/reset", &Value::Null);
    assert_eq!((code, &refused["error"]["code"]), (422, &json!("check_failed")), "{refused}");
    let now = view(&mut gateway);
    assert_eq!(now["status"], "PAUSED", "a reset that came to nothing changes nothing: {now}");
    assert!(stage.slot_field("active").is_some(), "the slot is still there");
    stage.database.exec(&format!("CREATE PUBLICATION {} FOR TABLE t", stage.task.slot()));
    act(&mut gateway, "reset");
    gateway.stop_cleanly();
}

#[test]
fn a_stop_drops_the_tasks_slot_and_no_other_and_is_for_good() {
    let stage = Stage::new("stopped", "CREATE TABLE t(id int PRIMARY KEY)");
    let other = format!("{}_other", stage.task.slot());
    stage.database.exec(&format!("SELECT pg_create_logical_replication_slot('{other}', 'pgoutput')"));
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t SELECT generate_series(1,2000)");
    let mut reader = stage.reader(&["t"]);
    assert_eq!(in_order(&mut reader, 2000), 0);
    stage.database.exec("INSERT INTO t VALUES (2001)");
    reader.exactly(2001, SOON);
    let file = stage.task.write().display().to_string();
    let refused = millrace(&["task", "stop", &file, "--json"]);
    assert_eq!(refused.status.code(), Some(2), "nobody said yes: {refused:?}");
    let stopped = millrace(&["task", "stop", &file, "--yes", "--json"]);
    assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
    let told: Value = serde_json::from_slice(&stopped.stdout).expect("JSON");
    assert_eq!((&told["status"], &told["title"]), (&json!("RELEASE_RESOURCE_COMPLETE"), &json!("Completed")));
    assert_eq!(in_order(&mut stage.reader(&["t"]), 2001), 0, "what was read before is delivered, once");
    assert_eq!(stage.slot_field("active"), None, "the slot is dropped");
    let others = format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{other}'");
    assert_eq!(stage.database.number(&others), 1, "another slot of the database is not touched");
    for action in ["resume", "reset", "start", "stop", "pause"] {
        let (code, refused) = gateway.send("POST", &format!("/v1/task/{action}"), &Value::Null);
        assert_eq!(code, 409, "{action} of a task that is over: {refused}");
    }
    gateway.stop_cleanly();
    // Not by a restart either.
    let mut again = Gateway::start(&stage.task);
    wait_status(&mut again, "RELEASE_RESOURCE_COMPLETE");
    assert_eq!(stage.slot_field("active"), None);
    let (code, gone) = again.send("POST", "/v1/task/delete", &json!({ "wait": false }));
    assert!(code == 200 || code == 202, "{gone}");
    assert_eq!(again.process().wait(SOON), Exit::Code(0), "a deleted task is listed no more");
    stage.database.exec(&format!("SELECT pg_drop_replication_slot('{other}')"));
}

#[test]
fn a_refused_password_is_not_tried_again_before_it_changes() {
    let postgres = Postgres::start("");
    let stage = Stage::on(&postgres, servers::kafka(), "stale", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut task = stage.task.clone();
    let secret = task.dir().join("password");
    std::fs::write(&secret, PASSWORD).expect("written");
    task.set("source.password", &format!("{{ file = \"{}\" }}", secret.display()));
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    let mut reader = stage.reader(&["t"]);
    reader.exactly(1, SOON);
    // The password is changed at the source, and the stream breaks.
    let refused = format!("password authentication failed for user \"{USER}\"");
    stage.database.exec(&format!("ALTER ROLE {USER} PASSWORD 'another'"));
    stage.database.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active");
    gateway.wait_halted("authentication_failed", SOON);
    let failed = view(&mut gateway);
    assert_eq!((&failed["status"], &failed["waits_for_person"]), (&json!("INCRE_TRANSFER_FAILED"), &json!(true)));
    // Neither time nor another change of the task file makes it try again.
    task.text("task.description", "changed meanwhile").write();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(postgres.log().matches(&refused).count(), 1, "one refusal in the server's log");
    // A person who gives the wrong one again gets one more.
    let (_, again) = gateway.send("POST", "/v1/task/resume", &Value::Null);
    assert_eq!(again["status"], "INCRE_TRANSFER_FAILED", "{again}");
    assert_eq!(postgres.log().matches(&refused).count(), 2);
    std::fs::write(&secret, "another").expect("written");
    let now = act(&mut gateway, "passwords");
    assert!(now["status"] == "INCRE_TRANSFER_STARTED", "{now}");
    stage.database.exec("INSERT INTO t VALUES (2)");
    reader.exactly(2, SOON);
    assert_eq!(postgres.log().matches(&refused).count(), 2);
    gateway.stop_cleanly();
}

#[test]
fn a_start_waits_for_a_person_or_for_its_time() {
    let stage = Stage::new("later", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut task = stage.task.clone();
    task.text("task.start_at", "manual");
    let mut gateway = Gateway::start(&task);
    let waits = wait_status(&mut gateway, "CONFIGURATION");
    assert!(waits["actions"].as_array().expect("actions").contains(&json!("start")), "{waits}");
    assert_eq!(stage.slot_field("active"), None, "no slot before the start");
    gateway.wait_state("waiting", SOON);
    let far = json!({ "at": "2999-01-01T00:00:00Z" });
    let (code, pending) = gateway.send("POST", "/v1/task/start", &far);
    assert_eq!((code, &pending["status"]), (200, &json!("WAITING_FOR_START")), "{pending}");
    assert_eq!(pending["start_at"], "2999-01-01T00:00:00.000Z");
    let (code, now) = gateway.send("POST", "/v1/task/start-time", &json!({ "at": "2020-01-01T00:00:00Z" }));
    assert!(code == 200 || code == 202, "{now}");
    gateway.wait_ready(SOON);
    let (code, refused) = gateway.send("POST", "/v1/task/start-time", &far);
    assert_eq!(code, 409, "only in Pending start: {refused}");
    stage.database.exec("INSERT INTO t VALUES (1)");
    stage.reader(&["t"]).exactly(1, SOON);
    gateway.stop_cleanly();
    // It has begun: from now on it starts with its process.
    Gateway::ready(&task).stop_cleanly();
}

#[test]
fn a_forced_stop_ends_without_the_source_and_tells_how_to_clean_up() {
    let mut postgres = Postgres::start("");
    let stage = Stage::on(&postgres, servers::kafka(), "forced", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    let slot = stage.task.slot();
    postgres.stop(Stop::Immediate);
    let failed = wait_status(&mut gateway, "INCRE_TRANSFER_FAILED");
    assert_eq!(failed["forced_stop_first"], true, "{failed}");
    let over = act(&mut gateway, "forced-stop");
    assert_eq!(over["status"], "RELEASE_RESOURCE_COMPLETE", "{over}");
    let statements: Vec<String> =
        over["cleanup"].as_array().expect("statements").iter().map(|s| s.as_str().expect("text").to_owned()).collect();
    assert_eq!(statements.len(), 3, "{statements:?}");
    gateway.stop_cleanly();
    // The statements do what they say.
    postgres.start_again();
    let listed = stage.database.rows(statements[0].trim_end_matches(';'));
    assert_eq!(listed.len(), 1, "the slot was left behind");
    assert_eq!(listed[0][0].as_deref(), Some(slot.as_str()));
    stage.database.exec(&statements[1]);
    assert!(stage.database.rows(statements[2].trim_end_matches(';')).is_empty());
}

#[test]
fn slot_drop_touches_no_slot_that_is_not_the_tasks() {
    let stage = Stage::new("owned", "CREATE TABLE t(id int PRIMARY KEY)");
    Gateway::ready(&stage.task).stop_cleanly();
    let slot = stage.task.slot();
    let others = [format!("{slot}_other"), format!("{slot}_test")];
    stage.database.exec(&format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", others[0]));
    stage.database.exec(&format!("SELECT pg_create_logical_replication_slot('{}', 'test_decoding')", others[1]));
    let file = stage.task.write().display().to_string();
    let listed = millrace(&["slot", "list", &file, "--json"]);
    let told: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let slots = told["nodes"][0]["slots"].as_array().expect("slots");
    let own: Vec<&str> = slots.iter().filter(|s| s["own"] == true).map(|s| s["slot"].as_str().expect("text")).collect();
    assert_eq!((slots.len(), own), (3, vec![slot.as_str()]), "{told}");
    // A file that names a slot of somebody else: by another decoder, and of the same one.
    for (other, code) in [(&others[1], "slot_without_position"), (&others[0], "slot_without_position")] {
        let mut task = stage.task.clone();
        task.text("source.slot", other);
        let path = task.dir().join("other.toml");
        task.write_to(&path);
        let refused = millrace(&["slot", "drop", &path.display().to_string(), "--yes", "--json"]);
        let told: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
        assert_eq!((refused.status.code(), &told["error"]["code"]), (Some(3), &json!(code)), "{told}");
    }
    let mut task = stage.task.clone();
    task.text("source.slot", &others[1]);
    let path = task.dir().join("other.toml");
    task.write_to(&path);
    let refused = millrace(&["slot", "drop", &path.display().to_string(), "--yes", "--without-position", "--json"]);
    let told: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!(told["error"]["code"], "slot_mismatch", "the decoder is another, whatever is said: {told}");
    let dropped = millrace(&["slot", "drop", &file, "--yes", "--json"]);
    assert_eq!(dropped.status.code(), Some(0), "{dropped:?}");
    let left = "SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots WHERE database = current_database()";
    assert_eq!(stage.database.one(left).as_deref(), Some(format!("{} {}", others[0], others[1]).as_str()));
    for other in others {
        stage.database.exec(&format!("SELECT pg_drop_replication_slot('{other}')"));
    }
}

#[test]
fn the_documented_metrics_components_and_a_delay_are_told() {
    let mut stage = Stage::new("monitor", "CREATE TABLE t(id int PRIMARY KEY)");
    stage.task.text("monitoring.delay_threshold", "1s").text("monitoring.delay_alarm_after", "2s");
    let audit = stage.task.dir().join("audit.log");
    stage.task.text("monitoring.audit_file", &audit.display().to_string());
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t SELECT generate_series(1,500)");
    stage.reader(&["t"]).exactly(500, SOON);
    stage.database.exec("INSERT INTO t SELECT generate_series(501,900)");
    let status = eventually("rates of the last seconds", SOON, || {
        let status = gateway.status();
        (status["monitoring"]["apply_rows_rate"].as_f64()? > 0.0).then_some(status)
    });
    let metrics = status["monitoring"].as_object().expect("metrics");
    assert_eq!(metrics.len(), 19, "{metrics:?}");
    assert_eq!((&metrics["apply_current_state"], &metrics["apply_thread_workers"]), (&json!(2.0), &json!(1.0)));
    assert!(
        metrics["extract_rows_rate"].as_f64() > Some(0.0) && metrics["apply_transactions_rate"].as_f64() > Some(0.0)
    );
    assert_eq!(metrics["apply_ddls_rate"], 0.0);
    let (_, text) = gateway.get("/metrics").expect("metrics");
    let task = stage.task.name();
    for id in metrics.keys() {
        assert!(text.contains(&format!("\ndrs_{id}{{instance_id=\"{task}\"}} ")), "{id} in {text}");
    }
    let parts = status["shards"][0]["components"].as_array().expect("components");
    for (part, kind) in parts.iter().zip(["capture", "apply"]) {
        assert_eq!((&part["type"], &part["status"]), (&json!(kind), &json!("STARTED")), "{part}");
        for name in ["start_time", "start_point", "current_point", "resolution_time"] {
            assert!(part[name].as_str().is_some_and(|text| !text.is_empty()), "{name} of {part}");
        }
        assert!(part["delay"].is_u64(), "{part}");
    }
    let drained = eventually("all is drained", SOON, || {
        let status = gateway.status();
        // The delay is judged once a second.
        (status["delay_ms"] == 0 && status["late"] == false).then_some(status)
    });
    assert_eq!((&drained["late"], &drained["delay_alarm"]), (&json!(false), &json!(false)));
    let out = millrace(&["task", "pause", &stage.task.write().display().to_string()]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let lines = std::fs::read_to_string(&audit).expect("the audit file");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| (line["what"].as_str().expect("text"), line["result"].as_str().expect("text")))
        .collect();
    assert_eq!(told, [("pause", "accepted"), ("pause", "done")]);
    assert!(
        lines
            .iter()
            .all(|line| line["who"].as_str().is_some_and(|who| who.ends_with("127.0.0.1")) && line["time"].is_string())
    );
    for line in gateway.log_lines() {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        assert!(["ERROR", "WARN", "INFO"].contains(&line["level"].as_str().expect("a level")), "{line}");
        assert!(field(&line, "message").as_str().is_some_and(|text| !text.is_empty()), "{line}");
    }
    gateway.stop_cleanly();
}

#[test]
fn a_delay_above_its_threshold_becomes_an_alarm_and_ends() {
    let mut kafka = millrace_tests::kafka::Kafka::start(millrace_tests::kafka::Jvm::Light, "");
    let postgres = servers::postgres();
    let mut task = {
        let stage = Stage::on(postgres, &kafka, "late", "CREATE TABLE t(id int PRIMARY KEY)");
        stage.task.clone()
    };
    task.text("monitoring.delay_threshold", "1s").text("monitoring.delay_alarm_after", "2s");
    let database = postgres.database_named(task.name());
    let mut gateway = Gateway::ready(&task);
    kafka.freeze();
    database.exec("INSERT INTO t VALUES (1)");
    let late = eventually("an alarm", SOON, || {
        let status = gateway.status();
        (status["delay_alarm"] == true).then_some(status)
    });
    assert_eq!(late["late"], true);
    assert_eq!(gateway.metric("millrace_delay_alarm"), Some(1.0));
    assert_eq!(view(&mut gateway)["late"], true, "shown with the status too");
    kafka.thaw();
    eventually("it is over", SOON * 2, || (gateway.metric("millrace_delay_alarm")? == 0.0).then_some(()));
    let codes: Vec<String> =
        gateway.log_lines().iter().map(|line| field(line, "code").as_str().unwrap_or_default().to_owned()).collect();
    for code in ["delay_alarm", "delay_alarm_over"] {
        assert_eq!(codes.iter().filter(|told| *told == code).count(), 1, "{code}");
    }
    gateway.stop_cleanly();
}

#[test]
fn the_command_line_asks_several_tasks() {
    let one = Stage::new("one", "CREATE TABLE t(id int PRIMARY KEY)");
    let two = Stage::new("two", "CREATE TABLE t(id int PRIMARY KEY)");
    let (mut first, mut second) = (Gateway::ready(&one.task), Gateway::ready(&two.task));
    let files = [one.task.write().display().to_string(), two.task.write().display().to_string()];
    let run = |action: &str| {
        let out = millrace(&["task", action, &files[0], &files[1], "--json"]);
        assert_eq!(out.status.code(), Some(0), "{action}: {out:?}");
        let told: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        let of = |n: usize| told["tasks"][n]["status"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
        [of(0), of(1)]
    };
    assert_eq!(run("pause"), ["PAUSED", "PAUSED"]);
    let text = millrace(&["task", "status", &files[0], &files[1]]);
    assert_eq!(String::from_utf8_lossy(&text.stdout).matches("Paused").count(), 2, "{text:?}");
    assert_eq!(run("resume"), ["INCRE_TRANSFER_STARTED", "INCRE_TRANSFER_STARTED"]);
    let mut described = one.task.clone();
    described.text("task.description", "said while it runs").write();
    assert_eq!(run("information"), ["INCRE_TRANSFER_STARTED", "INCRE_TRANSFER_STARTED"]);
    assert_eq!(view(&mut first)["about"]["description"], "said while it runs");
    described.text("task.name", "another-name").write();
    let refused = millrace(&["task", "information", &files[0], "--json"]);
    assert_eq!(refused.status.code(), Some(3), "the name is for life: {refused:?}");
    one.task.write();
    first.stop_cleanly();
    second.stop_cleanly();
    let away = millrace(&["task", "status", &files[0], "--json"]);
    assert_eq!(away.status.code(), Some(4), "{away:?}");
}
