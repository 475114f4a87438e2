//! Ordinary SQL through `tokio-postgres`, on our own handshake: one place for TLS, log-in and session settings.
//!
//! `tokio-postgres` insists on starting a session by itself. [`Replay`] swallows its start-up packet and answers with
//! what the server said at ours.

use crate::error::Error;
use crate::handshake::{self, Purpose};
use crate::options::ConnectOptions;
use crate::transport::Transport;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{Client, Config, NoTls};

/// A connection for SQL. Derefs to [`Client`]; dropping it says good-bye to the server and ends its IO task.
#[derive(Debug)]
pub struct SqlConnection {
    client: Client,
    parameters: BTreeMap<String, String>,
}

impl SqlConnection {
    /// A parameter the server reported at log-in.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// All parameters the server reported at log-in.
    pub fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }
}

impl std::ops::Deref for SqlConnection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl std::ops::DerefMut for SqlConnection {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Connects for SQL. The IO runs on a task of the current runtime.
///
/// # Errors
/// As [`crate::ReplicationConnection::connect`].
pub async fn connect_sql(options: &ConnectOptions) -> Result<SqlConnection, Error> {
    let mut session = handshake::open(options, Purpose::Sql).await?;
    let mut greeting = std::mem::take(&mut session.greeting);
    greeting.extend(session.buffer.take_rest());
    let replay = Replay { transport: session.transport, greeting, told: 0, swallow: Swallow::Length(Vec::new()) };
    let mut config = Config::new();
    config.user(&options.user).dbname(&options.database).ssl_mode(tokio_postgres::config::SslMode::Disable);
    let connected = config.connect_raw(replay, NoTls).await;
    let (client, connection) = connected.map_err(|error| Error::sql("preparing the SQL session", error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "SQL connection ended");
        }
    });
    Ok(SqlConnection { client, parameters: session.parameters })
}

/// How much of the start-up packet is still to be thrown away.
#[derive(Debug)]
enum Swallow {
    /// The length word is incomplete.
    Length(Vec<u8>),
    /// So many bytes of the packet are to come.
    Rest(usize),
}

impl Swallow {
    /// Takes what belongs to the packet off the front of `bytes`; the number taken.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        if let Swallow::Length(head) = self {
            taken = bytes.len().min(4 - head.len());
            head.extend(&bytes[..taken]);
            let Ok(length) = <[u8; 4]>::try_from(head.as_slice()) else { return taken };
            *self = Swallow::Rest((u32::from_be_bytes(length) as usize).saturating_sub(4));
        }
        if let Swallow::Rest(rest) = self {
            let count = (bytes.len() - taken).min(*rest);
            *rest -= count;
            taken += count;
        }
        taken
    }
}

struct Replay {
    transport: Transport,
    greeting: Vec<u8>,
    told: usize,
    swallow: Swallow,
}

impl AsyncRead for Replay {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.told < this.greeting.len() {
            let rest = &this.greeting[this.told..];
            let count = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..count]);
            this.told += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.transport).poll_read(cx, buf)
    }
}

impl AsyncWrite for Replay {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let taken = this.swallow.take(bytes);
        if taken > 0 {
            return Poll::Ready(Ok(taken));
        }
        Pin::new(&mut this.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.transport).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swallows_exactly_the_startup_packet() {
        let packet = crate::message::startup(3 << 16, &[("user", "cdc")]).unwrap();
        let sent = [packet.as_slice(), b"Q...."].concat();
        for chunk in 1..=sent.len() {
            let mut swallow = Swallow::Length(Vec::new());
            let mut passed: Vec<u8> = Vec::new();
            for mut part in sent.chunks(chunk) {
                while !part.is_empty() {
                    let taken = swallow.take(part);
                    if taken == 0 {
                        passed.extend(part);
                        break;
                    }
                    part = &part[taken..];
                }
            }
            assert_eq!(passed, b"Q....", "in chunks of {chunk}");
        }
    }
}
