//! Slots of the family, and the transactions a new one waits for.

use super::{query, row, rows};
use crate::catalog::{OpenTransaction, SlotState};
use crate::error::Error;
use millrace_batch::Lsn;
use std::time::Duration;
use tokio_postgres::Client;

/// What GaussDB writes as the restart position of a slot it has given up.
const GIVEN_UP: Lsn = Lsn(0x7FFF_FFFF_FFFF_FFFF);

/// Looks a slot up.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn slot(client: &Client, name: &str) -> Result<Option<SlotState>, Error> {
    let rows = rows(client, "reading the state of the slot", &query::slot(name)).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (restart, confirmed, end) = (row.lsn(4)?, row.lsn(5)?, row.lsn(6)?);
    let lost = restart == Some(GIVEN_UP);
    let behind = |lsn: Option<Lsn>| Some(i64::try_from(end?.0.saturating_sub(lsn?.0)).unwrap_or(i64::MAX));
    Ok(Some(SlotState {
        name: row.name(0)?,
        plugin: row.text(1)?.map(str::to_owned),
        database: row.text(2)?.map(str::to_owned),
        temporary: false,
        active: row.flag(3)?,
        active_pid: None,
        wal_status: lost.then(|| "lost".to_owned()),
        invalidation_reason: None,
        restart_lsn: restart,
        confirmed_flush_lsn: confirmed,
        retained_bytes: if lost { None } else { behind(restart) },
        lag_bytes: behind(confirmed),
        safe_wal_bytes: None,
    }))
}

/// A slot, as a list of them has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSlot {
    /// Its name.
    pub name: String,
    /// Output plugin.
    pub plugin: String,
    /// Somebody reads from it.
    pub active: bool,
}

/// The logical slots of a database on this server, whoever made them. Serves PostgreSQL too.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn slots_of(client: &Client, database: &str) -> Result<Vec<ListedSlot>, Error> {
    let mut slots = Vec::new();
    for row in rows(client, "listing the slots of the database", &query::slots_of(database)).await? {
        let plugin = row.text(1)?.unwrap_or_default().to_owned();
        slots.push(ListedSlot { name: row.name(0)?, plugin, active: row.flag(2)? });
    }
    Ok(slots)
}

/// Slots in use on the server, physical ones too.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn slots_used(client: &Client) -> Result<u64, Error> {
    Ok(row(client, "counting the slots", query::SLOTS_USED).await?.number(0)?.unwrap_or(0))
}

/// Makes a slot and gives where it begins. The server first waits for every open transaction; after `bound` the statement is given up, and
/// the server leaves no slot behind.
///
/// # Errors
/// [`Error::SlotCreationBlocked`] after `bound`; else a failed query.
pub async fn create_slot(client: &Client, name: &str, plugin: &str, bound: Duration) -> Result<Lsn, Error> {
    let during = format!("creating slot `{name}`");
    rows(client, &during, &query::statement_timeout(bound.as_millis().max(1))).await?;
    let created = row(client, &during, &query::create_slot(name, plugin)).await;
    let created = match created {
        Err(error) if error.server_error().is_some_and(|server| server.sqlstate == "57014") => {
            Err(Error::SlotCreationBlocked { slot: name.to_owned(), after: bound })
        }
        other => other,
    };
    // The session is used on for the catalogue.
    let reset = rows(client, &during, &query::statement_timeout(0)).await;
    let created = created?;
    reset?;
    created.lsn(1)?.ok_or_else(|| Error::protocol(during, "no position came"))
}

/// Drops a slot.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn drop_slot(client: &Client, name: &str) -> Result<(), Error> {
    rows(client, &format!("dropping slot `{name}`"), &query::drop_slot(name)).await.map(drop)
}

/// Transactions that are open, oldest first, prepared ones last. A role without rights sees only its own.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn open_transactions(client: &Client) -> Result<Vec<OpenTransaction>, Error> {
    let during = "listing open transactions";
    let mut open = Vec::new();
    for row in rows(client, during, query::OPEN_TRANSACTIONS).await? {
        open.push(OpenTransaction {
            pid: row.number(0)?,
            user: row.text(1)?.map(str::to_owned),
            name: row.text(2)?.map(str::to_owned),
            state: row.text(3)?.map(str::to_owned),
            age_seconds: row.number(4)?.unwrap_or(0),
        });
    }
    for row in rows(client, during, query::PREPARED_TRANSACTIONS).await? {
        open.push(OpenTransaction {
            pid: None,
            user: row.text(1)?.map(str::to_owned),
            name: row.text(0)?.map(str::to_owned),
            state: Some("prepared".to_owned()),
            age_seconds: row.number(2)?.unwrap_or(0),
        });
    }
    Ok(open)
}
