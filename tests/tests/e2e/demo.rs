//! `millrace demo`: the whole way with servers of its own, which leaves nothing behind however it ends.

use millrace_tests::gateway::program;
use millrace_tests::process::{Exit, Process, ProcessSignal};
use millrace_tests::{eventually, scratch};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Starts the demo with a folder of its own for temporary files, and its output in a file beside it.
fn start(args: &[&str]) -> (Process, PathBuf, PathBuf) {
    let dir = scratch::folder("demo");
    let (temporary, out) = (dir.join("tmp"), dir.join("out"));
    std::fs::create_dir(&temporary).expect("create a folder");
    let mut command = Command::new(program());
    command.arg("demo").args(args).env("TMPDIR", &temporary).stdin(Stdio::null());
    command
        .stdout(File::create(&out).expect("create a file"))
        .stderr(File::create(dir.join("err")).expect("create a file"));
    (Process::spawn("millrace demo", command, ProcessSignal::KILL), temporary, out)
}

/// Command lines of processes that name `dir`, zombies aside.
fn processes_of(dir: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("list /proc").flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&dir.display().to_string())).collect()
}

fn nothing_is_left(temporary: &Path) {
    eventually("its processes are gone", Duration::from_secs(20), || processes_of(temporary).is_empty().then_some(()));
    // What was interrupted while it made its servers is removed by a process that outlives it for a moment.
    eventually("its folder is empty", Duration::from_secs(20), || {
        let left = std::fs::read_dir(temporary).expect("list a folder").flatten().count();
        (left == 0).then_some(())
    });
}

#[test]
fn the_demo_proves_what_it_shows_and_leaves_nothing() {
    for source in [[].as_slice(), &["--postgres"]] {
        proves(&[&["--json", "--rows", "300", "--seed", "7"], source].concat());
    }
}

fn proves(args: &[&str]) {
    let (mut demo, temporary, out) = start(args);
    let exit = demo.wait(Duration::from_secs(120));
    let text = std::fs::read_to_string(&out).expect("read its output");
    assert_eq!(exit, Exit::Code(0), "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("no JSON ({e}): {text}"));
    assert!(answer.is_object(), "{answer}");
    nothing_is_left(&temporary);
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let (mut demo, temporary, _) = start(&["--postgres", "--rows", "10000"]);
    eventually("its server runs", Duration::from_secs(60), || (!processes_of(&temporary).is_empty()).then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    demo.signal(ProcessSignal::INT);
    demo.wait(Duration::from_secs(40));
    nothing_is_left(&temporary);
}
