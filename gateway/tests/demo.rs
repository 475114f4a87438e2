//! `millrace demo` from outside: what it answers, what it leaves.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn demo(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    // Its folder is made in TMPDIR, so that what it leaves can be told from what others leave.
    command.arg("demo").args(args).env("TMPDIR", dir).stdin(Stdio::null());
    command
}

/// A folder the database server's user may pass through.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("demo-test-").tempdir().expect("a folder");
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
    dir
}

fn left(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).expect("the folder").map(|entry| entry.expect("an entry").path()).collect()
}

/// Processes with `text` in their command line.
fn processes(text: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(text)).collect()
}

#[test]
fn every_committed_change_arrives_in_order_through_a_failover_and_nothing_is_left() {
    let answer = passes(&["--json", "--rows", "1500"]);
    let check = &answer["check"];
    let count = |name: &str| check[name].as_u64().unwrap();
    assert_eq!(count("committed") + count("repeats"), count("records"), "{answer}");
    assert_eq!(answer["confirmed_lsn"].as_object().unwrap().len(), 3, "a slot on each data node: {answer}");
    assert!(answer["topics"][0]["records"].as_u64().unwrap() > 0, "{answer}");
}

#[test]
fn every_committed_change_of_postgresql_arrives_once_in_order_and_nothing_is_left() {
    let answer = passes(&["--json", "--postgres", "--rows", "1500"]);
    assert_eq!(answer["check"]["committed"], answer["check"]["records"], "{answer}");
    assert_eq!(answer["samples"].as_array().unwrap().len(), 3, "{answer}");
}

/// Runs a demo that passes and leaves nothing; gives its answer.
fn passes(args: &[&str]) -> serde_json::Value {
    let dir = folder();
    let seed = fastrand::u32(..).to_string();
    println!("seed {seed}");
    let out = demo(dir.path(), &[args, &["--seed", &seed]].concat()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{stdout}\n{stderr}");
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer["passed"], true, "{answer}");
    assert!(answer["check"]["committed"].as_u64().unwrap() >= 1500, "{answer}");
    assert_eq!(answer["topics"].as_array().unwrap().len(), 4, "{answer}");
    assert_eq!(left(dir.path()), [] as [PathBuf; 0]);
    assert_eq!(processes(dir.path().to_str().unwrap()), [] as [String; 0]);
    answer
}

#[test]
fn a_killed_demo_is_cleaned_up_after() {
    let dir = folder();
    let mut child = demo(dir.path(), &["--postgres"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    let limit = Duration::from_secs(60);
    // The server is there when its pid file is.
    while !left(dir.path()).iter().any(|scratch| scratch.join("data/postmaster.pid").exists()) {
        assert!(child.try_wait().unwrap().is_none() && begin.elapsed() < limit, "the demo started no server");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    while !left(dir.path()).is_empty() || !processes(dir.path().to_str().unwrap()).is_empty() {
        assert!(begin.elapsed() < limit, "left: {:?} {:?}", left(dir.path()), processes(dir.path().to_str().unwrap()));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn more_rows_than_the_broker_keeps_are_refused() {
    let dir = folder();
    let out = demo(dir.path(), &["--rows", "10001"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("10000"), "{out:?}");
}
