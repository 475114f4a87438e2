//! Opening the place where a task's position is kept.
//!
//! Owns the choice between topic and file. Must not decide what is written.

use millrace_batch::Failure;
use millrace_position::{PositionFile, PositionRecord, PositionStore};
use millrace_sink::{KafkaConfig, PositionTopic, PositionTopicOptions};

use crate::config::{self, Task};

/// An open store, held for the life of the process: it is what keeps a second gateway out.
pub type Store = Box<dyn PositionStore>;

/// Opens the store of a task's shard and reads what it holds. Blocking; on a topic it fences an earlier owner first.
pub fn open(task: &Task, kafka: Option<&KafkaConfig>, shard: u16) -> Result<(Store, Option<PositionRecord>), Failure> {
    let position = &task.position;
    match (position.store, &position.path, kafka) {
        (config::PositionStore::File, Some(path), _) => {
            let (file, record) = PositionFile::open(path).map_err(|error| error.failure())?;
            Ok((Box::new(file), record))
        }
        (config::PositionStore::Topic, _, Some(kafka)) => {
            let options = PositionTopicOptions {
                topic: position.topic.to_string(),
                task: task.task.name.to_string(),
                shard,
                replication_factor: position.replication_factor.get() as i32,
            };
            let (topic, record) = PositionTopic::open(kafka, &options)?;
            Ok((Box::new(topic), record))
        }
        // The loader refuses both; this is what keeps a later loader honest.
        _ => Err(Failure::definite(
            "config_invalid",
            "opening the position store",
            "position.store does not fit the sink, or position.path is missing",
            "correct [position]",
        )),
    }
}
