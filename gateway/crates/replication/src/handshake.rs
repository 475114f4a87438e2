//! From a list of hosts to a logged-in session: sockets, TLS, start-up packet, authentication, server parameters.
//!
//! Serves the replication connection and, replayed, `tokio-postgres`. Which host comes next is decided here: only after a
//! failure that may pass, so that a wrong password is offered once (repeated failures lock accounts).

use crate::auth::{AuthError, Authenticator};
use crate::error::Error;
use crate::framing::{FrameBuffer, RawMessage};
use crate::login::{LogIn, Next};
use crate::message;
use crate::options::{ChannelBinding, ConnectOptions, Dialect, Host, SslMode, TargetSession};
use crate::transport::Transport;
use crate::{socket, tls};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// Read size and largest message before a stream begins, in bytes: server errors and results of small queries.
const SMALL_READ: usize = 8 * 1024;
const SMALL_MESSAGE: usize = 16 * 1024 * 1024;

/// What the connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Ordinary SQL.
    Sql,
    /// `replication=database`.
    Replication,
}

/// Where a session is connected to, to reach the same server again for a cancel request.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

impl Place {
    fn name(host: &Host, port: u16) -> String {
        format!("{host}:{port}")
    }
}

/// A logged-in connection, ready for a query.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) transport: Transport,
    pub(crate) buffer: FrameBuffer,
    pub(crate) place: Place,
    /// ParameterStatus values.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Process and cancel key, 0 where the server gave none.
    pub(crate) backend: (i32, i32),
    /// AuthenticationOk to ReadyForQuery as received, for a client that expects them.
    pub(crate) greeting: Vec<u8>,
}

impl Session {
    /// Reads until a whole message is there, and leaves it in the buffer. Giving this up half-way loses nothing.
    pub(crate) async fn ready(&mut self, during: &str) -> Result<(), Error> {
        while !self.buffer.is_ready() {
            let read = self.transport.read(self.buffer.spare()).await;
            match read.map_err(|source| Error::io(during, source))? {
                0 => return Err(Error::Closed { during: during.to_owned() }),
                count => self.buffer.filled(count),
            }
        }
        Ok(())
    }

    /// Takes the next message.
    pub(crate) async fn message(&mut self, during: &str) -> Result<RawMessage, Error> {
        loop {
            if let Some(message) = self.buffer.advance().map_err(Error::framing(during))? {
                return Ok(message);
            }
            self.ready(during).await?;
        }
    }

    pub(crate) async fn send(&mut self, during: &str, bytes: &[u8]) -> Result<(), Error> {
        let sent = async {
            self.transport.write_all(bytes).await?;
            self.transport.flush().await
        };
        sent.await.map_err(|source| Error::io(during, source))
    }
}

/// Connects to the first host that accepts.
///
/// # Errors
/// The first refusal that will repeat, or [`Error::AllHosts`] when every host failed in a way that may pass.
pub(crate) async fn open(options: &ConnectOptions, purpose: Purpose) -> Result<Session, Error> {
    let mut failures = Vec::new();
    for (host, port) in &options.hosts {
        match open_port(options, purpose, host, *port).await {
            Ok(session) => return Ok(session),
            Err(error) if error.is_transient() => {
                tracing::debug!(%host, port, %error, "host failed");
                failures.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    if failures.is_empty() {
        return Err(Error::Options("no host is configured".to_owned()));
    }
    Err(if failures.len() == 1 { failures.remove(0) } else { Error::AllHosts(failures) })
}

/// Finds out which family answers, without a password: PostgreSQL bargains about the version of the other family, or refuses
/// it, before it asks who we are. `options.dialect` and the password are not looked at.
///
/// # Errors
/// No host was reached, or the server refused us before it showed its family.
pub async fn detect_dialect(options: &ConnectOptions) -> Result<Dialect, Error> {
    let mut probe = options.clone();
    (probe.dialect, probe.password, probe.channel_binding) = (Dialect::GaussDb, None, ChannelBinding::Prefer);
    match open(&probe, Purpose::Sql).await {
        Err(Error::Auth { source: AuthError::WrongDialect(_), .. }) => Ok(Dialect::PostgreSql),
        Err(Error::Server { error, .. }) if error.message.starts_with("unsupported frontend protocol") => {
            Ok(Dialect::PostgreSql)
        }
        // It went on to ask for a password, or needs none.
        Ok(_) | Err(Error::Auth { .. }) => Ok(Dialect::GaussDb),
        Err(error) => Err(error),
    }
}

/// One host, at the port for the purpose. Another port is tried only where nobody listens at the first, or where the server
/// points to another one.
async fn open_port(options: &ConnectOptions, purpose: Purpose, host: &Host, port: u16) -> Result<Session, Error> {
    let (first, second) = match purpose {
        Purpose::Sql => (port, None),
        Purpose::Replication => options.replication_ports(port),
    };
    match (open_host(options, purpose, host, first).await, second) {
        (Err(error), Some(second)) if other_port_may_do(&error) => {
            tracing::debug!(%host, port = first, %error, "no replication there");
            open_host(options, purpose, host, second).await
        }
        (opened, _) => opened,
    }
}

/// Never after a log-in that was refused: repeated failures lock accounts.
fn other_port_may_do(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => matches!(source.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
        Error::Server { error, .. } => error.message.contains("should connect HA port"),
        _ => false,
    }
}

/// One host, with the second attempt that `allow` and `prefer` mean. No second attempt after a failed log-in.
async fn open_host(options: &ConnectOptions, purpose: Purpose, host: &Host, port: u16) -> Result<Session, Error> {
    let unix = matches!(host, Host::Unix(_));
    let (first_tls, second_tls) = match options.sslmode {
        _ if unix => (false, None),
        SslMode::Disable => (false, None),
        SslMode::Allow => (false, Some(true)),
        SslMode::Prefer => (true, Some(false)),
        _ => (true, None),
    };
    let first = attempt(options, purpose, host, port, first_tls).await;
    let (Err(error), Some(tls)) = (&first, second_tls) else { return first };
    let other_may_do = match error {
        Error::TlsNotOffered { .. } | Error::TlsHandshake { .. } => true,
        Error::Server { error, .. } => error.sqlstate == "28000" && error.message.contains("pg_hba.conf"),
        _ => false,
    };
    if other_may_do { attempt(options, purpose, host, port, tls).await } else { first }
}

async fn attempt(
    options: &ConnectOptions,
    purpose: Purpose,
    host: &Host,
    port: u16,
    tls: bool,
) -> Result<Session, Error> {
    let place = Place { host: host.clone(), port, tls };
    let bound = options.connect_timeout;
    let work = async {
        let transport = reach(options, &place).await?;
        log_in(options, purpose, place.clone(), transport).await
    };
    tokio::time::timeout(bound, work)
        .await
        .unwrap_or_else(|_| Err(Error::Timeout { during: connecting(host, port), after: bound }))
}

fn connecting(host: &Host, port: u16) -> String {
    format!("connecting to {}", Place::name(host, port))
}

/// Opens the socket and, where asked, TLS on it.
pub(crate) async fn reach(options: &ConnectOptions, place: &Place) -> Result<Transport, Error> {
    let during = connecting(&place.host, place.port);
    let failed = |source| Error::io(during.as_str(), source);
    let name = match &place.host {
        Host::Unix(directory) => {
            let path = directory.join(format!(".s.PGSQL.{}", place.port));
            return Ok(Transport::Unix(UnixStream::connect(path).await.map_err(failed)?));
        }
        Host::Tcp(name) => name,
    };
    // `connect` tries every address the name has.
    let mut socket = TcpStream::connect((name.as_str(), place.port)).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    if let Some(idle) = options.tcp_keepalive {
        socket::set_keepalive(socket.as_fd(), idle).map_err(failed)?;
    }
    if !place.tls {
        return Ok(Transport::Tcp(socket));
    }
    let shown = Place::name(&place.host, place.port);
    socket.write_all(&message::SSL_REQUEST).await.map_err(failed)?;
    // Exactly one byte is read in the clear: what a middleman slips in behind it is taken for TLS and fails there.
    match socket.read_u8().await.map_err(failed)? {
        b'S' => Ok(Transport::Tls(Box::new(tls::connect(options, name, &shown, socket).await?))),
        b'N' => Err(Error::TlsNotOffered { host: shown }),
        other => Err(Error::protocol(during, format!("byte {other:#04x} in answer to the request for TLS"))),
    }
}

/// The start-up packet of a connection.
fn startup(options: &ConnectOptions, purpose: Purpose) -> Result<Vec<u8>, Error> {
    let mut settings = vec![("user", options.user.as_str()), ("database", options.database.as_str())];
    if purpose == Purpose::Replication {
        settings.push(("replication", "database"));
    }
    settings.extend(options.session_settings());
    message::startup(options.dialect.protocol_version(), &settings).map_err(|reason| Error::Options(reason.to_owned()))
}

async fn log_in(
    options: &ConnectOptions,
    purpose: Purpose,
    place: Place,
    transport: Transport,
) -> Result<Session, Error> {
    let host = Place::name(&place.host, place.port);
    let during = format!("logging in at {host}");
    let end_point = match &transport {
        Transport::Tls(stream) => tls::end_point(stream.ssl()),
        _ => None,
    };
    let exposed = matches!(transport, Transport::Tcp(_));
    let buffer = FrameBuffer::new(SMALL_READ, SMALL_MESSAGE);
    let (parameters, greeting) = (BTreeMap::new(), Vec::new());
    let mut session = Session { transport, buffer, place, parameters, backend: (0, 0), greeting };
    session.send(&during, &startup(options, purpose)?).await?;

    let auth = Authenticator::new(&options.user, options.password.as_ref(), options.channel_binding, end_point)
        .with_dialect(options.dialect);
    let mut login = LogIn::new(&host, &during, auth, exposed);
    loop {
        let message = session.message(&during).await?;
        match login.take(message.tag, session.buffer.bytes(message.body))? {
            Next::Send(answer) => session.send(&during, &answer).await?,
            Next::Read => {}
            Next::Ready => break,
        }
    }
    let greeting = login.into_greeting();
    (session.parameters, session.backend, session.greeting) = (greeting.parameters, greeting.backend, greeting.bytes);
    let standby = session.parameters.get("in_hot_standby").is_some_and(|value| value == "on");
    if options.target == TargetSession::Primary && standby {
        return Err(Error::NotPrimary { host });
    }
    tracing::debug!(%host, ?purpose, tls = session.transport.is_tls(), pid = session.backend.0, "logged in");
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ServerError;

    /// The packet the running openGauss accepted, with the order of its parameters as we send them.
    #[test]
    fn start_up_of_the_family() {
        let mut options = ConnectOptions::new(Host::Tcp("og".into()), 15_400, "cdc", "postgres");
        options.dialect = Dialect::GaussDb;
        let packet = startup(&options, Purpose::Replication).unwrap();
        let accepted = include_str!("../tests/data/opengauss/authentication.txt");
        let accepted = accepted.split("case sha256_ok_replication_ha_port").nth(1).unwrap();
        let accepted = accepted.lines().find_map(|line| line.strip_prefix("c ")).unwrap();
        let accepted: Vec<u8> =
            (0..accepted.len()).step_by(2).map(|at| u8::from_str_radix(&accepted[at..at + 2], 16).unwrap()).collect();
        assert_eq!(packet[..8], accepted[..8], "length and version");
        let pairs = |packet: &[u8]| {
            let text = String::from_utf8(packet[8..packet.len() - 2].to_vec()).unwrap();
            let words: Vec<String> = text.split('\0').map(str::to_owned).collect();
            let mut pairs: Vec<_> = words.chunks(2).map(<[String]>::to_vec).collect();
            pairs.sort();
            pairs
        };
        assert_eq!(pairs(&packet), pairs(&accepted));
        let sql = startup(&options, Purpose::Sql).unwrap();
        assert!(
            !String::from_utf8_lossy(&sql).contains("replication"),
            "SQL goes to the data port as an ordinary session"
        );
    }

    #[test]
    fn the_other_port_is_for_refusals_that_name_it() {
        let server = |sqlstate: &str, message: &str| {
            let (sqlstate, message) = (sqlstate.to_owned(), message.to_owned());
            Error::server("x", ServerError { sqlstate, message, ..ServerError::default() })
        };
        assert!(other_port_may_do(&Error::io("x", ErrorKind::ConnectionRefused.into())));
        assert!(other_port_may_do(&server("22023", "replication should connect HA port in thread_pool")));
        assert!(other_port_may_do(&server("22023", "logical replication should connect HA port in thread_pool")));
        assert!(!other_port_may_do(&Error::io("x", ErrorKind::ConnectionReset.into())));
        assert!(!other_port_may_do(&Error::Timeout { during: "x".into(), after: std::time::Duration::ZERO }));
        for (sqlstate, message) in [
            ("28P01", "Invalid username/password,login denied."),
            ("28000", "The account has been locked."),
            ("28000", "no pg_hba.conf entry for replication connection from host \"::1\", user \"cdc\", SSL off"),
        ] {
            assert!(!other_port_may_do(&server(sqlstate, message)), "{message}");
        }
    }
}
