//! Captured events through a whole chain: the same lines on every run and machine.
//!
//! Owns the form of the lines and the digest over them. Serves `millrace replay`, and a dry run before a chain is swapped in. Must not know
//! how the chain was put together.

use crate::error::ToolError;
use crate::events::{Pack, Packer, Step, text_json};
use crate::golden::fault_key;
use millrace_batch::Lsn;
use millrace_host::{Chain, Digest, Fault, HostError, PartitionChoice, Records, TopicTable};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};
use std::io::{BufRead, Write};

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Changes read.
    pub changes: u64,
    /// Records they became.
    pub records: u64,
    /// Changes that could not be handled.
    pub faults: u64,
    /// The first of them.
    pub first_fault: Option<Box<Fault>>,
    /// SHA-256 over all lines, line ends included.
    pub sha256: Digest,
}

/// Runs events through a chain and writes a line for each record, in order. A change that cannot be handled gives a line with the fault,
/// and its neighbours go on; a gateway would do what the stage's error policy says.
///
/// `topics` is the table the chain was made with.
///
/// # Errors
/// Events that cannot be read, a table the chain refuses, a failure no single change is to blame for, or an output that takes no more.
pub fn replay<R: BufRead>(
    chain: &mut Chain,
    topics: &TopicTable,
    events: Packer<R>,
    out: &mut impl Write,
) -> Result<Replayed, ToolError> {
    let mut run = Run { chain, topics, out, hash: Sha256::new(), records: 0, faults: 0, first_fault: None };
    let mut changes = 0;
    for step in events {
        match step? {
            // The configuration of a module under test is not this chain's.
            Step::Capture(_) | Step::Config(_) => {}
            Step::Relation(relation) => {
                run.chain.announce(&relation)?;
            }
            Step::Batch(pack) => {
                changes += pack.batch.len() as u64;
                run.pack(&pack)?;
            }
        }
    }
    let Run { hash, records, faults, first_fault, .. } = run;
    Ok(Replayed { changes, records, faults, first_fault, sha256: Digest(hash.finalize().into()) })
}

struct Run<'a, W> {
    chain: &'a mut Chain,
    topics: &'a TopicTable,
    out: &'a mut W,
    hash: Sha256,
    records: u64,
    faults: u64,
    first_fault: Option<Box<Fault>>,
}

impl<W: Write> Run<'_, W> {
    fn pack(&mut self, pack: &Pack) -> Result<(), ToolError> {
        let mut records = Records::new();
        let fault = match self.chain.process(&pack.batch, pack.now, &mut records) {
            Ok(()) => return self.lines(pack, &records),
            Err(HostError::Fault(fault)) => fault,
            Err(error) => return Err(error.into()),
        };
        let at = fault.change as usize;
        // What stands before the culprit is well; so is what stands behind it, or has a fault of its own.
        self.pack(&pack.part(0..at))?;
        let mut line = place(pack, at);
        line.insert(fault_key(fault.kind).to_owned(), fault.message.as_str().into());
        line.insert("stage".to_owned(), fault.stage.as_str().into());
        self.write(line)?;
        self.faults += 1;
        self.first_fault.get_or_insert(fault);
        if at + 1 < pack.batch.len() {
            self.pack(&pack.part(at + 1..pack.batch.len()))?;
        }
        Ok(())
    }

    fn lines(&mut self, pack: &Pack, records: &Records) -> Result<(), ToolError> {
        for record in records.iter() {
            let mut line = place(pack, record.change as usize);
            let topic = self.topics.name(record.topic).map(|name| name.to_string());
            line.insert("topic".to_owned(), topic.into());
            match record.partition {
                PartitionChoice::Explicit(number) => line.insert("partition".to_owned(), number.into()),
                PartitionChoice::Hash(hash) => line.insert("hash".to_owned(), hash.into()),
            };
            line.insert("key".to_owned(), record.key.map_or(Json::Null, text_json));
            line.insert("value".to_owned(), record.value.map_or(Json::Null, text_json));
            if record.headers().len() > 0 {
                let headers = record.headers().map(|(name, value)| json!([name, text_json(value)]));
                line.insert("headers".to_owned(), headers.collect());
            }
            self.write(line)?;
            self.records += 1;
        }
        Ok(())
    }

    fn write(&mut self, line: Map<String, Json>) -> Result<(), ToolError> {
        let text = format!("{}\n", Json::from(line));
        self.hash.update(&text);
        self.out.write_all(text.as_bytes()).map_err(|error| ToolError::file("the output".as_ref(), error))
    }
}

/// Which change a line is about.
fn place(pack: &Pack, change: usize) -> Map<String, Json> {
    let mut line = Map::new();
    line.insert("id".to_owned(), pack.batch.ids()[change].into());
    line.insert("commit_lsn".to_owned(), Lsn(pack.batch.commit_lsns()[change]).to_string().into());
    line.insert("ordinal".to_owned(), pack.batch.ordinals()[change].into());
    line
}
