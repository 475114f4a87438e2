//! What a decoder that reads tables by name must know of one, in PostgreSQL, GaussDB and openGauss alike.

use super::gauss::{query, rows};
use super::table::ReplicaIdentity;
use crate::error::Error;
use tokio_postgres::Client;

/// A table by its name, as the catalogue has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTable {
    /// OID.
    pub oid: u32,
    /// Replica identity.
    pub replica_identity: ReplicaIdentity,
    /// Columns in table order.
    pub columns: Vec<StreamColumn>,
    /// Columns of the primary key in key order; empty without one.
    pub primary_key: Vec<String>,
}

/// A column of a [`StreamTable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamColumn {
    /// Name.
    pub name: String,
    /// Type OID.
    pub type_oid: u32,
    /// Type as `format_type` prints it, without modifier.
    pub type_name: String,
}

/// Looks a table up; `None` where there is none (any more).
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn stream_table(client: &Client, schema: &str, name: &str) -> Result<Option<StreamTable>, Error> {
    let during = "looking up a table";
    let found = rows(client, during, &query::table(schema, name)).await?;
    let Some(found) = found.first() else { return Ok(None) };
    let oid = found.number(0)?.unwrap_or(0);
    let key = key_numbers(found.text(2)?.unwrap_or("{}"));
    let key = key.ok_or_else(|| Error::protocol(during, "cannot read the columns of the primary key"))?;
    let mut columns = Vec::new();
    let mut numbers = Vec::new();
    for row in rows(client, during, &query::columns(oid)).await? {
        numbers.push(row.number::<i32>(0)?.unwrap_or(0));
        let (name, type_name) = (row.name(1)?, row.name(3)?);
        columns.push(StreamColumn { name, type_oid: row.number(2)?.unwrap_or(0), type_name });
    }
    let named = |number: &i32| {
        let at = numbers.iter().position(|known| known == number);
        at.map(|at| columns[at].name.clone()).ok_or_else(|| Error::protocol(during, "a key without its column"))
    };
    let primary_key = key.iter().map(named).collect::<Result<_, _>>()?;
    let replica_identity = ReplicaIdentity::read(&found.name(1)?, during)?;
    Ok(Some(StreamTable { oid, replica_identity, primary_key, columns }))
}

/// Whether a transaction may not be visible to others yet, though its changes were streamed.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn transaction_runs(client: &Client, xid: u64) -> Result<bool, Error> {
    let rows = rows(client, "looking for a transaction", &query::transaction_runs(xid)).await?;
    Ok(rows.first().map(|row| row.number::<u64>(0)).transpose()?.flatten().unwrap_or(0) > 0)
}

/// Numbers of an array printed as `{3,1}`.
fn key_numbers(text: &str) -> Option<Vec<i32>> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    inside.split(',').filter(|number| !number.is_empty()).map(|number| number.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::key_numbers;

    #[test]
    fn keys_keep_their_order() {
        assert_eq!(key_numbers("{3,1}"), Some(vec![3, 1]));
        assert_eq!(key_numbers("{}"), Some(Vec::new()));
        assert_eq!((key_numbers("3,1"), key_numbers("{a}")), (None, None));
    }
}
