//! The stored position, read without taking it over: a gateway that runs is not fenced by a check.

use std::{io::Read, path::Path, time::Duration};

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

/// What the store knows of the task, or why that cannot be told.
pub(super) async fn stored(task: &Task) -> Result<Option<Stored>, String> {
    let record = match (task.position.store, &task.position.path) {
        (PositionStore::File, Some(path)) => {
            let bytes = read_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
            bytes.map(|bytes| PositionRecord::decode(&bytes)).transpose().map_err(|error| error.to_string())?
        }
        (PositionStore::File, None) => None,
        (PositionStore::Topic, _) => {
            let task = task.clone();
            let read = tokio::task::spawn_blocking(move || read_topic(&task)).await;
            read.map_err(|error| error.to_string())?.map_err(|failure| failure.to_string())?
        }
    };
    Ok(record.map(|record| Stored {
        system_identifier: record.system_identifier,
        slot: record.slot,
        end_lsn: record.position.end_lsn,
        slot_created: record.slot_state == SlotState::Created,
    }))
}

/// The record of the task's only shard; a topic that does not exist holds none.
fn read_topic(task: &Task) -> Result<Option<PositionRecord>, Failure> {
    let kafka = task::topics::kafka_config(task)?;
    let (topic, name) = (task.position.topic.as_str(), task.task.name.as_str());
    if Topics::connect(&kafka)?.describe(&[topic])?.is_empty() {
        return Ok(None);
    }
    Ok(millrace_sink::read_positions(&kafka, topic, name, PATIENCE)?.remove(&0))
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
