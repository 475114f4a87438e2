//! The demo's source: a simulated GaussDB Distributed inside this process, with the shop's tables spread over its data nodes.
//!
//! Owns how rows are spread and what each node commits. Knows nothing of the gateway but its slot's name.

use super::pipeline::SLOT;
use super::postgres::DATABASE;
use super::shop::{Change, Row, TABLES, Transaction};
use millrace_batch::Failure;
use millrace_gaussdb_sim as sim;
use std::sync::Arc;

/// Data nodes of the cluster.
pub const NODES: usize = 3;

/// Role of the gateway.
const USER: &str = "cdc";

/// Types of the columns of [`TABLES`].
const TYPES: [&[&str]; 4] = [
    &["bigint", "text", "character varying", "text"],
    &["bigint", "bigint", "text", "numeric", "timestamp without time zone"],
    &["bigint", "integer", "text", "integer", "boolean"],
    &["bigint", "bigint", "numeric", "jsonb"],
];

/// `[source]` of the demo's task file, as far as it is the source's.
pub fn source_settings(port: u16) -> String {
    // The spill in the demo's own folder too, so that nothing is left.
    format!(
        "kind = \"gaussdb\"\nhosts = [\"127.0.0.1:{port}\"]\ndatabase = \"{DATABASE}\"\nuser = \"{USER}\"\nspill = {{ folder = \"spill\" }}"
    )
}

/// The cluster and what was committed on each of its nodes.
pub struct Cluster {
    cluster: sim::Cluster,
    tables: Vec<Arc<sim::Table>>,
    committed: Vec<Vec<Change>>,
}

impl Cluster {
    /// Starts it: a coordinator and [`NODES`] data nodes with a standby each.
    ///
    /// # Errors
    /// `demo_source`: no ports.
    pub fn start(seed: u64, password: &str) -> Result<Cluster, Failure> {
        let mut catalogue = sim::Catalogue::new(DATABASE);
        // Keeps the empty string, as the shop's model does.
        catalogue.compatibility = "PG".to_owned();
        let tables = TABLES.iter().zip(TYPES).map(|(table, types)| {
            let columns: Vec<(&str, &str)> = table.columns.iter().copied().zip(types.iter().copied()).collect();
            let identity = if table.full { sim::Identity::Full } else { sim::Identity::Default };
            catalogue.add(sim::Table::new("public", table.name, &columns, table.key).identity(identity))
        });
        let tables = tables.collect();
        let login = sim::Login {
            role: sim::Role::replication(USER),
            password: password.to_owned(),
            encryption: sim::Encryption::Sha256,
        };
        let options = sim::Options { data_nodes: NODES, seed, catalogue, logins: vec![login], ..sim::Options::new() };
        let cluster = sim::Cluster::start(options).map_err(|error| {
            let tried = "starting a simulated cluster";
            Failure::definite("demo_source", tried, error.to_string(), "run the demo again; see the message")
        })?;
        Ok(Cluster { cluster, tables, committed: vec![Vec::new(); NODES] })
    }

    /// Port of the coordinator.
    pub fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// Name of a data node.
    pub fn name(&self, node: usize) -> &str {
        self.cluster.data_nodes().get(node).copied().unwrap_or_default()
    }

    /// Whether somebody reads the slot of every data node.
    pub fn is_read(&self) -> bool {
        (0..NODES).all(|node| self.cluster.slot(node, SLOT).is_some_and(|slot| slot.active))
    }

    /// Commits a transaction: each node its part, with one sequence number. A row whose new key lives on another node is deleted on one
    /// and inserted on the other, as the database does it.
    pub fn commit(&mut self, transaction: &Transaction) {
        let mut parts: Vec<Vec<Change>> = vec![Vec::new(); NODES];
        for change in &transaction.changes {
            match (&change.old, &change.new) {
                (Some(old), Some(new)) if home(old) != home(new) => {
                    parts[home(old)].push(Change { table: change.table, old: Some(old.clone()), new: None });
                    parts[home(new)].push(Change { table: change.table, old: None, new: Some(new.clone()) });
                }
                (_, Some(row)) | (Some(row), None) => parts[home(row)].push(change.clone()),
                (None, None) => {}
            }
        }
        let rows = |part: &Vec<Change>| part.iter().map(|change| self.row_change(change)).collect();
        self.cluster.commit_across(parts.iter().map(rows).collect());
        for (all, part) in self.committed.iter_mut().zip(parts) {
            all.extend(part);
        }
    }

    fn row_change(&self, change: &Change) -> sim::RowChange {
        let cells = |row: &Option<std::rc::Rc<Row>>| {
            let cell = |(at, cell): (usize, &Option<String>)| match cell.as_deref() {
                // As the type prints it inside the server.
                Some(text @ ("true" | "false")) if TYPES[change.table][at] == "boolean" => Some(text[..1].into()),
                text => text.map(Box::from),
            };
            row.iter().flat_map(|row| row.iter().enumerate().map(cell)).collect()
        };
        sim::RowChange {
            table: Arc::clone(&self.tables[change.table]),
            op: match (&change.old, &change.new) {
                (None, _) => sim::Op::Insert,
                (_, None) => sim::Op::Delete,
                _ => sim::Op::Update,
            },
            new: cells(&change.new),
            old: cells(&change.old),
        }
    }

    /// The primary of a data node dies, its standby takes over; gives the ports, before and after.
    pub fn failover(&self, node: usize) -> (u16, u16) {
        let before = self.cluster.data_port(node);
        self.cluster.failover(node);
        (before, self.cluster.data_port(node))
    }

    /// What each data node committed, in commit order.
    pub fn committed(&self) -> &[Vec<Change>] {
        &self.committed
    }

    /// Nodes whose slot is confirmed to the end of what they committed.
    pub fn finished(&self) -> usize {
        let truth = self.cluster.truth();
        let done = |(node, truth): (usize, &sim::Truth)| {
            let end = truth.transactions.last().map_or(sim::Lsn(0), |last| last.commit_lsn);
            self.cluster.slot(node, SLOT).and_then(|slot| slot.confirmed).is_some_and(|confirmed| confirmed > end)
        };
        truth.iter().enumerate().filter(|one| done(*one)).count()
    }

    /// Confirmed position of each node's slot, by the node's name.
    pub fn confirmed(&self) -> Vec<(String, String)> {
        let of = |node| self.cluster.slot(node, SLOT).and_then(|slot| slot.confirmed).unwrap_or_default();
        (0..NODES).map(|node| (self.name(node).to_owned(), of(node).to_string())).collect()
    }
}

/// The node a row lives on, by the first column of its key.
fn home(row: &Row) -> usize {
    let number = row.first().and_then(|cell| cell.as_deref()).and_then(|text| text.parse::<usize>().ok());
    number.unwrap_or(0) % NODES
}

#[cfg(test)]
mod tests {
    use super::super::shop::{CUSTOMERS, End};
    use super::*;
    use std::rc::Rc;

    fn row(id: &str) -> Option<Rc<Row>> {
        Some(Rc::new(vec![Some(id.to_owned()), Some("Ada".to_owned()), None, None]))
    }

    #[test]
    fn a_key_that_moves_is_deleted_on_one_node_and_inserted_on_another() {
        let mut cluster = Cluster::start(1, "Demo@12345").unwrap();
        let change = |old, new| Change { table: CUSTOMERS, old, new };
        let changes = vec![change(None, row("1")), change(row("1"), row("5")), change(row("5"), row("8"))];
        cluster.commit(&Transaction { statements: String::new(), end: End::Commit, changes });
        let ops = |node: usize| cluster.committed()[node].iter().map(Change::op).collect::<Vec<_>>();
        assert_eq!([ops(0), ops(1), ops(2)], [vec![], vec!["INSERT", "DELETE"], vec!["INSERT", "UPDATE"]]);
        let truth = cluster.cluster.truth();
        let csn = |node: usize| truth[node].transactions[0].csn;
        assert_eq!((truth[0].transactions.len(), csn(1)), (0, csn(2)), "one transaction of the cluster");
    }
}
