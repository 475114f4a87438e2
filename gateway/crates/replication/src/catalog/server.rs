//! The server itself: version, settings, position, and the transactions a new slot would wait for.

use super::{get, lsn};
use crate::error::Error;
use millrace_batch::Lsn;
use std::time::Duration;
use tokio_postgres::Client;

/// Which server this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `server_version_num`: 150020 is 15.20.
    pub version_num: u32,
    /// `version()`, with product, compiler and platform.
    pub version: String,
    /// Database of the connection.
    pub database: String,
    /// `server_encoding`.
    pub encoding: String,
    /// A standby.
    pub in_recovery: bool,
}

/// Settings that decide whether and how well logical replication works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Must be `logical`.
    pub wal_level: String,
    /// Slots the server has room for.
    pub max_replication_slots: u32,
    /// Slots in use.
    pub replication_slots: u32,
    /// Replication connections the server has room for.
    pub max_wal_senders: u32,
    /// Replication connections in use.
    pub wal_senders: u32,
    /// After this silence the server ends a stream; `None` is never.
    pub wal_sender_timeout: Option<Duration>,
    /// Bound on the WAL a slot may retain in MiB; `None` where unlimited or not known to this server.
    pub max_slot_wal_keep_size_mib: Option<u64>,
    /// Plugins a slot may name (minor releases since CVE-2026-6471); `None` where the server has no such setting.
    pub output_plugin_libraries: Option<Vec<String>>,
}

impl Settings {
    /// Whether a slot may name this plugin.
    pub fn allows_plugin(&self, plugin: &str) -> bool {
        self.output_plugin_libraries.as_ref().is_none_or(|list| list.iter().any(|name| name == plugin))
    }
}

/// Reads version and state.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn server(client: &Client) -> Result<Server, Error> {
    let during = "reading the server's version";
    let sql = "SELECT pg_catalog.current_setting('server_version_num')::int4, pg_catalog.version(),
                      pg_catalog.current_database()::text, pg_catalog.current_setting('server_encoding'),
                      pg_catalog.pg_is_in_recovery()";
    let row = client.query_one(sql, &[]).await.map_err(|error| Error::sql(during, error))?;
    Ok(Server {
        version_num: u32::try_from(get::<i32>(&row, 0, during)?).unwrap_or(0),
        version: get(&row, 1, during)?,
        database: get(&row, 2, during)?,
        encoding: get(&row, 3, during)?,
        in_recovery: get(&row, 4, during)?,
    })
}

/// One setting as text with its unit; `None` where the server does not have it or hides it from this user.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn setting(client: &Client, name: &str) -> Result<Option<String>, Error> {
    let during = "reading a setting";
    let sql = "SELECT pg_catalog.current_setting($1, true)";
    let row = client.query_one(sql, &[&name]).await.map_err(|error| Error::sql(during, error))?;
    get(&row, 0, during)
}

impl Settings {
    /// Reads the settings and how much of them is in use.
    ///
    /// # Errors
    /// A failed query, as [`Error`].
    pub async fn read(client: &Client) -> Result<Self, Error> {
        let during = "reading the replication settings";
        // pg_settings.setting is in the setting's own unit, without a suffix.
        let sql = "SELECT name, setting, (SELECT count(*) FROM pg_catalog.pg_replication_slots),
                          (SELECT count(*) FROM pg_catalog.pg_stat_replication)
                   FROM pg_catalog.pg_settings WHERE name = ANY($1)";
        let names = [
            "wal_level",
            "max_replication_slots",
            "max_wal_senders",
            "wal_sender_timeout",
            "max_slot_wal_keep_size",
            "output_plugin_libraries",
        ];
        let rows = client.query(sql, &[&names.as_slice()]).await.map_err(|error| Error::sql(during, error))?;
        let mut found = std::collections::BTreeMap::new();
        let (mut slots, mut senders) = (0i64, 0i64);
        for row in &rows {
            found.insert(get::<&str>(row, 0, during)?, get::<&str>(row, 1, during)?);
            (slots, senders) = (get(row, 2, during)?, get(row, 3, during)?);
        }
        let number = |name: &str| found.get(name).and_then(|text| text.parse::<i64>().ok());
        let count = |value: i64| u32::try_from(value).unwrap_or(0);
        Ok(Self {
            wal_level: found.get("wal_level").copied().unwrap_or_default().to_owned(),
            max_replication_slots: count(number("max_replication_slots").unwrap_or(0)),
            replication_slots: count(slots),
            max_wal_senders: count(number("max_wal_senders").unwrap_or(0)),
            wal_senders: count(senders),
            wal_sender_timeout: number("wal_sender_timeout")
                .and_then(|millis| u64::try_from(millis).ok().filter(|millis| *millis > 0))
                .map(Duration::from_millis),
            max_slot_wal_keep_size_mib: number("max_slot_wal_keep_size").and_then(|mib| u64::try_from(mib).ok()),
            output_plugin_libraries: found.get("output_plugin_libraries").map(|list| name_list(list)),
        })
    }
}

/// Names of a list setting: separated by commas, perhaps quoted.
fn name_list(text: &str) -> Vec<String> {
    let names = text.split(',').map(|name| name.trim().trim_matches('"'));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// End of the log that decoding can see (the flush position; the replay position on a standby).
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn wal_flush_position(client: &Client) -> Result<Lsn, Error> {
    let during = "reading the end of the log";
    let sql = "SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                            ELSE pg_catalog.pg_current_wal_flush_lsn() END)::text";
    let row = client.query_one(sql, &[]).await.map_err(|error| Error::sql(during, error))?;
    Ok(lsn(&row, 0, during)?.unwrap_or_default())
}

/// A transaction a slot under creation would wait for. Its statement is left out: it may hold row values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Process (64-bit in GaussDB and openGauss), `None` for a prepared transaction.
    pub pid: Option<i64>,
    /// Role, where this user may see it.
    pub user: Option<String>,
    /// `application_name`, or the identifier of a prepared transaction.
    pub name: Option<String>,
    /// State as in `pg_stat_activity`, or `prepared`.
    pub state: Option<String>,
    /// Open for so many whole seconds.
    pub age_seconds: i64,
}

/// Transactions that have written and are still open, oldest first.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn open_transactions(client: &Client) -> Result<Vec<OpenTransaction>, Error> {
    let during = "listing open transactions";
    let sql = "SELECT pid::int8, usename::text, application_name, state,
                      COALESCE(extract(epoch FROM pg_catalog.clock_timestamp() - xact_start), 0)::int8 AS age
               FROM pg_catalog.pg_stat_activity
               WHERE backend_xid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()
               UNION ALL
               SELECT NULL, owner::text, gid, 'prepared',
                      extract(epoch FROM pg_catalog.clock_timestamp() - prepared)::int8
               FROM pg_catalog.pg_prepared_xacts
               ORDER BY age DESC LIMIT 100";
    let rows = client.query(sql, &[]).await.map_err(|error| Error::sql(during, error))?;
    let read = |row| {
        Ok(OpenTransaction {
            pid: get(row, 0, during)?,
            user: get(row, 1, during)?,
            name: get(row, 2, during)?,
            state: get(row, 3, during)?,
            age_seconds: get(row, 4, during)?,
        })
    };
    rows.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugin_lists_are_read_as_the_server_prints_them() {
        assert_eq!(name_list("pgoutput, test_decoding"), ["pgoutput", "test_decoding"]);
        assert_eq!(name_list("\"pgoutput, x\""), ["pgoutput", "x"]);
        assert!(name_list("").is_empty());
    }
}
