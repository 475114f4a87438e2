//! Texts of replication commands and what their answers mean. Sans-IO.
//!
//! Grammar: PostgreSQL's documentation, "Streaming Replication Protocol", and its `repl_gram.y`.

use crate::quote::{quote_ident, quote_literal};
use millrace_batch::Lsn;

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
}
