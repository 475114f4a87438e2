//! What a gateway asks the catalogue before and while it streams, over an ordinary SQL connection.
//!
//! Owns the queries and the shape of their answers; judges nothing. Columns that newer servers added are read through
//! `to_jsonb(row)`, so one query serves PostgreSQL 10 to 18; names are parameters there. What
//! is GaussDB's and openGauss's own is in [`gauss`].

pub mod gauss;
mod publication;
mod role;
mod server;
mod slot;
mod stream_table;
mod table;

pub use publication::{
    Operations, Publication, PublicationTables, PublishedTable, create_publication_sql, publication, published_tables,
};
pub use role::{Role, role};
pub use server::{OpenTransaction, Server, Settings, open_transactions, server, setting, wal_flush_position};
pub use slot::{SlotState, create_slot_sql, drop_slot_sql, slot};
pub use stream_table::{StreamColumn, StreamTable, stream_table, transaction_runs};
pub use table::{Column, ReplicaIdentity, Table, columns, primary_key, table};

use crate::error::Error;
use millrace_batch::Lsn;
use tokio_postgres::Row;

/// A value of a row, or an error that names the query.
fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, at: usize, during: &str) -> Result<T, Error> {
    row.try_get(at).map_err(|error| Error::sql(during, error))
}

/// An LSN column read as text.
fn lsn(row: &Row, at: usize, during: &str) -> Result<Option<Lsn>, Error> {
    let text: Option<&str> = get(row, at, during)?;
    text.map(|text| text.parse().map_err(|_| Error::protocol(during, format!("cannot read LSN {text:?}")))).transpose()
}
