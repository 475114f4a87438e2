//! How much WAL the source keeps for the slot: asked while streaming, and while halted too.
//!
//! Owns the question and its pace. Must not judge: a halted task still fills somebody's disk, and this is how they see it.

use std::{sync::Arc, time::Duration};

use millrace_replication::SqlConnection;
use tokio::task::JoinHandle;

use super::{family, login::Gate, source, topology::Shard};
use crate::{config::Task, observe::Observe};

/// Pace while streaming, on the session's own connection.
const STREAMING: Duration = Duration::from_secs(10);
/// Pace while halted, each time on a new connection.
const HALTED: Duration = Duration::from_secs(30);

/// Asks on a connection that is there anyway, until aborted.
pub(crate) fn while_streaming(task: &Task, client: Arc<SqlConnection>, observe: Arc<Observe>) -> JoinHandle<()> {
    let task = task.clone();
    tokio::spawn(async move {
        loop {
            ask(&task, &client, &observe).await;
            tokio::time::sleep(STREAMING).await;
        }
    })
}

/// Asks on connections of its own, forever. Only for a task whose login is known to work: anything else would lock the account.
pub(super) async fn while_halted(task: &Task, shard: &Shard, gate: &Gate, observe: &Observe) {
    loop {
        tokio::time::sleep(HALTED).await;
        let Ok(options) = source::options_at(task, &shard.hosts) else { continue };
        match gate.pass(async { family::primary(options).await.map_err(|error| error.failure()) }).await {
            Ok((_, client)) => ask(task, &client, observe).await,
            // A login that stopped working is not tried again.
            Err(failure) if failure.is_definite() => std::future::pending().await,
            Err(_) => {}
        }
    }
}

async fn ask(task: &Task, client: &SqlConnection, observe: &Observe) {
    match family::slot(task, client).await {
        Ok(Some(slot)) => {
            let bytes = |bytes: Option<i64>| bytes.and_then(|bytes| u64::try_from(bytes).ok());
            if let Some(retained) = bytes(slot.retained_bytes) {
                observe.metrics.retained_wal(retained);
            }
            if let (Some(confirmed), Some(lag)) = (slot.confirmed_flush_lsn, bytes(slot.lag_bytes)) {
                observe.metrics.server_lsn(millrace_batch::Lsn(confirmed.0.saturating_add(lag)));
            }
        }
        Ok(None) => observe.metrics.retained_wal(0),
        Err(error) => tracing::debug!(%error, "the slot's state cannot be read now"),
    }
}
