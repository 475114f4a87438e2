//! The gateway's program, run as its users run it.

use crate::http;
use crate::postgres::PASSWORD;
use crate::process::{Exit, Process, ProcessSignal};
use crate::task::Task;
use serde_json::Value;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A running `millrace run`.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    status_file: PathBuf,
    log: PathBuf,
    address: Option<SocketAddr>,
}

impl Gateway {
    /// Starts it; returns at once.
    pub fn start(task: &Task) -> Self {
        Self::start_with(task, &[])
    }

    /// Starts it and waits until it is ready.
    pub fn ready(task: &Task) -> Self {
        let mut gateway = Self::start(task);
        gateway.wait_ready(Duration::from_secs(30));
        gateway
    }

    /// Starts it with more environment variables.
    pub fn start_with(task: &Task, env: &[(&str, &str)]) -> Self {
        Self::launch(task, task.write(), task.status_file(), env)
    }

    /// Starts a second process of a task whose first one runs, with a task and a status file of its own in the same folder.
    pub fn start_beside(task: &Task) -> Self {
        let (file, status_file) = (task.dir().join("second.toml"), task.dir().join("second.json"));
        let mut second = task.clone();
        second.text("admin.status_file", &status_file.display().to_string()).write_to(&file);
        Self::launch(&second, file, status_file, &[])
    }

    fn launch(task: &Task, file: PathBuf, status_file: PathBuf, env: &[(&str, &str)]) -> Self {
        let _ = std::fs::remove_file(&status_file);
        let starts = std::fs::read_dir(task.dir()).expect("list the task's folder").count();
        let log = task.dir().join(format!("gateway-{starts:02}.log"));
        let mut command = Command::new(program());
        command.arg("run").arg(file).args(["--log", "json", "--log-level", "info"]);
        command.envs(env.iter().copied()).stdin(Stdio::null());
        let out = File::create(&log).expect("create the gateway's log");
        command.stdout(out.try_clone().expect("duplicate the log's handle")).stderr(out);
        let process = Process::spawn("millrace", command, ProcessSignal::KILL);
        Self { process, status_file, log, address: None }
    }

    /// Its admin address, once it has told.
    fn address(&mut self) -> Option<SocketAddr> {
        if self.address.is_none() {
            let text = std::fs::read_to_string(&self.status_file).ok()?;
            let told: Value = serde_json::from_str(&text).ok()?;
            assert_eq!(told["pid"], self.process.pid(), "the status file names another process");
            self.address = told["admin"].as_str()?.parse().ok();
        }
        self.address
    }

    /// Answer of its HTTP port, `None` while it does not listen.
    pub fn get(&mut self, path: &str) -> Option<(u16, String)> {
        http::get(self.address()?, path).ok()
    }

    /// Sends a request with a JSON body to its HTTP port; gives the status and the JSON of the answer.
    pub fn send(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.send_as(method, path, &[("Content-Type", "application/json")], text.as_bytes())
    }

    /// Sends a request to its HTTP port; gives the status and the JSON of the answer.
    pub fn send_as(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
        let address = self.address().expect("the gateway listens");
        let (code, body) = http::request(address, method, path, headers, body, Duration::from_secs(120))
            .unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let json = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{method} {path} is no JSON ({e}): {body}"));
        (code, json)
    }

    /// `/v1/status`.
    pub fn status(&mut self) -> Value {
        let (code, body) = self.get("/v1/status").expect("the gateway answers");
        assert_eq!(code, 200, "/v1/status: {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("/v1/status is no JSON ({e}): {body}"))
    }

    /// Value of the first series of a metric; `None` while the gateway does not answer or has no such metric.
    pub fn metric(&mut self, name: &str) -> Option<f64> {
        let (_, body) = self.get("/metrics")?;
        let line = body.lines().find(|line| line.split([' ', '{']).next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until `/readyz` says 200.
    pub fn wait_ready(&mut self, limit: Duration) {
        self.wait("ready", limit, |code, _| code == 200);
    }

    /// Waits until it reports `state`.
    pub fn wait_state(&mut self, state: &str, limit: Duration) {
        self.wait(state, limit, |_, body| body["state"] == state);
    }

    /// Waits until `/readyz` says 503: it does not deliver.
    pub fn wait_unready(&mut self, limit: Duration) -> Value {
        self.wait("unready", limit, |code, _| code == 503)
    }

    /// Waits until it stands halted with this failure code; it must still be up and say why in its log, with a mend.
    pub fn wait_halted(&mut self, code: &str, limit: Duration) -> Value {
        let body = self.wait("halted", limit, |status, body| status == 503 && body["state"] == "halted");
        assert_eq!(body["failure"]["code"], code, "halted, but for another reason: {body}");
        assert_eq!(self.get("/healthz").map(|(status, _)| status), Some(200), "a halted gateway is healthy");
        let told = self.log_lines();
        let told: Vec<&Value> =
            told.iter().filter(|line| line["level"] == "ERROR" && field(line, "code") == code).collect();
        assert_eq!(told.len(), 1, "a halt is logged once:\n{}", self.log());
        for name in ["tried", "why", "mend"] {
            assert!(field(told[0], name).as_str().is_some_and(|text| !text.is_empty()), "no {name} in {}", told[0]);
        }
        body
    }

    fn wait(&mut self, what: &str, limit: Duration, enough: impl Fn(u16, &Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.get("/readyz");
            if let Some((code, body)) = &answer {
                let body: Value =
                    serde_json::from_str(body).unwrap_or_else(|e| panic!("/readyz is no JSON ({e}): {body}"));
                if enough(*code, &body) {
                    return body;
                }
            }
            if let Some(exit) = self.process.exit() {
                panic!("the gateway ended with {exit:?} instead of being {what}");
            }
            assert!(start.elapsed() < limit, "not {what} within {limit:?}: {answer:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM; waits for the end.
    pub fn stop(&mut self, limit: Duration) -> Exit {
        self.process.signal(ProcessSignal::TERM);
        let exit = self.process.wait(limit);
        let log = self.log();
        assert!(!log.contains(PASSWORD), "the password is in the log:\n{log}");
        exit
    }

    /// SIGTERM; it must end with code 0.
    pub fn stop_cleanly(&mut self) {
        assert_eq!(self.stop(Duration::from_secs(40)), Exit::Code(0));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has written to its standard error and output.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its log lines.
    pub fn log_lines(&self) -> Vec<Value> {
        let log = self.log();
        let line =
            |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("a log line that is no JSON ({e}): {line}"));
        log.lines().map(line).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            println!("--- the gateway's last log lines ({:?})\n{}\n---", self.process.exit(), tail.join("\n"));
        }
    }
}

/// A field of a JSON log line, which tracing puts either beside the message or under `fields`.
pub fn field<'a>(line: &'a Value, name: &str) -> &'a Value {
    line.get("fields").and_then(|fields| fields.get(name)).unwrap_or(&line[name])
}

/// Runs a command of the gateway to its end.
pub fn millrace(args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(args).stdin(Stdio::null()).output().expect("run millrace")
}

/// The gateway's program file: `MILLRACE_BIN`, or what cargo puts beside this program. A test (which cargo puts into `deps`) has it
/// built, with failpoints, where it is missing or older than its sources, so that nothing stale is ever tested.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(path) = std::env::var_os("MILLRACE_BIN") {
            return path.into();
        }
        let own = std::env::current_exe().expect("the path of this program");
        let dir = own.parent().expect("a program lies in a folder");
        let in_deps = dir.ends_with("deps");
        let profile_dir = if in_deps { dir.parent().expect("deps lies in a folder") } else { dir };
        let program = profile_dir.join("millrace");
        if in_deps && !is_newer_than_its_sources(&program) {
            build(profile_dir);
        }
        assert!(program.is_file(), "{} is missing: cargo build --release -p millrace", program.display());
        program
    })
}

/// Compares with every source file that cargo has noted beside the program.
fn is_newer_than_its_sources(program: &Path) -> bool {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let (Some(built), Ok(noted)) = (changed(program), std::fs::read_to_string(program.with_extension("d"))) else {
        return false;
    };
    let sources = noted.split_once(": ").map_or("", |(_, sources)| sources).split_whitespace();
    sources.map(|source| changed(Path::new(source))).all(|source| source.is_some_and(|source| source <= built))
}

/// Builds the gateway into the target folder that holds `profile_dir`.
fn build(profile_dir: &Path) {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--package", "millrace", "--features", "millrace/failpoints", "--target-dir"]);
    command.arg(profile_dir.parent().expect("a profile's folder lies in the target folder"));
    if profile_dir.ends_with("release") {
        command.arg("--release");
    }
    let out = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("run cargo");
    assert!(out.status.success(), "cannot build the gateway:\n{}", String::from_utf8_lossy(&out.stderr));
}
