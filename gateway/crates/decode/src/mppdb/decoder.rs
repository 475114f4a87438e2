//! The stream of records as changes in batches.
//!
//! Owns the order of records, ids and ordinals, and what is skipped because an earlier run had it. Must not know who fills or
//! drains the stream.

use super::{
    Frame, Layout, Reason, Record, RecordError, Row, assembler::Assembler, parse, tables::CatalogueTable,
    tables::Shape, tables::Tables,
};
use crate::Start;
use millrace_batch::{Batch, Commit, Lsn, Op, RelationLog, marks};

/// Ids stay below this: the largest integer range JavaScript consumers read exactly.
const ID_LIMIT: u64 = 1 << 53;

/// Bounds of a decoder's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes one transaction may take until its end is known.
    pub transaction_bytes: usize,
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
    /// The transaction ended: call [`Mppdb::release`] until it says true, then go on.
    Commit,
    /// A transaction ended that an earlier run had.
    Skipped,
    /// A table is new or its columns changed: look up [`Mppdb::needed`], answer with [`Mppdb::set_table`], and hand the
    /// same record in again.
    TableNeeded,
    /// The transaction is larger than [`Limits::transaction_bytes`]; the record was not taken.
    Full,
}

#[derive(Debug)]
struct Transaction {
    xid: Option<u64>,
    commit_time: Option<i64>,
}

/// Decoder of one connection's stream. A record that gives an error leaves the decoder as it was before it.
#[derive(Debug)]
pub struct Mppdb {
    layout: Layout,
    shard: u64,
    shards: u64,
    position: Lsn,
    next_id: u64,
    last_end: Lsn,
    transaction: Option<Transaction>,
    tables: Tables,
    assembler: Assembler,
    row: Row,
    scratch: String,
}

impl Mppdb {
    /// A decoder at the start of a stream. Versions of tables are appended to `relations`, or found there again.
    pub fn new(layout: Layout, start: Start, relations: RelationLog, limits: Limits) -> Mppdb {
        debug_assert!(start.shard < start.shards);
        Mppdb {
            layout,
            shard: u64::from(start.shard),
            shards: u64::from(start.shards),
            position: start.end_lsn,
            next_id: start.next_id,
            last_end: Lsn(0),
            transaction: None,
            tables: Tables::new(start.database, relations),
            assembler: Assembler::new(limits.transaction_bytes),
            row: Row::default(),
            scratch: String::new(),
        }
    }

    /// Reads one record of [`super::frames`]. `wal_start` is the payload's start in the write-ahead log: in serial decoding it is
    /// the end of the transaction on a COMMIT, elsewhere it only places errors.
    ///
    /// # Errors
    /// Anything that cannot be read faithfully; see [`Reason`].
    pub fn record(&mut self, wal_start: Lsn, frame: Frame<'_>) -> Result<Step, RecordError> {
        let fail = |reason| RecordError::new(reason, 0).at(wal_start);
        if self.assembler.is_releasing() {
            return Err(fail(Reason::OutOfSequence("a record before the last transaction was released")));
        }
        match parse(self.layout, frame, &mut self.row).map_err(|error| error.at(wal_start))? {
            Record::Begin { xid, commit_time, .. } => {
                if self.transaction.is_some() {
                    return Err(fail(Reason::OutOfSequence("a transaction begins inside another")));
                }
                self.transaction = Some(Transaction { xid, commit_time });
                Ok(Step::Begin)
            }
            Record::Commit { xid, commit_time, end_lsn, .. } => {
                let end_lsn = if self.layout == Layout::Serial { Some(wal_start) } else { end_lsn };
                self.commit(xid, commit_time, end_lsn).map_err(fail)
            }
            Record::Row | Record::Truncate(_) if self.transaction.is_none() => {
                Err(fail(Reason::OutOfSequence("a change outside a transaction")))
            }
            Record::Row => {
                if self.assembler.is_full() {
                    return Ok(Step::Full);
                }
                let held = self.assembler.len();
                self.take_row().or_else(|reason| {
                    self.assembler.changes().abandon_change();
                    // No room behind other rows is the transaction's size, not the row's.
                    if reason == Reason::RowTooLarge && held > 0 { Ok(Step::Full) } else { Err(fail(reason)) }
                })
            }
            Record::Truncate(tables) => self.take_truncate(&tables).map_err(fail),
        }
    }

    /// Schema and table of [`Step::TableNeeded`].
    pub fn needed(&self) -> Option<(&str, &str)> {
        self.tables.needed.as_ref().map(|(schema, table)| (schema.as_str(), table.as_str()))
    }

    /// Answers [`Step::TableNeeded`].
    pub fn set_table(&mut self, schema: &str, table: &str, answer: CatalogueTable) {
        self.tables.answer(schema, table, answer);
    }

    /// Moves the ended transaction into the batch until that weighs `weight` bytes. True when all of it and its end are there;
    /// otherwise hand the batch on and call again.
    pub fn release(&mut self, batch: &mut Batch, weight: usize) -> bool {
        let (shard, shards) = (self.shard, self.shards);
        self.assembler.release(batch, weight, |n| n * shards + shard)
    }

    /// Whether the stream stands between a BEGIN and its COMMIT, or an ended transaction waits for its release.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some() || self.assembler.is_releasing()
    }

    /// The `n` of the next id.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    fn commit(&mut self, xid: Option<u64>, time: Option<i64>, end: Option<Lsn>) -> Result<Step, Reason> {
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
        let commit_time = time.or(transaction.commit_time).ok_or(Reason::Missing("its commit time"))?;
        if end_lsn <= self.last_end {
            return Err(Reason::OutOfSequence("the transaction ends before its predecessor did"));
        }
        let skipped = end_lsn <= self.position;
        let changes = if skipped { 0 } else { self.assembler.len() as u64 };
        let next_id = self.next_id.checked_add(changes);
        let last = next_id.and_then(|next| next.checked_mul(self.shards)?.checked_add(self.shard));
        let (Some(next_id), Some(..=ID_LIMIT)) = (next_id, last) else {
            return Err(Reason::Exhausted("the range of ids"));
        };
        self.next_id = next_id;
        self.last_end = end_lsn;
        self.transaction = None;
        if skipped {
            self.assembler.clear();
            return Ok(Step::Skipped);
        }
        // The start of the commit record is not told in every layout, so its end stands for both, in all of them.
        self.assembler.end(Commit { after: 0, commit_lsn: end_lsn, end_lsn, xid, commit_time, next_id });
        Ok(Step::Commit)
    }

    fn take_row(&mut self) -> Result<Step, Reason> {
        let Mppdb { row, tables, assembler, scratch, .. } = self;
        match row.op {
            Op::Insert if row.new.is_empty() => return Err(Reason::EmptyImage("an insert")),
            Op::Update if row.new.is_empty() => return Err(Reason::EmptyImage("an update")),
            Op::Delete if row.old.is_empty() => return Err(Reason::EmptyImage("a delete")),
            _ => {}
        }
        // A delete's new side is no image; some servers fill it with the old one.
        if row.op == Op::Delete {
            row.new.clear();
        }
        let Some(shape) = tables.of_row(row)? else { return Ok(Step::TableNeeded) };
        let changes = assembler.begin(shape.relation.id, row.op);
        for (index, column) in row.new.iter().enumerate() {
            push(changes, row, shape, index, column.value.map(|value| row.get(value)), scratch)?;
        }
        let (columns, old) = (shape.forms.len() as u16, row.old.len());
        let mut sent = if row.new.is_empty() { 0 } else { marks::NEW };
        if old > 0 {
            sent |= if old < shape.forms.len() { marks::OLD | marks::OLD_KEY_ONLY } else { marks::OLD };
            let mut next = 0;
            for column in &row.old {
                let Some(index) = shape.index_of(row.get(column.name), next).filter(|index| *index >= next) else {
                    let table = format!("{}.{}", shape.relation.schema, shape.relation.table);
                    return Err(Reason::UnknownColumn { table });
                };
                (next..index).for_each(|_| changes.push_unsent());
                push(changes, row, shape, index, column.value.map(|value| row.get(value)), scratch)?;
                next = index + 1;
            }
            (next..shape.forms.len()).for_each(|_| changes.push_unsent());
        }
        let images = [!row.new.is_empty(), old > 0].map(|there| if there { columns } else { 0 });
        changes.finish_change(images[0], images[1], sent);
        Ok(Step::Row)
    }

    fn take_truncate(&mut self, names: &[(Vec<u8>, Vec<u8>)]) -> Result<Step, Reason> {
        let mut relations = Vec::with_capacity(names.len());
        for (schema, table) in names {
            let Some(shape) = self.tables.of_name(schema, table)? else { return Ok(Step::TableNeeded) };
            relations.push(shape.relation.id);
        }
        for relation in relations {
            self.assembler.begin(relation, Op::Truncate).finish_change(0, 0, 0);
        }
        Ok(Step::Truncate)
    }
}

/// Appends one cell in canonical text.
#[inline]
fn push(
    changes: &mut Batch,
    row: &Row,
    shape: &Shape,
    index: usize,
    value: Option<&[u8]>,
    scratch: &mut String,
) -> Result<(), Reason> {
    let Some(value) = value else {
        changes.push_null();
        return Ok(());
    };
    let form = shape.forms[index];
    let Some(text) = form.text(value, scratch) else {
        let column = &shape.relation.columns[index];
        let (schema, table) = (String::from_utf8_lossy(row.schema()), String::from_utf8_lossy(row.table()));
        let (type_name, expected) = (column.type_name.clone(), form.expectation());
        return Err(Reason::BadValue { column: format!("{schema}.{table}.{}", column.name), type_name, expected });
    };
    if changes.push_text(text) { Ok(()) } else { Err(Reason::RowTooLarge) }
}
