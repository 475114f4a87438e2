//! The gateway inside the demo: the same task, run by the same code as `millrace run`.
//!
//! Owns starting, watching and stopping it. Must not touch its parts.

use crate::config;
use crate::observe::{About, Observe};
use crate::task::{self, Outcome};
use millrace_batch::Failure;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Name of the task's slot and publication.
pub const SLOT: &str = "millrace_demo";

/// The first start compiles the default modules, on a slow machine for some seconds.
const START: Duration = Duration::from_secs(60);

/// A running task.
pub struct Pipeline {
    observe: Arc<Observe>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Outcome>,
}

impl Pipeline {
    /// Starts the task of a task file; its relative paths begin at `folder`.
    ///
    /// # Errors
    /// `demo_task` when the file is refused, which is a defect of the demo.
    pub fn start(file: &str, folder: &Path) -> Result<Pipeline, Failure> {
        let task = config::parse(file, folder).map_err(|problems| {
            Failure::definite("demo_task", "reading the demo's task file", problems.to_string(), "report it, please")
        })?;
        let observe = Arc::new(Observe::new(About {
            task: task.task.name.to_string(),
            slot: SLOT.to_owned(),
            database: task.source.database.to_string(),
            sink: "demo".to_owned(),
        }));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn({
            let swaps = task::Swaps::new(&task, Arc::clone(&observe));
            let life = task::Life::new(&task, None, Arc::clone(&observe), crate::observe::Audit::default());
            task::run_until(task, None, Arc::clone(&observe), swaps, life, stopped)
        });
        Ok(Pipeline { observe, stop, task })
    }

    /// Waits until it streams: what commits from now on must arrive. `active` asks the source whether its slots are read.
    ///
    /// # Errors
    /// The failure that ended or delays it.
    pub async fn until_streaming(&mut self, active: impl AsyncFn() -> Result<bool, Failure>) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            self.must_run().await?;
            if active().await? && self.observe.is_ready() {
                return Ok(());
            }
            if began.elapsed() > START {
                let why = format!("it is {} after {START:?}", self.observe.status.state().as_str());
                let late =
                    Failure::transient("demo_task", "waiting for the gateway to stream", why, "run the demo again");
                return Err(self.observe.snapshot().failure.unwrap_or(late));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Looks whether it still runs.
    ///
    /// # Errors
    /// The failure that ended it.
    pub async fn must_run(&mut self) -> Result<(), Failure> {
        if !self.task.is_finished() {
            return Ok(());
        }
        outcome((&mut self.task).await)?;
        Err(Failure::definite("demo_task", "running the gateway", "it stopped unasked", "report it, please"))
    }

    /// Tells it to deliver what was read and to end, and waits for that.
    ///
    /// # Errors
    /// The failure that ended it.
    pub async fn stop(mut self) -> Result<(), Failure> {
        // Where it has ended already nobody listens, and the outcome says why.
        let _ = self.stop.send(true);
        outcome((&mut self.task).await)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // After `stop` there is nothing to abort; on the way out of a failed demo nothing it holds is of use.
        self.task.abort();
    }
}

fn outcome(ended: Result<Outcome, tokio::task::JoinError>) -> Result<(), Failure> {
    match ended {
        Ok(Outcome::Stopped) => Ok(()),
        Ok(Outcome::Halted(failure)) => Err(failure),
        Err(error) => {
            Err(Failure::definite("demo_task", "running the gateway", error.to_string(), "report it, please"))
        }
    }
}
