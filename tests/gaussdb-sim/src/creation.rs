//! Making a slot: what is refused, and waiting for transactions that are open.

use crate::connection::Door;
use crate::error::SqlError;
use crate::node::{Kind, SharedNode};
use crate::slots::is_slot_name;
use crate::text::Lsn;
use std::future::Future;
use tokio::sync::oneshot;

/// Plugins the server has.
const PLUGINS: &[&str] = &[
    "mppdb_decoding",
    "sql_decoding",
    "parallel_binary_decoding",
    "parallel_json_decoding",
    "parallel_text_decoding",
    "pgoutput",
    "test_decoding",
];

/// The slot's error when there is none of its name.
pub(crate) fn no_such_slot(name: &str) -> SqlError {
    SqlError::new("42704", format!("replication slot \"{name}\" does not exist")).internal(18_348)
}

/// The error of a slot somebody uses.
pub(crate) fn slot_is_active(name: &str) -> SqlError {
    SqlError::new("55006", format!("replication slot \"{name}\" is already active")).internal(18_349)
}

fn check(door: &Door, name: &str, plugin: &str) -> Result<(), SqlError> {
    if !is_slot_name(name) {
        let text = format!("replication slot name \"{name}\" contains invalid character");
        return Err(SqlError::new("42602", text).hint(
            "Replication slot names may only contain lower letters, numbers and the 4 following special characters: '_', '?', '.', '-'.\n'.' and '..' are also not allowed to be slot names independently.",
        ));
    }
    let catalogue = door.shared.catalogue();
    let setting = |name: &str| catalogue.settings.get(name).map_or("", String::as_str);
    if door.node.kind == Kind::Coordinator {
        // What the vendor's guide says of coordinators: off unless enabled after an evaluation.
        return Err(SqlError::new("0A000", "logical decoding on a coordinator is not enabled"));
    }
    if !door.is_primary() {
        return Err(SqlError::new("0A000", "Standby mode doesn't support create logical slot"));
    }
    if setting("wal_level") != "logical" {
        return Err(SqlError::new("55000", "logical decoding requires wal_level >= logical"));
    }
    if !PLUGINS.contains(&plugin) {
        let text = format!("could not access file \"{plugin}\": No such file or directory");
        return Err(SqlError::new("58P01", text).internal(11_719));
    }
    let slots = door.node.slots();
    if slots.get(name).is_some() {
        return Err(SqlError::new("42710", format!("replication slot \"{name}\" already exists")));
    }
    let most: usize = setting("max_replication_slots").parse().unwrap_or(0);
    if slots.all().len() >= most {
        return Err(SqlError::new("53400", "all replication slots are in use"));
    }
    Ok(())
}

/// Makes a slot. It appears at once, active and without a confirmed position, and waits for the transactions that are open now. `given
/// up` ends the wait and leaves nothing behind; where the caller vanishes instead, the slot stays until those transactions have ended.
///
/// # Errors
/// What the server refuses, and the error `given_up` gives.
pub(crate) async fn create(
    door: &Door,
    name: &str,
    plugin: &str,
    database: &str,
    given_up: impl Future<Output = SqlError>,
) -> Result<Lsn, SqlError> {
    check(door, name, plugin)?;
    let node = door.node.clone();
    node.slots().begin(name, plugin, database, node.feed.end());
    let (made, mut answer) = oneshot::channel();
    let waiting = tokio::spawn(wait(node.clone(), name.to_owned(), made));
    let gone = || SqlError::new("57P01", "terminating connection due to administrator command");
    tokio::select! {
        made = &mut answer => made.map_err(|_| gone()),
        error = given_up => {
            waiting.abort();
            node.slots().remove(name);
            Err(error)
        }
    }
}

async fn wait(node: SharedNode, name: String, made: oneshot::Sender<Lsn>) {
    let mut open = node.open_transactions();
    let first: Vec<u64> = open.borrow().iter().map(|transaction| transaction.id).collect();
    let ended = open.wait_for(|open| !open.iter().any(|transaction| first.contains(&transaction.id))).await;
    if ended.is_err() {
        return;
    }
    let point = node.feed.end();
    node.slots().finish(&name, point, point);
    if made.send(point).is_err() {
        node.slots().remove(&name);
    }
}
