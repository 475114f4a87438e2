//! The format stage: the records a change becomes.

use crate::{
    Batch, Change, FormatPlan, Module, Relation,
    bindings::exports::millrace::transform::format::{Headers, Records as Answer},
    tables::Tables,
};

/// Bits of a record's mark.
const NO_KEY: u8 = 1;
const TOMBSTONE: u8 = 1 << 1;
const HASHED_KEY: u8 = 1 << 2;

/// Writes records.
pub trait Format: Module + Sized {
    /// What the module keeps for one table; handed back with each of its changes.
    type Table: 'static;

    /// Makes the stage from its config.
    ///
    /// # Errors
    /// A text with the path in the config.
    fn init(config: &str) -> Result<Self, String>;

    /// Says what the stage reads of a table's changes and, for a binary format, the schemas of what it writes; prepares what is
    /// the same for all changes. Without schemas an [`Interest`](crate::Interest) is the plan: `Interest::ALL.into()`.
    ///
    /// # Errors
    /// Why the table cannot be handled; the task does not go on with it.
    fn announce(&mut self, table: &Relation) -> Result<(FormatPlan, Self::Table), String>;

    /// Writes the records of one change, in order; none drops it.
    ///
    /// # Errors
    /// Why this change cannot be written; its neighbours are unharmed, and what was written of it is taken back.
    fn format(&mut self, table: &Self::Table, change: &Change<'_>, out: &mut Records) -> Result<(), String>;
}

/// Takes the records of [`Format::format`].
pub struct Records {
    answer: Answer,
    index: u32,
}

/// The key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// None.
    None,
    /// The bytes the router hashed.
    Hashed,
    /// These bytes.
    Bytes(&'a [u8]),
}

impl Records {
    /// Begins a record of the change at hand. It counts once it is [finished](Record::finish).
    #[inline]
    pub fn begin(&mut self, key: Key<'_>) -> Record<'_> {
        let mut mark = 0;
        match key {
            Key::None => mark |= NO_KEY,
            Key::Hashed => mark |= HASHED_KEY,
            Key::Bytes(bytes) => self.answer.arena.extend_from_slice(bytes),
        }
        let key_end = self.answer.arena.len();
        Record { topic: -1, mark, key_end, out: self }
    }

    /// Where everything stands, to come back to when a change fails.
    fn place(&self) -> [usize; 4] {
        let Answer { arena, changes, headers, .. } = &self.answer;
        [arena.len(), changes.len(), headers.arena.len(), headers.record_of.len()]
    }

    fn back_to(&mut self, [arena, records, header_bytes, headers]: [usize; 4]) {
        let answer = &mut self.answer;
        answer.arena.truncate(arena);
        answer.changes.truncate(records);
        answer.key_ends.truncate(records);
        answer.value_ends.truncate(records);
        answer.topic_of.truncate(records);
        answer.marks.truncate(records);
        answer.headers.arena.truncate(header_bytes);
        answer.headers.record_of.truncate(headers);
        answer.headers.name_of.truncate(headers);
        answer.headers.value_ends.truncate(headers);
    }
}

/// A record being written.
#[must_use = "a record counts only once it is finished"]
pub struct Record<'a> {
    topic: i32,
    mark: u8,
    key_end: usize,
    out: &'a mut Records,
}

impl Record<'_> {
    /// The bytes so far; append the value, touch nothing that is there.
    #[inline]
    pub fn value(&mut self) -> &mut Vec<u8> {
        &mut self.out.answer.arena
    }

    /// Makes the value null: a tombstone. What was written as value is taken back.
    pub fn tombstone(&mut self) {
        self.mark |= TOMBSTONE;
        let key_end = self.key_end;
        self.value().truncate(key_end);
    }

    /// Sends the record to another topic than the router said.
    pub fn topic(&mut self, topic: &str) {
        self.topic = intern(&mut self.out.answer.topics, topic) as i32;
    }

    /// Adds a header.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        let record = self.out.answer.changes.len() as u32;
        let headers = &mut self.out.answer.headers;
        headers.name_of.push(intern(&mut headers.names, name));
        headers.arena.extend_from_slice(value);
        headers.record_of.push(record);
        headers.value_ends.push(headers.arena.len() as u32);
    }

    /// Ends the record.
    #[inline]
    pub fn finish(self) {
        let Self { topic, mark, key_end, out: Records { answer, index } } = self;
        answer.changes.push(*index);
        answer.key_ends.push(key_end as u32);
        answer.value_ends.push(answer.arena.len() as u32);
        answer.topic_of.push(topic);
        answer.marks.push(mark);
    }
}

/// Index of a name, added when new. Few names: a search is cheaper than a hash.
fn intern(names: &mut Vec<String>, name: &str) -> u32 {
    let index = names.iter().position(|n| n == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    index as u32
}

/// Runs a [`Format`] on packed batches.
pub struct Formatting<M: Format> {
    module: M,
    tables: Tables<M::Table>,
    /// Arena bytes per change beyond its cells, as the last batch had them: to reserve in one step.
    bytes_per_change: usize,
}

impl<M: Format> Formatting<M> {
    /// See [`Format::init`].
    ///
    /// # Errors
    /// Those of the module.
    pub fn init(config: &str) -> Result<Self, String> {
        Ok(Self { module: M::init(config)?, tables: Tables::new(), bytes_per_change: 1024 })
    }

    /// See [`Format::announce`].
    ///
    /// # Errors
    /// Those of the module.
    pub fn announce(&mut self, relation: Relation) -> Result<FormatPlan, String> {
        let (plan, table) = self.module.announce(&relation)?;
        self.tables.announce(relation, &plan.reads, table);
        Ok(plan)
    }

    /// Writes the records of every change of a batch.
    #[must_use]
    pub fn process(&mut self, batch: &Batch) -> Answer {
        let changes = batch.ops.len();
        let mut out = Records { answer: empty(changes, batch.data.len() + changes * self.bytes_per_change), index: 0 };
        let mut faults = Vec::new();
        let Self { module, tables, .. } = self;
        tables.each_change(batch, &mut faults, |index, table, change| {
            out.index = index as u32;
            let place = out.place();
            let result = module.format(table, change, &mut out);
            if result.is_err() {
                out.back_to(place);
            }
            result
        });
        if let Some(each) = out.answer.arena.len().saturating_sub(batch.data.len()).checked_div(changes) {
            // An eighth more, so that rows somewhat longer than the last batch's still fit.
            self.bytes_per_change = each + each / 8 + 64;
        }
        Answer { faults, ..out.answer }
    }
}

fn empty(records: usize, bytes: usize) -> Answer {
    Answer {
        arena: Vec::with_capacity(bytes),
        changes: Vec::with_capacity(records),
        key_ends: Vec::with_capacity(records),
        value_ends: Vec::with_capacity(records),
        topic_of: Vec::with_capacity(records),
        marks: Vec::with_capacity(records),
        topics: Vec::new(),
        headers: Headers {
            names: Vec::new(),
            arena: Vec::new(),
            record_of: Vec::new(),
            name_of: Vec::new(),
            value_ends: Vec::new(),
        },
        faults: Vec::new(),
    }
}
