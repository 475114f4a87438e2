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
    /// The type's modifier as the catalogue has it (`atttypmod`), -1 without one.
    pub type_modifier: i32,
    /// Of a domain, the type under it, and under further domains.
    pub base_type: Option<String>,
}

/// First OID that is not the server's own (`FirstNormalObjectId`): only types from here on can be domains.
const FIRST_USER_OID: u32 = 16_384;
/// Domains over domains that are followed; the server would not get this deep either.
const DOMAIN_DEPTH: usize = 32;

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
        let type_oid = row.number(2)?.unwrap_or(0);
        let base_type = if type_oid < FIRST_USER_OID { None } else { base_type(client, type_oid).await? };
        let (name, type_name) = (row.name(1)?, row.name(3)?);
        let type_modifier = row.number(4)?.unwrap_or(-1);
        columns.push(StreamColumn { name, type_oid, type_name, type_modifier, base_type });
    }
    let named = |number: &i32| {
        let at = numbers.iter().position(|known| known == number);
        at.map(|at| columns[at].name.clone()).ok_or_else(|| Error::protocol(during, "a key without its column"))
    };
    let primary_key = key.iter().map(named).collect::<Result<_, _>>()?;
    let replica_identity = ReplicaIdentity::read(&found.name(1)?, during)?;
    Ok(Some(StreamTable { oid, replica_identity, primary_key, columns }))
}

/// The type at the bottom of a domain; `None` where it is none.
async fn base_type(client: &Client, mut type_oid: u32) -> Result<Option<String>, Error> {
    let mut base = None;
    for _ in 0..DOMAIN_DEPTH {
        let found = rows(client, "looking up a type", &query::base_type(type_oid)).await?;
        let Some(found) = found.first().filter(|row| matches!(row.text(0), Ok(Some("d")))) else { break };
        (type_oid, base) = (found.number(1)?.unwrap_or(0), Some(found.name(2)?));
    }
    Ok(base)
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
