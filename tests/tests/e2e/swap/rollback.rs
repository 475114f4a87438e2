//! Versions that are rolled back by themselves: each kind of failure, whatever the task's error policy.

use super::{component, history, with_grants};
use crate::stage::{SOON, Stage};
use millrace_tests::eventually;
use millrace_tests::gateway::Gateway;
use millrace_tests::topics::Reader;
use serde_json::{Value, json};

/// One transaction for each row, so that each is a batch.
fn insert(stage: &Stage<'_>, reader: &mut Reader, ids: std::ops::RangeInclusive<i32>) {
    for id in ids {
        stage.database.exec(&format!("INSERT INTO t VALUES ({id})"));
        reader.exactly(id as usize, SOON);
    }
}

/// Which rows the default format made; the probe makes records without a value.
fn by_the_default(reader: &Reader) -> Vec<String> {
    let values =
        reader.records().iter().filter(|record| record.value.as_deref().is_some_and(|value| !value.is_empty()));
    values.map(|record| record.json()["data"][0]["id"].as_str().expect("an id").to_owned()).collect()
}

/// Swaps the format for one that does `mischief` on the changes 6 and 7. The budget allows one such batch; the second is too much.
fn is_rolled_back(mischief: &str, reason: &str) {
    for policy in ["halt", "dead-letter", "skip"] {
        let mut stage = with_grants(&format!("back_{mischief}_{}", policy.replace('-', "")));
        stage.task.text("modules.format.on_error", policy).text("modules.limits.call_timeout", "300ms");
        stage.task.text("dead_letters.topic", &format!("{}-dead", stage.database.name()));
        for budget in ["max_traps", "max_deadlines", "max_errors"] {
            stage.task.set(&format!("modules.swap.{budget}"), "1");
        }
        let mut gateway = Gateway::ready(&stage.task);
        let mut reader = stage.reader(&["t"]);
        insert(&stage, &mut reader, 1..=3);
        let path = stage.task.dir().join("probe.wasm");
        std::fs::write(&path, component("probe")).expect("written");
        let does = format!("on 6 {mischief}; on 7 {mischief}; plan k k empty");
        let (code, answer) = gateway.send("PUT", "/v1/modules/format", &json!({ "path": path, "config": does }));
        assert_eq!(code, 200, "{answer}");
        insert(&stage, &mut reader, 4..=6);
        let view = gateway.send("GET", "/v1/modules", &Value::Null).1;
        assert_eq!(
            (&view["trial"]["version"], &view["trial"][reason]),
            (&answer["version"], &json!(1)),
            "one is within the budget: {view}"
        );
        insert(&stage, &mut reader, 7..=7);
        let entry = eventually("it is rolled back", SOON, || {
            let automatic = |entry: &Value| entry["trigger"]["by"] == "automatic" && entry["outcome"] == "done";
            history(&mut gateway).into_iter().find(automatic)
        });
        let trigger = &entry["trigger"];
        assert_eq!((&trigger["of"], &trigger["reason"]), (&answer["version"], &json!(reason)), "{policy}: {entry}");
        insert(&stage, &mut reader, 8..=9);
        assert_eq!(
            by_the_default(&reader),
            ["1", "2", "3", "6", "7", "8", "9"],
            "{policy}: the rest was the new one's"
        );
        assert_eq!(reader.records().len(), 9, "nothing is lost or doubled");
        let aside = |gateway: &mut Gateway, name: &str| gateway.metric(name).unwrap_or_default();
        assert_eq!(aside(&mut gateway, "millrace_dead_letters_total"), 0.0, "{policy}");
        assert_eq!(aside(&mut gateway, "millrace_changes_skipped_total"), 0.0, "{policy}");
        assert_eq!(gateway.metric("millrace_trial_faults_total"), Some(2.0));
        assert_eq!(gateway.status()["state"], "streaming", "it never stopped");
        gateway.stop_cleanly();
    }
}

#[test]
fn for_traps() {
    is_rolled_back("panic", "traps");
}

#[test]
fn for_answers_that_break_the_contract() {
    is_rolled_back("back", "traps");
}

#[test]
fn for_missing_its_deadline() {
    is_rolled_back("loop", "deadlines");
}

#[test]
fn for_refusing_changes() {
    is_rolled_back("fault", "errors");
}

#[test]
fn not_for_changes_that_the_version_before_cannot_handle_either() {
    let mut stage = with_grants("back_poison");
    let letters = format!("{}-dead", stage.database.name());
    stage.task.text("modules.format.on_error", "dead-letter").text("dead_letters.topic", &letters);
    stage.task.set("modules.swap.max_errors", "0").set("modules.swap.max_traps", "0");
    let mut gateway = Gateway::ready(&stage.task);
    let path = stage.task.dir().join("probe.wasm");
    std::fs::write(&path, component("probe")).expect("written");
    for config in ["on 2 fault; on 3 panic; plan k k empty", "on 2 fault; on 3 panic; plan k k empty;"] {
        let (code, answer) = gateway.send("PUT", "/v1/modules/format", &json!({ "path": path, "config": config }));
        assert_eq!(code, 200, "{answer}");
    }
    let second = gateway.send("GET", "/v1/modules", &Value::Null).1["version"].clone();
    for id in 1..=4 {
        stage.database.exec(&format!("INSERT INTO t VALUES ({id})"));
    }
    stage.reader(&["t"]).exactly(2, SOON);
    stage.kafka.reader(&[&letters]).exactly(2, SOON);
    assert_eq!(gateway.metric("millrace_trial_faults_total"), Some(0.0));
    assert_eq!(gateway.send("GET", "/v1/modules", &Value::Null).1["version"], second, "it stays");
    gateway.stop_cleanly();
}
