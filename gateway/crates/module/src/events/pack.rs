//! Changes into batches, and batches into changes.

use super::{Capture, Change, Event, EventsError, Reader, write::change_of};
use millrace_batch::{Batch, Commit, Relation, marks};
use millrace_host::Value;
use std::io::BufRead;

/// Most changes of one batch; what a task has by default (`pipeline.batch_changes`).
pub const BATCH_CHANGES: usize = 256;
/// Bytes of cell values after which a batch ends.
const BATCH_BYTES: usize = 1 << 20;

/// A batch and the clock its modules see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The changes, with the transaction ends among them.
    pub batch: Batch,
    /// Microseconds since the Unix epoch.
    pub now: i64,
}

/// One thing that happens to a chain or a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Where the events come from.
    Capture(Capture),
    /// The configuration of a module under test.
    Config(serde_json::Value),
    /// A table is announced.
    Relation(Relation),
    /// Changes are processed.
    Batch(Box<Pack>),
}

/// Packs events into steps. The same events give the same batches, however fast they come.
#[derive(Debug)]
pub struct Packer<R> {
    reader: Reader<R>,
    open: Pack,
    next: Option<Event>,
    limit: usize,
}

impl<R: BufRead> Packer<R> {
    /// Packs what `reader` gives; a batch has at most `limit` changes.
    pub fn new(reader: Reader<R>, limit: usize) -> Packer<R> {
        Packer { reader, open: Pack { batch: Batch::new(0), now: 0 }, next: None, limit: limit.max(1) }
    }

    /// The open batch, where there is something in it; the next one has the same clock and shard.
    fn close(&mut self) -> Option<Step> {
        if self.open.batch.is_empty() && self.open.batch.commits().is_empty() {
            return None;
        }
        let next = Pack { batch: Batch::new(self.open.batch.shard()), now: self.open.now };
        Some(Step::Batch(Box::new(std::mem::replace(&mut self.open, next))))
    }

    fn step(&mut self) -> Result<Option<Step>, EventsError> {
        loop {
            let event = match self.next.take() {
                Some(event) => Some(event),
                None => self.reader.next().transpose()?,
            };
            let Some(event) = event else { return Ok(self.close()) };
            match event {
                Event::Change(change) => {
                    if !append(&mut self.open.batch, &change) {
                        let Some(step) = self.close() else {
                            return Err(self.reader.error("the change is larger than a batch can be"));
                        };
                        self.next = Some(Event::Change(change));
                        return Ok(Some(step));
                    }
                    if self.open.batch.len() >= self.limit || self.open.batch.data_len() >= BATCH_BYTES {
                        // The end of a transaction that follows belongs to its last change.
                        let event = self.reader.next().transpose()?;
                        match event {
                            Some(Event::Commit(commit)) => self.open.batch.push_commit(commit),
                            other => self.next = other,
                        }
                        return Ok(self.close());
                    }
                }
                Event::Commit(commit) => self.open.batch.push_commit(commit),
                event => {
                    if let Some(step) = self.close() {
                        self.next = Some(event);
                        return Ok(Some(step));
                    }
                    match event {
                        Event::Now(now) => self.open.now = now,
                        Event::Capture(capture) => {
                            self.open.batch = Batch::new(capture.shard);
                            return Ok(Some(Step::Capture(capture)));
                        }
                        Event::Config(config) => return Ok(Some(Step::Config(config))),
                        Event::Relation(relation) => return Ok(Some(Step::Relation(relation))),
                        Event::Change(_) | Event::Commit(_) => {}
                    }
                }
            }
        }
    }
}

impl<R: BufRead> Iterator for Packer<R> {
    type Item = Result<Step, EventsError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// Appends a change with its cells; false, and nothing appended, where the batch cannot hold it.
pub fn append(batch: &mut Batch, change: &Change) -> bool {
    batch.begin_change(change.stamp);
    batch.set_csn(change.csn);
    for cell in change.new.iter().chain(&change.old).flatten() {
        match cell {
            Value::Null => batch.push_null(),
            Value::Unsent => batch.push_unsent(),
            Value::Text(text) => {
                if !batch.push_text(text) {
                    batch.abandon_change();
                    return false;
                }
            }
        }
    }
    let cells = |image: &Option<Vec<Value>>| image.as_ref().map_or(0, |cells| cells.len() as u16);
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    let bits = bit(change.new.is_some(), marks::NEW)
        | bit(change.old.is_some(), marks::OLD)
        | bit(change.key_only, marks::OLD_KEY_ONLY);
    batch.finish_change(cells(&change.new), cells(&change.old), bits);
    true
}

impl Pack {
    /// A batch of exactly `size` changes: those among `events`, over and over.
    pub fn of(events: &[Event], shard: u16, now: i64, size: usize) -> Pack {
        let mut batch = Batch::new(shard);
        let changes = events.iter().filter_map(|event| match event {
            Event::Change(change) => Some(change),
            _ => None,
        });
        for change in changes.cycle().take(size) {
            if !append(&mut batch, change) {
                break;
            }
        }
        Pack { batch, now }
    }

    /// A part of it: these changes, without transaction ends.
    pub fn part(&self, changes: std::ops::Range<usize>) -> Pack {
        let mut batch = Batch::new(self.batch.shard());
        for change in changes {
            // Part of a batch that exists, so it fits.
            append(&mut batch, &change_of(&self.batch, change));
        }
        Pack { batch, now: self.now }
    }

    /// Its changes and transaction ends as events, in order.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        let commits = self.batch.commits();
        let mut next = 0;
        (0..=self.batch.len()).flat_map(move |at| {
            let from = next;
            while commits.get(next).is_some_and(|commit| commit.after as usize <= at) {
                next += 1;
            }
            let ends = commits[from..next].iter().map(|commit| Event::Commit(Commit { after: 0, ..*commit }));
            let change = (at < self.batch.len()).then(|| Event::Change(Box::new(change_of(&self.batch, at))));
            ends.chain(change).collect::<Vec<_>>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Writer;
    use millrace_batch::{ChangeStamp, Column, Lsn, Op, ReplicaIdentity};
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(Value::Unsent),
            prop::collection::vec(any::<u8>(), 0..6).prop_map(Value::Text),
            "[a-z\"\\\\{}é]{0,6}".prop_map(|text| Value::Text(text.into_bytes())),
        ]
    }

    fn event() -> impl Strategy<Value = Event> {
        let image = || prop::option::of(prop::collection::vec(value(), 2));
        let change = (any::<u64>(), any::<i64>(), 0..4u8, image(), image(), any::<bool>()).prop_map(
            |(n, time, op, new, old, key_only)| {
                let op = [Op::Insert, Op::Update, Op::Delete, Op::Truncate][usize::from(op)];
                let stamp = ChangeStamp {
                    id: n,
                    commit_lsn: Lsn(n ^ 1),
                    xid: n ^ 2,
                    commit_time: time,
                    ordinal: n as u32,
                    relation: 3,
                    op,
                };
                Event::Change(Box::new(Change { stamp, new, old, key_only, csn: n % 3 }))
            },
        );
        let commit = any::<u64>().prop_map(|n| {
            Event::Commit(Commit {
                after: 0,
                commit_lsn: Lsn(n),
                end_lsn: Lsn(n ^ 1),
                xid: n,
                commit_time: 5,
                next_id: n,
            })
        });
        prop_oneof![6 => change, 2 => commit, 1 => any::<i64>().prop_map(Event::Now)]
    }

    fn relation() -> Relation {
        let column = |name: &str, key_position| Column {
            name: name.into(),
            type_name: "text".into(),
            type_oid: 25,
            type_modifier: i32::from(key_position) - 1,
            jdbc_type: 12,
            key_position,
        };
        Relation {
            id: 3,
            source_oid: 0,
            database: "d".into(),
            schema: "s".into(),
            table: "t".into(),
            identity: ReplicaIdentity::Index,
            columns: vec![column("a", 1), column("b", 0)],
        }
    }

    fn lines(events: &[Event]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        events.iter().for_each(|event| writer.event(event).unwrap());
        writer.finish().unwrap()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_packing_loses_nothing(events in prop::collection::vec(event(), 0..40), limit in 1usize..9) {
            let mut all = vec![Event::Relation(relation())];
            all.extend(events);
            let text = lines(&all);
            let read: Vec<Event> = Reader::new("f", &text[..]).map(Result::unwrap).collect();
            prop_assert_eq!(&read, &all);

            let (mut now, mut out) = (0, Vec::new());
            for step in Packer::new(Reader::new("f", &text[..]), limit) {
                match step.unwrap() {
                    Step::Relation(relation) => out.push(Event::Relation(relation)),
                    Step::Batch(pack) => {
                        prop_assert!(pack.batch.len() <= limit);
                        if pack.now != now {
                            now = pack.now;
                            out.push(Event::Now(now));
                        }
                        out.extend(pack.events());
                    }
                    other => panic!("{other:?}"),
                }
            }
            // Only clocks that nothing follows, or that say nothing new, may be missing.
            let mut clock = 0;
            let mut wanted: Vec<Event> = Vec::new();
            for event in all {
                match event {
                    Event::Now(time) => clock = time,
                    event => {
                        let told = wanted.iter().rev().find_map(|e| match e { Event::Now(now) => Some(*now), _ => None });
                        if clock != told.unwrap_or(0) {
                            wanted.push(Event::Now(clock));
                        }
                        wanted.push(event);
                    }
                }
            }
            prop_assert_eq!(out, wanted);
        }
    }
}
