//! The reading half of a running stream: large reads, many messages per read, nothing allocated per message.

use crate::error::Error;
use crate::feedback::{Feedback, FlushPosition};
use crate::framing::{CopyData, FrameBuffer};
use crate::handshake::Session;
use crate::message;
use crate::options::Dialect;
use crate::pace::Pace;
use crate::socket::LowWater;
use crate::transport::Transport;
use millrace_batch::Lsn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, ReadBuf, ReadHalf};
use tokio::time::timeout;

/// Bytes that end a wait under load early.
const LOW_WATER: usize = 64 * 1024;

/// How a stream is read.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Size of a read in bytes.
    pub buffer: usize,
    /// Largest message accepted, in bytes: bounds memory, and with it the widest row.
    pub max_message: usize,
    /// Longest wait under load for more messages to come with one read; `None` reads at once, always. A million small
    /// changes over TCP took 9,000 reads instead of 50,000 to 590,000, and 0.8-0.9 us of our CPU per change instead of
    /// 1.0-7.7 (`examples/drain.rs`; the spread is that of the machine's load).
    pub coalesce: Option<Duration>,
    /// After this long without a byte while reading, the connection counts as lost. The server is asked for a sign of life at
    /// half of it; one busy decoding changes it does not send may be silent for minutes (PostgreSQL before 15.3).
    pub silence: Duration,
    /// Longest time between status updates; shorter, or `None`, where the server's `wal_sender_timeout` asks for it.
    pub feedback_interval: Option<Duration>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            buffer: 256 * 1024,
            max_message: 256 * 1024 * 1024,
            coalesce: Some(Duration::from_millis(1)),
            silence: Duration::from_secs(300),
            feedback_interval: None,
        }
    }
}

/// One message of the stream, borrowed from the read buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A piece of the plugin's output.
    XLogData {
        /// Position of the data in the log.
        wal_start: Lsn,
        /// End of the log as the server reports it; logical decoding repeats `wal_start`.
        wal_end: Lsn,
        /// Microseconds since 2000-01-01 UTC at the server.
        server_time: i64,
        /// The plugin's bytes.
        payload: &'a [u8],
    },
    /// The server has sent everything up to `wal_end`. An asked-for reply is sent by itself, at the next call of the reader,
    /// so that what the caller confirms on seeing this is in it.
    Keepalive {
        /// Position up to which everything was sent. Not so in GaussDB's parallel decoding: there it is zero, or ahead of
        /// commits that are still to come, and must never be confirmed.
        wal_end: Lsn,
        /// Microseconds since 2000-01-01 UTC at the server.
        server_time: i64,
        /// The server waits for an answer; when shutting down, for one that confirms `wal_end`.
        reply_requested: bool,
    },
    /// The server ends the copy (its CopyDone, or the CommandComplete of a shutdown). Nothing of value follows.
    End,
}

/// A stream just started: its two halves.
#[derive(Debug)]
pub struct ReplicationStream {
    /// Reads messages.
    pub reader: StreamReader,
    /// Sends status updates.
    pub feedback: Feedback,
}

impl ReplicationStream {
    pub(crate) fn new(
        session: Session,
        slot: &str,
        dialect: Dialect,
        position: FlushPosition,
        interval: Duration,
        options: StreamOptions,
    ) -> Result<Self, Error> {
        let during = format!("streaming from slot `{slot}`");
        let Session { transport, mut buffer, .. } = session;
        buffer.resize(options.buffer, options.max_message);
        let low_water = match (&transport, options.coalesce) {
            (Transport::Unix(_), _) | (_, None) => None,
            _ => Some(LowWater::new(transport.as_fd()).map_err(|source| Error::io(during.as_str(), source))?),
        };
        let tls = transport.is_tls();
        let (input, output) = tokio::io::split(transport);
        let feedback = Feedback::spawn(output, dialect, position.clone(), interval);
        let reader = StreamReader {
            input,
            tls,
            buffer,
            low_water,
            pace: Pace::new(Instant::now()),
            dialect,
            options,
            position,
            received: Lsn(0),
            reply_due: false,
            during,
        };
        Ok(Self { reader, feedback })
    }
}

/// The reading half. Every method can be given up half-way without losing a byte.
#[derive(Debug)]
pub struct StreamReader {
    input: ReadHalf<Transport>,
    tls: bool,
    buffer: FrameBuffer,
    low_water: Option<LowWater>,
    pace: Pace,
    dialect: Dialect,
    options: StreamOptions,
    position: FlushPosition,
    received: Lsn,
    reply_due: bool,
    during: String,
}

impl StreamReader {
    /// Waits for bytes and reads as many as there are, up to the buffer's size; gives their number. Under load it waits up to
    /// [`StreamOptions::coalesce`] for more to come. Call it when [`Self::next_frame`] has no more.
    ///
    /// # Errors
    /// The connection broke, was closed, or stayed silent for longer than [`StreamOptions::silence`].
    pub async fn fill(&mut self) -> Result<usize, Error> {
        self.settle();
        if let Some(wait) = self.options.coalesce.filter(|_| self.pace.is_busy(Instant::now())) {
            match &mut self.low_water {
                Some(low_water) => {
                    low_water.set(LOW_WATER as i32);
                    if let Ok(read) = timeout(wait, read(&mut self.input, self.tls, self.buffer.spare())).await {
                        return self.took(read);
                    }
                }
                // A Unix socket has no low-water mark: the wake-ups stay and reading costs the same, but the caller gets
                // one large piece where it got ten small ones.
                None => tokio::time::sleep(wait).await,
            }
        }
        if let Some(low_water) = &mut self.low_water {
            low_water.set(1);
        }
        let half = self.options.silence / 2;
        if let Ok(read) = timeout(half, read(&mut self.input, self.tls, self.buffer.spare())).await {
            return self.took(read);
        }
        self.position.probe();
        match timeout(half, read(&mut self.input, self.tls, self.buffer.spare())).await {
            Ok(read) => self.took(read),
            Err(_) => Err(Error::Timeout { during: self.during.clone(), after: self.options.silence }),
        }
    }

    fn took(&mut self, read: io::Result<usize>) -> Result<usize, Error> {
        match read.map_err(|source| Error::io(self.during.as_str(), source))? {
            0 => Err(Error::Closed { during: self.during.clone() }),
            count => {
                self.buffer.filled(count);
                Ok(count)
            }
        }
    }

    /// Tells the feedback task what the caller has seen by now.
    fn settle(&mut self) {
        self.position.receive(self.received);
        if std::mem::take(&mut self.reply_due) {
            self.position.send_now();
        }
    }

    /// The next message that is there, `None` when [`Self::fill`] is due.
    ///
    /// # Errors
    /// An error the server sent (the stream is over then), or a message that makes no sense.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Error> {
        if self.reply_due {
            self.settle();
        }
        loop {
            let next =
                self.buffer.advance().map_err(|source| Error::Framing { during: self.during.clone(), source })?;
            let Some(raw) = next else { return Ok(None) };
            if raw.tag != b'd' {
                if self.other(raw.tag, raw.body)? {
                    return Ok(Some(Frame::End));
                }
                continue;
            }
            self.pace.message();
            return match self.dialect.decode_copy_data(self.buffer.bytes(raw.body)) {
                Ok(CopyData::XLogData { wal_start, wal_end, server_time, payload }) => {
                    self.received = self.received.max(wal_start);
                    Ok(Some(Frame::XLogData { wal_start, wal_end, server_time, payload }))
                }
                Ok(CopyData::Keepalive { wal_end, server_time, reply_requested }) => {
                    self.received = self.received.max(wal_end);
                    self.reply_due = reply_requested;
                    Ok(Some(Frame::Keepalive { wal_end, server_time, reply_requested }))
                }
                Err(source) => Err(Error::Framing { during: self.during.clone(), source }),
            };
        }
    }

    /// A message that is not CopyData; true at the end of the copy.
    #[cold]
    fn other(&mut self, tag: u8, body: std::ops::Range<usize>) -> Result<bool, Error> {
        let body = self.buffer.bytes(body);
        match tag {
            b'c' | b'C' => return Ok(true),
            b'E' => return Err(Error::server(self.during.as_str(), message::error_response(body))),
            b'N' => tracing::info!(notice = %message::error_response(body), "notice in the stream"),
            b'S' | b'Z' => {}
            tag => {
                let reason = format!("unexpected message `{}`", tag.escape_ascii());
                return Err(Error::protocol(self.during.as_str(), reason));
            }
        }
        Ok(false)
    }

    /// Ends the stream in order: last status update, CopyDone, then reads on, throwing away what the server had under way,
    /// until it is ready for the next command. Afterwards the slot is free: the server's own CopyDone comes before it lets go of it.
    ///
    /// # Errors
    /// The connection broke, or the end did not come within `bound`.
    pub async fn finish(mut self, feedback: Feedback, bound: Duration) -> Result<(), Error> {
        feedback.stop().await?;
        let drained = async {
            let mut ended = false;
            loop {
                while let Some(raw) =
                    self.buffer.advance().map_err(|source| Error::Framing { during: self.during.clone(), source })?
                {
                    match raw.tag {
                        b'Z' => return Ok(()),
                        b'd' => {}
                        tag => ended |= self.other(tag, raw.body)?,
                    }
                }
                match self.fill().await {
                    // A server that is shut down goes without becoming ready; openGauss has no answer to CopyDone, it resets the
                    // connection. Either frees the slot just as well.
                    Err(Error::Io { .. } | Error::Closed { .. }) if ended || self.dialect == Dialect::GaussDb => {
                        return Ok(());
                    }
                    filled => filled?,
                };
            }
        };
        let drained = timeout(bound, drained).await;
        drained.unwrap_or_else(|_| Err(Error::Timeout { during: "ending the stream".to_owned(), after: bound }))
    }
}

/// One read for a plain socket. TLS gives one record (one row, from a walsender) per read, so there it goes on while records
/// are there.
async fn read(input: &mut ReadHalf<Transport>, tls: bool, space: &mut [u8]) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        let mut total = 0;
        loop {
            let mut part = ReadBuf::new(&mut space[total..]);
            let polled = Pin::new(&mut *input).poll_read(cx, &mut part);
            let count = part.filled().len();
            total += count;
            match polled {
                Poll::Ready(Ok(())) if tls && count > 0 && total < space.len() => {}
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(total)),
                // What came before an error is handed out first; a broken connection gives the error again.
                Poll::Pending | Poll::Ready(Err(_)) if total > 0 => return Poll::Ready(Ok(total)),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    })
    .await
}
