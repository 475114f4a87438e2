//! The catalogue of GaussDB and openGauss.
//!
//! Owns the family's own questions ([`query`] holds every text) and the shape of their answers; judges nothing. Their catalogue is that
//! of PostgreSQL 9.2 with additions: no `LATERAL`, no `jsonb` of a row, the old names of the log functions. Everything goes by
//! the simple protocol and comes as text, which every product and every proxy between understands.

mod mark;
mod node;
pub mod query;
mod server;
mod slot;
mod table;

pub use mark::{Mark, deferrable_constraints, generated_columns, undocumented_types};
pub use node::{Node, NodeKind, NodeTable, ServerRole, node_tables, nodes, server_role};
pub use server::{GaussRole, GaussServer, database_settings, role, server, settings};
pub use slot::{ListedSlot, create_slot, drop_slot, open_transactions, slot, slots_of, slots_used};
pub use table::{CheckedTable, tables};

use crate::error::Error;
use millrace_batch::Lsn;
use std::str::FromStr;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

/// Rows of one statement.
pub(super) async fn rows(client: &Client, during: &str, sql: &str) -> Result<Vec<TextRow>, Error> {
    let messages = client.simple_query(sql).await.map_err(|error| Error::sql(during, error))?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some(TextRow { row, during: during.to_owned() }),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

/// The only row of a statement.
async fn row(client: &Client, during: &str, sql: &str) -> Result<TextRow, Error> {
    let mut rows = rows(client, during, sql).await?;
    rows.pop().ok_or_else(|| Error::protocol(during, "no row came"))
}

/// A row whose values are text.
pub(super) struct TextRow {
    row: SimpleQueryRow,
    during: String,
}

impl TextRow {
    /// A value; `None` for NULL.
    pub(super) fn text(&self, at: usize) -> Result<Option<&str>, Error> {
        self.row.try_get(at).map_err(|error| Error::sql(self.during.as_str(), error))
    }

    /// A value that is never NULL.
    pub(super) fn name(&self, at: usize) -> Result<String, Error> {
        let text = self.text(at)?.ok_or_else(|| self.unreadable(at, None))?;
        Ok(text.to_owned())
    }

    /// A boolean; NULL is false.
    pub(super) fn flag(&self, at: usize) -> Result<bool, Error> {
        match self.text(at)? {
            Some("t" | "true") => Ok(true),
            None | Some("f" | "false") => Ok(false),
            other => Err(self.unreadable(at, other)),
        }
    }

    /// A number; `None` for NULL.
    pub(super) fn number<T: FromStr>(&self, at: usize) -> Result<Option<T>, Error> {
        let text = self.text(at)?;
        text.map(|text| text.trim().parse().map_err(|_| self.unreadable(at, Some(text)))).transpose()
    }

    /// An LSN; `None` for NULL and for the empty text.
    pub(super) fn lsn(&self, at: usize) -> Result<Option<Lsn>, Error> {
        let text = self.text(at)?.filter(|text| !text.is_empty());
        text.map(|text| text.parse().map_err(|_| self.unreadable(at, Some(text)))).transpose()
    }

    fn unreadable(&self, at: usize, text: Option<&str>) -> Error {
        Error::protocol(self.during.as_str(), format!("cannot read {text:?} in column {}", at + 1))
    }
}
