//! From the replication socket to numbered batches.
//!
//! Owns the loop that pulls frames, feeds the decoder, asks the catalogue for keys and cuts batches. Must not know modules, topics or
//! positions. It waits for room in the byte budget before it dispatches, and reads nothing meanwhile (I7).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use millrace_batch::{Batch, Commit, Failure, Lsn};
use millrace_decode::pgoutput::{PgOutput, Step};
use millrace_replication::{Frame, SqlConnection, StreamReader, catalog};
use tokio::sync::watch;

use super::{Pool, Room, Work};
use crate::{failpoint, observe::Observe};

/// Longest wait for a streamed transaction to become visible; only a stuck synchronous standby makes it long.
const VISIBLE_BOUND: Duration = Duration::from_secs(30);

/// When the reader cuts a batch, and how it reads.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Most changes in a batch.
    pub changes: usize,
    /// Bytes of cell values after which a batch is cut.
    pub bytes: usize,
    /// Least time between two idle positions taken from keepalives.
    pub idle_interval: Duration,
}

/// The reading side of one session.
pub(crate) struct Reader {
    pub stream: StreamReader,
    pub decoder: PgOutput,
    pub catalogue: Arc<SqlConnection>,
    pub cut: Cut,
    pub room: Room,
    pub pool: Pool,
    pub work: Sender<Work>,
    pub observe: Arc<Observe>,
    /// When a keepalive last became a position.
    pub idle_at: Instant,
    /// End of the newest transaction or keepalive that became one.
    pub last_end: Lsn,
}

/// Why reading ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// The gateway is asked to stop, or the session to end.
    Stopped,
}

impl Reader {
    /// Reads until stopped or until something fails. What was read before is dispatched in either case, so that it can be
    /// delivered before the session ends. Gives the stream back, so that it can be closed in order.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> (StreamReader, Result<ReadEnd, Failure>) {
        let mut open = Open { batch: self.pool.batch(), sequence: 0 };
        let outcome = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Ok(ReadEnd::Stopped),
            outcome = self.read(&mut open) => outcome,
        };
        // A change that was half decoded is not in the batch; whole ones are worth delivering.
        if self.dispatch(&mut open).await.is_err() {
            tracing::debug!("the workers ended before the reader");
        }
        (self.stream, outcome)
    }

    async fn read(&mut self, open: &mut Open) -> Result<ReadEnd, Failure> {
        loop {
            self.stream.fill().await.map_err(|error| error.failure())?;
            failpoint::pass("after_receive");
            let mut working = Instant::now();
            loop {
                let step = match self.stream.next_frame().map_err(|error| error.failure())? {
                    None => break,
                    Some(Frame::XLogData { wal_start, payload, .. }) => {
                        self.decoder.message(wal_start, payload, &mut open.batch)?
                    }
                    Some(Frame::Keepalive { wal_end, reply_requested, .. }) => {
                        self.idle(open, wal_end, reply_requested);
                        continue;
                    }
                    Some(Frame::End) => return Err(ended()),
                };
                match step {
                    Step::KeysNeeded { oid } => self.answer_keys(oid).await?,
                    Step::Commit => self.last_end = open.batch.commits().last().map_or(self.last_end, |c| c.end_lsn),
                    _ => {}
                }
                if open.batch.len() >= self.cut.changes || open.batch.data_len() >= self.cut.bytes {
                    // Waiting for room is not decoding.
                    self.observe.metrics.stage("decode", working.elapsed());
                    self.dispatch(open).await?;
                    working = Instant::now();
                }
            }
            self.observe.metrics.stage("decode", working.elapsed());
            failpoint::pass("after_decode");
            self.dispatch(open).await?;
        }
    }

    /// A keepalive outside a transaction says that everything before its LSN was sent: it becomes an empty transaction end, and
    /// is confirmed by the same rule as a real one, after everything before it (I1). `asked`: the server wants an answer; one that
    /// is shutting down waits until this very position is confirmed.
    fn idle(&mut self, open: &mut Open, wal_end: Lsn, asked: bool) {
        self.observe.metrics.received_lsn(wal_end);
        let due = (asked || self.idle_at.elapsed() >= self.cut.idle_interval) && wal_end > self.last_end;
        if self.decoder.in_transaction() || !due {
            return;
        }
        (self.idle_at, self.last_end) = (Instant::now(), wal_end);
        let next_id = self.decoder.next_id();
        let end = Commit { after: 0, commit_lsn: wal_end, end_lsn: wal_end, xid: 0, commit_time: 0, next_id };
        open.batch.push_commit(end);
    }

    async fn answer_keys(&mut self, oid: u32) -> Result<(), Failure> {
        if let Some(xid) = self.decoder.xid() {
            self.until_visible(xid).await?;
        }
        let keys = catalog::primary_key(&self.catalogue, oid).await.map_err(|error| error.failure())?;
        self.decoder.set_keys(oid, &keys)?;
        tracing::info!(oid, key = ?keys, "table version");
        Ok(())
    }

    /// A transaction is streamed as soon as its commit is in the WAL, a moment before others can see it: the catalogue would
    /// still answer with what it changed. Its lock on its own number is given up after it has become visible.
    async fn until_visible(&self, xid: u32) -> Result<(), Failure> {
        const TRIED: &str = "waiting for a transaction to be visible in the catalogue";
        const LOCKED: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks \
            WHERE locktype = 'transactionid' AND transactionid::text = $1::text)";
        let deadline = Instant::now() + VISIBLE_BOUND;
        let number = xid.to_string();
        loop {
            let row = self.catalogue.query_one(LOCKED, &[&number]).await;
            let locked: Result<bool, _> = row.and_then(|row| row.try_get(0));
            match locked {
                Ok(false) => return Ok(()),
                Ok(true) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(2)).await,
                Ok(true) => {
                    let why = format!("transaction {xid} was streamed and is not visible after {VISIBLE_BOUND:?}");
                    let mend = "a synchronous standby that does not answer holds commits back: bring it back";
                    return Err(Failure::transient("catalogue_behind", TRIED, why, mend));
                }
                Err(error) => return Err(millrace_replication::Error::sql(TRIED, error).failure()),
            }
        }
    }

    async fn dispatch(&mut self, open: &mut Open) -> Result<(), Failure> {
        if open.batch.is_empty() && open.batch.commits().is_empty() {
            return Ok(());
        }
        // Room first: a stop that cancels the wait must find the batch still in its place.
        let permit = self.room.take(open.batch.weight()).await;
        let batch = std::mem::replace(&mut open.batch, self.pool.batch());
        self.observe.metrics.batch_received(&batch);
        self.observe.metrics.budget_used(self.room.used());
        let work = Work { sequence: open.sequence, batch, permit };
        open.sequence += 1;
        self.work.send(work).map_err(|_| {
            Failure::transient("session_ended", "handing a batch to the workers", "the workers have stopped", "")
        })
    }
}

struct Open {
    batch: Batch,
    sequence: u64,
}

fn ended() -> Failure {
    Failure::transient(
        "source_ended_stream",
        "streaming",
        "the source ended the stream (it is shutting down)",
        "wait for it to come back",
    )
}
