//! Bringing every session to a durable position between two transactions, so that the task can go on with another selection.
//!
//! Owns the order: every reader stands still, then the task's shards are told to end and begin anew. Must not judge the selection.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use millrace_batch::{Failure, Lsn};
use tokio::sync::oneshot;

use super::Swaps;
use crate::{config::Task, pipeline::Park};

/// How often the new sessions are looked for.
const LOOK: Duration = Duration::from_millis(20);
/// How long the new sessions may take before the answer is given without them.
const BEGIN_BOUND: Duration = Duration::from_secs(60);

impl Swaps {
    /// The task as it runs.
    pub(crate) fn task(&self) -> Arc<Task> {
        self.state().task.clone()
    }

    /// Hears of tasks to go on with.
    pub(crate) fn edits(&self) -> tokio::sync::watch::Receiver<Option<Arc<Task>>> {
        self.0.edit.subscribe()
    }

    /// Goes on with another selection from a durable position on. Gives the boundary of each shard; the new sessions may still
    /// be on their way where they take long.
    ///
    /// # Errors
    /// Transient `objects_not_streaming` where a shard has no session, `objects_drain` where the records under way are not
    /// acknowledged in time: the selection before goes on. What the first session of the new selection fails with.
    pub(crate) async fn go_on_with(&self, task: Task) -> Result<BTreeMap<u16, Lsn>, Failure> {
        let _one = self.0.editing.lock().await;
        let before = self.state().ticket;
        let (parked, old) = self.park().await?;
        let mut boundaries = BTreeMap::new();
        let mut refused = None;
        let shards = parked.len();
        for (shard, told) in parked {
            match told.await {
                Ok(Ok(at)) => drop(boundaries.insert(shard, at)),
                Ok(Err(failure)) => refused = Some(failure),
                Err(_) => refused = Some(not_streaming("a session ended meanwhile")),
            }
        }
        if let Some(failure) = refused {
            // Those that stand still begin anew as they were.
            if !boundaries.is_empty() {
                let _ = self.0.edit.send(Some(old));
            }
            return Err(failure);
        }
        let _ = self.0.edit.send(Some(Arc::new(task)));
        let begun = async {
            loop {
                tokio::time::sleep(LOOK).await;
                let state = self.state();
                if state.ticket > before && state.links.len() == shards {
                    return None;
                }
                drop(state);
                if let Some(failure) = self.0.observe.failure().filter(Failure::is_definite) {
                    return Some(failure);
                }
            }
        };
        match tokio::time::timeout(BEGIN_BOUND, begun).await {
            Ok(Some(failure)) => Err(failure),
            Ok(None) | Err(_) => Ok(boundaries),
        }
    }

    async fn park(&self) -> Result<(Vec<(u16, oneshot::Receiver<Result<Lsn, Failure>>)>, Arc<Task>), Failure> {
        let state = self.state();
        let Some(current) = state.current.clone() else { return Err(not_streaming("the task has not begun")) };
        if state.links.is_empty() || self.0.observe.failure().is_some() {
            return Err(not_streaming("not every shard streams"));
        }
        let patience = state.task.modules.swap.drain_timeout.get();
        let parked = state.links.iter().map(|(shard, link)| {
            let (done, told) = oneshot::channel();
            link.switch.park(Park { modules: link.active(&current.loaded), patience, done });
            (*shard, told)
        });
        Ok((parked.collect(), state.task.clone()))
    }
}

fn not_streaming(why: &str) -> Failure {
    Failure::transient(
        "objects_not_streaming",
        "changing the selection of tables",
        why,
        "wait until the task streams; a halted task reads its file again by itself when it changes",
    )
}
