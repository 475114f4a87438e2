//! `[source]`: the database that is read.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Bounded, DataNode, Decoding, Heartbeat, HostAddress, Numbers, Parallel, Problems, SecretSource, Size, SlotName,
    Span, SpillConfig, SqlName,
};

/// The family of the source server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// PostgreSQL, decoded by pgoutput.
    Postgresql,
    /// GaussDB, centralized or distributed, and openGauss. Which of them it is, the server tells.
    Gaussdb,
}

impl SourceKind {
    /// How the messages name the family by default (`dbType`).
    pub fn db_type(self) -> &'static str {
        match self {
            SourceKind::Postgresql => "PostgreSQL",
            SourceKind::Gaussdb => "GaussDB",
        }
    }
}

/// How the connection is protected, with libpq's names and meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS only where the server refuses without.
    Allow,
    /// TLS where the server offers it, not verified.
    Prefer,
    /// TLS always, not verified (verified as verify-ca where root_cert is given, as libpq does).
    Require,
    /// TLS always, the certificate's chain verified.
    VerifyCa,
    /// TLS always, chain and host name verified.
    VerifyFull,
}

/// `[source]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Family of the server: postgresql, or gaussdb for GaussDB and openGauss (which of them it is, the server tells).
    pub kind: SourceKind,
    /// Servers, tried in order until one accepts; host:port, or /directory/of/the/socket:port. Of GaussDB and openGauss, the first that
    /// is a primary; of a distributed GaussDB, its coordinators.
    pub hosts: Vec<HostAddress>,
    /// Database; a task reads one.
    pub database: SqlName,
    /// Role that logs in; it needs REPLICATION and SELECT on the tables.
    pub user: SqlName,
    /// Password; absent for peer, trust and certificate authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// TLS on TCP connections; Unix sockets never use it.
    #[serde(default = "verify_full")]
    pub sslmode: SslMode,
    /// PEM file of the authorities to trust; absent: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_cert: Option<PathBuf>,
    /// PEM file of the client certificate, with its chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// Replication slot. Default: millrace_ and the task's name in lower case, '-' as '_'. In a distributed GaussDB each data node has
    /// one of this name.
    #[serde(default = "unset_slot")]
    pub slot: SlotName,
    /// How changes are rendered: pgoutput for PostgreSQL; serial or parallel for GaussDB and openGauss. Default: pgoutput or serial.
    #[serde(default = "pgoutput")]
    pub decoding: Decoding,
    /// Settings of decoding = "parallel".
    #[serde(default)]
    pub parallel: Parallel,
    /// Port for replication at every host. Default: the one after the host's port in GaussDB and openGauss, the host's port in PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_port: Option<Bounded<1, 65_535>>,
    /// Data nodes of a distributed GaussDB. Default: asked of the coordinator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<DataNode>,
    /// Whether mppdb_decoding is told which tables to send, where the patterns can say it: exact plain names,
    /// `schema.*`. Off: all are sent, and filtered here.
    #[serde(default = "yes")]
    pub white_list: bool,
    /// Further options of mppdb_decoding, for memory and time at the server, as `{ "max-txn-in-memory" = "8" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugin_options: BTreeMap<String, String>,
    /// Text of numeric, real and double precision that mppdb_decoding sends: canonical, as PostgreSQL prints the value
    /// (`0.1`), or as-sent (`.1`, `.100000000000000006`), which depends on the server's settings.
    #[serde(default)]
    pub numbers: Numbers,
    /// A row that is changed now and then, for an idle source whose slot would hold its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// Memory for transactions whose end is not known yet: mppdb_decoding tells the commit last. Shards share it.
    #[serde(default = "transaction_limit")]
    pub transaction_memory: Size,
    /// Where transactions go that are larger.
    #[serde(default)]
    pub spill: SpillConfig,
    /// Publication. Default: the name of the slot.
    #[serde(default = "unset_name")]
    pub publication: SqlName,
    /// Whether the gateway creates a missing publication for the tables that objects.include names; patterns with * need
    /// FOR ALL TABLES, which only a superuser may.
    #[serde(default)]
    pub create_publication: bool,
    /// Time for connecting to one host, TLS and login included.
    #[serde(default = "ten_seconds")]
    pub connect_timeout: Span,
    /// How often, at least, the source is told what is confirmed, whatever the data does.
    #[serde(default = "ten_seconds")]
    pub status_interval: Span,
    /// Largest protocol message taken from the source; a row cannot be larger.
    #[serde(default = "message_limit")]
    pub max_message: Size,
    /// How long making the slot may take: it waits for every transaction that is open at the time.
    #[serde(default = "five_minutes")]
    pub slot_timeout: Span,
    /// How long a slot that another connection uses is waited for before it is a definite error.
    #[serde(default = "one_minute")]
    pub slot_busy_timeout: Span,
}

fn verify_full() -> SslMode {
    SslMode::VerifyFull
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

fn one_minute() -> Span {
    Span::secs(60)
}

fn five_minutes() -> Span {
    Span::secs(300)
}

fn pgoutput() -> Decoding {
    Decoding::Pgoutput
}

fn yes() -> bool {
    true
}

fn transaction_limit() -> Size {
    Size::mib(64)
}

fn message_limit() -> Size {
    Size::mib(256)
}

/// Never seen outside: `derive::fill` writes the name that follows from the task's.
fn unset_slot() -> SlotName {
    super::derive::parsed("millrace_unset")
}

fn unset_name() -> SqlName {
    super::derive::parsed("millrace_unset")
}

impl Source {
    pub(super) fn check(&self, problems: &mut Problems) {
        if self.hosts.is_empty() || self.hosts.len() > 10 {
            problems.refuse(&["source.hosts"], "must name 1 to 10 servers");
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            let path = if self.client_key.is_some() { "source.client_cert" } else { "source.client_key" };
            problems.refuse(
                &[path, "source.client_cert", "source.client_key"],
                "is missing: client_cert and client_key go together",
            );
        }
        if self.sslmode == SslMode::Disable {
            for (path, file) in [("source.root_cert", &self.root_cert), ("source.client_cert", &self.client_cert)] {
                if file.is_some() {
                    problems.refuse(&[path, "source.sslmode"], "has no effect with sslmode = \"disable\"");
                }
            }
        }
        problems.span("source.connect_timeout", self.connect_timeout, Span::millis(100), Span::secs(600));
        // wal_sender_timeout is 60 s by default: a longer pause would make the server end the connection.
        problems.span("source.status_interval", self.status_interval, Span::millis(100), Span::secs(60));
        problems.span("source.slot_busy_timeout", self.slot_busy_timeout, Span::millis(0), Span::secs(86_400));
        problems.span("source.slot_timeout", self.slot_timeout, Span::secs(1), Span::secs(86_400));
        problems.size("source.transaction_memory", self.transaction_memory, Size::mib(1), Size::mib(3 << 10));
        super::decoding::check(self, problems);
        // PostgreSQL's own limit of one message is 1 GiB.
        problems.size("source.max_message", self.max_message, Size::kib(64), Size::mib(1024));
    }
}
