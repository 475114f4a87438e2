//! Nodes of a distributed cluster, and which server of a node is its primary.

use super::{query, row, rows};
use crate::error::Error;
use tokio_postgres::Client;

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// Plans queries and knows the topology.
    Coordinator,
    /// Holds rows, with a log of its own.
    Data,
}

/// A node as `pgxc_node` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, unique in the cluster.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// Host and port of its servers, the primary first as far as the catalogue knows.
    pub hosts: Vec<(String, u16)>,
}

/// Nodes of the cluster in the order of their names; none where the server is no part of one.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn nodes(client: &Client) -> Result<Vec<Node>, Error> {
    let during = "listing the nodes";
    let mut nodes: Vec<Node> = Vec::new();
    for row in rows(client, during, query::NODES).await? {
        let name = row.name(0)?;
        let kind = if row.text(1)? == Some("C") { NodeKind::Coordinator } else { NodeKind::Data };
        let mut hosts = Vec::new();
        for (host, port) in [(2, 3), (4, 5)] {
            let (host, port) = (row.text(host)?.unwrap_or_default().to_owned(), row.number::<u32>(port)?.unwrap_or(0));
            let port = u16::try_from(port).map_err(|_| Error::protocol(during, format!("port {port}")))?;
            if !host.is_empty() && port > 0 && !hosts.contains(&(host.clone(), port)) {
                hosts.push((host, port));
            }
        }
        // Tells which of the two is the primary.
        if row.text(6)? == Some("f") {
            hosts.reverse();
        }
        // A coordinator may know a node by several lines: one for each of its servers.
        match nodes.iter_mut().find(|node| node.name == name && node.kind == kind) {
            Some(node) => node.hosts.extend(hosts),
            None => nodes.push(Node { name, kind, hosts }),
        }
    }
    Ok(nodes)
}

/// How a coordinator spreads a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTable {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Every data node has all of its rows.
    pub replicated: bool,
}

/// Tables a coordinator knows of.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn node_tables(client: &Client) -> Result<Vec<NodeTable>, Error> {
    let rows = rows(client, "listing how tables are spread", query::NODE_TABLES).await?;
    let read = |row: &super::TextRow| {
        Ok(NodeTable { schema: row.name(0)?, name: row.name(1)?, replicated: row.text(2)? == Some("R") })
    };
    rows.iter().map(read).collect()
}

/// What a server is among its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRole {
    /// `local_role`: Normal, Primary, Standby, Cascade Standby, Pending, Unknown.
    pub role: String,
    /// `db_state`.
    pub state: String,
}

impl ServerRole {
    /// Whether slots may be read here: the only server, or the primary.
    pub fn is_primary(&self) -> bool {
        matches!(self.role.as_str(), "Normal" | "Primary")
    }
}

/// Role of the server of this connection.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn server_role(client: &Client) -> Result<ServerRole, Error> {
    let row = row(client, "asking the server for its role", query::SERVER_ROLE).await?;
    Ok(ServerRole { role: row.name(0)?, state: row.text(1)?.unwrap_or_default().to_owned() })
}
