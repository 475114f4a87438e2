//! Items about GaussDB and openGauss: each data node is looked at by itself.
//!
//! Owns the order of questions and the facts of a node; `judge` makes items of them. A node that cannot be asked is an item too.

mod judge;
mod tables;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use millrace_batch::Failure;
use millrace_replication::{Dialect, Error, ReplicationConnection, SqlConnection, SystemIdentity, catalog};

use super::{
    Item,
    source::{Stored, Table},
};
use crate::{
    config::Task,
    task::{family, source, topology},
};

/// How long all questions to one node may take together, the connection not counted.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one node says of itself.
#[derive(Clone, Debug)]
struct Facts {
    server: catalog::gauss::GaussServer,
    settings: BTreeMap<String, String>,
    database: BTreeMap<String, String>,
    role: catalog::gauss::GaussRole,
    slots_used: u64,
    slot: Option<catalog::SlotState>,
    tables: Vec<catalog::gauss::CheckedTable>,
    open: Vec<catalog::OpenTransaction>,
    system: SystemIdentity,
}

/// Looks at every node of a task. `stored` gives the position of a shard, or why it could not be read. Gives the tables that are sent too, where
/// a node could be asked.
pub(super) async fn check(
    task: &Task,
    stored: &dyn Fn(u16) -> Result<Option<Stored>, String>,
    items: &mut Vec<Item>,
) -> Option<Vec<Table>> {
    let shards = match topology::find(task).await {
        Ok(shards) => shards,
        Err(failure) => {
            items.push(Item::failure("source.connection", &failure));
            items.extend(judge::IDS.map(|id| Item::skipped(id, "the source cannot be asked")));
            return None;
        }
    };
    if shards.len() > 1 {
        let named: Vec<&str> = shards.iter().filter_map(|shard| shard.node.as_deref()).collect();
        items.push(Item::passed("source.nodes", format!("{} data nodes: {}", named.len(), named.join(", "))));
    }
    let mut sent = None;
    for shard in &shards {
        let began = items.len();
        match facts(task, shard).await {
            Ok(facts) => {
                items.push(Item::passed(
                    "source.connection",
                    format!("logged in as {} to {}", task.source.user, task.source.database),
                ));
                items.extend(judge::items(task, &facts, stored(shard.number)));
                sent.get_or_insert_with(|| tables::sent(task, &facts.tables));
            }
            Err(failure) => {
                items.push(Item::failure("source.connection", &failure));
                items.extend(judge::IDS.map(|id| Item::skipped(id, "the node cannot be asked")));
            }
        }
        if let Some(node) = &shard.node {
            items[began..].iter_mut().for_each(|item| item.reason = format!("{node}: {}", item.reason));
        }
    }
    sent
}

async fn facts(task: &Task, shard: &topology::Shard) -> Result<Facts, Failure> {
    let options = source::options_at(task, &shard.hosts)?;
    let (options, client) = family::primary(options).await.map_err(|error| error.failure())?;
    debug_assert_eq!(options.dialect, Dialect::GaussDb);
    let mut connection = ReplicationConnection::connect(&options).await.map_err(|error| error.failure())?;
    let system = connection.identify_system().await.map_err(|error| error.failure())?;
    connection.close().await;
    match tokio::time::timeout(PATIENCE, ask(task, &client, system)).await {
        Ok(asked) => asked.map_err(|error| error.failure()),
        Err(_) => {
            let why = format!("no answer within {PATIENCE:?}");
            Err(Failure::transient("source_query", "reading the catalogue", why, "try again; look at the server's log"))
        }
    }
}

async fn ask(task: &Task, client: &SqlConnection, system: SystemIdentity) -> Result<Facts, Error> {
    Ok(Facts {
        server: catalog::gauss::server(client).await?,
        settings: catalog::gauss::settings(client).await?,
        database: catalog::gauss::database_settings(client).await?,
        role: catalog::gauss::role(client).await?,
        slots_used: catalog::gauss::slots_used(client).await?,
        slot: catalog::gauss::slot(client, task.source.slot.as_str()).await?,
        tables: catalog::gauss::tables(client).await?,
        open: catalog::gauss::open_transactions(client).await?,
        system,
    })
}
