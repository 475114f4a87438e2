//! What can go wrong on this crate's side of the wire. [`Error::failure`] gives the form people see.

use crate::auth::AuthError;
use crate::classify::classify;
use crate::framing::FramingError;
use crate::message::Malformed;
use millrace_batch::Failure;
use std::fmt;
use std::io;
use std::time::Duration;

/// An ErrorResponse of the server, with the fields worth keeping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`.
    pub severity: String,
    /// Five characters, see PostgreSQL's appendix "Error Codes".
    pub sqlstate: String,
    /// Primary message, in the language of the server's `lc_messages`.
    pub message: String,
    /// Second sentence.
    pub detail: Option<String>,
    /// The server's own advice.
    pub hint: Option<String>,
    /// Where in the work it happened (for decoding: slot, plugin, callback, LSN).
    pub context: Option<String>,
    /// Function of the server's source that raised it: the same in every language.
    pub routine: Option<String>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.sqlstate, self.message)?;
        for extra in [&self.detail, &self.hint].into_iter().flatten() {
            write!(f, " ({extra})")?;
        }
        Ok(())
    }
}

impl From<&tokio_postgres::error::DbError> for ServerError {
    fn from(error: &tokio_postgres::error::DbError) -> Self {
        Self {
            severity: error.severity().to_owned(),
            sqlstate: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            context: error.where_().map(str::to_owned),
            routine: error.routine().map(str::to_owned),
        }
    }
}

/// An error of the replication client. No variant ever holds a password or a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be opened, or it broke.
    #[error("{during}: {source}")]
    Io {
        /// What was going on.
        during: String,
        /// The system's error.
        source: io::Error,
    },
    /// The server closed the connection without a word.
    #[error("{during}: the server closed the connection")]
    Closed {
        /// What was going on.
        during: String,
    },
    /// Nothing came within the bound.
    #[error("{during}: nothing within {after:?}")]
    Timeout {
        /// What was going on.
        during: String,
        /// The bound.
        after: Duration,
    },
    /// The server answered `N` to the request for TLS.
    #[error("{host} does not offer TLS")]
    TlsNotOffered {
        /// Host and port.
        host: String,
    },
    /// The certificate of the server was not accepted.
    #[error("certificate of {host} refused: {reason}")]
    TlsCertificate {
        /// Host and port.
        host: String,
        /// OpenSSL's reason.
        reason: String,
    },
    /// TLS failed for another reason than the server's certificate.
    #[error("TLS with {host} failed: {reason}")]
    TlsHandshake {
        /// Host and port.
        host: String,
        /// OpenSSL's reason.
        reason: String,
    },
    /// A root certificate, client certificate or key could not be used.
    #[error("{what}: {reason}")]
    TlsConfig {
        /// The option and its file.
        what: String,
        /// OpenSSL's reason.
        reason: String,
    },
    /// Log-in failed on our side of the exchange.
    #[error("log-in at {host}: {source}")]
    Auth {
        /// Host and port.
        host: String,
        /// What was wrong.
        source: AuthError,
    },
    /// The server answered with an error.
    #[error("{during}: {error}")]
    Server {
        /// What was going on.
        during: String,
        /// The server's words.
        error: Box<ServerError>,
    },
    /// A message that does not belong there, or is broken.
    #[error("{during}: {reason}")]
    Protocol {
        /// What was going on.
        during: String,
        /// What was wrong with it.
        reason: String,
    },
    /// The stream cannot be cut into messages.
    #[error("{during}: {source}")]
    Framing {
        /// What was going on.
        during: String,
        /// What was wrong.
        source: FramingError,
    },
    /// A server was reached that is in recovery while a primary is wanted.
    #[error("{host} is a standby, a primary is wanted")]
    NotPrimary {
        /// Host and port.
        host: String,
    },
    /// Slot creation waited too long for older transactions and was cancelled.
    #[error("slot `{slot}` was not ready within {after:?}: it waits for transactions that are still open")]
    SlotCreationBlocked {
        /// Name of the slot.
        slot: String,
        /// The bound.
        after: Duration,
    },
    /// No host is configured, or an option cannot be sent.
    #[error("{0}")]
    Options(String),
    /// Every host failed in a way that may pass. The last failure decides the code.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    AllHosts(Vec<Error>),
}

impl Error {
    pub(crate) fn io(during: impl Into<String>, source: io::Error) -> Self {
        let during = during.into();
        match tls_alert(&source) {
            Some(reason) => Error::TlsHandshake { host: during, reason },
            None if source.kind() == io::ErrorKind::UnexpectedEof => Error::Closed { during },
            None => Error::Io { during, source },
        }
    }

    pub(crate) fn protocol(during: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Protocol { during: during.into(), reason: reason.into() }
    }

    pub(crate) fn malformed(during: &str) -> impl Fn(Malformed) -> Self {
        move |reason| Error::protocol(during, reason)
    }

    pub(crate) fn framing(during: impl Into<String>) -> impl FnOnce(FramingError) -> Self {
        move |source| Error::Framing { during: during.into(), source }
    }

    pub(crate) fn server(during: impl Into<String>, error: ServerError) -> Self {
        Error::Server { during: during.into(), error: Box::new(error) }
    }

    /// An error of `tokio-postgres`, met while doing `during`.
    pub fn sql(during: impl Into<String>, error: tokio_postgres::Error) -> Self {
        let during = during.into();
        if let Some(db) = error.as_db_error() {
            return Error::server(during, ServerError::from(db));
        }
        if error.is_closed() {
            return Error::Closed { during };
        }
        let text = error.to_string();
        match error.into_source().map(|source| source.downcast::<io::Error>()) {
            Some(Ok(io)) => Error::io(during, *io),
            Some(Err(other)) => Error::protocol(during, format!("{text}: {other}")),
            None => Error::protocol(during, text),
        }
    }

    /// The server's error, where there is one.
    pub fn server_error(&self) -> Option<&ServerError> {
        match self {
            Error::Server { error, .. } => Some(error),
            Error::AllHosts(errors) => errors.last().and_then(Error::server_error),
            _ => None,
        }
    }

    /// Whether another attempt, or another host, may succeed without anybody acting.
    pub fn is_transient(&self) -> bool {
        !self.failure().is_definite()
    }

    /// The form for people: stable code, class, what was tried, why it failed, the mend.
    pub fn failure(&self) -> Failure {
        let why = self.to_string();
        let network = "nothing to do if the server comes back; otherwise check host, port, firewall and server log";
        match self {
            Error::Io { during, source } => match source.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Failure::transient(
                    "connection_refused",
                    during,
                    why,
                    "check that the server runs and listens there (listen_addresses, port, unix_socket_directories)",
                ),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                    Failure::transient("connection_lost", during, why, network)
                }
                io::ErrorKind::TimedOut => Failure::transient("timeout", during, why, network),
                _ => Failure::transient("connection_failed", during, why, network),
            },
            Error::Closed { during } => Failure::transient("connection_lost", during, why, network),
            Error::Timeout { during, .. } => Failure::transient("timeout", during, why, network),
            Error::TlsNotOffered { host } => Failure::definite(
                "tls_not_offered",
                format!("connecting to {host}"),
                why,
                "set `ssl = on` with a certificate at the server, or choose sslmode = \"disable\" knowing that passwords and rows travel unprotected",
            ),
            Error::TlsCertificate { host, .. } => Failure::definite(
                "tls_certificate",
                format!("connecting to {host}"),
                why,
                "name the issuing root in root_cert, connect by a name the certificate carries, or renew the certificate",
            ),
            Error::TlsHandshake { host, .. } => Failure::definite(
                "tls_handshake",
                format!("TLS with {host}"),
                why,
                "check the server's TLS settings, and the client certificate if the server asks for one",
            ),
            Error::TlsConfig { what, .. } => {
                Failure::definite("tls_config", what, why, "give a readable PEM file, and its passphrase if it has one")
            }
            Error::Auth { host, source } => auth_failure(host, source, why),
            Error::Server { during, error } => classify(during, error),
            Error::Protocol { during, .. } => protocol_failure(during, why),
            Error::Framing { during, source: FramingError::TooLarge { .. } } => Failure::definite(
                "message_too_large",
                during,
                why,
                "raise the bound on a source message above the widest row, or leave the wide table out of the publication",
            ),
            Error::Framing { during, .. } => protocol_failure(during, why),
            Error::NotPrimary { host } => Failure::transient(
                "not_primary",
                format!("connecting to {host}"),
                why,
                "list the current primary among the hosts",
            ),
            Error::SlotCreationBlocked { slot, .. } => Failure::transient(
                "slot_creation_blocked",
                format!("creating slot `{slot}`"),
                why,
                "end what it waits for: SELECT pid, xact_start, state, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start; and SELECT gid, prepared FROM pg_prepared_xacts;",
            ),
            Error::Options(_) => {
                Failure::definite("connect_options", "reading the connection options", why, "correct the option")
            }
            Error::AllHosts(errors) => match errors.last() {
                Some(last) => Failure { why, ..last.failure() },
                None => Failure::definite("connect_options", "connecting", "no host is configured", "name a host"),
            },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        error.failure()
    }
}

fn auth_failure(host: &str, source: &AuthError, why: String) -> Failure {
    let tried = format!("logging in at {host}");
    match source {
        AuthError::Unsupported(_) => Failure::definite(
            "auth_method_unsupported",
            tried,
            why,
            "let pg_hba.conf ask this user for scram-sha-256, md5, password or cert",
        ),
        AuthError::WrongDialect(_) => {
            Failure::definite("wrong_dialect", tried, why, "choose the dialect of the server that answers there")
        }
        AuthError::PasswordMissing(_) => {
            Failure::definite("password_missing", tried, why, "configure the password of this user")
        }
        AuthError::ChannelBinding(_) => Failure::definite(
            "channel_binding",
            tried,
            why,
            "use TLS and scram-sha-256 at the server, or set channel_binding = \"prefer\"",
        ),
        AuthError::Exchange { .. } => Failure::definite(
            "authentication_failed",
            tried,
            why,
            "check that this is the server you mean: it could not complete the log-in it began",
        ),
    }
}

fn protocol_failure(during: &str, why: String) -> Failure {
    Failure::definite(
        "protocol_violation",
        during,
        why,
        "check that the port leads to the database server and not to a pooler or another service; if so, report this",
    )
}

/// The reason, when an IO error carries an alert or failure of TLS (a refused client certificate shows at the first read).
fn tls_alert(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<openssl::ssl::Error>()?;
    inner.ssl_error().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_batch::Class;

    #[test]
    fn network_failures_are_transient_and_refusals_are_not() {
        let refused = Error::io("connecting to db:1", io::ErrorKind::ConnectionRefused.into());
        assert_eq!((refused.failure().code, refused.failure().class), ("connection_refused", Class::Transient));
        let reset = Error::io("streaming", io::ErrorKind::ConnectionReset.into());
        assert_eq!(reset.failure().code, "connection_lost");
        let eof = Error::io("streaming", io::ErrorKind::UnexpectedEof.into());
        assert_eq!(eof.failure().code, "connection_lost");
        let auth = Error::Auth { host: "db:1".into(), source: AuthError::PasswordMissing("MD5") };
        assert_eq!((auth.failure().code, auth.failure().class), ("password_missing", Class::Definite));
        let large = FramingError::TooLarge { tag: 'd', length: 9, limit: 8 };
        let large = Error::Framing { during: "streaming".into(), source: large };
        assert_eq!((large.failure().code, large.is_transient()), ("message_too_large", false));
    }

    #[test]
    fn several_hosts_tell_all_reasons() {
        let all = Error::AllHosts(vec![
            Error::Timeout { during: "connecting to a:1".into(), after: Duration::from_secs(3) },
            Error::io("connecting to b:1", io::ErrorKind::ConnectionRefused.into()),
        ]);
        let failure = all.failure();
        assert_eq!(failure.code, "connection_refused");
        assert!(failure.why.contains("a:1") && failure.why.contains("b:1"), "{failure}");
    }
}
