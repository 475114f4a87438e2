//! Opening the place where a task's position is kept.
//!
//! Owns the choice between topic and file. Must not decide what is written.

use millrace_batch::Failure;
use millrace_position::{PositionFile, PositionRecord, PositionStore};
use millrace_sink::{KafkaConfig, PositionTopic, PositionTopicOptions};

use crate::config::{self, Task};

/// An open store, held for the life of the process: it is what keeps a second gateway out.
pub struct Store {
    inner: Box<dyn PositionStore>,
    /// A write failed: nobody knows whether it was kept, and a topic's producer is spent.
    spent: bool,
}

impl Store {
    fn new(inner: impl PositionStore + 'static) -> Store {
        Store { inner: Box::new(inner), spent: false }
    }

    /// Makes a record durable. Blocking. After an error the store must be opened, and read, again.
    pub fn write(&mut self, record: &PositionRecord) -> Result<(), Failure> {
        let outcome = self.inner.write(record);
        self.spent |= outcome.is_err();
        outcome
    }

    /// Durably forgets the record. Blocking.
    pub fn forget(&mut self) -> Result<(), Failure> {
        self.inner.forget()
    }

    /// Whether a write failed, so that what is durable must be read anew before anything is confirmed (I1).
    pub fn is_spent(&self) -> bool {
        self.spent
    }
}

/// Opens the store of a task's shard and reads what it holds. Blocking; on a topic it fences an earlier owner first.
pub fn open(task: &Task, kafka: Option<&KafkaConfig>, shard: u16) -> Result<(Store, Option<PositionRecord>), Failure> {
    let position = &task.position;
    match (position.store, &position.path, kafka) {
        (config::PositionStore::File, Some(path), _) => {
            let (file, record) = PositionFile::open(&file_of(path, shard)).map_err(|error| error.failure())?;
            Ok((Store::new(file), record))
        }
        (config::PositionStore::Topic, _, Some(kafka)) => {
            let options = PositionTopicOptions {
                topic: position.topic.to_string(),
                task: task.task.name.to_string(),
                shard,
                replication_factor: position.replication_factor.get() as i32,
            };
            let (topic, record) = PositionTopic::open(kafka, &options)?;
            Ok((Store::new(topic), record))
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

/// Each shard has a file of its own: the first the one that is named, the others that name with their number behind it.
pub(crate) fn file_of(path: &std::path::Path, shard: u16) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    if shard > 0 {
        name.push(format!(".{shard}"));
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_its_file() {
        let file = |shard| file_of(std::path::Path::new("/v/p.json"), shard);
        assert_eq!((file(0), file(12)), ("/v/p.json".into(), "/v/p.json.12".into()));
    }

    struct Failing;

    impl PositionStore for Failing {
        fn write(&mut self, _record: &PositionRecord) -> Result<(), Failure> {
            Err(Failure::transient("kafka_unreachable", "writing", "gone", ""))
        }

        fn forget(&mut self) -> Result<(), Failure> {
            Ok(())
        }
    }

    #[test]
    fn a_store_is_spent_by_a_failed_write_whatever_its_code() {
        let record = r#"{"version":1,"task":"t","position":{"shard":0,"end_lsn":"0/1","ordinal":0,"next_id":1},"shards":1,
            "source_kind":"postgresql","decoding":"pgoutput","system_identifier":"7","slot":"s","slot_state":"created",
            "partitions":{},"modules":[],"selection":"","paused":false,"written_at_ms":0}"#;
        let record = PositionRecord::decode(record.as_bytes()).expect("a record");
        let mut store = Store::new(Failing);
        assert!(!store.is_spent());
        assert!(store.write(&record).is_err());
        assert!(store.is_spent());
    }
}
