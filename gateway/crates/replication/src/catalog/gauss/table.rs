//! Every table of a database, with what decides whether its changes are decoded.

use super::{query, rows};
use crate::catalog::ReplicaIdentity;
use crate::error::Error;
use tokio_postgres::Client;

/// A table as the pre-check sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedTable {
    /// OID.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Temporary, of a session or global.
    pub temporary: bool,
    /// Changes are not logged.
    pub unlogged: bool,
    /// Replica identity.
    pub replica_identity: ReplicaIdentity,
    /// Has a primary key.
    pub primary_key: bool,
    /// Stored by column (or as ORC or time series): changes are not decoded.
    pub columnar: bool,
    /// Compressed.
    pub compressed: bool,
    /// Partitioned by intervals that the server adds.
    pub interval_partitioned: bool,
    /// The role may use its schema.
    pub usable: bool,
    /// The role may read it, and use its schema.
    pub selectable: bool,
}

impl CheckedTable {
    /// Whether the server decodes its changes at all.
    pub fn is_decoded(&self) -> bool {
        !(self.temporary || self.unlogged || self.columnar)
    }
}

/// All tables outside the system schemas, by schema and name.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn tables(client: &Client) -> Result<Vec<CheckedTable>, Error> {
    let during = "listing the tables";
    let mut tables = Vec::new();
    for row in rows(client, during, query::TABLES).await? {
        let persistence = row.name(3)?;
        tables.push(CheckedTable {
            oid: row.number(0)?.unwrap_or(0),
            schema: row.name(1)?,
            name: row.name(2)?,
            temporary: matches!(persistence.as_str(), "t" | "g"),
            unlogged: persistence == "u",
            replica_identity: ReplicaIdentity::read(&row.name(4)?, during)?,
            primary_key: row.text(5)?.is_some(),
            columnar: row.flag(6)?,
            compressed: row.flag(7)?,
            interval_partitioned: row.text(8)? == Some("i"),
            usable: row.flag(9)?,
            selectable: row.flag(9)? && row.flag(10)?,
        });
    }
    Ok(tables)
}
