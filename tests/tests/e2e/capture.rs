//! `millrace capture` beside a running task: what it sees, what it leaves, and that replays of it are what the gateway delivered.

use crate::stage::{SOON, Stage};
use millrace_tests::gateway::{Gateway, millrace, program};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const TABLE: &str = "CREATE TABLE people(id int PRIMARY KEY, name text, born date, extra jsonb); ALTER TABLE people REPLICA IDENTITY FULL";
const ROWS: &str = "BEGIN; INSERT INTO people VALUES (1,'Ann Other','1970-01-02','{\"tag\":\"needle\"}'),(2,'Bo',NULL,NULL); \
                    UPDATE people SET name='Ann Older' WHERE id=1; COMMIT; DELETE FROM people WHERE id=2; \
                    ALTER TABLE people ADD COLUMN note text; INSERT INTO people VALUES (3,'Cy',NULL,NULL,'new column')";

/// Starts a capture and waits until it sees every later change.
pub fn start(task: &Path, file: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(program());
    command.arg("capture").arg(task).arg("-o").arg(file).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a capture");
    let mut said = String::new();
    BufReader::new(child.stderr.as_mut().expect("its words")).read_line(&mut said).expect("a line");
    assert!(said.starts_with("capturing"), "{said}");
    child
}

pub fn events(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("the capture");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

pub fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter_map(|event| event.get(kind)).collect()
}

fn replayed(file: &Path, task: &Path) -> Value {
    let (file, task) = (file.display().to_string(), task.display().to_string());
    let out = millrace(&["replay", &file, "--chain", &task, "--json"]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    serde_json::from_slice(&out.stdout).expect("JSON")
}

#[test]
fn a_capture_disturbs_nothing_and_replays_to_the_same_records() {
    let stage = Stage::new("captured", TABLE);
    let mut gateway = Gateway::ready(&stage.task);
    let task = stage.task.write();
    let (plain, masked) = (stage.task.dir().join("plain.jsonl"), stage.task.dir().join("masked.jsonl"));
    let mut children = [
        start(&task, &plain, &["--limit", "5", "--json"]),
        start(&task, &masked, &["--limit", "5", "--mask", "--json"]),
    ];
    stage.database.exec(ROWS);
    for child in &mut children {
        assert!(child.wait().expect("its end").success());
    }
    // The server drops a capture's slot with its connection, a moment after the process is gone.
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
    stage.database.wait_until(slots, "1", SOON);

    let seen = events(&plain);
    assert_eq!(seen[0]["capture"]["masked"], json!(false));
    let changes = of(&seen, "change");
    let ops: Vec<&str> = changes.iter().filter_map(|change| change["op"].as_str()).collect();
    assert_eq!(ops, ["insert", "insert", "update", "delete", "insert"]);
    assert_eq!(changes[0]["new"], json!(["1", "Ann Other", "1970-01-02", "{\"tag\": \"needle\"}"]));
    assert_eq!(changes[2]["old"], json!(["1", "Ann Other", "1970-01-02", "{\"tag\": \"needle\"}"]));
    assert_eq!(changes.iter().filter_map(|change| change["id"].as_u64()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(changes[0]["commit_lsn"].as_u64() < changes[3]["commit_lsn"].as_u64());
    let tables: Vec<usize> =
        of(&seen, "relation").iter().filter_map(|r| Some(r["columns"].as_array()?.len())).collect();
    assert_eq!(tables, [4, 5], "the new column makes a new version");

    // The same records the gateway delivered, but for the clock and the ids.
    let mut reader = stage.reader(&["people"]);
    let delivered = reader.exactly(5, SOON);
    let out = millrace(&["replay", &plain.display().to_string(), "--chain", &task.display().to_string()]);
    let records: Vec<Value> = String::from_utf8(out.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    for (record, delivered) in records.iter().zip(delivered) {
        let mut replayed: Value = serde_json::from_str(record["value"].as_str().expect("a value")).expect("JSON");
        let mut live = delivered.json();
        for name in ["id", "ts"] {
            replayed[name] = Value::Null;
            live[name] = Value::Null;
        }
        assert_eq!(replayed, live);
        assert_eq!(record["key"].as_str().map(str::as_bytes), delivered.key.as_deref());
    }
    assert_eq!((records.len(), delivered.len()), (5, 5));
    assert_eq!(replayed(&plain, &task)["sha256"], replayed(&plain, &task)["sha256"]);

    let hidden = std::fs::read_to_string(&masked).expect("the masked capture");
    for secret in ["Other", "Older", "needle", "new column"] {
        assert!(!hidden.contains(secret), "{secret} in {hidden}");
    }
    let seen = events(&masked);
    let (first, update) = (&of(&seen, "change")[0]["new"], of(&seen, "change")[2]);
    assert_eq!(first[1].as_str().map(str::len), Some("Ann Other".len()));
    assert_eq!((&update["old"], &update["new"][0]), (first, &first[0]), "equal values stay equal");
    assert_eq!(replayed(&masked, &task)["records"], json!(5));
    gateway.stop_cleanly();
}

#[test]
fn a_capture_ends_by_time_and_needs_a_place_and_a_source() {
    let stage = Stage::new("capturetime", "CREATE TABLE t(id int PRIMARY KEY)");
    let task = stage.task.write();
    let file = stage.task.dir().join("empty.jsonl");
    let mut child = start(&task, &file, &["--for", "300ms"]);
    assert!(child.wait().expect("its end").success());
    assert_eq!(events(&file).len(), 1, "its first line alone");
    let text = |path: &Path| path.display().to_string();
    let nowhere = stage.task.dir().join("no/such/folder/f.jsonl");
    let out = millrace(&["capture", &text(&task), "-o", &text(&nowhere), "--limit", "1", "--json"]);
    let answer: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((out.status.code(), &answer["error"]["code"]), (Some(3), &json!("file_unusable")));
    let mut gone = stage.task.clone();
    gone.set("source.hosts", "[\"127.0.0.1:1\"]");
    let out = millrace(&["capture", &text(&gone.write()), "-o", &text(&file), "--limit", "1", "--json"]);
    let answer: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((out.status.code(), &answer["error"]["code"]), (Some(4), &json!("connection_refused")), "{answer}");
    let left = std::fs::read_dir(stage.task.dir()).expect("the folder").flatten();
    assert!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".part")));
}
