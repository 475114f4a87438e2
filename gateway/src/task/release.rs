//! What is left of a task outside the process: its slots at the source and its positions; dropping, ending and resetting them.
//!
//! Owns the rule which slot is the task's own: the one its file names, in its database, of its decoder, that nobody reads, and that its
//! position says it made. Another is never touched. Must not decide when (that is the machine of `life`, and `millrace slot`).

use std::{collections::BTreeMap, time::Duration};

use millrace_batch::{Failure, Lsn};
use millrace_position::{Position, PositionRecord, SlotState, version_for};
use millrace_replication::{Error, SqlConnection, catalog};

use super::{
    attempt::blocking,
    family::{self, Source},
    now_millis, source,
    store::{self, Store},
    topics, topology,
};
use crate::{
    check::position,
    config::{SinkKind, SourceKind, Task},
};

/// How long the server may take to notice that its reader has gone.
const STILL_ACTIVE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);

/// What slots are dropped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The task ends: its positions are ended next.
    Stop,
    /// The task begins anew from new slots, its ids going on.
    Reset,
}

/// The positions as they are stored, by shard. Takes nothing over.
async fn records(task: &Task) -> Result<BTreeMap<u16, PositionRecord>, Failure> {
    let task = task.clone();
    blocking("reading the positions", move || {
        position::read(&task).map_err(|why| {
            let mend = "make the position store readable, then try again";
            Failure::transient("position_unreadable", "reading the positions", why, mend)
        })
    })
    .await
}

/// Whether the task has ever begun; where that cannot be told, the first attempt will tell why.
pub(super) async fn has_begun(task: &Task) -> bool {
    records(task).await.map_or(true, |records| !records.is_empty())
}

/// Opens a shard's store, which takes it over from whoever has it, and does something with it.
async fn with_store<T: Send + 'static>(
    task: &Task,
    shard: u16,
    tried: &'static str,
    work: impl FnOnce(&mut Store, Option<PositionRecord>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let task = task.clone();
    blocking(tried, move || {
        let kafka = match task.sink.kind {
            SinkKind::Kafka => Some(topics::kafka_config(&task)?),
            SinkKind::Blackhole => None,
        };
        let (mut store, record) = store::open(&task, kafka.as_ref(), shard)?;
        work(&mut store, record)
    })
    .await
}

/// Writes beside every position whether the task is paused.
pub(super) async fn record_paused(task: &Task, paused: bool) -> Result<(), Failure> {
    for shard in records(task).await?.into_keys() {
        with_store(task, shard, "writing down the pause", move |store, record| {
            let Some(mut record) = record.filter(|record| record.paused != paused) else { return Ok(()) };
            record.paused = paused;
            record.written_at_ms = now_millis();
            store.write(&record)
        })
        .await?;
    }
    Ok(())
}

/// Makes durable that the task is over. A task that never began gets a record too: a restart must not begin it.
pub(super) async fn end(task: &Task) -> Result<(), Failure> {
    let mut shards: Vec<u16> = records(task).await?.into_keys().collect();
    if shards.is_empty() {
        shards.push(0);
    }
    for shard in shards {
        let unbegun = unbegun(task);
        with_store(task, shard, "writing down the stop", move |store, record| {
            let mut record = record.unwrap_or(unbegun);
            record.end();
            record.written_at_ms = now_millis();
            store.write(&record)
        })
        .await?;
    }
    Ok(())
}

/// The record of a task that has never read anything.
fn unbegun(task: &Task) -> PositionRecord {
    PositionRecord {
        version: version_for(&[]),
        task: task.task.name.to_string(),
        position: Position { shard: 0, end_lsn: Lsn(0), ordinal: 0, next_id: 1 },
        shards: 1,
        node: None,
        source_kind: kind(task).to_owned(),
        decoding: source::decoding_name(task).to_owned(),
        system_identifier: "none".to_owned(),
        timeline: None,
        slot: task.source.slot.to_string(),
        slot_state: SlotState::Intended,
        partitions: BTreeMap::new(),
        modules: Vec::new(),
        selection: String::new(),
        paused: false,
        written_at_ms: now_millis(),
    }
}

fn kind(task: &Task) -> &'static str {
    match task.source.kind {
        SourceKind::Postgresql => "postgresql",
        SourceKind::Gaussdb => "gaussdb",
    }
}

/// Drops the task's own slots, on every primary, then sets the positions for what comes next. A task that never made one asks nobody.
pub(super) async fn release(task: &Task, how: How) -> Result<(), Failure> {
    let known = records(task).await?;
    if known.is_empty() {
        return Ok(());
    }
    // Ids go on rising over a reset, also where the data nodes are others now.
    let used = known.values().map(|record| record.position.next_id.saturating_mul(u64::from(record.shards))).max();
    let shards = topology::find(task).await?;
    for shard in &shards {
        let mut from = Source::connect(task, &shard.hosts).await?;
        let system = from.connection.identify_system().await.map_err(|error| error.failure())?;
        let record = known.get(&shard.number);
        let slot = record.map_or_else(|| task.source.slot.to_string(), |record| record.slot.clone());
        if let Some(record) = record {
            drop_own(task, &from.catalogue, &slot, shard.node.as_deref(), record).await?;
        }
        from.connection.close().await;
        if how == How::Stop {
            continue;
        }
        let next_id = match record.filter(|record| record.shards == shard.count) {
            Some(record) => record.position.next_id,
            None => used.unwrap_or_default() / u64::from(shard.count) + 1,
        };
        let fresh = PositionRecord {
            position: Position { shard: shard.number, end_lsn: Lsn(0), ordinal: 0, next_id },
            shards: shard.count,
            node: shard.node.clone(),
            system_identifier: system.system_id,
            timeline: Some(system.timeline),
            partitions: record.map(|record| record.partitions.clone()).unwrap_or_default(),
            modules: record.map(|record| record.modules.clone()).unwrap_or_default(),
            ..unbegun(task)
        };
        with_store(task, shard.number, "setting the position back", move |store, _| {
            store.write(&PositionRecord { version: version_for(&fresh.modules), ..fresh })
        })
        .await?;
    }
    if how == How::Reset {
        // Shards that there are no more.
        for gone in known.into_keys().filter(|shard| usize::from(*shard) >= shards.len()) {
            with_store(task, gone, "forgetting a position", |store, _| store.forget()).await?;
        }
    }
    Ok(())
}

/// Drops the slot a position belongs to, where it is there.
async fn drop_own(
    task: &Task,
    client: &SqlConnection,
    slot: &str,
    node: Option<&str>,
    record: &PositionRecord,
) -> Result<(), Failure> {
    let deadline = tokio::time::Instant::now() + STILL_ACTIVE;
    loop {
        match drop_slot(task, client, slot, node).await {
            Ok(true) => {
                tracing::info!(code = "slot_dropped", slot, node, "slot dropped");
                return Ok(());
            }
            Ok(false) => {
                if record.slot_state == SlotState::Created {
                    tracing::warn!(code = "slot_missing", slot, node, "the slot is gone already");
                }
                return Ok(());
            }
            // The server may not have noticed yet that its reader has gone.
            Err(failure) if failure.code == "slot_in_use" && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(LOOK).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Drops a slot of the task, where it is there, nobody reads it, and decoder and database are the task's. Gives whether there was one.
///
/// # Errors
/// Definite `slot_in_use` and `slot_mismatch`; whatever the source answers.
pub(crate) async fn drop_slot(
    task: &Task,
    client: &SqlConnection,
    slot: &str,
    node: Option<&str>,
) -> Result<bool, Failure> {
    let at = node.map_or_else(String::new, |node| format!(" of {node}"));
    let tried = || format!("dropping slot {slot:?}{at}");
    let failed = |error: Error| Failure { tried: tried(), ..error.failure() };
    let Some(found) = family::slot_named(task, client, slot).await.map_err(failed)? else { return Ok(false) };
    if found.active {
        let pid = found.active_pid.map_or_else(String::new, |pid| format!(" by process {pid} of the server"));
        let mend = "stop the gateway that runs this task, then try again";
        return Err(Failure::definite("slot_in_use", tried(), format!("it is in use{pid}"), mend));
    }
    let (plugin, database) = (found.plugin.unwrap_or_default(), found.database.unwrap_or_default());
    if plugin != task.source.decoding.plugin() || database != task.source.database.as_str() {
        let mend = "correct source.slot; a slot of somebody else is not dropped";
        let why = format!("it belongs to plugin {plugin:?} and database {database:?}");
        return Err(Failure::definite("slot_mismatch", tried(), why, mend));
    }
    catalog::gauss::drop_slot(client, slot).await.map_err(failed)?;
    Ok(true)
}

/// Slots of one node, each with whether it is the task's own; the node is none where the source is one server.
pub(crate) type NodeSlots = (Option<String>, Vec<(catalog::gauss::ListedSlot, bool)>);

/// The slots of the task's database on every primary, each with whether it is the task's own, as far as name and decoder tell.
pub(crate) async fn list(task: &Task) -> Result<Vec<NodeSlots>, Failure> {
    let mut nodes = Vec::new();
    for shard in topology::find(task).await? {
        let (_, client) =
            family::primary(source::options_at(task, &shard.hosts)?).await.map_err(|error| error.failure())?;
        let listed = catalog::gauss::slots_of(&client, task.source.database.as_str()).await;
        let own = |slot: &catalog::gauss::ListedSlot| {
            slot.name == task.source.slot.as_str() && slot.plugin == task.source.decoding.plugin()
        };
        let listed = listed.map_err(|error| error.failure())?;
        nodes.push((shard.node, listed.into_iter().map(|slot| (slot.clone(), own(&slot))).collect()));
    }
    Ok(nodes)
}

/// Whether a position of the task says that it made this slot; a task that is over made it too.
pub(crate) async fn is_own(task: &Task, slot: &str) -> Result<bool, Failure> {
    Ok(records(task).await?.values().any(|record| record.slot == slot))
}

/// The statements that list, drop and verify what a forced stop may have left, for a person to run on every primary, as the user of the
/// task: an ordinary user cannot run them on data nodes through a coordinator (EXECUTE DIRECT).
pub(super) fn cleanup(task: &Task) -> Vec<String> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (slot, database) = (quoted(task.source.slot.as_str()), quoted(task.source.database.as_str()));
    vec![
        format!("SELECT slot_name, plugin, active FROM pg_replication_slots WHERE database = {database};"),
        format!("SELECT * FROM pg_drop_replication_slot({slot});"),
        format!("SELECT slot_name FROM pg_replication_slots WHERE slot_name = {slot};"),
    ]
}
