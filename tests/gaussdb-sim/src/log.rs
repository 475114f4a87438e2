//! The log of a data node: transactions in commit order at their positions.
//!
//! Owns positions, numbers and what was committed; it is the truth an oracle compares with. It knows neither slots nor layouts.

use crate::catalogue::Table;
use crate::text::{Lsn, now};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `INSERT`.
    Insert,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `TRUNCATE`; only serial decoding shows it.
    Truncate,
}

impl Op {
    /// As `op_type` names it.
    pub fn name(self) -> &'static str {
        match self {
            Op::Insert => "INSERT",
            Op::Update => "UPDATE",
            Op::Delete => "DELETE",
            Op::Truncate => "TRUNCATE",
        }
    }
}

/// Text of a value as the type's output function gives it; `None` is NULL.
pub type Cell = Option<Box<str>>;

/// A change to commit: whole rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The table.
    pub table: Arc<Table>,
    /// What happened.
    pub op: Op,
    /// The row afterwards; empty for a delete.
    pub new: Vec<Cell>,
    /// The row before; empty for an insert. The log keeps what the replica identity says.
    pub old: Vec<Cell>,
}

/// A change in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: Arc<Table>,
    /// What happened.
    pub op: Op,
    /// Its position.
    pub lsn: Lsn,
    /// All columns of the new row; empty for a delete.
    pub new: Vec<Cell>,
    /// The columns of [`Table::identity_columns`]; empty where there are none.
    pub old: Vec<Cell>,
}

/// A committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its number on this node.
    pub xid: u64,
    /// Commit sequence number; nodes of a cluster draw from one counter.
    pub csn: u64,
    /// Commit time in microseconds since 1970-01-01 UTC.
    pub time: i64,
    /// Position of its first change.
    pub first_lsn: Lsn,
    /// Where its commit record starts: a slot confirmed beyond this does not send it again.
    pub commit_lsn: Lsn,
    /// Where its commit record ends: what a client confirms.
    pub end_lsn: Lsn,
    /// Replication origin; 0 is local.
    pub origin: u32,
    /// Its changes in order.
    pub changes: Vec<Change>,
}

/// Bytes of a commit record, as between `C` and its header in the recordings.
const COMMIT_RECORD: u64 = 0x60;

/// Where a fresh log begins.
const FIRST_LSN: u64 = 0x0200_0000;

#[derive(Debug, Default)]
struct Kept {
    transactions: VecDeque<Arc<Transaction>>,
    /// Transactions forgotten at the front.
    forgotten: usize,
    /// Where the last of them ended.
    gone: Lsn,
    next_xid: u64,
    end: u64,
}

/// A node's log.
#[derive(Debug)]
pub struct Log {
    kept: Mutex<Kept>,
    csn: Arc<AtomicU64>,
    end: watch::Sender<Lsn>,
}

impl Log {
    /// An empty log whose commits draw their sequence numbers from `csn`.
    pub fn new(csn: Arc<AtomicU64>) -> Log {
        let kept = Kept { next_xid: 13_000, end: FIRST_LSN, ..Kept::default() };
        Log { kept: Mutex::new(kept), csn, end: watch::Sender::new(Lsn(FIRST_LSN)) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere leaves the list whole: every write is one push.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits changes; gives the transaction as it stands in the log. `csn` is drawn from the cluster where `None`.
    pub fn commit(&self, changes: Vec<RowChange>, csn: Option<u64>) -> Arc<Transaction> {
        self.commit_from(0, changes, csn)
    }

    /// Commits changes that came in from another origin (0 is local).
    pub fn commit_from(&self, origin: u32, changes: Vec<RowChange>, csn: Option<u64>) -> Arc<Transaction> {
        let mut kept = self.lock();
        let mut at = kept.end;
        let first_lsn = Lsn(at);
        let mut emptied = None;
        let mut place = |row: RowChange| {
            // Tables emptied by one statement share a record.
            let lsn = emptied.filter(|_| row.op == Op::Truncate).unwrap_or(Lsn(at));
            emptied = (row.op == Op::Truncate).then_some(lsn);
            let cells = row.new.iter().chain(&row.old).flatten();
            // Records are aligned to 8 bytes and have a header of 24.
            at += (cells.map(|cell| cell.len() as u64 + 1).sum::<u64>() + 24).next_multiple_of(8);
            let old = match row.op {
                Op::Insert | Op::Truncate => Vec::new(),
                Op::Update | Op::Delete => {
                    row.table.identity_columns().iter().map(|&column| row.old.get(column).cloned().flatten()).collect()
                }
            };
            Change { table: row.table, op: row.op, lsn, new: row.new, old }
        };
        let changes: Vec<Change> = changes.into_iter().map(&mut place).collect();
        let csn = csn.unwrap_or_else(|| self.csn.fetch_add(1, Ordering::Relaxed));
        let transaction = Arc::new(Transaction {
            xid: kept.next_xid,
            csn,
            time: now(),
            first_lsn,
            commit_lsn: Lsn(at),
            end_lsn: Lsn(at + COMMIT_RECORD),
            origin,
            changes,
        });
        self.push(&mut kept, Arc::clone(&transaction));
        transaction
    }

    /// Puts a transaction of an earlier run back; they come in order.
    pub fn restore(&self, transaction: Transaction) {
        self.csn.fetch_max(transaction.csn + 1, Ordering::Relaxed);
        let mut kept = self.lock();
        self.push(&mut kept, Arc::new(transaction));
    }

    fn push(&self, kept: &mut Kept, transaction: Arc<Transaction>) {
        kept.next_xid = transaction.xid + 1;
        kept.end = transaction.end_lsn.0;
        kept.transactions.push_back(transaction);
        self.end.send_replace(Lsn(kept.end));
    }

    /// Grows without a transaction of this database.
    pub fn grow(&self, bytes: u64) {
        let mut kept = self.lock();
        // Positions are multiples of 8.
        kept.end += bytes.next_multiple_of(8);
        self.end.send_replace(Lsn(kept.end));
    }

    /// Where the log ends, and its changes.
    pub fn subscribe(&self) -> watch::Receiver<Lsn> {
        self.end.subscribe()
    }

    /// Where the log ends.
    pub fn end(&self) -> Lsn {
        *self.end.borrow()
    }

    /// Number of the first transaction a reader at `from` is sent: the first whose commit record starts at or behind it.
    pub fn seek(&self, from: Lsn) -> usize {
        let kept = self.lock();
        kept.forgotten + kept.transactions.partition_point(|transaction| transaction.commit_lsn < from)
    }

    /// A transaction by number; `None` at the end of the log, and where it was forgotten.
    pub fn get(&self, number: usize) -> Option<Arc<Transaction>> {
        let kept = self.lock();
        kept.transactions.get(number.checked_sub(kept.forgotten)?).cloned()
    }

    /// Whether a reader that needs the log from `at` on comes too late.
    pub fn is_gone(&self, at: Lsn) -> bool {
        at < self.lock().gone
    }

    /// All transactions that are kept.
    pub fn transactions(&self) -> Vec<Arc<Transaction>> {
        self.lock().transactions.iter().cloned().collect()
    }

    /// Forgets transactions that end at or before `before`, as a server recycles its log; gives how many.
    pub fn forget(&self, before: Lsn) -> usize {
        let mut kept = self.lock();
        let count = kept.transactions.partition_point(|transaction| transaction.end_lsn <= before);
        let last = kept.transactions.drain(..count).next_back();
        kept.gone = last.map_or(kept.gone, |last| last.end_lsn);
        kept.forgotten += count;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (Log, Arc<Table>) {
        let table = Arc::new(Table::new("public", "t", &[("id", "integer"), ("v", "text")], 1));
        (Log::new(Arc::new(AtomicU64::new(1))), table)
    }

    fn insert(table: &Arc<Table>, id: u32) -> RowChange {
        let new = vec![Some(id.to_string().into()), None];
        RowChange { table: Arc::clone(table), op: Op::Insert, new, old: Vec::new() }
    }

    #[test]
    fn readers_begin_where_the_recorded_server_lets_them() {
        let (log, table) = log();
        let first = log.commit(vec![insert(&table, 1), insert(&table, 2)], None);
        let second = log.commit(vec![insert(&table, 3)], None);
        // "The test is: start of the commit record < confirmed position".
        assert_eq!(log.seek(first.first_lsn), 0);
        assert_eq!(log.seek(first.changes[1].lsn), 0, "inside the rows: whole again");
        assert_eq!(log.seek(first.commit_lsn), 0, "at the commit record: once more");
        assert_eq!(log.seek(Lsn(first.commit_lsn.0 + 1)), 1);
        assert_eq!(log.seek(first.end_lsn), 1);
        assert_eq!(second.first_lsn, first.end_lsn, "a first change may stand where the last commit ended");
        assert_eq!(log.forget(first.end_lsn), 1);
        assert_eq!((log.get(0), log.get(1)), (None, Some(second)));
        assert_eq!(log.seek(Lsn(0)), 1);
    }

    #[test]
    fn the_identity_decides_what_is_kept_of_the_old_row() {
        let (log, table) = log();
        let row: Vec<Cell> = vec![Some("1".into()), Some("x".into())];
        let delete = |table: &Arc<Table>| RowChange {
            table: Arc::clone(table),
            op: Op::Delete,
            new: Vec::new(),
            old: row.clone(),
        };
        let full = Arc::new(Table::clone(&table).identity(crate::Identity::Full));
        let nothing = Arc::new(Table::clone(&table).identity(crate::Identity::Nothing));
        let changes = log.commit(vec![delete(&table), delete(&full), delete(&nothing)], None).changes.clone();
        assert_eq!((changes[0].old.len(), changes[1].old.len(), changes[2].old.len()), (1, 2, 0));
    }
}
