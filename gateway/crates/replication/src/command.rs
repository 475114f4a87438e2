//! Texts of replication commands and what their answers mean. Sans-IO.
//!
//! Grammar: PostgreSQL's documentation, "Streaming Replication Protocol", and its `repl_gram.y`.

use crate::quote::{quote_ident, quote_literal};
use millrace_batch::Lsn;
use std::time::Duration;

/// Answer of `IDENTIFY_SYSTEM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemIdentity {
    /// Decimal identifier given by initdb: the same on a primary and its standbys, different after a rebuild.
    pub system_id: String,
    /// Timeline; grows with every promotion.
    pub timeline: u32,
    /// End of the flushed log.
    pub wal_flush: Lsn,
    /// Database of the connection.
    pub database: Option<String>,
}

/// What happens to the snapshot a new slot starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Snapshot {
    /// Not kept.
    #[default]
    Nothing,
    /// Kept for other sessions until this connection's next command.
    Export,
    /// Used by the transaction around the command.
    Use,
}

/// A logical slot to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateSlot {
    /// Name: lower-case letters, digits and underscores.
    pub name: String,
    /// Output plugin.
    pub plugin: String,
    /// Dropped by the server when the connection ends.
    pub temporary: bool,
    /// The snapshot.
    pub snapshot: Snapshot,
}

impl CreateSlot {
    /// A lasting `pgoutput` slot without a snapshot.
    pub fn pgoutput(name: impl Into<String>) -> Self {
        Self { name: name.into(), plugin: "pgoutput".into(), temporary: false, snapshot: Snapshot::Nothing }
    }

    /// `server_version` is the major version: the option list came with 15.
    pub(crate) fn sql(&self, server_version: u32) -> String {
        let temporary = if self.temporary { " TEMPORARY" } else { "" };
        let (old, new) = match self.snapshot {
            Snapshot::Nothing => ("NOEXPORT_SNAPSHOT", "nothing"),
            Snapshot::Export => ("EXPORT_SNAPSHOT", "export"),
            Snapshot::Use => ("USE_SNAPSHOT", "use"),
        };
        let snapshot = if server_version >= 15 { format!("(SNAPSHOT '{new}')") } else { old.to_owned() };
        let (name, plugin) = (quote_ident(&self.name), quote_ident(&self.plugin));
        format!("CREATE_REPLICATION_SLOT {name}{temporary} LOGICAL {plugin} {snapshot}")
    }
}

impl CreateSlot {
    /// As GaussDB and openGauss write it: they have no temporary slots, and always export the snapshot.
    pub(crate) fn gauss_sql(&self) -> Result<String, &'static str> {
        if self.temporary {
            return Err("GaussDB and openGauss have no temporary slots");
        }
        if self.name.contains('"') || self.plugin.contains('"') {
            return Err("GaussDB and openGauss have no quotes inside the name of a slot or plugin");
        }
        let snapshot = if self.snapshot == Snapshot::Use { " USE_SNAPSHOT" } else { "" };
        let (name, plugin) = (quote_ident(&self.name), quote_ident(&self.plugin));
        Ok(format!("CREATE_REPLICATION_SLOT {name} LOGICAL {plugin}{snapshot}"))
    }
}

/// The server's time-out as a stream's own options set it (`sender-timeout` of mppdb_decoding): `None` where they do not, or
/// in a form that is the server's to refuse.
pub(crate) fn sender_timeout(options: &[PluginOption]) -> Option<Option<Duration>> {
    let (_, value) = options.iter().find(|(name, _)| name == "sender-timeout")?;
    let text = value.as_deref()?.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text.get(..digits)?.parse().ok()?;
    let millis = match text.get(digits..)?.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        _ => return None,
    };
    let millis = count.checked_mul(millis)?;
    Some((millis > 0).then(|| Duration::from_millis(millis)))
}

/// A slot just created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Its name.
    pub name: String,
    /// From here on every commit is delivered.
    pub consistent_point: Lsn,
    /// Name for `SET TRANSACTION SNAPSHOT`, with [`Snapshot::Export`].
    pub snapshot: Option<String>,
}

/// An option for the output plugin: name and value.
pub type PluginOption = (String, Option<String>);

/// Streaming of transactions that are still in progress (`streaming`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InProgress {
    /// Only whole transactions, after their commit.
    #[default]
    Off,
    /// Large transactions in pieces before their commit (protocol 2, PostgreSQL 14).
    On,
}

/// Options of `pgoutput`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pgoutput {
    /// Publications to read, by name.
    pub publications: Vec<String>,
    /// Deliver `pg_logical_emit_message` (PostgreSQL 14).
    pub messages: bool,
    /// Values in their binary form where the type has one (PostgreSQL 14).
    pub binary: bool,
    /// In-progress transactions.
    pub streaming: InProgress,
    /// Only changes without a replication origin (PostgreSQL 16); keeps a two-way set-up from echoing.
    pub origin_none: bool,
}

impl Pgoutput {
    /// Plain protocol 1 on these publications.
    pub fn new<T: Into<String>>(publications: impl IntoIterator<Item = T>) -> Self {
        let publications = publications.into_iter().map(Into::into).collect();
        Self { publications, messages: false, binary: false, streaming: InProgress::Off, origin_none: false }
    }

    /// As the plugin wants them. Options left at their default are not sent, so old servers do not stumble over them.
    pub fn options(&self) -> Vec<PluginOption> {
        let version = if self.streaming == InProgress::On { "2" } else { "1" };
        let names: Vec<String> = self.publications.iter().map(|name| quote_ident(name)).collect();
        let mut out = vec![("proto_version", version.to_owned()), ("publication_names", names.join(","))];
        let switches = [
            (self.messages, "messages", "true"),
            (self.binary, "binary", "true"),
            (self.streaming == InProgress::On, "streaming", "on"),
            (self.origin_none, "origin", "none"),
        ];
        out.extend(switches.iter().filter(|(on, ..)| *on).map(|(_, name, value)| (*name, (*value).to_owned())));
        out.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect()
    }
}

/// A stream to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartReplication {
    /// Slot to read.
    pub slot: String,
    /// Commits that end at or before this are skipped by the server; zero takes what the slot has confirmed. The server
    /// never goes back behind the slot's `confirmed_flush_lsn`, whatever is asked.
    pub from: Lsn,
    /// Options for the plugin.
    pub options: Vec<PluginOption>,
}

impl StartReplication {
    pub(crate) fn sql(&self) -> String {
        let mut sql = format!("START_REPLICATION SLOT {} LOGICAL {}", quote_ident(&self.slot), self.from);
        let option = |(name, value): &PluginOption| match value {
            // The replication grammar has no E'' literal and takes a backslash as it is.
            Some(value) => format!("{} '{}'", quote_ident(name), value.replace('\'', "''")),
            None => quote_ident(name),
        };
        if !self.options.is_empty() {
            sql += &format!(" ({})", self.options.iter().map(option).collect::<Vec<_>>().join(", "));
        }
        sql
    }
}

pub(crate) fn drop_slot(name: &str, wait: bool) -> String {
    format!("DROP_REPLICATION_SLOT {}{}", quote_ident(name), if wait { " WAIT" } else { "" })
}

/// Asks for a setting; NULL where this server does not have it.
pub(crate) fn show(setting: &str) -> String {
    format!("SELECT pg_catalog.current_setting({}, true)", quote_literal(setting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_texts_follow_the_server_version() {
        let mut slot = CreateSlot::pgoutput("s\"1");
        assert_eq!(slot.sql(15), "CREATE_REPLICATION_SLOT \"s\"\"1\" LOGICAL \"pgoutput\" (SNAPSHOT 'nothing')");
        slot.temporary = true;
        slot.snapshot = Snapshot::Export;
        assert_eq!(slot.sql(14), "CREATE_REPLICATION_SLOT \"s\"\"1\" TEMPORARY LOGICAL \"pgoutput\" EXPORT_SNAPSHOT");
        assert_eq!(drop_slot("s", true), "DROP_REPLICATION_SLOT \"s\" WAIT");
    }

    #[test]
    fn start_text_quotes_names_twice() {
        let mut plugin = Pgoutput::new(["o'rders", "All"]);
        plugin.streaming = InProgress::On;
        let start = StartReplication { slot: "s".into(), from: Lsn(0x1_0000_00ff), options: plugin.options() };
        assert_eq!(
            start.sql(),
            "START_REPLICATION SLOT \"s\" LOGICAL 1/FF (\"proto_version\" '2', \"publication_names\" '\"o''rders\",\"All\"', \"streaming\" 'on')"
        );
        let bare = StartReplication { slot: "s".into(), from: Lsn(0), options: vec![("force".into(), None)] };
        assert_eq!(bare.sql(), "START_REPLICATION SLOT \"s\" LOGICAL 0/0 (\"force\")");
    }

    #[test]
    fn slots_of_the_other_family() {
        let mut slot = CreateSlot { plugin: "mppdb_decoding".into(), ..CreateSlot::pgoutput("slot_b") };
        // As the running openGauss accepted it.
        assert_eq!(slot.gauss_sql().unwrap(), "CREATE_REPLICATION_SLOT \"slot_b\" LOGICAL \"mppdb_decoding\"");
        slot.temporary = true;
        assert!(slot.gauss_sql().is_err());
        assert!(CreateSlot::pgoutput("a\"b").gauss_sql().is_err());
    }

    #[test]
    fn a_stream_may_bring_its_own_time_out() {
        let timeout = |value: &str| sender_timeout(&[("sender-timeout".into(), Some(value.into()))]);
        assert_eq!(timeout("60s"), Some(Some(Duration::from_secs(60))));
        assert_eq!(timeout("10000"), Some(Some(Duration::from_secs(10))));
        assert_eq!(timeout("0"), Some(None));
        assert_eq!((timeout("soon"), timeout("5 weeks"), sender_timeout(&[])), (None, None, None));
        assert_eq!(timeout("99999999999999999999s"), None);
    }
}
