//! Changes that a stage could not handle and whose policy is not to halt.
//!
//! Owns the dead letter's way to its topic, in the place the change has in the stream: it has a number among the records, so nothing
//! behind it is confirmed before it is acknowledged (I1). Counts and names what is skipped. Must not decide the policy: the host says
//! with each fault what it is.

use std::time::{Duration, Instant};

use millrace_batch::{Batch, Failure};
use millrace_host::{Fault, OnError, TopicId, positive_murmur2};
use millrace_sink::{Header, OutRecord};

use super::deliver::{Deliver, HEADER, push};
use crate::dead_letter;

/// One line in the log this often; what is between is counted.
const PAUSE: Duration = Duration::from_secs(1);

/// Where dead letters go, and what was last said of them.
pub(crate) struct Aside {
    /// The topic; none where no stage has dead letters.
    pub topic: Option<TopicId>,
    /// Name of the task.
    pub task: String,
    said: Option<Instant>,
    unsaid: u64,
}

impl Aside {
    pub(crate) fn new(topic: Option<TopicId>, task: String) -> Aside {
        Aside { topic, task, said: None, unsaid: 0 }
    }

    fn say(&mut self, fault: &Fault) {
        let now = Instant::now();
        if self.said.is_some_and(|said| now.duration_since(said) < PAUSE) {
            self.unsaid += 1;
            return;
        }
        self.said = Some(now);
        let skips = fault.on_error == OnError::Skip;
        let what = if skips { "a change is skipped" } else { "a change goes to the dead letters" };
        tracing::warn!(
            code = if skips { "change_skipped" } else { "change_dead_lettered" },
            kind = fault.kind.as_str(),
            stage = fault.stage,
            module = fault.module,
            table = fault.table,
            commit_lsn = %fault.commit_lsn,
            ordinal = fault.ordinal,
            not_logged = std::mem::take(&mut self.unsaid),
            "{what}: {}",
            fault.message
        );
    }
}

impl Deliver {
    /// Sends a fault's change to the dead letters, or counts it; gives the bytes sent.
    pub(super) fn set_aside(&mut self, batch: &Batch, fault: &Fault, digest: &[u8; 8]) -> Result<usize, Failure> {
        self.observe.metrics.module_fault(fault);
        self.aside.say(fault);
        if fault.on_error == OnError::Skip {
            return Ok(0);
        }
        let tried =
            || format!("sending a dead letter of {} (change {} of {})", fault.table, fault.ordinal, fault.commit_lsn);
        let Some(topic) = self.aside.topic else {
            let why = "the task names no topic for dead letters";
            return Err(Failure::definite("dead_letters_missing", tried(), why, "set dead_letters.topic"));
        };
        let relation = batch.relations().get(fault.change as usize).and_then(|id| self.relations.get(*id));
        let Some(relation) = relation else {
            let why = "its table is not known any more";
            return Err(Failure::transient("internal", tried(), why, "report this with the log"));
        };
        let letter = dead_letter::Letter::of(&self.aside.task, self.shard, batch, &relation, fault);
        let ours = self.header(batch, fault.change as usize, digest);
        let target = self.targets.get(topic)?;
        let own = ours.as_ref().map(|value| Header { name: HEADER, value });
        let headers: Vec<Header<'_>> = letter.headers().chain(own).collect();
        let out = OutRecord {
            partition: (positive_murmur2(letter.key.as_bytes()) % target.partitions) as i32,
            key: Some(letter.key.as_bytes()),
            value: Some(&letter.value),
            headers: &headers,
            timestamp_ms: 0,
            seq: self.next_seq,
        };
        push(&self.sink, &self.abandon, &target.handle, &out)
            .map_err(|failure| Failure { tried: tried(), ..failure })?;
        self.next_seq += 1;
        Ok(letter.key.len() + letter.value.len())
    }
}
