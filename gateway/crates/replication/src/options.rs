//! Where and as whom to connect. Knows libpq's names and defaults, not how a connection is made.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use zeroize::Zeroizing;

/// A value that must never be printed: password or key passphrase. Wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret text.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Name or address, reached over TCP.
    Tcp(String),
    /// Directory that holds the socket `.s.PGSQL.PORT`.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Tcp(name) => f.write_str(name),
            Host::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// `sslmode` with libpq's names and meanings. Unix sockets never use TLS, whatever the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// Plain first; TLS when the server refuses a plain connection.
    Allow,
    /// TLS when the server offers it, else plain. Nothing is verified.
    Prefer,
    /// TLS or nothing. Verifies the chain only when a root certificate is given, as libpq does.
    Require,
    /// TLS, and the chain must lead to a trusted root.
    VerifyCa,
    /// As `verify-ca`, and the certificate must name the host. The default over TCP.
    VerifyFull,
}

impl SslMode {
    /// All modes by their libpq names.
    pub const NAMES: [(&'static str, SslMode); 6] = [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];
}

impl FromStr for SslMode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, mode)| *mode).ok_or_else(|| {
            format!("sslmode `{name}` is none of disable, allow, prefer, require, verify-ca, verify-full")
        })
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, mode)| mode == self).map_or("?", |(name, _)| name);
        f.write_str(name)
    }
}

/// Whether SCRAM is bound to the TLS channel (libpq's `channel_binding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// When the connection is TLS and the server offers it.
    #[default]
    Prefer,
    /// Always; a server that does not is refused before any password leaves.
    Require,
}

/// Which kind of server is wanted among the hosts (libpq's `target_session_attrs`, the part replication needs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetSession {
    /// The first that accepts.
    #[default]
    Any,
    /// The first that is not in recovery. Needs a server that reports `in_hot_standby` (PostgreSQL 14 and later);
    /// an older one counts as primary, and so do GaussDB and openGauss.
    Primary,
}

/// The family of the server: decides start-up version, authentication codes and the byte order of CopyBoth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// PostgreSQL: protocol 3.0, big-endian throughout.
    #[default]
    PostgreSql,
    /// GaussDB (centralized and distributed) and openGauss: protocol 3.51, challenges of its own, little-endian keepalives
    /// and status updates.
    GaussDb,
}

impl Dialect {
    /// Protocol number of the start-up packet: major in the high half, minor in the low.
    pub(crate) fn protocol_version(self) -> i32 {
        match self {
            Dialect::PostgreSql => 3 << 16,
            // With 3.50 or less the server does not tell the iteration count of a password.
            Dialect::GaussDb => 3 << 16 | 51,
        }
    }
}

/// Everything needed to reach and log in to a source.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Hosts with ports, tried in order. The next one is tried after a failure that may pass (refused, reset, timed
    /// out, starting up); never after a refusal that will repeat, so that no account is locked by our retries.
    pub hosts: Vec<(Host, u16)>,
    /// Role to log in as.
    pub user: String,
    /// Its password; `None` where the server asks for none.
    pub password: Option<Secret>,
    /// Database to connect to.
    pub database: String,
    /// TLS policy.
    pub sslmode: SslMode,
    /// PEM file of trusted roots; `None` takes the system's.
    pub root_cert: Option<PathBuf>,
    /// PEM file with the client certificate (chain).
    pub client_cert: Option<PathBuf>,
    /// PEM file with the client's private key.
    pub client_key: Option<PathBuf>,
    /// Passphrase of the private key.
    pub client_key_passphrase: Option<Secret>,
    /// SCRAM channel binding.
    pub channel_binding: ChannelBinding,
    /// Which server among the hosts.
    pub target: TargetSession,
    /// Bound on one attempt at one address: TCP, TLS and log-in together.
    pub connect_timeout: Duration,
    /// Shown in `pg_stat_activity` and `pg_stat_replication`.
    pub application_name: String,
    /// Idle time before TCP probes the peer, also the bound on unacknowledged data (`TCP_USER_TIMEOUT`); `None` leaves
    /// the system's defaults (hours).
    pub tcp_keepalive: Option<Duration>,
    /// Server family.
    pub dialect: Dialect,
    /// Whether sessions ask GaussDB and openGauss for `enable_slot_log`. Off only where the server's own setting is to be seen.
    pub slot_log: bool,
    /// Port for replication at every host, where it is not the one that follows from [`Self::hosts`]: that port itself in
    /// PostgreSQL; the one after it (`port + 1`) in GaussDB and openGauss, and where nobody listens there, that port itself.
    pub replication_port: Option<u16>,
}

impl ConnectOptions {
    /// Options with one host and libpq's defaults, except that TLS is verified (`verify-full`).
    pub fn new(host: Host, port: u16, user: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            hosts: vec![(host, port)],
            user: user.into(),
            password: None,
            database: database.into(),
            sslmode: SslMode::VerifyFull,
            root_cert: None,
            client_cert: None,
            client_key: None,
            client_key_passphrase: None,
            channel_binding: ChannelBinding::default(),
            target: TargetSession::default(),
            connect_timeout: Duration::from_secs(10),
            application_name: "millrace".to_owned(),
            tcp_keepalive: Some(Duration::from_secs(30)),
            dialect: Dialect::default(),
            slot_log: true,
            replication_port: None,
        }
    }

    /// Session settings sent in the start-up packet. They win over what `ALTER ROLE` or `ALTER DATABASE` set, so the
    /// text of a value never depends on who reads it.
    pub(crate) fn session_settings(&self) -> Vec<(&'static str, &str)> {
        let mut settings = vec![
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", "UTC"),
            ("bytea_output", "hex"),
            ("application_name", self.application_name.as_str()),
        ];
        settings.extend(match self.dialect {
            Dialect::PostgreSql => [
                // What PostgreSQL's own walreceiver asks for: shortest exact floats since 12, exact ones before.
                ("extra_float_digits", "3"),
                ("lc_monetary", "C"),
                // Types such as regclass print a schema unless it is on the path.
                ("search_path", "pg_catalog"),
                ("statement_timeout", "0"),
                ("lock_timeout", "0"),
                ("idle_in_transaction_session_timeout", "0"),
            ]
            .as_slice(),
            // Standbys learn of a slot and its progress only where this is on. A name the server does not know ends the
            // log-in, and products differ: what is not needed is not sent.
            Dialect::GaussDb if self.slot_log => [("enable_slot_log", "on")].as_slice(),
            Dialect::GaussDb => [].as_slice(),
        });
        settings
    }

    /// Where to try replication at a host with this port, in order.
    pub(crate) fn replication_ports(&self, port: u16) -> (u16, Option<u16>) {
        match (self.replication_port, self.dialect) {
            (Some(named), _) => (named, None),
            (None, Dialect::PostgreSql) => (port, None),
            (None, Dialect::GaussDb) => port.checked_add(1).map_or((port, None), |next| (next, Some(port))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let mut options = ConnectOptions::new(Host::Tcp("db".into()), 5432, "cdc", "shop");
        options.password = Some(Secret::new("hunter2"));
        options.client_key_passphrase = Some(Secret::new("hunter3"));
        let shown = format!("{options:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        assert_eq!(options.password.unwrap().expose(), "hunter2");
    }

    #[test]
    fn replication_has_its_port() {
        let mut options = ConnectOptions::new(Host::Tcp("db".into()), 8000, "cdc", "shop");
        assert_eq!(options.replication_ports(8000), (8000, None));
        options.dialect = Dialect::GaussDb;
        assert_eq!(options.replication_ports(8000), (8001, Some(8000)));
        assert_eq!(options.replication_ports(65_535), (65_535, None));
        options.replication_port = Some(9001);
        assert_eq!(options.replication_ports(8000), (9001, None));
    }

    #[test]
    fn sslmode_names_are_those_of_libpq() {
        for (name, mode) in SslMode::NAMES {
            assert_eq!(name.parse::<SslMode>().unwrap(), mode);
            assert_eq!(mode.to_string(), name);
        }
        assert!("verify_full".parse::<SslMode>().unwrap_err().contains("verify_full"));
    }
}
