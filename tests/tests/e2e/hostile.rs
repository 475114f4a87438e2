//! Modules that misbehave, in a running gateway: it goes on streaming, or halts with the right code and loses nothing.
//!
//! The module is the host's test module, which does as its configuration says
//! (gateway/crates/host/tests/guests/probe).

use crate::stage::{SOON, Stage, summary};
use millrace_tests::gateway::{Gateway, field, millrace};
use millrace_tests::task::Task;
use millrace_tests::topics::Record;
use std::collections::BTreeMap;

const PROBE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/crates/host/tests/components/probe.wasm");
const TABLE: &str = "CREATE TABLE t(id int PRIMARY KEY)";

/// Plans that call the module for each change and leave the rows as they are.
const FILTER: &str = "plan per k k 1000003";
const MAP: &str = "plan rewrite 0,-1 k k 0";
const ROUTE: &str = "plan per k k";
const FORMAT: &str = "plan k k";

/// The entry of a module that does this, in the place of `stage`.
fn entry(stage: &str, doing: &str, more: &str) -> String {
    let header =
        if matches!(stage, "filter" | "map") { format!("[[modules.{stage}]]") } else { format!("[modules.{stage}]") };
    format!("{header}\npath = \"{PROBE}\"\ngrants = [\"counter\"]\nconfig = {{ do = \"{doing}\" }}\n{more}\n")
}

fn with(stage: &Stage, entry: &str) -> Task {
    let mut task = stage.task.clone();
    task.text("modules.limits.call_timeout", "200ms").append(entry);
    task
}

fn header(record: &Record, name: &str) -> String {
    let (_, value) =
        record.headers.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}: {record:?}"));
    String::from_utf8(value.clone()).expect("a header is text")
}

fn ids(records: &[Record]) -> Vec<i64> {
    summary(records).iter().map(|(_, row)| row["id"].as_str().expect("an id").parse().expect("a number")).collect()
}

#[test]
fn changes_that_a_module_fails_on_go_to_the_dead_letters_in_their_place() {
    let stage = Stage::new("deadletters", TABLE);
    // Changes have the ids 1, 2, 3, ... in a task of one shard.
    let mischief: BTreeMap<i64, (&str, &str)> = BTreeMap::from([
        (3, ("panic", "transform_trap")),
        (6, ("bomb", "transform_trap")),
        (7, ("recurse", "transform_trap")),
        (12, ("descend", "transform_trap")),
        (13, ("loop", "transform_deadline")),
        (21, ("fault", "transform_fault")),
        (22, ("short", "transform_bad_output")),
        (30, ("over", "transform_bad_output")),
        (40, ("huge", "transform_trap")),
    ]);
    let mut doing = FILTER.to_owned();
    for (id, (what, _)) in &mischief {
        doing += &format!("; on {id} {what}");
    }
    let letters = format!("{}-dead", stage.database.name());
    let mut task = with(&stage, &entry("filter", &doing, "on_error = \"dead-letter\""));
    task.text("dead_letters.topic", &letters)
        .text("modules.limits.memory", "16MiB")
        .text("modules.limits.call_timeout", "500ms");
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO t SELECT generate_series(1,25)");
    stage.database.exec("INSERT INTO t SELECT generate_series(26,50)");

    let good: Vec<i64> = (1..=50).filter(|id| !mischief.contains_key(id)).collect();
    assert_eq!(ids(stage.reader(&["t"]).exactly(good.len(), SOON)), good, "the neighbours, in order");
    let mut reader = stage.kafka.reader(&[&letters]);
    let dead = reader.exactly(mischief.len(), SOON).to_vec();
    for (record, (id, (_, code))) in dead.iter().zip(&mischief) {
        assert_eq!(
            (header(record, "millrace-id"), header(record, "millrace-code")),
            (id.to_string(), (*code).to_owned())
        );
        assert_eq!(
            (header(record, "millrace-stage"), header(record, "millrace-stage-kind")),
            ("filter[0]".into(), "filter".into())
        );
        assert_eq!((header(record, "millrace-table"), record.key_text()), ("public.t".into(), "public.t".into()));
        assert_eq!(header(record, "millrace-task"), task.name());
        assert_eq!(header(record, "millrace-module-sha256").len(), 64);
        let position = record.position().expect("the record header");
        assert_eq!(header(record, "millrace-ordinal"), position.ordinal.to_string());
        let value = record.json();
        assert_eq!(
            (value["change"]["op"].as_str(), value["change"]["new"][0].as_str()),
            (Some("insert"), Some(&*id.to_string()))
        );
        assert_eq!(value["relation"]["columns"][0]["name"], "id");
    }
    assert_eq!(gateway.metric("millrace_dead_letters_total"), Some(mischief.len() as f64));
    assert_eq!(gateway.metric("millrace_changes_skipped_total"), Some(0.0));
    assert_eq!(gateway.status()["state"], "streaming");
    let said = gateway.log_lines().iter().filter(|line| field(line, "code") == "change_dead_lettered").count();
    assert!((1..=mischief.len()).contains(&said), "said, but not once for each: {said}");
    // Everything is acknowledged: a restart sends nothing again.
    gateway.stop_cleanly();
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO t VALUES (51)");
    stage.reader(&["t"]).exactly(good.len() + 1, SOON);
    assert_eq!(reader.exactly(dead.len(), SOON).len(), dead.len());
    gateway.stop_cleanly();
}

#[test]
fn a_module_that_traps_on_every_change_lets_none_pass_and_stops_nothing() {
    const ROWS: usize = 300;
    let stage = Stage::new("everychange", TABLE);
    let letters = format!("{}-dead", stage.database.name());
    let mut task = with(&stage, &entry("map", &format!("{MAP}; on * panic"), "on_error = \"dead-letter\""));
    task.text("dead_letters.topic", &letters);
    let mut gateway = Gateway::ready(&task);
    stage.database.exec(&format!("INSERT INTO t SELECT generate_series(1,{ROWS})"));
    let mut reader = stage.kafka.reader(&[&letters]);
    let dead: Vec<usize> = reader
        .exactly(ROWS, SOON)
        .iter()
        .map(|letter| header(letter, "millrace-id").parse().expect("a number"))
        .collect();
    assert_eq!(dead, (1..=ROWS).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(gateway.status()["state"], "streaming");
    assert_eq!(gateway.get("/readyz").map(|(code, _)| code), Some(200));
    let traps = gateway.get("/metrics").expect("metrics").1;
    let traps = traps.lines().find(|line| line.starts_with("millrace_module_faults_total") && line.contains("map[0]"));
    assert!(traps.is_some_and(|line| line.ends_with(&format!(" {ROWS}"))), "{traps:?}");
    gateway.stop_cleanly();
    // They are complete: nothing of them comes again, and without the module the stream goes on behind them.
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (0)");
    assert_eq!(ids(stage.reader(&["t"]).exactly(1, SOON)), [0]);
    gateway.stop_cleanly();
}

#[test]
fn every_stage_has_its_own_policy() {
    let stage = Stage::new("policies", TABLE);
    let letters = format!("{}-dead", stage.database.name());
    let modules = [
        entry("filter", &format!("{FILTER}; on 2 panic; on 5 fault"), "on_error = \"skip\""),
        entry("map", &format!("{MAP}; on 3 fault"), "on_error = \"dead-letter\""),
        entry("format", &format!("{FORMAT}; on 4 panic"), ""),
    ];
    let mut task = with(&stage, &modules.concat());
    task.text("dead_letters.topic", &letters).text("modules.on_error", "dead-letter");
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO t SELECT generate_series(1,6)");
    let letters = stage.kafka.reader(&[&letters]).exactly(2, SOON).to_vec();
    let told: Vec<_> =
        letters.iter().map(|letter| (header(letter, "millrace-id"), header(letter, "millrace-stage"))).collect();
    assert_eq!(told, [("3".into(), "map[0]".into()), ("4".into(), "format".into())]);
    let before = &letters[0].json()["relation"];
    assert_eq!(
        before["columns"].as_array().map(Vec::len),
        Some(1),
        "a dead letter is what the source sent, not what a map made of it"
    );
    assert_eq!(gateway.metric("millrace_changes_skipped_total"), Some(2.0));
    let (_, metrics) = gateway.get("/metrics").expect("metrics");
    let series = |start: &str, labels: &[&str]| {
        metrics.lines().any(|line| line.starts_with(start) && labels.iter().all(|label| line.contains(label)))
    };
    assert!(series("millrace_module_faults_total", &["stage=\"map[0]\"", "kind=\"transform_fault\""]), "{metrics}");
    assert!(series("millrace_module_failures_total", &["module=\"format\"", "kind=\"transform_trap\""]), "{metrics}");
    assert!(series("millrace_module_limit", &["limit=\"time\"", " 0.2"]), "{metrics}");
    gateway.stop_cleanly();
}

#[test]
fn a_halt_loses_nothing_and_a_mended_task_goes_on() {
    let stage = Stage::new("halt", TABLE);
    let task = with(&stage, &entry("filter", &format!("{FILTER}; on 4 panic"), ""));
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO t SELECT generate_series(1,9)");
    let body = gateway.wait_halted("transform_trap", SOON);
    let tried = body["failure"]["tried"].as_str().unwrap_or_default();
    assert!(tried.contains("table public.t") && tried.contains("filter stage filter[0]"), "{body}");
    let why = body["failure"]["why"].as_str().unwrap_or_default();
    assert!(why.contains("told to panic") && why.contains(".rs:"), "the module's panic with its place: {body}");
    gateway.stop_cleanly();
    let mut gateway = Gateway::ready(&stage.task);
    let mut reader = stage.reader(&["t"]);
    reader.until("all of them", SOON, |records| ids(records).contains(&9));
    // Those before it may have been delivered by the first run too: what counts is when each came first.
    let mut seen = ids(reader.records());
    let mut first = std::collections::BTreeSet::new();
    seen.retain(|id| first.insert(*id));
    assert_eq!(seen, (1..=9).collect::<Vec<_>>(), "the change that halted it comes in its place");
    gateway.stop_cleanly();
}

#[test]
fn every_mischief_halts_with_its_code_or_does_no_harm() {
    let stage = Stage::new("mischief", TABLE);
    // The slot is there before the first row.
    Gateway::ready(&stage.task).stop_cleanly();
    // What it does, and the code it must halt with; none: it streams on.
    let cases: &[(&str, String, Option<&str>)] = &[
        ("filter", "init loop".into(), Some("stage_start")),
        ("filter", "init bomb".into(), Some("stage_start")),
        ("map", "init panic".into(), Some("stage_start")),
        ("filter", "refuse it".into(), Some("stage_config")),
        ("filter", "announce loop".into(), Some("stage_announce")),
        ("map", "announce bomb".into(), Some("stage_announce")),
        ("route", "announce panic".into(), Some("stage_announce")),
        ("format", "announce refuse".into(), Some("stage_announce")),
        ("map", "plan rewrite 0,7 - - 0".into(), Some("stage_plan")),
        ("route", "plan fixed no/topic 0".into(), Some("stage_plan")),
        ("map", format!("{MAP}; on * back"), Some("transform_bad_output")),
        ("route", format!("{ROUTE}; on * topic"), Some("transform_bad_output")),
        ("route", format!("{ROUTE}; on * utf8"), Some("transform_bad_output")),
        ("route", format!("{ROUTE}; on * partition"), Some("partition_out_of_range")),
        ("route", format!("{ROUTE}; on * back"), Some("transform_bad_output")),
        ("format", format!("{FORMAT}; on * million"), Some("transform_bad_output")),
        ("format", format!("{FORMAT}; on * back"), Some("transform_bad_output")),
        ("format", format!("{FORMAT}; on * loop"), Some("transform_deadline")),
        ("filter", format!("{FILTER}; on * flood"), Some("transform_trap")),
        ("filter", format!("{FILTER}; on * log; on * count"), None),
    ];
    for (number, (place, doing, code)) in cases.iter().enumerate() {
        let mut task = with(&stage, &entry(place, doing, ""));
        task.text("modules.limits.init_timeout", "500ms").set("route.create_topics", "true");
        let mut gateway = Gateway::start(&task);
        stage.database.exec(&format!("INSERT INTO t VALUES ({number})"));
        match code {
            Some(code) => drop(gateway.wait_halted(code, SOON)),
            None => {
                stage.reader(&["t"]).until("the rows", SOON, |records| ids(records).contains(&(number as i64)));
                assert_eq!(gateway.status()["state"], "streaming");
                let lines = gateway.log_lines().iter().filter(|line| line["target"] == "millrace::module").count();
                assert!((1..=200).contains(&lines), "{lines} of a thousand lines passed");
                let held_back = gateway.get("/metrics").expect("metrics").1;
                let held_back = held_back
                    .lines()
                    .find(|line| line.contains("limit_hits") && line.contains("\"log\"") && line.contains("filter[0]"));
                assert!(held_back.is_some_and(|line| !line.ends_with(" 0")), "{held_back:?}");
                let counted = gateway.metric("millrace_module_counter_total");
                assert!(counted.is_some_and(|counted| counted >= 1.0), "{counted:?}");
            }
        }
        gateway.stop_cleanly();
    }
    let mut gateway = Gateway::ready(&stage.task);
    let mut reader = stage.reader(&["t"]);
    reader.until("every row", SOON, |records| ids(records).contains(&(cases.len() as i64 - 1)));
    let mut all = ids(reader.records());
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (0..cases.len() as i64).collect::<Vec<_>>(), "nothing was lost on the way");
    gateway.stop_cleanly();
}

#[test]
fn files_that_are_no_module_of_this_gateway_are_refused_by_name() {
    let stage = Stage::new("nomodule", TABLE);
    let folder = stage.task.dir();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    };
    let large = folder.join("large.wasm");
    std::fs::File::create(&large).and_then(|file| file.set_len(200 << 20)).expect("a large file");
    let prebuilt = |name: &str| format!("{}/../transforms/prebuilt/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    let half = std::fs::read(PROBE).expect("the module");
    let cases = [
        (large.display().to_string(), "module_unreadable"),
        (folder.join("missing.wasm").display().to_string(), "module_unreadable"),
        (file("text.wasm", b"#!/bin/sh\n"), "module_not_component"),
        (file("core.wasm", b"\0asm\x01\0\0\0"), "module_not_component"),
        (file("half.wasm", &half[..half.len() / 2]), "module_compile"),
        (file("newer.wasm", &importing("millrace:transform/log@2.0.0")), "module_other_contract"),
        (file("wishes.wasm", &importing("wasi:cli/environment@0.2.0")), "module_unknown_import"),
        (file("empty.wasm", b"\0asm\x0d\0\x01\0"), "module_missing_export"),
        (prebuilt("topic-router"), "module_missing_export"),
    ];
    for (path, code) in &cases {
        let mut task = stage.task.clone();
        task.append(&format!("[[modules.filter]]\npath = \"{path}\"\n"));
        let mut gateway = Gateway::start(&task);
        gateway.wait_halted(code, SOON);
        gateway.stop_cleanly();
    }
    let mut task = stage.task.clone();
    task.append(&format!("[[modules.filter]]\npath = \"{PROBE}\"\n"));
    let mut gateway = Gateway::start(&task);
    let body = gateway.wait_halted("module_unknown_import", SOON);
    assert!(
        body["failure"]["why"].as_str().is_some_and(|why| why.contains("millrace:transform/counter@1.0.0")),
        "{body}"
    );
    gateway.stop_cleanly();
}

/// A component with one import: a type section with an instance type that exports one function, and an import section that names it.
fn importing(name: &str) -> Vec<u8> {
    let kind: &[u8] = &[0x01, 0x42, 0x02, 0x01, 0x40, 0x00, 0x01, 0x00, 0x04, 0x00, 0x01, b'f', 0x01, 0x00];
    let mut import = vec![0x01, 0x00, name.len() as u8];
    import.extend_from_slice(name.as_bytes());
    import.extend_from_slice(&[0x05, 0x00]);
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    for (section, content) in [(7u8, kind), (10, &import)] {
        component.push(section);
        component.push(content.len() as u8);
        component.extend_from_slice(content);
    }
    component
}

#[test]
fn a_crash_loses_no_dead_letter() {
    let stage = Stage::new("deadcrash", TABLE);
    let letters = format!("{}-dead", stage.database.name());
    let mut task =
        with(&stage, &entry("filter", &format!("{FILTER}; on %7 fault; on 50 panic"), "on_error = \"dead-letter\""));
    task.text("dead_letters.topic", &letters);
    let total = 3000;
    for round in 0..4 {
        let mut gateway = Gateway::ready(&task);
        stage.database.exec(&format!(
            "INSERT INTO t SELECT generate_series({},{})",
            round * 750 + 1,
            (round + 1) * 750
        ));
        let sent =
            |gateway: &mut Gateway| gateway.metric("millrace_records_delivered_total").filter(|sent| *sent > 100.0);
        millrace_tests::eventually("some are delivered", SOON, || sent(&mut gateway));
        gateway.kill();
    }
    let mut gateway = Gateway::ready(&task);
    // Ids are given in order of the rows, so the dead are known: the id is the row's number.
    let dead: Vec<i64> = (1..=total).filter(|id| id % 7 == 0 || *id == 50).collect();
    let mut reader = stage.kafka.reader(&[&letters]);
    reader.until("every dead letter", SOON, |records| {
        let seen: std::collections::BTreeSet<String> =
            records.iter().map(|record| header(record, "millrace-id")).collect();
        seen.len() >= dead.len()
    });
    let mut first: Vec<i64> = Vec::new();
    for id in reader.records().iter().map(|record| header(record, "millrace-id").parse().expect("an id")) {
        if !first.contains(&id) {
            first.push(id);
        }
    }
    assert_eq!(first, dead, "each in the order of the changes");
    let mut rows = stage.reader(&["t"]);
    rows.until("every other row", SOON, |records| records.len() >= total as usize - dead.len());
    let seen: std::collections::BTreeSet<i64> = ids(rows.records()).into_iter().collect();
    assert_eq!(seen.len(), total as usize - dead.len());
    assert!(dead.iter().all(|id| !seen.contains(id)));
    gateway.stop_cleanly();
}

#[test]
fn dead_letters_are_listed_shown_and_replayed() {
    let stage = Stage::new("dlq", TABLE);
    let letters = format!("{}-dead", stage.database.name());
    let mut task =
        with(&stage, &entry("filter", &format!("{FILTER}; on 2 fault; on 5 panic"), "on_error = \"dead-letter\""));
    task.text("dead_letters.topic", &letters);
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO t SELECT generate_series(1,6)");
    stage.kafka.reader(&[&letters]).exactly(2, SOON);
    let mut reader = stage.reader(&["t"]);
    reader.exactly(4, SOON);
    let file = task.write().display().to_string();
    let run = |args: &[&str]| {
        let (verb, rest) = args.split_first().expect("a verb");
        let all: Vec<&str> = ["dlq", verb, &file].into_iter().chain(rest.iter().copied()).collect();
        let output = millrace(&all);
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let json = |(code, text): (Option<i32>, String)| -> (Option<i32>, serde_json::Value) {
        (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    };

    let (code, listed) = json(run(&["list", "--json"]));
    let told: Vec<_> = listed["dead_letters"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| (&line["id"], &line["code"], &line["table"]))
        .collect();
    assert_eq!(code, Some(0));
    assert_eq!(
        told,
        [
            (&"2".into(), &"transform_fault".into(), &"public.t".into()),
            (&"5".into(), &"transform_trap".into(), &"public.t".into())
        ]
    );
    let (_, text) = run(&["list", "--code", "transform_trap"]);
    assert!(
        text.lines().count() == 1 && text.contains("public.t") && text.contains("transform_trap in filter[0]"),
        "{text}"
    );
    let at = listed["dead_letters"][0]["at"].as_str().expect("a place").to_owned();
    let (_, shown) = json(run(&["show", "--at", &at, "--json"]));
    assert_eq!(shown["dead_letters"][0]["event"]["change"]["new"][0], "2");
    let (_, events) = run(&["show", "--at", &at, "--events"]);
    assert_eq!(events.lines().count(), 2);
    assert!(events.starts_with("{\"relation\":"), "{events}");

    // The chain as it is fails again, and nothing is produced.
    let (code, told) = json(run(&["replay", "--all", "--json"]));
    assert_eq!((code, told["still_failing"].as_u64()), (Some(3), Some(2)), "{told}");
    assert_eq!(json(run(&["replay", "--json"])).1["error"]["code"], "not_confirmed");
    // The mended chain takes them; the gateway is not disturbed.
    stage.task.clone().text("dead_letters.topic", &letters).write();
    let (code, told) = json(run(&["replay", "--all", "--dry-run", "--json"]));
    assert_eq!((code, &told["replayed"][0]["outcome"]["produced"]), (Some(0), &1.into()), "{told}");
    reader.exactly(4, SOON);
    let (code, text) = run(&["replay", "--at", &at]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("out of order"), "{text}");
    let records = reader.exactly(5, SOON);
    assert_eq!(ids(records), [1, 3, 4, 6, 2]);
    assert_eq!(records[4].json()["id"], 2, "the id it had");
    assert_eq!(records[4].position().map(|p| (p.shard, p.ordinal)), Some((0, 1)));
    stage.database.exec("INSERT INTO t VALUES (7)");
    reader.exactly(6, SOON);
    gateway.stop_cleanly();
}
