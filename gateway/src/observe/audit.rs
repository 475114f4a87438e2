//! Who did what to the task, when, and what came of it: a log line and, where the task file names one, a line of a file.
//!
//! Owns the form of the records. A file that cannot be written is told in the log, and stops nothing.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use millrace_batch::Failure;
use serde_json::json;

use crate::config::Moment;

/// Where operations on one task are written down.
#[derive(Debug, Default)]
pub struct Audit {
    task: String,
    file: Option<(PathBuf, Mutex<File>)>,
}

impl Audit {
    /// For a task. The file is appended to; it is made where it is missing.
    ///
    /// # Errors
    /// Definite `audit_file` when it cannot be written.
    pub fn open(task: &str, file: Option<PathBuf>) -> Result<Audit, Failure> {
        let open = |path: PathBuf| {
            let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(&path);
            opened.map(|file| (path.clone(), Mutex::new(file))).map_err(|error| {
                Failure::definite(
                    "audit_file",
                    format!("opening {}", path.display()),
                    error.to_string(),
                    "make the folder of monitoring.audit_file writable, or leave the key out",
                )
            })
        };
        Ok(Audit { task: task.to_owned(), file: file.map(open).transpose()? })
    }

    /// Writes one operation down. `who`: a person as far as it is known, and where from; `result`: accepted, done, failed or refused;
    /// `detail`: the status, or the keys that changed.
    pub fn write(&self, who: &str, what: &str, result: &str, detail: &str, failure: Option<&Failure>) {
        let code = failure.map(|failure| failure.code);
        tracing::info!(target: "millrace::audit", code = "audit", who, what, result, detail, failure = code, "{what} by {who}: {result}");
        let Some((path, file)) = &self.file else { return };
        let record = json!({
            "time": Moment(crate::task::now_millis()).to_string(), "task": self.task, "who": who, "what": what, "result": result,
            "detail": detail, "failure": code, "why": failure.map(|failure| &failure.why),
        });
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write for a line: lines of several processes do not mix in a file that is appended to.
        if let Err(error) = file.write_all(format!("{record}\n").as_bytes()) {
            tracing::error!(code = "audit_file", path = %path.display(), %error, "an operation is in the log only");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_a_line_with_who_what_when_and_result() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::open("shop", Some(path.clone())).unwrap();
        audit.write("ann at 127.0.0.1", "pause", "accepted", "INCRE_TRANSFER_STARTED", None);
        audit.write(
            "ann at 127.0.0.1",
            "pause",
            "refused",
            "PAUSED",
            Some(&Failure::definite("action_refused", "t", "w", "m")),
        );
        let again = Audit::open("shop", Some(path.clone())).unwrap();
        again.write("bob", "stop", "done", "RELEASE_RESOURCE_COMPLETE", None);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(
            (&lines[0]["who"], &lines[0]["what"], &lines[0]["result"]),
            (&json!("ann at 127.0.0.1"), &json!("pause"), &json!("accepted"))
        );
        assert_eq!((&lines[1]["failure"], &lines[1]["why"]), (&json!("action_refused"), &json!("w")));
        assert!(lines.iter().all(|line| line["time"].as_str().is_some_and(|time| time.parse::<Moment>().is_ok())));
        assert_eq!(Audit::open("shop", Some("/no/such/folder/x".into())).unwrap_err().code, "audit_file");
    }
}
