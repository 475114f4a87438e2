//! The server, its settings, and the role of the connection.

use super::{query, row, rows};
use crate::error::Error;
use crate::gauss::{Deployment, ProductVersion};
use crate::sql::SqlConnection;
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// Which server this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaussServer {
    /// Product and version; `None` when it names none we know.
    pub product: Option<ProductVersion>,
    /// `version()`.
    pub version: String,
    /// One primary or many; `None` when it does not tell.
    pub deployment: Option<Deployment>,
    /// Encoding of the database (`UTF8`, `GBK`, ...): values come in it, whatever the session asks for.
    pub encoding: String,
    /// Compatibility of the database: `A`, `B`, `C`, `PG`, `M`, ...
    pub compatibility: String,
}

/// Identifies the server.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn server(connection: &SqlConnection) -> Result<GaussServer, Error> {
    let during = "identifying the server";
    let version = row(connection, during, query::VERSION).await?.name(0)?;
    let deployment = missing_as_none(row(connection, during, query::DEPLOYMENT).await)?;
    let deployment = deployment.map(|row| row.name(0)).transpose()?;
    let data_nodes = match deployment {
        Some(_) => None,
        None => {
            let nodes = super::nodes(connection).await?;
            Some(nodes.iter().filter(|node| node.kind == super::NodeKind::Data).count() as u64)
        }
    };
    let database = row(connection, during, query::DATABASE).await?;
    Ok(GaussServer {
        product: ProductVersion::identify(connection.parameters(), Some(&version)),
        version,
        deployment: Deployment::identify(deployment.as_deref(), data_nodes),
        encoding: database.name(0)?,
        compatibility: database.text(1)?.unwrap_or_default().to_owned(),
    })
}

/// `None` where the server has no such function, role or setting.
fn missing_as_none<T>(asked: Result<T, Error>) -> Result<Option<T>, Error> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => match error.server_error().map(|server| server.sqlstate.as_str()) {
            Some("42883" | "42704") => Ok(None),
            _ => Err(error),
        },
    }
}

/// Settings by name; what the server does not have is missing.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn settings(client: &Client) -> Result<BTreeMap<String, String>, Error> {
    let rows = rows(client, "reading the settings", query::SETTINGS).await?;
    rows.iter().map(|row| Ok((row.name(0)?, row.text(1)?.unwrap_or_default().to_owned()))).collect()
}

/// Settings of the database itself, by name in lower case.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn database_settings(client: &Client) -> Result<BTreeMap<String, String>, Error> {
    let mut settings = BTreeMap::new();
    for row in rows(client, "reading the database's settings", query::DATABASE_SETTINGS).await? {
        if let Some((name, value)) = row.text(0)?.and_then(|pair| pair.split_once('=')) {
            settings.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
    Ok(settings)
}

/// What the role of the connection may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaussRole {
    /// Its name.
    pub name: String,
    /// `REPLICATION`.
    pub replication: bool,
    /// `SYSADMIN`, or the user that installed the server.
    pub administrator: bool,
    /// Member of `gs_role_replication`.
    pub member: bool,
    /// May connect to the database.
    pub may_connect: bool,
}

/// Reads the attributes of the current role.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn role(client: &Client) -> Result<GaussRole, Error> {
    let during = "reading the role's attributes";
    let attributes = row(client, during, query::ROLE).await?;
    let member = missing_as_none(row(client, during, query::ROLE_MEMBERSHIP).await)?;
    Ok(GaussRole {
        name: attributes.name(0)?,
        replication: attributes.flag(1)?,
        administrator: attributes.flag(2)? || attributes.flag(3)?,
        member: member.map_or(Ok(false), |row| row.flag(0))?,
        may_connect: row(client, during, query::CONNECT_PRIVILEGE).await?.flag(0)?,
    })
}
