//! The stream of messages as changes in batches.
//!
//! Owns the order of messages, ids and ordinals, and what is skipped because an earlier run had it. Rows go from payload to
//! batch in one pass, without allocation. Must not know who fills or drains the stream.

use super::{DecodeError, ErrorKind, Message, cursor::Cursor, message, row, tables::Tables};
use crate::Start;
use millrace_batch::{Batch, ChangeStamp, Commit, Lsn, Op, RelationLog, Split, marks};

/// Microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch (`POSTGRES_EPOCH_JDATE` in `timestamp.h`).
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
/// Ids stay below this: the largest integer range JavaScript consumers read exactly.
const ID_LIMIT: u64 = 1 << 53;

/// What a message did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing a caller acts on: an origin, a type, a known table, anything in a skipped transaction.
    Nothing,
    /// A transaction began.
    Begin,
    /// One change was appended.
    Row,
    /// One change for each emptied table was appended.
    Truncate,
    /// The transaction's end was appended to the batch.
    Commit,
    /// A table is new or may have another key: look up its primary key and hand it to [`PgOutput::set_keys`] before the
    /// next message.
    KeysNeeded {
        /// OID of the table.
        oid: u32,
    },
    /// A message of `pg_logical_emit_message`. It is no change and has no id.
    LogicalMessage {
        /// LSN of its record. Outside a transaction everything before it has been streamed.
        lsn: Lsn,
        /// Whether it belongs to the transaction around it.
        transactional: bool,
    },
}

#[derive(Debug)]
struct Transaction {
    commit_lsn: Lsn,
    commit_time: i64,
    xid: u32,
    ordinal: u32,
    skipped: bool,
}

/// Decoder of one connection's stream.
///
/// A message that gives an error leaves batch and decoder as they were before it. Partly streamed transactions are refused.
#[derive(Debug)]
pub struct PgOutput {
    shard: u64,
    shards: u64,
    position: Lsn,
    next_id: u64,
    last_end: Lsn,
    transaction: Option<Transaction>,
    tables: Tables,
    /// Updates of a primary key become a delete and an insert.
    split_key_changes: bool,
    key_changes: u64,
}

impl PgOutput {
    /// A decoder at the start of a stream. Versions of tables are appended to `relations`, or found there again.
    pub fn new(start: Start, relations: RelationLog) -> PgOutput {
        debug_assert!(start.shard < start.shards);
        PgOutput {
            shard: u64::from(start.shard),
            shards: u64::from(start.shards),
            position: start.end_lsn,
            next_id: start.next_id,
            last_end: Lsn(0),
            transaction: None,
            tables: Tables::new(start.database, relations),
            split_key_changes: false,
            key_changes: 0,
        }
    }

    /// Whether an update of a primary key becomes two changes, the delete of the old row and the insert of the new one.
    pub fn splitting_key_changes(self, split_key_changes: bool) -> PgOutput {
        PgOutput { split_key_changes, ..self }
    }

    /// Updates of a primary key so far, as far as the old key was sent.
    pub fn key_changes(&self) -> u64 {
        self.key_changes
    }

    /// Reads one message (the payload of one `XLogData`) into the batch. `wal_start` only places errors.
    ///
    /// # Errors
    /// Anything that cannot be read faithfully; see [`ErrorKind`]. Only [`ErrorKind::BatchFull`] can be answered: by the same
    /// message with an empty batch.
    #[inline]
    pub fn message(&mut self, wal_start: Lsn, payload: &[u8], batch: &mut Batch) -> Result<Step, DecodeError> {
        let step = match payload.first() {
            Some(b'I') => self.row(Op::Insert, payload, batch),
            Some(b'U') => self.row(Op::Update, payload, batch),
            Some(b'D') => self.row(Op::Delete, payload, batch),
            _ => self.other(payload, batch),
        };
        step.map_err(|error| {
            batch.abandon_change();
            error.in_message(payload.first().copied().unwrap_or(0), wal_start)
        })
    }

    /// Answers [`Step::KeysNeeded`] with the catalogue's primary key, columns in key order; empty without a primary key.
    ///
    /// # Errors
    /// [`ErrorKind::KeyDisagreement`] where the stream's description and the key cannot belong together,
    /// [`ErrorKind::UnknownRelation`] for a table nobody asked for.
    pub fn set_keys(&mut self, oid: u32, key_columns: &[String]) -> Result<(), DecodeError> {
        self.tables.set_keys(oid, key_columns).map_err(|kind| DecodeError::new(kind, 0))
    }

    /// Whether the stream stands between a Begin and its Commit.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Number of the transaction the stream stands in; `None` between transactions.
    pub fn xid(&self) -> Option<u32> {
        self.transaction.as_ref().map(|transaction| transaction.xid)
    }

    /// The `n` of the next id.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// The id `more` changes behind the next one.
    #[inline]
    fn id(&self, more: u64) -> Result<u64, ErrorKind> {
        let n = self.next_id.checked_add(more);
        let id = n.and_then(|n| n.checked_mul(self.shards)?.checked_add(self.shard));
        id.filter(|id| *id < ID_LIMIT).ok_or(ErrorKind::Exhausted("the range of ids"))
    }

    fn row(&mut self, op: Op, payload: &[u8], batch: &mut Batch) -> Result<Step, DecodeError> {
        let mut cursor = Cursor::new(payload);
        cursor.u8("the message type")?;
        let oid = cursor.u32("a table's OID")?;
        let id = self.id(0);
        let second = if self.split_key_changes && op == Op::Update { self.id(1) } else { Ok(0) };
        let Some(transaction) = &mut self.transaction else {
            return Err(DecodeError::new(ErrorKind::OutOfSequence("a row outside a transaction"), 0));
        };
        if transaction.skipped {
            return Ok(Step::Nothing);
        }
        let following = transaction.ordinal.checked_add(1).ok_or(ErrorKind::Exhausted("the range of ordinals"));
        let all = id.and_then(|id| Ok((id, second?, following?)));
        let (id, second, following) = all.map_err(|kind| DecodeError::new(kind, 0))?;
        let table = self.tables.get(oid).map_err(|kind| DecodeError::new(kind, 1))?;
        batch.begin_change(ChangeStamp { relation: table.relation.id, ..transaction.stamp(id, op) });
        let (new, old, sent) = match op {
            Op::Insert => {
                message::new_marker(&mut cursor)?;
                (row::push_full(&mut cursor, table, false, batch)?, 0, marks::NEW)
            }
            Op::Update if cursor.rest().first() == Some(&b'N') => {
                message::new_marker(&mut cursor)?;
                (row::push_full(&mut cursor, table, true, batch)?, 0, marks::NEW)
            }
            // The old image comes first in the message and last in the batch.
            Op::Update => {
                let full = row::old_is_full(&mut cursor, table)?;
                let mut before = cursor.clone();
                row::skip(&mut cursor, table)?;
                message::new_marker(&mut cursor)?;
                let new = row::push_full(&mut cursor, table, true, batch)?;
                let (old, sent) = row::push_old(&mut before, table, full, batch)?;
                (new, old, marks::NEW | sent)
            }
            Op::Delete | Op::Truncate => {
                let full = row::old_is_full(&mut cursor, table)?;
                let (old, sent) = row::push_old(&mut cursor, table, full, batch)?;
                (0, old, sent)
            }
        };
        cursor.finish()?;
        batch.finish_change(new, old, sent);
        transaction.ordinal = following;
        if op == Op::Update && old > 0 {
            let split = if self.split_key_changes {
                batch.split_key_change(&table.relation, second)
            } else {
                self.key_changes += u64::from(batch.changes_key(&table.relation));
                Split::Same
            };
            match split {
                Split::Same => {}
                Split::Two => {
                    transaction.ordinal += 1;
                    self.next_id += 1;
                    self.key_changes += 1;
                }
                Split::NoRoom => {
                    transaction.ordinal -= 1;
                    let kind = if batch.is_empty() { ErrorKind::RowTooLarge } else { ErrorKind::BatchFull };
                    return Err(DecodeError::new(kind, 0));
                }
            }
        }
        self.next_id += 1;
        Ok(Step::Row)
    }

    fn other(&mut self, payload: &[u8], batch: &mut Batch) -> Result<Step, DecodeError> {
        let fail = |kind| Err(DecodeError::new(kind, 0));
        let skipped = self.transaction.as_ref().is_some_and(|transaction| transaction.skipped);
        Ok(match Message::parse(payload, false)? {
            Message::Begin { final_lsn, commit_time, xid } => {
                if self.transaction.is_some() {
                    return fail(ErrorKind::OutOfSequence("a transaction begins inside another"));
                }
                if final_lsn < self.last_end {
                    return fail(ErrorKind::CommitOrder { commit: final_lsn, before: self.last_end });
                }
                let skipped = final_lsn < self.position;
                let commit_time = commit_time.checked_add(POSTGRES_EPOCH).ok_or(ErrorKind::TimeOutOfRange(commit_time));
                let commit_time = commit_time.map_err(|kind| DecodeError::new(kind, 9))?;
                self.transaction = Some(Transaction { commit_lsn: final_lsn, commit_time, xid, ordinal: 0, skipped });
                if skipped { Step::Nothing } else { Step::Begin }
            }
            Message::Commit { commit_lsn, end_lsn, .. } => {
                let Some(Transaction { commit_lsn: announced, commit_time, xid, .. }) = self.transaction else {
                    return fail(ErrorKind::OutOfSequence("a transaction ends that did not begin"));
                };
                if commit_lsn != announced {
                    return fail(ErrorKind::OutOfSequence("the commit LSN is not the one the transaction began with"));
                }
                if end_lsn <= commit_lsn {
                    return fail(ErrorKind::OutOfSequence("the transaction ends before its commit record does"));
                }
                if skipped && end_lsn > self.position {
                    return fail(ErrorKind::PositionInside { end: end_lsn, position: self.position });
                }
                self.transaction = None;
                self.last_end = end_lsn;
                if skipped {
                    return Ok(Step::Nothing);
                }
                let xid = u64::from(xid);
                batch.push_commit(Commit { after: 0, commit_lsn, end_lsn, xid, commit_time, next_id: self.next_id });
                Step::Commit
            }
            Message::Relation { oid, namespace, name, identity, columns, .. } => {
                match self.tables.describe(oid, namespace, name, identity, &columns) {
                    true => Step::KeysNeeded { oid },
                    false => Step::Nothing,
                }
            }
            Message::Type { oid, namespace, name, .. } => {
                self.tables.types.describe(oid, namespace, name);
                Step::Nothing
            }
            Message::Origin { .. } if self.transaction.is_none() => {
                return fail(ErrorKind::OutOfSequence("an origin outside a transaction"));
            }
            Message::Origin { .. } => Step::Nothing,
            Message::Truncate { oids, .. } => self.truncate(&oids, batch)?,
            Message::Logical { transactional: true, .. } if self.transaction.is_none() => {
                return fail(ErrorKind::OutOfSequence("a transactional message outside a transaction"));
            }
            Message::Logical { .. } if skipped => Step::Nothing,
            Message::Logical { lsn, transactional, .. } => Step::LogicalMessage { lsn, transactional },
            Message::StreamStart { .. }
            | Message::StreamStop
            | Message::StreamCommit { .. }
            | Message::StreamAbort { .. } => return fail(ErrorKind::StreamingNotRequested),
            Message::Insert { .. } => self.row(Op::Insert, payload, batch)?,
            Message::Update { .. } => self.row(Op::Update, payload, batch)?,
            Message::Delete { .. } => self.row(Op::Delete, payload, batch)?,
        })
    }

    fn truncate(&mut self, oids: &[u32], batch: &mut Batch) -> Result<Step, DecodeError> {
        let last = self.id((oids.len() as u64).saturating_sub(1));
        let Some(transaction) = &mut self.transaction else {
            return Err(DecodeError::new(ErrorKind::OutOfSequence("a TRUNCATE outside a transaction"), 0));
        };
        if transaction.skipped {
            return Ok(Step::Nothing);
        }
        let fits = u32::try_from(oids.len()).ok().and_then(|count| transaction.ordinal.checked_add(count));
        let following = last.and_then(|_| fits.ok_or(ErrorKind::Exhausted("the range of ordinals")));
        let following = following.map_err(|kind| DecodeError::new(kind, 0))?;
        // All tables before the first change: a finished change cannot be taken back.
        for oid in oids {
            self.tables.get(*oid).map_err(|kind| DecodeError::new(kind, 0))?;
        }
        for (ordinal, oid) in (transaction.ordinal..).zip(oids) {
            let table = self.tables.get(*oid).map_err(|kind| DecodeError::new(kind, 0))?;
            let id = self.next_id * self.shards + self.shard;
            let stamp = transaction.stamp(id, Op::Truncate);
            batch.begin_change(ChangeStamp { relation: table.relation.id, ordinal, ..stamp });
            batch.finish_change(0, 0, 0);
            self.next_id += 1;
        }
        transaction.ordinal = following;
        Ok(Step::Truncate)
    }
}

impl Transaction {
    #[inline]
    fn stamp(&self, id: u64, op: Op) -> ChangeStamp {
        ChangeStamp {
            id,
            commit_lsn: self.commit_lsn,
            xid: u64::from(self.xid),
            commit_time: self.commit_time,
            ordinal: self.ordinal,
            relation: 0,
            op,
        }
    }
}
