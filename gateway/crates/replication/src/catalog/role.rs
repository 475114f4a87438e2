//! The role the gateway logged in as.

use super::get;
use crate::error::Error;
use tokio_postgres::Client;

/// What the role of the connection may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// `SUPERUSER`.
    pub superuser: bool,
    /// `REPLICATION`.
    pub replication: bool,
    /// Member of `rds_replication`, which stands for `REPLICATION` where a provider keeps the attribute to itself.
    pub replication_by_membership: bool,
    /// May create a publication in this database (`CREATE` on it; owning the tables is asked per table).
    pub may_create_in_database: bool,
}

impl Role {
    /// Whether the server will let it open a replication connection.
    pub fn may_replicate(&self) -> bool {
        self.superuser || self.replication || self.replication_by_membership
    }
}

/// Reads the attributes of the current role.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn role(client: &Client) -> Result<Role, Error> {
    let during = "reading the role's attributes";
    let sql = "SELECT r.rolname::text, r.rolsuper, r.rolreplication,
                      COALESCE((SELECT pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER') FROM pg_catalog.pg_roles m
                                WHERE m.rolname = 'rds_replication'), false),
                      pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
               FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
    let row = client.query_one(sql, &[]).await.map_err(|error| Error::sql(during, error))?;
    Ok(Role {
        name: get(&row, 0, during)?,
        superuser: get(&row, 1, during)?,
        replication: get(&row, 2, during)?,
        replication_by_membership: get(&row, 3, during)?,
        may_create_in_database: get(&row, 4, during)?,
    })
}
