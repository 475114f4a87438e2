//! Which shards a task has: one, or one for each data node of a distributed GaussDB.
//!
//! Owns the question to the coordinator and the numbering of shards. A number is for life: it is part of every id, and the position of a
//! shard belongs to its node. So shards are numbered in the order of the nodes' names, and any other set of nodes is refused.

use millrace_batch::Failure;
use millrace_replication::{Deployment, SqlConnection, catalog, connect_sql};

use super::source;
use crate::config::{HostAddress, Pattern, SourceKind, Task};

/// Most shards of a task; more data nodes than any cluster has.
const MOST_SHARDS: usize = 1024;

/// One stream of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number, from 0.
    pub number: u16,
    /// How many there are.
    pub count: u16,
    /// Data node it reads; none where the source is one server.
    pub node: Option<String>,
    /// Servers of the node.
    pub hosts: Vec<HostAddress>,
    /// How the coordinator spreads tables; empty where the source is one server.
    pub tables: Vec<catalog::gauss::NodeTable>,
}

impl Shard {
    /// The only shard of a source that is one server.
    pub fn only(task: &Task) -> Shard {
        Shard { number: 0, count: 1, node: None, hosts: task.source.hosts.clone(), tables: Vec::new() }
    }

    /// The task as this shard runs it: its share of what the process may use, without the tables another shard reads.
    pub fn share(&self, task: &Task) -> Task {
        let mut share = task.clone();
        let count = u64::from(self.count);
        share.pipeline.budget = share.pipeline.budget.part(count);
        share.sink.queue = share.sink.queue.part(count);
        share.source.transaction_memory = share.source.transaction_memory.part(count);
        share.pipeline.workers = share.pipeline.workers.part(count);
        let elsewhere = self.elsewhere().filter_map(|table| Pattern::of(&table.schema, &table.name));
        share.objects.exclude.extend(elsewhere);
        share
    }

    /// Tables the first shard reads: all of their rows are on every node.
    pub fn elsewhere(&self) -> impl Iterator<Item = &catalog::gauss::NodeTable> {
        self.tables.iter().filter(|table| table.replicated && self.number > 0)
    }
}

/// Finds the shards of a task. Asks the source only where it may be distributed.
pub async fn find(task: &Task) -> Result<Vec<Shard>, Failure> {
    if task.source.kind == SourceKind::Postgresql {
        return Ok(vec![Shard::only(task)]);
    }
    let listed = task.source.nodes.iter().map(|node| (node.name.clone(), node.hosts.clone()));
    let mut nodes: Vec<(String, Vec<HostAddress>)> = listed.collect();
    let options = source::connect_options(task)?;
    let coordinator = connect_sql(&options).await.map_err(|error| error.failure())?;
    if nodes.is_empty() {
        let server = catalog::gauss::server(&coordinator).await.map_err(|error| error.failure())?;
        if server.deployment != Some(Deployment::Distributed) {
            return Ok(vec![Shard::only(task)]);
        }
        nodes = discovered(&coordinator).await?;
    }
    nodes.sort_by(|one, other| one.0.cmp(&other.0));
    let spread = catalog::gauss::node_tables(&coordinator).await.map_err(|error| error.failure())?;
    numbered(nodes, spread)
}

/// Data nodes as a coordinator knows them.
async fn discovered(coordinator: &SqlConnection) -> Result<Vec<(String, Vec<HostAddress>)>, Failure> {
    let nodes = catalog::gauss::nodes(coordinator).await.map_err(|error| error.failure())?;
    let data = nodes.into_iter().filter(|node| node.kind == catalog::gauss::NodeKind::Data);
    let named = data.map(|node| {
        let hosts = node.hosts.into_iter().map(|(host, port)| HostAddress::Tcp { host, port }).collect();
        (node.name, hosts)
    });
    Ok(named.collect())
}

/// Names of the data nodes as the coordinator lists them, whatever the task file says; `None` where it cannot be asked.
pub(crate) async fn listed(task: &Task) -> Option<Vec<String>> {
    let coordinator = connect_sql(&source::connect_options(task).ok()?).await.ok()?;
    let nodes = discovered(&coordinator).await.ok()?;
    Some(nodes.into_iter().map(|(name, _)| name).collect())
}

fn numbered(
    nodes: Vec<(String, Vec<HostAddress>)>,
    tables: Vec<catalog::gauss::NodeTable>,
) -> Result<Vec<Shard>, Failure> {
    let tried = "listing the data nodes";
    if nodes.is_empty() {
        return Err(Failure::definite(
            "no_data_nodes",
            tried,
            "the server belongs to a distributed GaussDB and names no data node: it is no coordinator",
            "name coordinators in source.hosts, or list the data nodes as [[source.nodes]]",
        ));
    }
    if nodes.len() > MOST_SHARDS {
        let why = format!("there are {} data nodes, a task reads at most {MOST_SHARDS}", nodes.len());
        return Err(Failure::definite(
            "too_many_data_nodes",
            tried,
            why,
            "list the data nodes of this task as [[source.nodes]]",
        ));
    }
    let count = nodes.len() as u16;
    let shard = |(number, (node, hosts)): (usize, (String, Vec<HostAddress>))| Shard {
        number: number as u16,
        count,
        node: Some(node),
        hosts,
        tables: tables.clone(),
    };
    Ok(nodes.into_iter().enumerate().map(shard).collect())
}

/// The same shard, as the source has it now: a failover moves its servers. Where the coordinator cannot be asked, what was known is
/// gone on with.
pub async fn again(task: &Task, shard: &Shard) -> Result<Shard, Failure> {
    if shard.node.is_none() {
        return Ok(shard.clone());
    }
    match find(task).await {
        Ok(now) => same(shard, now),
        Err(failure) if failure.is_definite() => Err(failure),
        Err(failure) => {
            tracing::warn!(code = failure.code, "{failure}; going on with the servers that were known");
            Ok(shard.clone())
        }
    }
}

fn same(shard: &Shard, now: Vec<Shard>) -> Result<Shard, Failure> {
    let names = || now.iter().filter_map(|shard| shard.node.as_deref()).collect::<Vec<_>>().join(", ");
    if now.len() == usize::from(shard.count)
        && let Some(found) = now.iter().find(|found| found.number == shard.number && found.node == shard.node)
    {
        return Ok(found.clone());
    }
    Err(changed(&format!("data nodes are now: {}", names()), shard))
}

/// The refusal of another set of data nodes than a position was taken with.
pub fn changed(why: &str, shard: &Shard) -> Failure {
    let node = shard.node.as_deref().unwrap_or("the server");
    Failure::definite(
        "topology_changed",
        format!("reading {node} as shard {} of {}", shard.number, shard.count),
        why,
        "rows have moved between nodes, so positions and ids do not fit any more: bring the nodes back, or run `millrace slot drop` and \
         start anew; changes in between must be copied by other means",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(names: &[&str]) -> Vec<(String, Vec<HostAddress>)> {
        let host = |name: &str| HostAddress::Tcp { host: name.to_owned(), port: 8000 };
        names.iter().map(|name| ((*name).to_owned(), vec![host(name)])).collect()
    }

    #[test]
    fn replicated_tables_belong_to_the_first_shard() {
        let table = |name: &str, replicated| catalog::gauss::NodeTable {
            schema: "s".to_owned(),
            name: name.to_owned(),
            replicated,
        };
        let tables = vec![table("all", true), table("part", false)];
        let shards = numbered(nodes(&["dn_1", "dn_2", "dn_3"]), tables).unwrap();
        assert_eq!(
            shards.iter().map(|shard| (shard.number, shard.count)).collect::<Vec<_>>(),
            [(0, 3), (1, 3), (2, 3)]
        );
        let elsewhere = |shard: &Shard| shard.elsewhere().map(|table| table.name.clone()).collect::<Vec<_>>();
        assert_eq!(shards.iter().map(elsewhere).collect::<Vec<_>>(), [vec![], vec!["all"], vec!["all"]]);
        assert_eq!(numbered(Vec::new(), Vec::new()).unwrap_err().code, "no_data_nodes");
    }

    #[test]
    fn another_set_of_nodes_is_refused() {
        let now = |names: &[&str]| numbered(nodes(names), Vec::new()).unwrap();
        let second = now(&["dn_1", "dn_2"]).remove(1);
        assert_eq!(same(&second, now(&["dn_1", "dn_2"])).unwrap(), second);
        for names in [&["dn_1", "dn_2", "dn_3"][..], &["dn_1"], &["dn_1", "dn_3"], &["dn_0", "dn_1"]] {
            assert_eq!(same(&second, now(names)).unwrap_err().code, "topology_changed", "{names:?}");
        }
    }
}
