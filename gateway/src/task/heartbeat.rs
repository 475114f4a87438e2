//! A row of the source that is changed now and then.
//!
//! Owns the connection and the pace. An idle source whose log grows by the work of others moves no slot of parallel decoding; a change
//! of its own does. Must not fail the task: what goes wrong is logged, and a refused log-in is never tried again.

use std::sync::Arc;

use millrace_replication::{Error, connect_sql};

use super::{login::Gate, source};
use crate::config::{Heartbeat, Task};

/// Runs the statement at its pace, until dropped. Forever idle where the task has none.
pub(super) async fn beat(task: Arc<Task>, gate: Arc<Gate>) {
    let Some(heartbeat) = &task.source.heartbeat else { return std::future::pending().await };
    let mut client = None;
    let mut failed = false;
    loop {
        tokio::time::sleep(heartbeat.interval.get()).await;
        match once(&task, heartbeat, &gate, &mut client).await {
            Ok(()) => failed = false,
            Err(failure) => {
                client = None;
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(code = "heartbeat_failed", why = %failure.why, mend = %failure.mend, "{failure}");
                }
                if failure.is_definite() {
                    return std::future::pending().await;
                }
            }
        }
    }
}

async fn once(
    task: &Task,
    heartbeat: &Heartbeat,
    gate: &Gate,
    client: &mut Option<millrace_replication::SqlConnection>,
) -> Result<(), millrace_batch::Failure> {
    if client.is_none() {
        let options = source::connect_options(task)?;
        let connected = gate.pass(async { connect_sql(&options).await.map_err(|error| error.failure()) });
        *client = Some(connected.await?);
    }
    let Some(open) = client else { return Ok(()) };
    open.batch_execute(&heartbeat.query).await.map_err(|error| Error::sql("the heartbeat", error).failure())
}
