//! The way in: TLS request, start-up packet, refusals, log-in, what the server says of itself.
//!
//! Order and texts are those of the recordings.

use crate::auth::{Exchange, Hba, Verdict};
use crate::connection::{Door, Transport, secure};
use crate::error::SqlError;
use crate::wire;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest start-up packet.
const MAX_STARTUP: usize = 10_000;

/// A session that is logged in.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) database: String,
    /// `replication=database`, or a boolean.
    pub(crate) replication: bool,
    /// With a database: it may decode and run SQL.
    pub(crate) logical: bool,
    /// What the start-up packet set, by lower-case name.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) pid: i32,
    pub(crate) key: i32,
    /// The password is expired.
    pub(crate) expired: bool,
}

/// A connection that is logged in.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) transport: Transport,
    pub(crate) session: Session,
}

/// Names a start-up packet may set besides those in the catalogue's settings.
const KNOWN_SETTINGS: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "datestyle",
    "extra_float_digits",
    "intervalstyle",
    "lc_monetary",
    "search_path",
    "statement_timeout",
    "timezone",
    "session_timeout",
    "idle_in_transaction_session_timeout",
    "standard_conforming_strings",
    "enable_slot_log",
    "logical_sender_timeout",
    "behavior_compat_options",
];

async fn refuse(transport: &mut Transport, severity: &str, error: &SqlError) -> io::Result<()> {
    let mut out = Vec::new();
    wire::error(&mut out, severity, error);
    transport.write_all(&out).await?;
    transport.flush().await?;
    transport.shutdown().await
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// Takes a connection from its first byte to ReadyForQuery. `None` where it ended before.
///
/// # Errors
/// A broken connection.
pub(crate) async fn start(door: &Door, socket: TcpStream) -> io::Result<Option<Start>> {
    let mut transport = Transport::Plain(socket);
    loop {
        let mut head = [0; 8];
        if let Err(error) = transport.read_exact(&mut head).await {
            return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
        }
        let (length, code) = (number(&head, 0) as usize, number(&head, 4));
        match (code >> 16, code & 0xffff) {
            (1234, 5679) if length == 8 => {
                let Transport::Plain(mut socket) = transport else { return Ok(None) };
                let acceptor = door.shared.tls.as_ref();
                socket.write_all(if acceptor.is_some() { b"S" } else { b"N" }).await?;
                // Whatever came with the request would be taken for part of the secured session.
                let mut one = [0];
                let behind = tokio::time::timeout(Duration::ZERO, socket.peek(&mut one)).await;
                let eager = matches!(behind, Ok(Ok(1))) && (acceptor.is_none() || one[0] != 22);
                transport = match acceptor {
                    Some(acceptor) if !eager => secure(acceptor, socket).await?,
                    _ => Transport::Plain(socket),
                };
                if eager {
                    let error = SqlError::new("08P01", "received unencrypted data after SSL request").detail(
                        "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
                    );
                    refuse(&mut transport, "FATAL", &error).await?;
                    return Ok(None);
                }
            }
            (1234, 5678) if length == 16 => {
                let mut rest = [0; 8];
                transport.read_exact(&mut rest).await?;
                let process = (number(&rest, 0) as i32, number(&rest, 4) as i32);
                let cancels = door.shared.cancels.lock();
                if let Some(cancel) = cancels.unwrap_or_else(std::sync::PoisonError::into_inner).get(&process) {
                    cancel.notify_waiters();
                }
                return Ok(None);
            }
            // Too long, too short and too old go without a word.
            (1, 0) => return Ok(None),
            (3, 0 | 50 | 51) if (8..=MAX_STARTUP).contains(&length) => {
                let mut body = vec![0; length - 8];
                transport.read_exact(&mut body).await?;
                return packet(door, transport, (code & 0xffff) as u16, &body).await;
            }
            _ if !(8..=MAX_STARTUP).contains(&length) => return Ok(None),
            (major, minor) => {
                let error = SqlError::new("0A000", format!("unsupported frontend protocol {major}.{minor}."));
                refuse(&mut transport, "FATAL", &error).await?;
                return Ok(None);
            }
        }
    }
}

/// What a start-up packet asks for.
fn parameters(body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut body = wire::Body(body);
    let mut out = Vec::new();
    loop {
        let name = body.text()?;
        if name.is_empty() {
            return body.0.is_empty().then_some(out);
        }
        out.push((name.to_owned(), body.text()?.to_owned()));
    }
}

async fn packet(door: &Door, mut transport: Transport, minor: u16, body: &[u8]) -> io::Result<Option<Start>> {
    let refused = match parse(door, body) {
        Ok(session) => match log_in(door, &mut transport, minor, session).await? {
            Some(Ok(session)) => return Ok(Some(Start { transport, session })),
            Some(Err((error, then_ready))) => {
                let mut out = Vec::new();
                wire::error(&mut out, "FATAL", &error);
                if then_ready {
                    wire::ready(&mut out, b'I');
                }
                transport.write_all(&out).await?;
                transport.flush().await?;
                transport.shutdown().await?;
                return Ok(None);
            }
            None => return Ok(None),
        },
        Err(refused) => refused,
    };
    refuse(&mut transport, refused.0, &refused.1).await?;
    Ok(None)
}

/// Everything that is refused before a password is asked for.
fn parse(door: &Door, body: &[u8]) -> Result<Session, (&'static str, SqlError)> {
    let fatal = |error| ("FATAL", error);
    let Some(parameters) = parameters(body) else {
        let text = "invalid startup packet layout: expected terminator as last byte";
        return Err(fatal(SqlError::new("08P01", text)));
    };
    let mut session = Session {
        user: String::new(),
        database: String::new(),
        replication: false,
        logical: false,
        settings: BTreeMap::new(),
        pid: door.shared.number() as i32,
        key: door.shared.number() as i32 ^ 0x5a5a,
        expired: false,
    };
    for (name, value) in parameters {
        match name.as_str() {
            "user" => session.user = value,
            "database" => session.database = value,
            "replication" => {
                (session.replication, session.logical) = match value.as_str() {
                    "database" => (true, true),
                    "true" | "1" | "on" | "yes" | "data" => (true, false),
                    "false" | "0" | "off" | "no" => (false, false),
                    _ => {
                        let error = SqlError::new("22023", "invalid value for parameter \"replication\"")
                            .hint("Valid values are: false, 0, true, 1, data, database.");
                        return Err(fatal(error));
                    }
                };
            }
            "options" | "backend_version" | "enable_full_encryption" | "connect_timeout" => {}
            _ => {
                session.settings.insert(name.to_lowercase(), value);
            }
        }
    }
    if session.user.is_empty() {
        return Err(fatal(SqlError::new("28000", "no openGauss user name specified in startup packet")));
    }
    if session.database.is_empty() {
        session.database.clone_from(&session.user);
    }
    if door.is_ha && !session.replication {
        let text = "the local listen ip and port is not for the gsql client";
        return Err(fatal(SqlError::new("57P03", text)));
    }
    if session.replication && !door.is_ha && door.shared.options.thread_pool {
        let text = "replication should connect HA port in thread_pool";
        // Recorded as ERROR, although the connection ends.
        return Err(("ERROR", SqlError::new("22023", text)));
    }
    Ok(session)
}

/// Asks for the password and judges it. The inner error ends the session; true where ReadyForQuery follows it all the same.
async fn log_in(
    door: &Door,
    transport: &mut Transport,
    minor: u16,
    mut session: Session,
) -> io::Result<Option<Result<Session, (SqlError, bool)>>> {
    let denied = |error| Ok(Some(Err((error, false))));
    let (hba, stored) = {
        let accounts = door.shared.accounts();
        let hba = if session.replication { accounts.replication } else { accounts.sql };
        (hba, accounts.get(&session.user).map(|account| account.stored.clone()))
    };
    let (user, ssl) = (&session.user, if transport.is_tls() { "on" } else { "off" });
    let what = match (hba, session.replication) {
        (Hba::Reject, false) => {
            format!(
                "pg_hba.conf rejects connection for host \"127.0.0.1\", user \"{user}\", database \"{}\", SSL {ssl}",
                session.database
            )
        }
        (Hba::Reject, true) => {
            format!("pg_hba.conf rejects replication connection for host \"127.0.0.1\", user \"{user}\", SSL {ssl}")
        }
        (Hba::Missing, false) => {
            format!(
                "no pg_hba.conf entry for host \"127.0.0.1\", user \"{user}\", database \"{}\", SSL {ssl}",
                session.database
            )
        }
        (Hba::Missing, true) => {
            format!(
                "no pg_hba.conf entry for replication connection from host \"127.0.0.1\", user \"{user}\", SSL {ssl}"
            )
        }
        _ => String::new(),
    };
    if !what.is_empty() {
        // A walsender says it is ready even then.
        return Ok(Some(Err((SqlError::new("28000", what), session.replication))));
    }
    let exchange = Exchange::choose(hba, stored.as_ref(), user, minor);
    let token = door.shared.token();
    let mut right = stored.is_some();
    let mut out = Vec::new();
    if let Some(request) = exchange.request(minor, token) {
        wire::message(&mut out, b'R', |out| out.extend_from_slice(&request));
        transport.write_all(&out).await?;
        transport.flush().await?;
        let Some((b'p', answer)) = wire::read(transport).await? else { return Ok(None) };
        let end = answer.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        right = exchange.proves(token, &answer[..end]);
    }
    match door.shared.accounts().judge(user, right) {
        Verdict::Accepted => {}
        Verdict::Denied => return denied(SqlError::new("28P01", "Invalid username/password,login denied.")),
        Verdict::Locked => return denied(SqlError::new("28000", "The account has been locked.")),
        Verdict::Outdated => {
            return denied(SqlError::new("28000", "The account is not within the period of validity."));
        }
    }
    out.clear();
    wire::message(&mut out, b'R', |out| out.extend_from_slice(&[0; 4]));
    transport.write_all(&out).await?;
    out.clear();
    if let Err(refused) = admit(door, &mut session) {
        return Ok(Some(Err(refused)));
    }
    greet(door, &session, &mut out);
    transport.write_all(&out).await?;
    transport.flush().await?;
    Ok(Some(Ok(session)))
}

/// What is refused to a role whose password is right.
fn admit(door: &Door, session: &mut Session) -> Result<(), (SqlError, bool)> {
    let catalogue = door.shared.catalogue();
    let accounts = door.shared.accounts();
    let Some(account) = accounts.get(&session.user) else {
        return Err((SqlError::new("28P01", "Invalid username/password,login denied."), false));
    };
    let user = &session.user;
    if !account.role.login {
        return Err((SqlError::new("28000", format!("role \"{user}\" is not permitted to login")), false));
    }
    if account.no_connections {
        return Err((SqlError::new("53300", format!("too many connections for role \"{user}\"")), false));
    }
    let physical = session.replication && !session.logical;
    if !physical && session.database != catalogue.database && session.database != "postgres" {
        let text = format!("database \"{}\" does not exist", session.database);
        return Err((SqlError::new("3D000", text).internal(11_815), false));
    }
    for (name, value) in &session.settings {
        if !KNOWN_SETTINGS.contains(&name.as_str()) && !catalogue.settings.contains_key(name) {
            let text = format!("unrecognized configuration parameter \"{name}\"");
            return Err((SqlError::new("42704", text), false));
        }
        let known = ["ISO", "SQL", "Postgres", "German"];
        let style = value.split([',', ' ']).next().unwrap_or_default();
        if name == "datestyle" && !known.iter().any(|known| known.eq_ignore_ascii_case(style)) {
            let error = SqlError::new("22023", format!("invalid value for parameter \"DateStyle\": \"{value}\""));
            return Err((error.module("GUC").detail(format!("Unrecognized key word: \"{value}\".")), false));
        }
        let encodings = ["UTF8", "UTF-8", "GBK", "GB18030", "LATIN1", "SQL_ASCII"];
        if name == "client_encoding" && !encodings.iter().any(|known| known.eq_ignore_ascii_case(value)) {
            let error = SqlError::new("22023", format!("invalid value for parameter \"client_encoding\": \"{value}\""));
            return Err((error.module("GUC"), false));
        }
    }
    if session.replication && !account.role.may_replicate() {
        return Err((crate::walsender::no_privilege(), true));
    }
    session.expired = account.expired;
    Ok(())
}

/// Parameters, key and ReadyForQuery. A walsender tells no key and no name.
fn greet(door: &Door, session: &Session, out: &mut Vec<u8>) {
    let catalogue = door.shared.catalogue();
    let setting = |name: &str| session.settings.get(name).map_or("", String::as_str);
    let or = |name: &str, default: &'static str| match setting(name) {
        "" => default.to_owned(),
        value => value.to_owned(),
    };
    // What the session asked for, else what is set for the database, else for the server.
    let effective = |name: &str| {
        let places = [&session.settings, &catalogue.database_settings, &catalogue.settings];
        places.into_iter().find_map(|place| place.get(name)).cloned().unwrap_or_default()
    };
    let style = or("datestyle", "ISO, MDY");
    let parameters: [(&str, String); 24] = [
        ("application_name", setting("application_name").to_owned()),
        ("b_format_behavior_compat_options", String::new()),
        ("behavior_compat_options", effective("behavior_compat_options")),
        ("cgroup_name", String::new()),
        ("character_set_connection", catalogue.encoding.clone()),
        ("client_encoding", or("client_encoding", "UTF8")),
        ("collation_connection", String::new()),
        ("connection_info", String::new()),
        ("DateStyle", if style.contains(',') { style } else { format!("{style}, MDY") }),
        ("disable_keyword_options", String::new()),
        ("enable_record_nettime", "off".to_owned()),
        ("integer_datetimes", "on".to_owned()),
        ("IntervalStyle", or("intervalstyle", "postgres")),
        ("is_sysadmin", "off".to_owned()),
        ("memory_detail_tracking", String::new()),
        ("plsql_compile_check_options", String::new()),
        ("query_band", String::new()),
        ("server_encoding", catalogue.encoding.clone()),
        ("server_version", "9.2.4".to_owned()),
        ("session_authorization", if session.replication { String::new() } else { session.user.clone() }),
        ("session_respool", "invalid_pool".to_owned()),
        ("standard_conforming_strings", "on".to_owned()),
        ("TimeZone", or("timezone", "UTC")),
        ("uppercase_attribute_name", "off".to_owned()),
    ];
    for (name, value) in parameters {
        wire::message(out, b'S', |out| {
            wire::text(out, name);
            wire::text(out, &value);
        });
    }
    if !session.replication {
        wire::message(out, b'K', |out| {
            out.extend_from_slice(&session.pid.to_be_bytes());
            out.extend_from_slice(&session.key.to_be_bytes());
        });
    }
    wire::ready(out, b'I');
}
