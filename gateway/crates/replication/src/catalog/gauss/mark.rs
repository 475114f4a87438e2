//! Columns and constraints that a pre-check must know of.
//!
//! The texts for deferrable constraints and for types serve PostgreSQL too.

use super::{query, rows};
use crate::error::Error;
use tokio_postgres::Client;

/// A column or constraint of a table, with what is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Column or constraint.
    pub name: String,
    /// Type of a column, as `format_type` prints it; empty for a constraint.
    pub what: String,
}

impl Mark {
    /// Whether it is of this table.
    pub fn is_of(&self, schema: &str, table: &str) -> bool {
        self.schema == schema && self.table == table
    }
}

async fn marks(client: &Client, during: &str, sql: &str) -> Result<Vec<Mark>, Error> {
    let found = rows(client, during, sql).await?;
    let mark = |row: &super::TextRow| {
        Ok(Mark { schema: row.name(0)?, table: row.name(1)?, name: row.name(2)?, what: row.name(3)? })
    };
    found.iter().map(mark).collect()
}

/// Constraints that may be checked late, of every table, at most 1000.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn deferrable_constraints(client: &Client) -> Result<Vec<Mark>, Error> {
    marks(client, "listing deferrable constraints", query::DEFERRABLE).await
}

/// Columns whose type is none of the documented ones, nor an array of one, at most 1000.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn undocumented_types(client: &Client) -> Result<Vec<Mark>, Error> {
    marks(client, "listing types of columns", query::UNDOCUMENTED_TYPES).await
}

/// Generated columns, at most 1000; `None` on builds whose catalogue has no mark for them.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn generated_columns(client: &Client) -> Result<Option<Vec<Mark>>, Error> {
    let marks = marks(client, "listing generated columns", query::GENERATED_COLUMNS).await;
    match marks {
        Err(error) if error.server_error().is_some_and(|server| server.sqlstate == "42703") => Ok(None),
        marks => marks.map(Some),
    }
}
