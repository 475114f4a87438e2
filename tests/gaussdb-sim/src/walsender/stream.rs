//! A stream: transactions out, status updates in, keepalives at the recorded cadence, faults.
//!
//! Reading and writing go on side by side, so that a client that does not read is still heard.

use super::command::Pair;
use super::keepalive::{Heard, heard, keepalive};
use super::options;
use crate::connection::{Door, Transport};
use crate::creation::{no_such_slot, slot_is_active};
use crate::error::SqlError;
use crate::faults::Next;
use crate::flood::FloodReader;
use crate::node::{Feed, SharedNode};
use crate::options::Product;
use crate::render::{DecodeOptions, Renderer, Style};
use crate::sql::duration;
use crate::startup::Session;
use crate::text::Lsn;
use crate::wire;
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, watch};

/// Bytes rendered before they are written.
const CHUNK: usize = 256 << 10;

/// A slot that is held; freed when dropped.
#[derive(Debug)]
struct Held {
    node: SharedNode,
    slot: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(slot) = self.node.slots().get_mut(&self.slot) {
            slot.active = false;
        }
    }
}

/// Whose streams are cut off: the name of a slot, and a count so that the same name twice is two events.
type Evictions = watch::Receiver<(String, u64)>;

/// A stream that may start.
#[derive(Debug)]
pub(super) struct Plan {
    held: Held,
    from: Lsn,
    confirmed: Lsn,
    options: Result<DecodeOptions, SqlError>,
    timeout: Option<Duration>,
    batch_idle: Duration,
    /// Since the slot was taken: who is cut off before the stream runs is cut off all the same.
    evictions: Evictions,
}

impl Plan {
    /// Checks slot and options and takes the slot. Errors of serial options come after the start: they are kept.
    pub(super) fn new(
        door: &Door,
        session: &Session,
        slot: &str,
        from: Lsn,
        options: &[Pair],
    ) -> Result<Plan, SqlError> {
        let catalogue = door.shared.catalogue();
        let gaussdb = door.shared.options.product != Product::OpenGauss;
        let default = catalogue.settings.get("logical_decode_options_default").map_or("", String::as_str);
        let read = options::read(slot, options, default, gaussdb, !door.is_primary());
        let options = match read {
            Ok(options) => Ok(options),
            Err(refused) if refused.after_start => Err(refused.error),
            Err(refused) => return Err(refused.error),
        };
        let mut slots = door.node.slots();
        let found = slots.get_mut(slot).ok_or_else(|| no_such_slot(slot))?;
        if found.active {
            return Err(slot_is_active(slot));
        }
        if found.database != session.database {
            let text = format!("replication slot \"{slot}\" was not created in this database");
            return Err(SqlError::new("55000", text).module("LOGICAL_DECODE"));
        }
        if !door.is_primary() {
            return Err(SqlError::new(
                "55000",
                "recovery is in progress: a standby streams with standby-connection only",
            ));
        }
        if let Feed::Log(log) = &door.node.feed
            && log.is_gone(found.restart)
        {
            let text = "requested WAL segment 000000010000000000000002 has already been removed";
            return Err(SqlError::new("58P01", text));
        }
        let confirmed = found.confirmed.unwrap_or_default();
        found.active = true;
        let evictions = door.node.evict.subscribe();
        drop(slots);
        let setting =
            session.settings.get("logical_sender_timeout").or(catalogue.settings.get("logical_sender_timeout"));
        let timeout = setting.and_then(|text| duration(text)).unwrap_or(Duration::from_secs(30));
        let timeout = options.as_ref().ok().and_then(|options| options.timeout).unwrap_or(timeout);
        Ok(Plan {
            held: Held { node: door.node.clone(), slot: slot.to_owned() },
            // Lower is raised, higher skips.
            from: from.max(confirmed),
            confirmed,
            options,
            timeout: (!timeout.is_zero()).then_some(timeout),
            batch_idle: door.shared.options.batch_idle,
            evictions,
        })
    }
}

/// What the reading half tells the writing half.
#[derive(Debug)]
struct Ears {
    /// When the client was heard last.
    heard: Mutex<Instant>,
    /// A keepalive is due: answers to status updates.
    answers: Mutex<u32>,
    wake: Notify,
}

/// How a stream ended.
enum End {
    /// The client said CopyDone, or a script cut the stream: a reset.
    Reset,
    /// The server closes without a word.
    Quiet,
    /// The client went away.
    Gone,
    /// An error is told.
    Error(SqlError),
}

/// Streams until the client, the timeout or a fault ends it.
///
/// # Errors
/// A broken connection.
pub(super) async fn run(door: &Door, mut transport: Transport, plan: Plan) -> io::Result<()> {
    let mut out = Vec::new();
    wire::message(&mut out, b'W', |out| out.extend_from_slice(&[0; 3]));
    let Plan { held, from, confirmed, options, timeout, batch_idle, mut evictions } = plan;
    let options = match options {
        Ok(options) => options,
        Err(error) => {
            wire::error(&mut out, "FATAL", &error);
            wire::ready(&mut out, b'I');
            transport.write_all(&out).await?;
            transport.flush().await?;
            return transport.shutdown().await;
        }
    };
    transport.write_all(&out).await?;
    transport.flush().await?;
    let ears = Ears { heard: Mutex::new(Instant::now()), answers: Mutex::new(0), wake: Notify::new() };
    let (mut input, output) = tokio::io::split(transport);
    let mut writer = Writer {
        node: &door.node,
        output,
        ears: &ears,
        parallel: options.style != Style::Serial,
        timeout,
        confirmed,
        batch_idle,
        reply_asked: false,
    };
    let evicted = async {
        loop {
            // The sender lives as long as the node.
            if evictions.changed().await.is_err() || evictions.borrow().0 == held.slot {
                return;
            }
        }
    };
    let end = tokio::select! {
        end = listen(&mut input, &held, &ears) => end,
        end = writer.write(from, options) => end,
        () = evicted => End::Reset,
    };
    let Writer { output, .. } = writer;
    drop(held);
    let mut transport = input.unsplit(output);
    match end {
        End::Reset => transport.reset(),
        End::Quiet => transport.shutdown().await?,
        End::Gone => {}
        End::Error(error) => {
            let mut out = Vec::new();
            wire::error(&mut out, "FATAL", &error);
            wire::ready(&mut out, b'I');
            transport.write_all(&out).await?;
            transport.flush().await?;
            transport.shutdown().await?;
        }
    }
    Ok(())
}

async fn listen(input: &mut ReadHalf<Transport>, held: &Held, ears: &Ears) -> End {
    loop {
        let Ok(Some((tag, body))) = wire::read(input).await else { return End::Gone };
        match tag {
            b'd' => match heard(&body) {
                Ok(Heard::Status { flush, reply }) => {
                    held.node.confirm(&held.slot, flush);
                    *ears.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                    // One follows each status update; two where an answer was asked for.
                    *ears.answers.lock().unwrap_or_else(PoisonError::into_inner) += 1 + u32::from(reply);
                    ears.wake.notify_one();
                }
                Ok(Heard::Other) => {}
                Ok(Heard::Unknown) => return End::Quiet,
                Err(error) => return End::Error(error),
            },
            b'c' => return End::Reset,
            b'X' => return End::Gone,
            // Everything else is out of turn inside a copy and goes unheard.
            _ => {}
        }
    }
}

struct Writer<'a> {
    node: &'a SharedNode,
    output: WriteHalf<Transport>,
    ears: &'a Ears,
    parallel: bool,
    timeout: Option<Duration>,
    confirmed: Lsn,
    batch_idle: Duration,
    /// A reply was asked for since the client was last heard.
    reply_asked: bool,
}

/// Where a stream reads.
enum Source {
    Log { next: usize, renderer: Renderer },
    Flood(Box<FloodReader>),
}

impl Source {
    /// Appends transactions until `out` is large; false where there are no more.
    fn fill(&mut self, feed: &Feed, out: &mut Vec<u8>) -> bool {
        match (self, feed) {
            (Source::Log { next, renderer }, Feed::Log(log)) => {
                while out.len() < CHUNK {
                    let Some(transaction) = log.get(*next) else { return false };
                    renderer.transaction(&transaction, out);
                    *next += 1;
                }
            }
            (Source::Flood(reader), Feed::Flood(flood)) => {
                while out.len() < CHUNK {
                    if !reader.next(flood, out) {
                        return false;
                    }
                }
            }
            _ => return false,
        }
        true
    }

    fn is_filling(&self) -> bool {
        match self {
            Source::Log { renderer, .. } => renderer.is_filling(),
            Source::Flood(reader) => reader.is_filling(),
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        match self {
            Source::Log { renderer, .. } => renderer.flush(out),
            Source::Flood(reader) => reader.flush(out),
        }
    }
}

impl Writer<'_> {
    /// The end of the log, as keepalives tell it. In parallel decoding it runs ahead of what was sent.
    fn position(&self) -> Lsn {
        match &self.node.feed {
            Feed::Log(log) => log.end(),
            Feed::Flood(flood) => flood.position().max(self.confirmed),
        }
    }

    fn keepalive(&mut self, at: Lsn, reply: bool, out: &mut Vec<u8>) {
        self.reply_asked |= reply;
        keepalive(at, reply, self.node.faults.wrong_byte_order(), out);
    }

    async fn send(&mut self, out: &mut Vec<u8>) -> Option<End> {
        if out.is_empty() {
            return None;
        }
        let sent = match self.node.faults.before_write(out.len()).await {
            Next::Write => self.output.write_all(out).await,
            Next::Cut(length) => {
                // What was written arrives; the reset comes behind it.
                let sent = async {
                    self.output.write_all(&out[..length]).await?;
                    self.output.flush().await
                };
                sent.await.ok();
                tokio::time::sleep(Duration::from_millis(20)).await;
                return Some(End::Reset);
            }
            Next::Garbage => {
                let mut garbage = b"d\0\0\0\x44".to_vec();
                garbage.extend(std::iter::repeat_with(|| fastrand::u8(..)).take(64));
                // A tag nobody sends.
                garbage[5] = 0xff;
                garbage.append(out);
                self.output.write_all(&garbage).await
            }
        };
        out.clear();
        match sent {
            Ok(()) => self.output.flush().await.err().map(|_| End::Gone),
            Err(_) => Some(End::Gone),
        }
    }

    async fn write(&mut self, from: Lsn, options: DecodeOptions) -> End {
        let mut source = match &self.node.feed {
            Feed::Log(log) => Source::Log { next: log.seek(from), renderer: Renderer::new(options) },
            Feed::Flood(flood) => Source::Flood(Box::new(FloodReader::new(flood, from, options))),
        };
        let mut growth = match &self.node.feed {
            Feed::Log(log) => Some(log.subscribe()),
            Feed::Flood(_) => None,
        };
        let mut out = Vec::with_capacity(CHUNK + (1 << 20));
        // The first two: serial decoding tells the confirmed position and then its reader's; parallel decoding nothing, and then one that is
        // ahead of everything it will send.
        let (first, second) = if self.parallel { (Lsn(0), self.position()) } else { (self.confirmed, self.confirmed) };
        self.keepalive(first, false, &mut out);
        self.keepalive(second, false, &mut out);
        let (mut worked, mut told, mut second_told) = (Instant::now(), None, Instant::now());
        loop {
            if let Some(growth) = &mut growth {
                growth.mark_unchanged();
            }
            let more = source.fill(&self.node.feed, &mut out);
            if more || !out.is_empty() {
                worked = Instant::now();
            }
            if let Some(end) = self.send(&mut out).await {
                return end;
            }
            if let Some(end) = self.overdue(&mut out) {
                return end;
            }
            self.answer(&mut out);
            if more {
                if let Some(end) = self.send(&mut out).await {
                    return end;
                }
                continue;
            }
            let now = Instant::now();
            if source.is_filling() && now - worked >= self.batch_idle {
                source.flush(&mut out);
            }
            let position = self.position();
            // Serial decoding tells where it stands when it has caught up; both tell it every second where parallel or without a timeout.
            let every_second = self.parallel || self.timeout.is_none();
            if (!self.parallel && told != Some(position))
                || (every_second && now - second_told >= Duration::from_secs(1))
            {
                self.keepalive(position, false, &mut out);
                (told, second_told) = (Some(position), now);
            }
            if let Some(end) = self.send(&mut out).await {
                return end;
            }
            let grown = async {
                match &mut growth {
                    Some(growth) => growth.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            let tick = if source.is_filling() {
                self.batch_idle.min(Duration::from_millis(100))
            } else {
                Duration::from_millis(100)
            };
            tokio::select! {
                _ = grown => {}
                () = self.ears.wake.notified() => {}
                () = tokio::time::sleep(tick) => {}
            }
        }
    }

    /// Asks for a sign of life at half the timeout, ends the stream at the whole.
    fn overdue(&mut self, out: &mut Vec<u8>) -> Option<End> {
        let timeout = self.timeout?;
        let silence = self.ears.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if silence >= timeout {
            return Some(End::Quiet);
        }
        if silence < timeout / 2 {
            self.reply_asked = false;
        } else if !self.reply_asked {
            self.keepalive(self.position(), true, out);
        }
        None
    }

    fn answer(&mut self, out: &mut Vec<u8>) {
        let answers = std::mem::take(&mut *self.ears.answers.lock().unwrap_or_else(PoisonError::into_inner));
        for _ in 0..answers.min(2) {
            self.keepalive(self.position(), false, out);
        }
    }
}
