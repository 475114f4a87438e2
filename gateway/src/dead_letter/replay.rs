//! Sending dead letters through the task's chain again.
//!
//! Owns the chain and the producer of a replay; both are its own, so it runs beside the gateway of the task and touches neither its
//! position nor its slot. A replayed record comes behind everything that was delivered since: it is out of order.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use millrace_batch::{Batch, Failure, Relation};
use millrace_host::{Chain, OnError, PartitionChoice, Record, Records, TopicId, TopicTable};
use millrace_module::events::append;
use millrace_sink::{Header, OutRecord, Producer, SendError, Sink, Stored, TopicHandle, Topics};
use serde::Serialize;

use super::Letter;
use crate::{
    config::Task,
    pipeline::{Framer, HEADER, record_header},
    task::{modules::Loaded, topics},
};

/// How long acknowledgements may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It became so many records; none where a filter drops it or the format writes none.
    Produced(usize),
    /// A stage cannot handle it still, in these words.
    Fails {
        /// Code of the failure.
        code: &'static str,
        /// The stage's name.
        stage: String,
        /// The module's words or the host's finding.
        error: String,
    },
}

/// A chain and a producer for dead letters.
pub struct Replay {
    chain: Chain,
    relations: Vec<Relation>,
    records: Records,
    digest: [u8; 8],
    headers: bool,
    table: TopicTable,
    framer: Option<Framer>,
    /// None for a dry run.
    sink: Option<Sink>,
    topics: Topics,
    /// Partition counts the task has pinned, by topic.
    pinned: BTreeMap<String, u32>,
    known: BTreeMap<TopicId, (TopicHandle, u32)>,
    next_seq: u64,
}

impl Replay {
    /// Loads the modules of a task and connects. `pinned`: partition counts of the task's position. Blocking.
    ///
    /// # Errors
    /// As at the start of the task.
    pub fn start(task: &Task, pinned: BTreeMap<String, u32>, dry_run: bool) -> Result<Replay, Failure> {
        let loaded = Loaded::load(task)?;
        let mut spec = loaded.spec.clone();
        let ends = [&mut spec.route, &mut spec.format];
        for stage in spec.filters.iter_mut().chain(&mut spec.maps).chain(ends) {
            // What fails is told, whatever the policy.
            stage.on_error = OnError::Skip;
        }
        let table = TopicTable::new();
        let chain = Chain::instantiate(&spec, loaded.engine.limits(), &table).map_err(|error| error.failure())?;
        let frames = topics::frames(task, loaded.engine.schemas().clone(), table.clone())?;
        let kafka = topics::kafka_config(task)?;
        let sink = if dry_run { None } else { Some(Sink::Kafka(Producer::start(&kafka)?)) };
        Ok(Replay {
            chain,
            relations: Vec::new(),
            records: Records::new(),
            digest: loaded.chain_digest(),
            headers: task.sink.headers,
            table,
            framer: frames.map(|frames| Framer::new(Arc::new(frames))),
            sink,
            topics: Topics::connect(&kafka)?,
            pinned,
            known: BTreeMap::new(),
            next_seq: 0,
        })
    }

    /// Runs one dead letter through the chain and produces what comes out. Blocking; acknowledged only after [`Replay::finish`].
    ///
    /// # Errors
    /// Definite `dead_letter_unreadable`, or those of the chain and the sink, after which the replay is over.
    pub fn letter(&mut self, stored: &Stored) -> Result<Outcome, Failure> {
        let (mut relation, mut change) = Letter::read(stored.value.as_deref().unwrap_or_default())?;
        let known = self.relations.iter().position(|known| {
            relation.id = known.id;
            *known == relation
        });
        let id = known.unwrap_or(self.relations.len()) as u32;
        relation.id = id;
        change.stamp.relation = id;
        self.chain.announce(&relation).map_err(|error| error.failure())?;
        if known.is_none() {
            self.relations.push(relation);
        }
        let shard =
            super::Named::of(stored.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))).shard;
        let mut batch = Batch::new(shard.parse().unwrap_or(0));
        if !append(&mut batch, &change) {
            let why = "the change is larger than a batch can be";
            return Err(Failure::definite(
                "dead_letter_unreadable",
                "reading a dead letter",
                why,
                "leave the record out",
            ));
        }
        let mut records = std::mem::take(&mut self.records);
        let outcome = self.run(&batch, &mut records);
        self.records = records;
        outcome
    }

    fn run(&mut self, batch: &Batch, records: &mut Records) -> Result<Outcome, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        self.chain.process(batch, now, records).map_err(|error| error.failure())?;
        if let Some(fault) = records.faults().first() {
            let (code, stage, error) = (fault.kind.as_str(), fault.stage.clone(), fault.message.clone());
            return Ok(Outcome::Fails { code, stage, error });
        }
        for record in records.iter() {
            self.send(batch, &record)?;
        }
        Ok(Outcome::Produced(records.len()))
    }

    fn send(&mut self, batch: &Batch, record: &Record<'_>) -> Result<(), Failure> {
        let (handle, partitions) = self.place(record.topic)?;
        let Some(sink) = &self.sink else { return Ok(()) };
        let partition = match record.partition {
            PartitionChoice::Hash(hash) => hash % partitions,
            PartitionChoice::Explicit(number) if number < partitions => number,
            PartitionChoice::Explicit(number) => {
                let why = format!("the router chose partition {number}, topic {} has {partitions}", handle.name());
                let mend = "correct the route module or its configuration";
                return Err(Failure::definite("partition_out_of_range", "routing a dead letter", why, mend));
            }
        };
        let ours = record_header(batch, record.change as usize, &self.digest);
        let ours = self.headers.then_some(Header { name: HEADER, value: &ours });
        let headers: Vec<_> = record.headers().map(|(name, value)| Header { name, value }).chain(ours).collect();
        let joined = self.framer.as_mut().map_or(Ok((record.key, record.value)), |framer| framer.join(record));
        let (key, value) = joined?;
        let out = OutRecord {
            partition: partition as i32,
            key,
            value,
            headers: &headers,
            timestamp_ms: 0,
            seq: self.next_seq,
        };
        loop {
            match sink.send(&handle, &out) {
                Ok(()) => break,
                Err(SendError::QueueFull) => match sink.failure() {
                    Some(failure) => return Err(failure),
                    None => std::thread::sleep(Duration::from_millis(1)),
                },
                Err(SendError::Failed(failure)) => return Err(failure),
            }
        }
        self.next_seq += 1;
        Ok(())
    }

    /// The topic and the number of partitions its keys are spread over.
    fn place(&mut self, topic: TopicId) -> Result<(TopicHandle, u32), Failure> {
        if let Some(known) = self.known.get(&topic) {
            return Ok(known.clone());
        }
        let name: Arc<str> = self.table.name(topic).unwrap_or_default();
        let Some(found) = self.topics.describe(&[&*name])?.into_iter().find(|state| *state.name == *name) else {
            let (tried, mend) = (format!("looking for topic {name}"), format!("create topic {name}"));
            return Err(Failure::definite("topic_missing", tried, "the cluster has no such topic", mend));
        };
        let partitions = self.pinned.get(&*name).copied().unwrap_or(found.partitions).min(found.partitions).max(1);
        let handle = match &self.sink {
            Some(sink) => sink.topic(&name, found.max_message_bytes)?,
            None => Sink::Blackhole(millrace_sink::Blackhole::new(usize::MAX)).topic(&name, found.max_message_bytes)?,
        };
        self.known.insert(topic, (handle.clone(), partitions));
        Ok((handle, partitions))
    }

    /// Waits for the acknowledgements.
    ///
    /// # Errors
    /// Those of the sink; which of the records were written is then not known.
    pub fn finish(self) -> Result<(), Failure> {
        self.sink.map_or(Ok(()), |sink| sink.flush(PATIENCE).map(drop))
    }
}
