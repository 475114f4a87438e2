//! The stored position, read without taking it over: a gateway that runs is not fenced by a check.

use std::{collections::BTreeMap, io::Read, path::Path, time::Duration};

use millrace_batch::Failure;
use millrace_position::{PositionRecord, SlotState};
use millrace_sink::Topics;

use super::{Item, source::Stored};
use crate::{
    config::{PositionStore, Task},
    task,
};

/// One byte more than a record may have, so that a larger file is refused as such.
const LIMIT: u64 = millrace_position::MAX_RECORD_BYTES as u64 + 1;

/// How long the position topic may take to be read.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the store knows of the task's shards, or why that cannot be told.
pub(super) async fn stored(task: &Task) -> Result<BTreeMap<u16, Stored>, String> {
    let task = task.clone();
    let read = tokio::task::spawn_blocking(move || read(&task)).await;
    let records = read.map_err(|error| error.to_string())??;
    let stored = |record: PositionRecord| Stored {
        system_identifier: record.system_identifier,
        slot: record.slot,
        end_lsn: record.position.end_lsn,
        slot_created: record.slot_state == SlotState::Created,
    };
    Ok(records.into_iter().map(|(shard, record)| (shard, stored(record))).collect())
}

pub(crate) fn read(task: &Task) -> Result<BTreeMap<u16, PositionRecord>, String> {
    let mut records = BTreeMap::new();
    match (task.position.store, &task.position.path) {
        (PositionStore::File, Some(path)) => {
            // The first that is not there ends the row.
            while let Ok(shard) = u16::try_from(records.len()) {
                let path = task::store::file_of(path, shard);
                let bytes = read_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                let Some(bytes) = bytes else { break };
                records.insert(shard, PositionRecord::decode(&bytes).map_err(|error| error.to_string())?);
            }
        }
        (PositionStore::File, None) => {}
        (PositionStore::Topic, _) => records = read_topic(task).map_err(|failure| failure.to_string())?,
    }
    Ok(records)
}

/// The records of the task's shards; a topic that does not exist holds none.
fn read_topic(task: &Task) -> Result<BTreeMap<u16, PositionRecord>, Failure> {
    let kafka = task::topics::kafka_config(task)?;
    let (topic, name) = (task.position.topic.as_str(), task.task.name.as_str());
    if Topics::connect(&kafka)?.describe(&[topic])?.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(millrace_sink::read_positions(&kafka, topic, name, PATIENCE)?.into_iter().collect())
}

fn read_file(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Whether the position file can be written where the task file puts it.
pub(super) fn file(task: &Task) -> Item {
    let id = "position.store";
    let Some(path) = &task.position.path else { return Item::skipped(id, "no position.path") };
    let folder = path.parent().unwrap_or(Path::new("."));
    let reason = match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() && !found.permissions().readonly() => {
            return Item::passed(id, format!("file {}", path.display()));
        }
        Ok(_) => "is no folder that can be written to".to_owned(),
        Err(error) => error.to_string(),
    };
    Item::failed(id, format!("{}: {reason}", folder.display()), format!("mkdir -p {}", folder.display()))
}
