//! Task files that are refused: every problem at once, each with its path, before anything is connected.

use millrace_tests::gateway::{Gateway, millrace};
use millrace_tests::process::Exit;
use millrace_tests::task::Task;
use serde_json::Value;
use std::time::Duration;

/// A task file that is complete; nothing listens at its addresses.
fn complete(name: &str) -> Task {
    let mut task = Task::bare(name);
    task.text("source.kind", "postgresql").set("source.hosts", r#"["127.0.0.1:1"]"#).text("source.database", "shop");
    task.text("source.user", "millrace").text("source.password", "p-l-a-n-t-e-d").text("source.sslmode", "disable");
    task.text("sink.kind", "kafka").set("sink.brokers", r#"["127.0.0.1:1"]"#);
    task.text("position.store", "topic");
    task
}

/// Paths of the problems that `millrace config print` reports.
fn problems(task: &Task) -> Vec<String> {
    let out = millrace(&["config", "print", &task.write().display().to_string(), "--json"]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let answer: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {out:?}"));
    let error = answer.get("error").unwrap_or(&answer);
    let problems = error.get("problems").or_else(|| answer.get("problems")).and_then(Value::as_array);
    let problems = problems.unwrap_or_else(|| panic!("no problems in {answer}"));
    assert!(problems.iter().all(|p| p["rule"].as_str().is_some_and(|rule| !rule.is_empty())), "{answer}");
    assert!(!answer.to_string().contains("p-l-a-n-t-e-d"), "a secret in {answer}");
    problems.iter().map(|problem| problem["path"].as_str().expect("a path").to_owned()).collect()
}

#[test]
fn each_bad_value_is_refused_by_its_path() {
    for (path, bad) in [
        ("task.name", "\"abc\""),
        ("task.name", "\"1abc\""),
        ("task.name", "\"with space\""),
        ("task.description", "\"a < b\""),
        ("task.unknown", "1"),
        ("source.kind", "\"oracle\""),
        ("source.hosts", "[]"),
        ("source.hosts", "[\"nowhere\"]"),
        ("source.hosts", "[\"host:99999\"]"),
        ("source.sslmode", "\"on\""),
        ("source.slot", "\"Upper\""),
        ("source.connect_timeout", "\"soon\""),
        ("source.max_message", "\"many\""),
        ("objects.include", "[\"one.two.three\"]"),
        ("route.topic_policy", "4"),
        ("route.partition_policy", "9"),
        ("route.partitions", "0"),
        ("route.replication_factor", "40000"),
        ("format.profile", "\"xml\""),
        ("sink.kind", "\"rabbit\""),
        ("sink.brokers", "[]"),
        ("sink.compression", "\"brotli\""),
        ("sink.linger", "5"),
        ("position.store", "\"disk\""),
        ("pipeline.workers", "0"),
        ("pipeline.on_halt", "\"dance\""),
        ("admin.listen", "\"nowhere\""),
    ] {
        let mut task = complete("settings");
        task.set(path, bad);
        let found = problems(&task);
        assert!(found.len() == 1 && found[0].starts_with(path), "{path} = {bad}: {found:?}");
    }
}

#[test]
fn every_pair_of_policies_that_is_not_allowed() {
    for (topic_policy, partition_policies) in [(1, vec![0, 3]), (2, vec![2]), (3, vec![2, 3])] {
        for partition_policy in partition_policies {
            let mut task = complete("pairs");
            task.set("route.topic_policy", &topic_policy.to_string());
            task.set("route.partition_policy", &partition_policy.to_string());
            let found = problems(&task);
            assert!(found.iter().all(|path| path.starts_with("route")), "{topic_policy}/{partition_policy}: {found:?}");
        }
    }
    let mut task = complete("pairs");
    task.set("route.topic_policy", "0");
    assert!(problems(&task).iter().any(|path| path == "route.topic"), "policy 0 needs a topic");
}

#[test]
fn all_problems_are_told_at_once() {
    let mut task = complete("several");
    task.set("source.sslmode", "\"on\"")
        .set("sink.linger", "\"x\"")
        .set("route.partitions", "-1")
        .set("sink.brokesr", "[]");
    let found = problems(&task);
    for path in ["source.sslmode", "sink.linger", "route.partitions", "sink.brokesr"] {
        assert!(found.iter().any(|found| found == path), "{path} is missing in {found:?}");
    }
    let text = millrace(&["config", "print", &task.write().display().to_string()]);
    let text = String::from_utf8_lossy(&text.stderr).into_owned() + &String::from_utf8_lossy(&text.stdout);
    assert!(text.contains("brokers"), "the nearest known key is named: {text}");
}

#[test]
fn missing_keys_and_files() {
    for path in ["task.name", "source.hosts", "source.database", "source.user", "sink.brokers"] {
        let mut task = complete("missing");
        task.unset(path);
        let found = problems(&task);
        assert!(found.iter().any(|found| found.starts_with(path)), "{path}: {found:?}");
    }
    let out = millrace(&["run", "no-such-file.toml"]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let mut task = complete("missing");
    task.set("source.password", r#"{ env = "MILLRACE_NO_SUCH_VARIABLE" }"#);
    let mut gateway = Gateway::start(&task);
    assert_eq!(gateway.process().wait(Duration::from_secs(20)), Exit::Code(2), "{}", gateway.log());
    assert!(gateway.log().contains("MILLRACE_NO_SUCH_VARIABLE"));
}

#[test]
fn a_good_file_is_printed_with_its_defaults_and_without_its_secrets() {
    let task = complete("printed");
    let out = millrace(&["config", "print", &task.write().display().to_string(), "--json"]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(!text.contains("p-l-a-n-t-e-d"), "{text}");
    let effective: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(effective["source"]["slot"], "millrace_printed");
    assert_eq!(effective["sink"]["max_message"], "1MiB");
}

#[test]
fn the_schema_is_json() {
    let out = millrace(&["config", "schema"]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let schema: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert!(schema["properties"]["source"].is_object() || schema["$defs"].is_object(), "{schema}");
}

#[test]
fn usage_errors_have_their_exit_code() {
    for args in [&["no-such-command"][..], &["run"], &["run", "a", "--log", "xml"]] {
        assert_eq!(millrace(args).status.code(), Some(2), "{args:?}");
    }
    let version = millrace(&["version", "--json"]);
    assert_eq!(version.status.code(), Some(0));
    let version: Value = serde_json::from_slice(&version.stdout).expect("JSON");
    assert!(version["version"].is_string(), "{version}");
}
