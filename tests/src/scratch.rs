//! Scratch folders: one per run, removed when the run ends, however it ends.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

struct Run {
    dir: PathBuf,
    /// Its standard input is closed by the kernel when this process ends; that is what the janitor waits for.
    _janitor: Option<Child>,
}

static RUN: OnceLock<Run> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A new empty folder that other users may enter (the database server does not run as root). `MILLRACE_KEEP=1` keeps the
/// folders of a run for a look afterwards.
pub fn folder(name: &str) -> PathBuf {
    let run = RUN.get_or_init(start);
    let dir = run.dir.join(format!("{:03}-{name}", NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir(&dir).expect("create a scratch folder");
    open_to_all(&dir);
    dir
}

fn start() -> Run {
    // Short, because a Unix socket's path has at most 107 bytes.
    let dir = tempfile::Builder::new().prefix("millrace-").tempdir().expect("create the run's scratch folder").keep();
    open_to_all(&dir);
    if std::env::var_os("MILLRACE_KEEP").is_some() {
        println!("scratch folders are kept in {}", dir.display());
        return Run { dir, _janitor: None };
    }
    // A process of its own, because nothing inside this one runs after a SIGKILL. It reads until its input closes.
    let janitor = Command::new("sh")
        .args(["-c", "read -r _; sleep 0.5; rm -rf -- \"$1\"", "sh"])
        .arg(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start the shell that removes the scratch folder");
    Run { dir, _janitor: Some(janitor) }
}

fn open_to_all(dir: &Path) {
    std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).expect("set the mode of a scratch folder");
}
