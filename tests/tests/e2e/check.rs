//! `millrace check`: each item that can be wrong is found, and the statement it prints mends it.

use crate::stage::{SOON, Stage};
use millrace_tests::gateway::{Gateway, millrace};
use millrace_tests::task::Task;
use serde_json::Value;

/// The report and the exit code.
fn check(task: &Task) -> (Value, Option<i32>) {
    let out = millrace(&["check", &task.write().display().to_string(), "--json"]);
    let report = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {out:?}"));
    (report, out.status.code())
}

fn item<'a>(report: &'a Value, id: &str) -> &'a Value {
    let items = report["items"].as_array().unwrap_or_else(|| panic!("no items in {report}"));
    items.iter().find(|item| item["item"] == id).unwrap_or_else(|| panic!("no item {id} in {report:#}"))
}

/// Ids of the items with this verdict.
fn with_verdict<'a>(report: &'a Value, verdict: &str) -> Vec<&'a str> {
    let items = report["items"].as_array().expect("items");
    items.iter().filter(|item| item["result"] == verdict).filter_map(|item| item["item"].as_str()).collect()
}

#[test]
fn a_task_that_can_start_has_nothing_failed_and_stays_untouched() {
    let stage = Stage::new("checked", "CREATE TABLE t(id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL");
    let (report, code) = check(&stage.task);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(with_verdict(&report, "FAILED"), Vec::<&str>::new(), "{report:#}");
    assert_eq!(item(&report, "source.connection")["result"], "PASSED");
    assert_eq!(item(&report, "source.wal_level")["result"], "PASSED");
    assert_eq!(item(&report, "sink.brokers")["result"], "PASSED");
    assert_eq!(stage.slot_field("slot_name"), None, "a check makes no slot");
    assert!(
        stage.kafka.topics().keys().all(|topic| !topic.starts_with(stage.database.name())),
        "a check makes no topic"
    );
    // While the task runs, and after: a check does not fail on the task's own slot, nor disturb its owner.
    let mut gateway = Gateway::ready(&stage.task);
    let (report, code) = check(&stage.task);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(gateway.get("/readyz").map(|(code, _)| code), Some(200));
    gateway.stop_cleanly();
    let (report, code) = check(&stage.task);
    assert_eq!((code, &item(&report, "source.slot")["result"]), (Some(0), &Value::from("PASSED")), "{report:#}");
}

#[test]
fn what_is_wrong_is_found_and_its_mend_mends_it() {
    let stage = Stage::new(
        "wrong",
        "CREATE TABLE keyed(id int PRIMARY KEY); CREATE TABLE keyless(v int); CREATE UNLOGGED TABLE unlogged(id int PRIMARY KEY)",
    );
    let mut task = stage.task.clone();
    task.set("objects.include", r#"["public.keyed", "public.keyless", "public.unlogged"]"#);
    let slot = stage.task.slot();
    stage.database.exec(&format!("DROP PUBLICATION {slot}"));
    let (report, code) = check(&task);
    assert_eq!(code, Some(3), "{report:#}");
    let publication = item(&report, "source.publication");
    assert_eq!((&publication["result"], &publication["code"]), (&"FAILED".into(), &"publication_missing".into()));
    assert_eq!(item(&report, "source.replica_identity")["result"], "FAILED");
    assert_eq!(item(&report, "source.unlogged_tables")["result"], "ALARM");

    let mends = |id: &str| {
        let (report, _) = check(&task);
        let mend =
            item(&report, id)["mend"].as_str().unwrap_or_else(|| panic!("no mend for {id}: {report:#}")).to_owned();
        stage.database.exec(&mend);
    };
    mends("source.unlogged_tables");
    mends("source.publication");
    mends("source.replica_identity");
    let (report, code) = check(&task);
    assert_eq!((code, with_verdict(&report, "FAILED")), (Some(0), Vec::new()), "{report:#}");
    // What is left of the replica identities is an alarm, and it goes as well.
    assert_eq!(item(&report, "source.replica_identity")["result"], "ALARM");
    mends("source.replica_identity");
    let (report, _) = check(&task);
    for id in ["source.publication", "source.replica_identity", "source.unlogged_tables", "source.published_tables"] {
        assert_eq!(item(&report, id)["result"], "PASSED", "{report:#}");
    }

    stage.database.exec(&format!("ALTER PUBLICATION {slot} DROP TABLE keyed"));
    let (report, code) = check(&task);
    assert_eq!((code, &item(&report, "source.published_tables")["result"]), (Some(3), &"FAILED".into()), "{report:#}");
    mends("source.published_tables");
    stage.database.exec(&format!("ALTER PUBLICATION {slot} SET (publish = 'insert')"));
    let (report, _) = check(&task);
    assert_eq!(item(&report, "source.operations")["result"], "ALARM", "{report:#}");
    mends("source.operations");
    let (report, _) = check(&task);
    assert_eq!(item(&report, "source.operations")["result"], "PASSED", "{report:#}");
}

/// Below 100 % nothing is made at the source; a confirmation in the task file is enough to go on, and a start that goes on from a position
/// asks for none.
#[test]
fn a_first_start_waits_until_everything_passed_or_is_confirmed() {
    let stage = Stage::new("waits", "CREATE TABLE keyed(id int PRIMARY KEY); CREATE TABLE keyless(v int)");
    let mut task = stage.task.clone();
    task.unset("check.at_start");
    let mut gateway = Gateway::start(&task);
    let told = gateway.wait_halted("precheck_failed", SOON);
    let why = told["failure"]["why"].as_str().expect("a reason");
    assert!(why.contains("FAILED source.replica_identity") && why.contains("ALARM sink.topics"), "{why}");
    assert_eq!(stage.slot_field("slot_name"), None, "no slot is made");

    stage.database.exec("ALTER TABLE keyless REPLICA IDENTITY FULL");
    let (report, code) = check(&task);
    assert_eq!((code, &report["result"]), (Some(0), &"ALARM".into()), "looked at again: {report:#}");
    assert!(report["total_passed_rate"].as_u64().is_some_and(|rate| rate < 100), "{report:#}");
    let open: Vec<String> = serde_json::from_value(report["to_confirm"].clone()).expect("names");
    assert!(open.iter().any(|name| name == "source.replica_identity"), "{open:?}");
    let file = task.dir().join("task.toml").display().to_string();
    let refused = millrace(&["check", &file, "--confirm", "source.wal_level", "--json"]);
    let refused: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!(refused["error"]["code"], "not_to_confirm", "what passed has nothing to confirm: {refused:#}");
    let mut args = vec!["check", &file, "--json"];
    args.extend(open.iter().flat_map(|name| ["--confirm", name]));
    let out = millrace(&args);
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((&report["result"], &report["total_passed_rate"]), (&"PASSED".into(), &100.into()), "{report:#}");
    assert_eq!(item(&report, "source.replica_identity")["is_skipped"], true);
    // The halted gateway sees the confirmations in its task file.
    gateway.wait_ready(SOON);
    stage.database.exec("INSERT INTO keyed VALUES (1)");
    stage.reader(&["keyed"]).exactly(1, SOON);
    gateway.stop_cleanly();
    task.write();
    Gateway::ready(&task).stop_cleanly();
}

#[test]
fn each_refused_start_is_foretold() {
    let stage = Stage::new("foretold", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut task = stage.task.clone();
    task.set("objects.include", r#"["public.t", "public.missing"]"#);
    let (report, code) = check(&task);
    assert_eq!((code, &item(&report, "source.tables")["result"]), (Some(3), &"FAILED".into()), "{report:#}");

    let mut task = stage.task.clone();
    task.set("route.replication_factor", "3");
    let (report, code) = check(&task);
    let factor = item(&report, "sink.replication_factor");
    assert_eq!((code, &factor["result"], &factor["code"]), (Some(3), &"FAILED".into(), &"replication_factor".into()));

    let mut task = stage.task.clone();
    task.set("route.create_topics", "false");
    let (report, code) = check(&task);
    let topics = item(&report, "sink.topics");
    assert_eq!((code, &topics["result"], &topics["code"]), (Some(3), &"FAILED".into(), &"topic_missing".into()));

    stage.database.exec(&format!("SELECT pg_create_logical_replication_slot('{}','pgoutput')", stage.task.slot()));
    let (report, code) = check(&stage.task);
    let slot = item(&report, "source.slot");
    assert_eq!(
        (code, &slot["result"], &slot["code"]),
        (Some(3), &"FAILED".into(), &"slot_without_position".into()),
        "{report:#}"
    );
    stage.database.exec(slot["mend"].as_str().and_then(|mend| mend.split(": ").last()).expect("a statement"));
    assert_eq!(stage.slot_field("slot_name"), None, "the mend drops it");
}

#[test]
fn peers_that_cannot_be_reached_or_do_not_let_in() {
    let stage = Stage::new("peers", "CREATE TABLE t(id int PRIMARY KEY)");
    let dead = format!("[\"127.0.0.1:{}\"]", millrace_tests::ports::free());
    let mut task = stage.task.clone();
    task.set("source.hosts", &dead);
    let (report, code) = check(&task);
    assert_eq!((code, &item(&report, "source.connection")["result"]), (Some(4), &"FAILED".into()), "{report:#}");
    assert_eq!(item(&report, "sink.brokers")["result"], "PASSED", "one dead peer hides nothing of the other");

    let mut task = stage.task.clone();
    task.set("sink.brokers", &dead);
    let (report, code) = check(&task);
    assert_eq!((code, &item(&report, "sink.connection")["result"]), (Some(4), &"FAILED".into()), "{report:#}");
    assert_eq!(item(&report, "source.connection")["result"], "PASSED");

    let mut task = stage.task.clone();
    task.text("source.password", "wrong");
    let (report, code) = check(&task);
    let connection = item(&report, "source.connection");
    assert_eq!(
        (code, &connection["result"], &connection["code"]),
        (Some(3), &"FAILED".into(), &"authentication_failed".into())
    );
    assert!(
        connection["raw_error_msg"].as_str().is_some_and(|error| error.contains("password authentication failed")),
        "{connection}"
    );
    assert!(!report.to_string().contains("\"wrong\""), "no secret in the report");
    // For people: every item with its verdict.
    let text = millrace(&["check", &task.write().display().to_string()]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("source.connection") && text.contains("FAILED") && text.contains("SKIPPED"), "{text}");
}
