//! The stream of records as changes in batches.
//!
//! Owns the order of records, ids and ordinals, and what is skipped because an earlier run had it. Must not know who fills or
//! drains the stream.

use super::{
    Frame, Layout, Numbers, Reason, Record, RecordError, Row, assembler::Assembler, canonical::Scratch, next_frame,
    parse, row::Span, tables::Shape, tables::Tables, types::CatalogueTable,
};
use crate::{Cut, Encoding, Held, Spill, Start};
use millrace_batch::{Batch, Commit, Lsn, Op, Relation, RelationLog, Split, marks};

/// Ids stay below this: the largest integer range JavaScript consumers read exactly.
const ID_LIMIT: u64 = 1 << 53;

/// How the stream was started, and what its decoder may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How the server renders changes.
    pub layout: Layout,
    /// Whether the stream was started with `sending-batch=1`. Styles j and t need it: without, COMMIT has no LSN.
    pub batched: bool,
    /// Encoding of the database: the server never converts what the plugin writes.
    pub encoding: Encoding,
    /// Text of numbers.
    pub numbers: Numbers,
    /// Bytes one transaction may take in memory before it goes to the spill; about twice that while it comes back.
    pub memory: usize,
    /// When a batch is cut.
    pub cut: Cut,
    /// Whether an update of a primary key becomes two changes, the delete of the old row and the insert of the new one.
    pub split_key_changes: bool,
}

impl Options {
    /// Serial decoding of a UTF-8 database, canonical numbers, 16 MiB of memory, batches of any size.
    pub fn new(layout: Layout) -> Options {
        Options {
            layout,
            batched: false,
            encoding: Encoding::UTF8,
            numbers: Numbers::Canonical,
            memory: 16 << 20,
            cut: Cut::NEVER,
            split_key_changes: false,
        }
    }
}

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A transaction began.
    Begin,
    /// A change was taken into the transaction.
    Row,
    /// One change for each emptied table was taken.
    Truncate,
    /// The transaction ended: [`Mppdb::release`] it before the next record.
    Commit,
    /// A transaction ended that an earlier run had.
    Skipped,
    /// A table is new or its columns changed: look up [`Mppdb::needed`], answer with [`Mppdb::set_table`], and hand the
    /// same record in again.
    TableNeeded,
    /// Memory and spill are full; the record was not taken.
    Full,
}

#[derive(Debug)]
struct Transaction {
    xid: Option<u64>,
    csn: Option<u64>,
    commit_time: Option<i64>,
}

/// What a payload leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// All of it is read: hand in the next one.
    Done,
    /// The batch is cut: hand it on, and the same payload in again with an empty one.
    Cut,
    /// A table is new or its columns changed: look up [`Mppdb::needed`], answer with [`Mppdb::set_table`], and hand the same
    /// payload in again.
    TableNeeded,
    /// Memory and spill are full: read nothing more, and hand the same payload in again when the spill may have room.
    Full,
}

/// Decoder of one connection's stream. A record that gives an error leaves the decoder as it was before it.
#[derive(Debug)]
pub struct Mppdb {
    options: Options,
    shard: u64,
    shards: u64,
    position: Lsn,
    next_id: u64,
    last_end: Lsn,
    transaction: Option<Transaction>,
    tables: Tables,
    assembler: Assembler,
    row: Row,
    scratch: Scratch,
    /// Bytes of the payload that are read; none between payloads.
    read: Option<usize>,
    key_changes: u64,
}

impl Mppdb {
    /// A decoder at the start of a stream. Versions of tables are appended to `relations`, or found there again. The spill must
    /// be empty.
    pub fn new(options: Options, start: Start, relations: RelationLog, spill: Box<dyn Spill>) -> Mppdb {
        debug_assert!(start.shard < start.shards);
        Mppdb {
            options,
            shard: u64::from(start.shard),
            shards: u64::from(start.shards),
            position: start.end_lsn,
            next_id: start.next_id,
            last_end: Lsn(0),
            transaction: None,
            tables: Tables::new(start.database, options, relations),
            assembler: Assembler::new(options.memory, spill),
            row: Row::default(),
            scratch: Scratch::default(),
            read: None,
            key_changes: 0,
        }
    }

    /// Updates of a primary key so far, as far as the old key was sent.
    pub fn key_changes(&self) -> u64 {
        self.key_changes
    }

    /// Reads the payload of one `XLogData` into the batch, from where it was left. Anything but [`Payload::Done`] wants the same
    /// payload again. `wal_start` is the header's first LSN: in serial decoding it is the end of the transaction on a COMMIT, elsewhere
    /// it only places errors.
    ///
    /// # Errors
    /// Anything that cannot be read faithfully; see [`Reason`]. The payload is then left at the record that was refused.
    pub fn payload(&mut self, wal_start: Lsn, payload: &[u8], batch: &mut Batch) -> Result<Payload, RecordError> {
        let framed = self.options.layout.is_framed(self.options.batched);
        loop {
            let released = self.release(batch).map_err(|error| error.at(wal_start))?;
            if !released || (self.read.is_some() && self.options.cut.is_reached(batch)) {
                return Ok(Payload::Cut);
            }
            let mut at = self.read.unwrap_or(0);
            let first = self.read.is_none();
            let frame = match next_frame(self.options.layout, framed, payload, &mut at, first) {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    self.read = None;
                    return Ok(Payload::Done);
                }
                Err(error) => return Err(error.at(wal_start)),
            };
            let start = frame.bytes.as_ptr() as usize - payload.as_ptr() as usize;
            match self.record(wal_start, frame).map_err(|error| error.behind(start))? {
                Step::Begin | Step::Row | Step::Truncate | Step::Commit | Step::Skipped => self.read = Some(at),
                Step::TableNeeded => return Ok(Payload::TableNeeded),
                Step::Full => return Ok(Payload::Full),
            }
        }
    }

    /// Reads one record of [`super::frames`], for recordings that are no whole stream; [`Mppdb::payload`] is the way to read one.
    ///
    /// # Errors
    /// As [`Mppdb::payload`].
    #[inline]
    pub fn record(&mut self, wal_start: Lsn, frame: Frame<'_>) -> Result<Step, RecordError> {
        let fail = |reason| RecordError::new(reason, 0).at(wal_start);
        if self.assembler.is_releasing() {
            return Err(fail(Reason::OutOfSequence("a record before the last transaction was released")));
        }
        let record = parse(self.options.layout, frame, &mut self.row);
        if !matches!(record, Ok(Record::Begin { .. } | Record::Commit { .. })) {
            self.tables.read(record == Ok(Record::Row) && self.row.repeats);
        }
        match record.map_err(|error| error.at(wal_start))? {
            Record::Begin { xid, csn, commit_time, .. } => {
                if self.transaction.is_some() {
                    return Err(fail(Reason::OutOfSequence("a transaction begins inside another")));
                }
                self.transaction = Some(Transaction { xid, csn, commit_time });
                Ok(Step::Begin)
            }
            Record::Commit { xid, csn, commit_time, end_lsn } => {
                let end_lsn = if self.options.layout == Layout::Serial { Some(wal_start) } else { end_lsn };
                self.commit(xid, csn, commit_time, end_lsn.filter(|end| *end > Lsn(0))).map_err(fail)
            }
            Record::Row | Record::Truncate(_) if self.transaction.is_none() => {
                Err(fail(Reason::OutOfSequence("a change outside a transaction")))
            }
            Record::Row => {
                if !self.assembler.make_room().map_err(fail)? {
                    return Ok(Step::Full);
                }
                let mut step = self.take_row();
                // No room behind other rows says nothing of the row alone.
                if step == Err(Reason::RowTooLarge) && self.assembler.in_memory() > 0 {
                    self.assembler.abandon();
                    if !self.assembler.spill().map_err(fail)? {
                        return Ok(Step::Full);
                    }
                    step = self.take_row();
                }
                step.map_err(|reason| {
                    self.assembler.abandon();
                    fail(reason)
                })
            }
            Record::Truncate(tables) => self.take_truncate(&tables).map_err(fail),
        }
    }

    /// Schema and table the catalogue must be asked for.
    pub fn needed(&self) -> Option<(&str, &str)> {
        self.tables.needed.as_ref().map(|needed| (needed.schema.as_str(), needed.table.as_str()))
    }

    /// Answers for the table of [`Mppdb::needed`]; ignored where none is needed.
    pub fn set_table(&mut self, answer: CatalogueTable) {
        self.tables.answer(answer);
    }

    /// Moves an ended transaction into the batch until that is cut. True when all of it and its end are there, and where no
    /// transaction has ended; otherwise hand the batch on and call again.
    ///
    /// # Errors
    /// [`Reason::Spill`] where the spill does not give back what it took.
    #[inline]
    pub fn release(&mut self, batch: &mut Batch) -> Result<bool, RecordError> {
        let released = self.assembler.release(batch, self.options.cut, self.shards, self.shard);
        released.map_err(|reason| RecordError::new(reason, 0))
    }

    /// Whether the stream stands between a BEGIN and its COMMIT, or an ended transaction waits for its release.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some() || self.assembler.is_releasing()
    }

    /// Number of the transaction the stream stands in, where the server has told it by now.
    pub fn xid(&self) -> Option<u64> {
        self.transaction.as_ref().and_then(|transaction| transaction.xid)
    }

    /// The `n` of the next id.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Whether the end of the WAL in a keepalive that comes now may become a position. The sender of serial decoding has decoded
    /// everything before it, so between transactions it may. In parallel decoding another thread tells it, ahead of transactions still to
    /// be sent: never.
    pub fn keepalive_is_position(&self) -> bool {
        self.options.layout == Layout::Serial && !self.in_transaction() && self.read.is_none()
    }

    /// What the transaction that is not complete, or not released, takes.
    pub fn held(&self) -> Held {
        Held {
            changes: self.assembler.len(),
            memory: self.assembler.memory() as u64,
            spilled: self.assembler.spilled_bytes(),
        }
    }

    fn commit(
        &mut self,
        xid: Option<u64>,
        csn: Option<u64>,
        time: Option<i64>,
        end: Option<Lsn>,
    ) -> Result<Step, Reason> {
        let Some(transaction) = &self.transaction else {
            return Err(Reason::OutOfSequence("a transaction ends that did not begin"));
        };
        if let (Some(began), Some(ended)) = (transaction.xid, xid)
            && began != ended
        {
            return Err(Reason::OutOfSequence("another transaction ends than the one that began"));
        }
        let end_lsn = end.ok_or(Reason::NoCommitLsn)?;
        let xid = xid.or(transaction.xid).ok_or(Reason::Missing("its number"))?;
        // Serial decoding tells the CSN at the end, the parallel styles at the beginning.
        let csn = csn.or(transaction.csn).unwrap_or(0);
        let commit_time = time.or(transaction.commit_time).ok_or(Reason::Missing("its commit time"))?;
        if end_lsn <= self.last_end {
            return Err(Reason::OutOfSequence("the transaction ends before its predecessor did"));
        }
        let skipped = end_lsn <= self.position;
        let changes = if skipped { 0 } else { self.assembler.len() };
        let next_id = self.next_id.checked_add(changes);
        let last = next_id.and_then(|next| next.checked_mul(self.shards)?.checked_add(self.shard));
        let (Some(next_id), Some(..=ID_LIMIT)) = (next_id, last) else {
            return Err(Reason::Exhausted("the range of ids"));
        };
        if skipped {
            self.assembler.clear()?;
        }
        self.next_id = next_id;
        self.last_end = end_lsn;
        self.transaction = None;
        if skipped {
            return Ok(Step::Skipped);
        }
        // The start of the commit record is not told in every layout, so its end stands for both, in all of them.
        let commit = Commit { after: 0, commit_lsn: end_lsn, end_lsn, xid, commit_time, next_id };
        self.assembler.end(commit, csn);
        Ok(Step::Commit)
    }

    fn take_row(&mut self) -> Result<Step, Reason> {
        let Mppdb { row, tables, assembler, scratch, options, .. } = self;
        let undecodable = match row.op {
            Op::Insert if row.new.is_empty() => Some("an insert"),
            Op::Update if row.new.is_empty() => Some("an update"),
            Op::Delete if row.old.is_empty() => Some("a delete"),
            _ => None,
        };
        if let Some(what) = undecodable {
            return Err(Reason::EmptyImage { what, table: tables.name_of(row) });
        }
        // A delete's new side is no image; some servers fill it with the old one.
        if row.op == Op::Delete {
            row.new.clear();
        }
        let Some(shape) = tables.of_row(row)? else { return Ok(Step::TableNeeded) };
        let Some(changes) = assembler.begin(shape.relation.id, row.op) else {
            return Err(Reason::Exhausted("the range of ordinals"));
        };
        let mut cells = Cells { changes, row, shape, encoding: options.encoding, scratch };
        for (index, column) in row.new.iter().enumerate() {
            cells.push(index, column.value)?;
        }
        let columns = shape.forms.len();
        let mut sent = if row.new.is_empty() { 0 } else { marks::NEW };
        if !row.old.is_empty() {
            sent |= if row.old.len() < columns { marks::OLD | marks::OLD_KEY_ONLY } else { marks::OLD };
            let mut next = 0;
            for (column, place) in row.old.iter().zip(&shape.old) {
                (next..*place).for_each(|_| cells.changes.push_unsent());
                cells.push(*place, column.value)?;
                next = place + 1;
            }
            (next..columns).for_each(|_| cells.changes.push_unsent());
        }
        let columns = columns as u16;
        let images = [!row.new.is_empty(), !row.old.is_empty()].map(|there| if there { columns } else { 0 });
        changes.finish_change(images[0], images[1], sent);
        if row.op == Op::Update && !row.old.is_empty() {
            // Ids are given at the end of the transaction, in the order the changes have here.
            let split = if options.split_key_changes {
                changes.split_key_change(&shape.relation, 0)
            } else if changes.changes_key(&shape.relation) {
                Split::Two
            } else {
                Split::Same
            };
            match split {
                Split::Same => {}
                Split::Two => self.key_changes += 1,
                Split::NoRoom => return Err(Reason::RowTooLarge),
            }
        }
        Ok(Step::Row)
    }

    fn take_truncate(&mut self, names: &[(Vec<u8>, Vec<u8>)]) -> Result<Step, Reason> {
        let mut relations = Vec::with_capacity(names.len());
        for (schema, table) in names {
            let Some(shape) = self.tables.of_name(schema, table)? else { return Ok(Step::TableNeeded) };
            relations.push(shape.relation.id);
        }
        if self.assembler.len() + names.len() as u64 > u64::from(u32::MAX) {
            return Err(Reason::Exhausted("the range of ordinals"));
        }
        if !self.assembler.make_room()? {
            return Ok(Step::Full);
        }
        for relation in relations {
            if let Some(changes) = self.assembler.begin(relation, Op::Truncate) {
                changes.finish_change(0, 0, 0);
            }
        }
        Ok(Step::Truncate)
    }
}

/// Writes the cells of one row.
struct Cells<'a> {
    changes: &'a mut Batch,
    row: &'a Row,
    shape: &'a Shape,
    encoding: Encoding,
    scratch: &'a mut Scratch,
}

impl Cells<'_> {
    /// Appends one cell in canonical text and UTF-8.
    #[inline]
    fn push(&mut self, index: usize, value: Option<Span>) -> Result<(), Reason> {
        let Some(value) = value else {
            self.changes.push_null();
            return Ok(());
        };
        let Some(text) = self.shape.forms[index].text(self.row.get(value), &mut self.scratch.canonical) else {
            return Err(self.bad_value(index));
        };
        let text = match self.encoding.to_utf8(text, &mut self.scratch.utf8) {
            Some(text) => text,
            None => return Err(self.bad_encoding(index)),
        };
        if self.changes.push_text(text) { Ok(()) } else { Err(Reason::RowTooLarge) }
    }

    fn column(&self, index: usize) -> (String, String) {
        let Relation { schema, table, columns, .. } = &*self.shape.relation;
        let column = &columns[index];
        (format!("{schema}.{table}.{}", column.name), column.type_name.clone())
    }

    #[cold]
    fn bad_value(&self, index: usize) -> Reason {
        let (column, type_name) = self.column(index);
        Reason::BadValue { column, type_name, expected: self.shape.forms[index].expectation() }
    }

    #[cold]
    fn bad_encoding(&self, index: usize) -> Reason {
        Reason::BadEncoding { what: self.column(index).0, encoding: self.encoding.name() }
    }
}
