//! Tables: keys, replica identity, columns.

use super::get;
use crate::error::Error;
use tokio_postgres::Client;

/// What the log keeps of the old row of an update or delete (`pg_class.relreplident`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key, if there is one.
    Default,
    /// Nothing: updates and deletes are refused by the server once the table is published.
    Nothing,
    /// Every column.
    Full,
    /// The columns of a chosen unique index.
    Index,
}

impl ReplicaIdentity {
    pub(in crate::catalog) fn read(letter: &str, during: &str) -> Result<Self, Error> {
        match letter {
            "d" => Ok(Self::Default),
            "n" => Ok(Self::Nothing),
            "f" => Ok(Self::Full),
            "i" => Ok(Self::Index),
            other => Err(Error::protocol(during, format!("unknown replica identity {other:?}"))),
        }
    }
}

/// A table with what identifies its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// OID.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Replica identity.
    pub replica_identity: ReplicaIdentity,
    /// Columns of the primary key in key order; empty without one.
    pub primary_key: Vec<String>,
    /// Columns of the replica identity index in key order; empty unless [`ReplicaIdentity::Index`].
    pub identity_index: Vec<String>,
    /// Whether the user of the connection may read it.
    pub selectable: bool,
}

/// SQL expression: key columns of an index of `relation` that fulfils `condition` on `i`, in key order, without INCLUDE columns
/// (`indnkeyatts`, PostgreSQL 11).
pub(super) fn key_columns(relation: &str, condition: &str) -> String {
    format!(
        "ARRAY(SELECT a.attname::text
               FROM pg_catalog.pg_index i
               CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
               WHERE i.indrelid = {relation} AND {condition}
                 AND k.place <= COALESCE((pg_catalog.to_jsonb(i)->>'indnkeyatts')::int8, i.indnatts)
               ORDER BY k.place)"
    )
}

/// Columns of a table's primary key in key order; empty where it has none, or is gone.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn primary_key(client: &Client, relation: u32) -> Result<Vec<String>, Error> {
    let during = "reading a primary key";
    let sql = format!("SELECT {}", key_columns("$1", "i.indisprimary"));
    let row = client.query_one(&sql, &[&relation]).await.map_err(|error| Error::sql(during, error))?;
    get(&row, 0, during)
}

/// Looks a table up by name; `None` where there is none.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn table(client: &Client, schema: &str, name: &str) -> Result<Option<Table>, Error> {
    let during = "looking up a table";
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relreplident::text, {}, {},
                pg_catalog.has_table_privilege(c.oid, 'SELECT')
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'p')",
        key_columns("c.oid", "i.indisprimary"),
        key_columns("c.oid", "i.indisreplident AND c.relreplident = 'i'"),
    );
    let row = client.query_opt(&sql, &[&schema, &name]).await.map_err(|error| Error::sql(during, error))?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Table {
        oid: get(&row, 0, during)?,
        schema: get(&row, 1, during)?,
        name: get(&row, 2, during)?,
        replica_identity: ReplicaIdentity::read(get(&row, 3, during)?, during)?,
        primary_key: get(&row, 4, during)?,
        identity_index: get(&row, 5, during)?,
        selectable: get(&row, 6, during)?,
    }))
}

/// A column as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type OID.
    pub type_oid: u32,
    /// Type with its modifier, as `format_type` prints it.
    pub type_name: String,
    /// `NOT NULL`.
    pub not_null: bool,
    /// Generated: `pgoutput` leaves it out before PostgreSQL 18.
    pub generated: bool,
}

/// Columns of a table in their order, dropped ones left out; empty where the table is gone.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn columns(client: &Client, relation: u32) -> Result<Vec<Column>, Error> {
    let during = "reading the columns of a table";
    let sql = "SELECT a.attname::text, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
                      COALESCE(pg_catalog.to_jsonb(a)->>'attgenerated', '') <> ''
               FROM pg_catalog.pg_attribute a
               WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let rows = client.query(sql, &[&relation]).await.map_err(|error| Error::sql(during, error))?;
    let read = |row| {
        Ok(Column {
            name: get(row, 0, during)?,
            type_oid: get(row, 1, during)?,
            type_name: get(row, 2, during)?,
            not_null: get(row, 3, during)?,
            generated: get(row, 4, during)?,
        })
    };
    rows.iter().map(read).collect()
}
