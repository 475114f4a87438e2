//! Child processes that cannot outlive the test run.
//!
//! The kernel kills each of them when the thread that started it ends (PR_SET_PDEATHSIG), so every child is started by one
//! thread that lives as long as the process.

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

pub use rustix::process::Signal as ProcessSignal;

type Order = (Command, Sender<std::io::Result<Child>>);

static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();

/// A running child; killed and reaped when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Process {
    /// Starts `command` in a process group of its own. `on_orphan` is sent to it when this process ends.
    pub fn spawn(name: &str, mut command: Command, on_orphan: Signal) -> Self {
        command.process_group(0);
        // SAFETY: the closure runs between fork and exec and makes one async-signal-safe system call (prctl); it neither
        // allocates nor takes a lock.
        unsafe {
            command.pre_exec(move || Ok(set_parent_process_death_signal(Some(on_orphan))?));
        }
        let (answer, child) = channel();
        let spawner = SPAWNER.get_or_init(|| {
            let (orders, inbox) = channel::<Order>();
            std::thread::spawn(move || {
                for (mut command, answer) in inbox {
                    // The receiver waits for the answer, so sending cannot fail.
                    let _ = answer.send(command.spawn());
                }
            });
            Mutex::new(orders)
        });
        spawner
            .lock()
            .expect("no holder panics")
            .send((command, answer))
            .expect("the spawner lives as long as the process");
        let child = child.recv().expect("the spawner answers").unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        Self { name: name.to_owned(), child, status: None }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; does nothing to a process that has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.exit().is_none() {
            // Not reaped yet, so the id still is this child's.
            let pid = Pid::from_child(&self.child);
            kill_process(pid, signal).unwrap_or_else(|e| panic!("cannot signal {}: {e}", self.name));
        }
    }

    /// How it ended, `None` while it runs.
    pub fn exit(&mut self) -> Option<Exit> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("wait for a child");
        }
        self.status.map(|status| match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(0)),
        })
    }

    /// Waits until it has ended; panics when `limit` has passed.
    pub fn wait(&mut self, limit: Duration) -> Exit {
        let start = Instant::now();
        loop {
            if let Some(exit) = self.exit() {
                return exit;
            }
            assert!(start.elapsed() < limit, "{} (pid {}) still runs after {limit:?}", self.name, self.pid());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) -> Exit {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// CPU time used so far, user and system, by process `pid` (all its threads): fields 14 and 15 of /proc/PID/stat.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    /// USER_HZ, which is 100 on every Linux platform.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold spaces.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 2..].split(' ').collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Peak resident memory of process `pid` in KiB: VmHWM of /proc/PID/status.
pub fn peak_rss_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_stopped_child_dies_with_its_owner() {
        let mut command = Command::new("sleep");
        command.arg("60").stdout(Stdio::null());
        let mut child = Process::spawn("sleep", command, Signal::KILL);
        let pid = child.pid();
        child.signal(Signal::STOP);
        assert!(cpu_time(pid).is_some());
        assert!(peak_rss_kib(pid).is_some_and(|kib| kib > 0));
        drop(child);
        assert_eq!(cpu_time(pid), None, "reaped");
    }

    #[test]
    fn exit_tells_code_from_signal() {
        let run = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Process::spawn("sh", command, Signal::KILL).wait(Duration::from_secs(10))
        };
        assert_eq!(run("exit 3"), Exit::Code(3));
        assert_eq!(run("kill -TERM $$"), Exit::Signal(15));
    }
}
