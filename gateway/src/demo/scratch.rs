//! The demo's folder and the janitor that clears up after it.
//!
//! Owns what happens when the demo is not there any more to clean up: a small shell waits for the end of its input, which the
//! kernel closes however the demo ends (return, panic, SIGKILL), then stops the database server and removes the folder. Must
//! not know what is in the folder except the server's data folder.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Name of the server's data folder inside the scratch folder; the first line of its `postmaster.pid` is the server's process id.
pub const DATA: &str = "data";

/// SIGQUIT is PostgreSQL's immediate shutdown: the server takes its children along and removes its pid file last (the process
/// itself may stay a zombie where the first process of a container does not reap). Ten seconds, then SIGKILL. An initdb that was
/// interrupted may still write: the folder is removed again until it stays away.
const JANITOR: &str = r#"
read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null; then
  n=0
  while [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
  [ $n -lt 100 ] || kill -KILL "$pid" 2>/dev/null
fi
n=0
while rm -rf -- "$1" 2>/dev/null; [ -e "$1" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
"#;

/// A folder that does not outlive its owner.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    janitor: Child,
}

impl Scratch {
    /// Makes the folder and starts its janitor.
    ///
    /// # Errors
    /// The system's: no room, no permission, no shell.
    pub fn create() -> std::io::Result<Scratch> {
        let name = format!("millrace-demo-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let dir = std::env::temp_dir().join(name);
        // Fails where the name exists, so nobody can have prepared the folder.
        fs::DirBuilder::new().mode(0o700).create(&dir)?;
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "millrace-demo-janitor"])
            .arg(&dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C on the terminal must not end it before it has worked.
            .process_group(0)
            .spawn();
        match janitor {
            Ok(janitor) => Ok(Scratch { dir, janitor }),
            Err(error) => {
                // The reason is the janitor's; a folder that stays is empty.
                let _ = fs::remove_dir(&dir);
                Err(error)
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Lets other users pass through the folder, not list it: root runs the server as another user.
    ///
    /// # Errors
    /// The system's.
    pub fn let_others_pass(&self) -> std::io::Result<()> {
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o711))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Closing its input is the order to begin; waiting makes "nothing is left" true when the demo ends.
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_with_its_owner() {
        let scratch = Scratch::create().unwrap();
        let dir = scratch.path().to_owned();
        fs::write(dir.join("file"), "x").unwrap();
        drop(scratch);
        assert!(!dir.exists());
    }

    #[test]
    fn the_janitor_ends_a_server_that_was_left() {
        let scratch = Scratch::create().unwrap();
        let mut server = Command::new("sleep").arg("60").spawn().unwrap();
        fs::create_dir(scratch.path().join(DATA)).unwrap();
        fs::write(scratch.path().join(DATA).join("postmaster.pid"), format!("{}\n", server.id())).unwrap();
        // Reaps it, so that the janitor sees it gone.
        let waiter = std::thread::spawn(move || server.wait().unwrap());
        drop(scratch);
        assert!(!waiter.join().unwrap().success());
    }
}
