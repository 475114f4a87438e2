//! Replication slots.

use super::{get, lsn};
use crate::error::Error;
use crate::quote::quote_literal;
use millrace_batch::Lsn;
use tokio_postgres::Client;

/// A slot as `pg_replication_slots` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// Its name.
    pub name: String,
    /// Output plugin; `None` for a physical slot.
    pub plugin: Option<String>,
    /// Database of a logical slot.
    pub database: Option<String>,
    /// Ends with the session that made it.
    pub temporary: bool,
    /// Somebody reads from it.
    pub active: bool,
    /// Process that serves the reader.
    pub active_pid: Option<i32>,
    /// `reserved`, `extended`, `unreserved` or `lost` (PostgreSQL 13).
    pub wal_status: Option<String>,
    /// Why it was invalidated (PostgreSQL 17).
    pub invalidation_reason: Option<String>,
    /// Oldest log the slot needs.
    pub restart_lsn: Option<Lsn>,
    /// Commits before this are confirmed and never sent again.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// Bytes of log held for it.
    pub retained_bytes: Option<i64>,
    /// Bytes of log written since what it confirmed.
    pub lag_bytes: Option<i64>,
    /// Bytes that may still be written before the slot is in danger; `None` where unlimited or not known (PostgreSQL 13).
    pub safe_wal_bytes: Option<i64>,
}

impl SlotState {
    /// Whether the log it needs is gone, so that it can never be read again.
    pub fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost") || self.invalidation_reason.is_some()
    }
}

/// Looks a slot up.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn slot(client: &Client, name: &str) -> Result<Option<SlotState>, Error> {
    let during = "reading the state of the slot";
    let sql = "SELECT s.slot_name::text, s.plugin::text, s.database::text, s.temporary, s.active, s.active_pid,
                      pg_catalog.to_jsonb(s)->>'wal_status', pg_catalog.to_jsonb(s)->>'invalidation_reason',
                      s.restart_lsn::text, s.confirmed_flush_lsn::text,
                      pg_catalog.pg_wal_lsn_diff(w.lsn, s.restart_lsn)::int8,
                      pg_catalog.pg_wal_lsn_diff(w.lsn, s.confirmed_flush_lsn)::int8,
                      (pg_catalog.to_jsonb(s)->>'safe_wal_size')::int8
               FROM pg_catalog.pg_replication_slots s,
                    (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                                 ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) w
               WHERE s.slot_name = $1::text";
    let row = client.query_opt(sql, &[&name]).await.map_err(|error| Error::sql(during, error))?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(SlotState {
        name: get(&row, 0, during)?,
        plugin: get(&row, 1, during)?,
        database: get(&row, 2, during)?,
        temporary: get(&row, 3, during)?,
        active: get(&row, 4, during)?,
        active_pid: get(&row, 5, during)?,
        wal_status: get(&row, 6, during)?,
        invalidation_reason: get(&row, 7, during)?,
        restart_lsn: lsn(&row, 8, during)?,
        confirmed_flush_lsn: lsn(&row, 9, during)?,
        retained_bytes: get(&row, 10, during)?,
        lag_bytes: get(&row, 11, during)?,
        safe_wal_bytes: get(&row, 12, during)?,
    }))
}

/// The statement a person would run to create the slot.
pub fn create_slot_sql(name: &str, plugin: &str) -> String {
    format!("SELECT pg_create_logical_replication_slot({}, {});", quote_literal(name), quote_literal(plugin))
}

/// The statement a person would run to drop the slot.
pub fn drop_slot_sql(name: &str) -> String {
    format!("SELECT pg_drop_replication_slot({});", quote_literal(name))
}
