//! Items about GaussDB and openGauss: each data node is looked at by itself.
//!
//! Owns the order of questions and the facts of a node; `items` judges them. A node that cannot be asked is an item too.

mod items;
mod nodes;
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
    /// Constraints that may be checked late, columns of types that are not documented, and generated ones where the build tells.
    deferrable: Vec<catalog::gauss::Mark>,
    types: Vec<catalog::gauss::Mark>,
    generated: Option<Vec<catalog::gauss::Mark>>,
}

/// Looks at every node of a task. `stored` gives the position of a shard, or why it could not be read. Gives the tables that are sent too, where
/// a node could be asked.
pub(super) async fn check(
    task: &Task,
    stored: &(dyn Fn(u16) -> Result<Option<Stored>, String> + Sync),
    items: &mut Vec<Item>,
) -> Option<Vec<Table>> {
    let shards = match topology::find(task).await {
        Ok(shards) => shards,
        Err(failure) => {
            items.push(Item::failure("source.connection", &failure));
            items.extend(items::IDS.map(|id| Item::skipped(id, "the source cannot be asked")));
            return None;
        }
    };
    if shards.iter().any(|shard| shard.node.is_some()) {
        let declared: Vec<&str> = task.source.nodes.iter().map(|node| node.name.as_str()).collect();
        items.push(nodes::judge(&declared, topology::listed(task).await.as_deref()));
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
                items.extend(items::items(task, &facts, stored(shard.number)));
                sent.get_or_insert_with(|| items::sent(task, &facts.tables));
            }
            Err(failure) => {
                items.push(Item::failure("source.connection", &failure));
                items.extend(items::IDS.map(|id| Item::skipped(id, "the node cannot be asked")));
            }
        }
        if let Some(node) = &shard.node {
            for item in &mut items[began..] {
                item.reason = format!("{node}: {}", item.reason);
                item.node = Some(node.clone());
            }
        }
    }
    sent
}

async fn facts(task: &Task, shard: &topology::Shard) -> Result<Facts, Failure> {
    let mut options = source::options_at(task, &shard.hosts)?;
    // The server's own setting is what counts for other slots and after a failover.
    options.slot_log = false;
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
        deferrable: catalog::gauss::deferrable_constraints(client).await?,
        types: catalog::gauss::undocumented_types(client).await?,
        generated: catalog::gauss::generated_columns(client).await?,
    })
}
