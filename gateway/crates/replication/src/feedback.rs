//! Status updates: a task of its own with the write half and a timer, so that the server hears from us while the path of the
//! data is blocked. Knows positions only as numbers somebody else is responsible for.

use crate::error::Error;
use crate::gauss;
use crate::message;
use crate::options::Dialect;
use crate::transport::Transport;
use millrace_batch::Lsn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Seconds from 1970-01-01 to 2000-01-01, where PostgreSQL's timestamps begin.
const EPOCH_OFFSET_SECONDS: u64 = 946_684_800;

/// Longest silence towards a server, also where it has no time-out of its own (a firewall may have one).
const MAX_INTERVAL: Duration = Duration::from_secs(10);

/// How often to send a status update unasked: a third of the server's time-out, at most every 10 s.
pub fn feedback_interval(wal_sender_timeout: Option<Duration>) -> Duration {
    let third = wal_sender_timeout.map_or(MAX_INTERVAL, |timeout| timeout / 3);
    third.clamp(Duration::from_millis(10), MAX_INTERVAL)
}

#[derive(Debug, Default)]
struct Shared {
    received: AtomicU64,
    flushed: AtomicU64,
    wake: Notify,
    reply_wanted: AtomicBool,
}

/// What the server may know: shared by the reader (received), the pipeline (confirmed) and the feedback task. Positions
/// only ever rise. Zero means "nothing yet" and moves nothing at the server.
#[derive(Debug, Clone, Default)]
pub struct FlushPosition(Arc<Shared>);

impl FlushPosition {
    /// Starts at a position that is durable already.
    pub fn new(durable: Lsn) -> Self {
        let position = Self::default();
        position.confirm(durable);
        position
    }

    /// Everything before `position` is durable: the server may forget it. Sent with the next status update.
    pub fn confirm(&self, position: Lsn) {
        self.0.flushed.fetch_max(position.0, Ordering::AcqRel);
    }

    /// The position the server was or will be told as flushed.
    pub fn confirmed(&self) -> Lsn {
        Lsn(self.0.flushed.load(Ordering::Acquire))
    }

    /// Everything before `position` was received. Informs `pg_stat_replication`, confirms nothing.
    pub(crate) fn receive(&self, position: Lsn) {
        self.0.received.fetch_max(position.0, Ordering::AcqRel);
    }

    /// Sends a status update at once.
    pub fn send_now(&self) {
        self.0.wake.notify_one();
    }

    /// Sends a status update at once that asks the server for a sign of life.
    pub(crate) fn probe(&self) {
        self.0.reply_wanted.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }

    fn status_update(&self, dialect: Dialect) -> StatusUpdate {
        let flushed = self.confirmed().0;
        let received = self.0.received.load(Ordering::Acquire).max(flushed);
        let reply_wanted = self.0.reply_wanted.swap(false, Ordering::AcqRel);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_2000 = since_epoch.saturating_sub(Duration::from_secs(EPOCH_OFFSET_SECONDS));
        let clock = since_2000.as_micros() as i64;
        match dialect {
            Dialect::PostgreSql => StatusUpdate::Big(status_update(received, flushed, clock, reply_wanted)),
            Dialect::GaussDb => {
                StatusUpdate::Little(gauss::copy::status_update(received, flushed, clock, reply_wanted))
            }
        }
    }
}

/// A status update in its CopyData, by byte order.
enum StatusUpdate {
    Big([u8; 39]),
    Little([u8; gauss::copy::STATUS_UPDATE]),
}

impl StatusUpdate {
    fn bytes(&self) -> &[u8] {
        match self {
            StatusUpdate::Big(bytes) => bytes,
            StatusUpdate::Little(bytes) => bytes,
        }
    }
}

/// Standby status update ("Streaming Replication Protocol", byte `r`) in its CopyData. We apply what we flush, so the two
/// positions are the same.
fn status_update(received: u64, flushed: u64, clock: i64, reply_wanted: bool) -> [u8; 39] {
    let mut out = [0; 39];
    out[..6].copy_from_slice(&[b'd', 0, 0, 0, 38, b'r']);
    out[6..14].copy_from_slice(&received.to_be_bytes());
    out[14..22].copy_from_slice(&flushed.to_be_bytes());
    out[22..30].copy_from_slice(&flushed.to_be_bytes());
    out[30..38].copy_from_slice(&clock.to_be_bytes());
    out[38] = u8::from(reply_wanted);
    out
}

/// The running feedback task. Dropping it ends the task and with it the server's patience; [`Self::stop`] ends the stream in
/// order.
#[derive(Debug)]
pub struct Feedback {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Error>>,
}

impl Feedback {
    /// Starts the task on the current runtime. It needs a thread that is not blocked: data work that blocks belongs on
    /// another thread than the only one of a runtime.
    pub(crate) fn spawn(
        writer: WriteHalf<Transport>,
        dialect: Dialect,
        position: FlushPosition,
        interval: Duration,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(writer, dialect, position, interval, stopped));
        Self { stop: Some(stop), task }
    }

    /// Sends a last status update and CopyDone. The reader then sees the rest of the stream and its end.
    ///
    /// # Errors
    /// The connection broke, now or earlier.
    pub async fn stop(mut self) -> Result<(), Error> {
        if let Some(stop) = self.stop.take() {
            // A task that ended already has no ears; its result says why.
            let _ = stop.send(());
        }
        match (&mut self.task).await {
            Ok(result) => result,
            Err(_) => Err(Error::Closed { during: "sending status updates".to_owned() }),
        }
    }

    /// Whether the task has ended because the connection broke; the reader learns of it too.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Feedback {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    mut writer: WriteHalf<Transport>,
    dialect: Dialect,
    position: FlushPosition,
    interval: Duration,
    mut stopped: oneshot::Receiver<()>,
) -> Result<(), Error> {
    let broken = |source| Error::io("sending status updates", source);
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let ended = tokio::select! {
            _ = timer.tick() => false,
            () = position.0.wake.notified() => false,
            // A dropped sender is an aborted stream, which is aborted here as well.
            result = &mut stopped => { result.ok(); true }
        };
        let update = position.status_update(dialect);
        let sent = async {
            writer.write_all(update.bytes()).await?;
            if ended {
                writer.write_all(&message::COPY_DONE).await?;
            }
            writer.flush().await
        };
        if let Err(error) = sent.await.map_err(broken) {
            tracing::debug!(%error, "feedback ended");
            return Err(error);
        }
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_a_third_within_bounds() {
        assert_eq!(feedback_interval(None), Duration::from_secs(10));
        assert_eq!(feedback_interval(Some(Duration::from_secs(60))), Duration::from_secs(10));
        assert_eq!(feedback_interval(Some(Duration::from_secs(3))), Duration::from_secs(1));
        assert_eq!(feedback_interval(Some(Duration::from_millis(1))), Duration::from_millis(10));
    }

    fn big(position: &FlushPosition) -> Vec<u8> {
        position.status_update(Dialect::PostgreSql).bytes().to_vec()
    }

    #[test]
    fn the_dialect_decides_the_byte_order() {
        let position = FlushPosition::new(Lsn(50));
        let update = position.status_update(Dialect::GaussDb);
        assert_eq!((update.bytes().len(), update.bytes()[22..30].to_vec()), (70, 50u64.to_le_bytes().to_vec()));
        assert_eq!(big(&position).len(), 39);
    }

    #[test]
    fn positions_only_rise() {
        let position = FlushPosition::new(Lsn(50));
        position.confirm(Lsn(40));
        assert_eq!(position.confirmed(), Lsn(50));
        position.receive(Lsn(10));
        let update = big(&position);
        assert_eq!(update[..6], [b'd', 0, 0, 0, 38, b'r']);
        assert_eq!(update[6..14], 50u64.to_be_bytes(), "received is never told below flushed");
        position.receive(Lsn(90));
        position.confirm(Lsn(60));
        let update = big(&position);
        assert_eq!(update[6..14], 90u64.to_be_bytes());
        assert_eq!(update[14..22], 60u64.to_be_bytes());
        assert_eq!(update[22..30], 60u64.to_be_bytes());
        assert_eq!(update[38], 0);
        position.probe();
        assert_eq!(big(&position)[38], 1);
        assert_eq!(big(&position)[38], 0, "asks once");
    }
}
