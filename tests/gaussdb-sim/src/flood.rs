//! Rows at full speed: a log that is a function of its positions.
//!
//! Transaction `k` always has the same rows at the same positions, so a reader may begin anywhere, nothing is kept in memory, and the
//! truth is computed. Rows come from templates rendered once, in which a few bytes are replaced.

use crate::catalogue::Table;
use crate::log::{Change, Op, Transaction};
use crate::render::{DecodeOptions, Renderer};
use crate::text::{EPOCH_2000, Lsn, now};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Distance of the positions of two rows.
const ROW: u64 = 0x100;

/// Bytes of a commit record.
const COMMIT: u64 = 0x60;

/// Position of the first transaction.
const START: u64 = 0x0200_0000;

/// Value of the key of the first row: keys have a fixed number of digits, so that templates can be patched.
const FIRST_KEY: u64 = 100_000_000_000;

/// A flood of inserts into one table whose first column is a `bigint` key.
#[derive(Debug)]
pub struct Flood {
    table: Arc<Table>,
    /// Rows of a transaction.
    rows: u64,
    /// Transactions; the stream is idle afterwards.
    transactions: u64,
    /// Transactions sent by the furthest reader.
    sent: AtomicU64,
}

impl Clone for Flood {
    fn clone(&self) -> Flood {
        Flood::new(Arc::clone(&self.table), self.rows, self.transactions)
    }
}

/// Values of the columns behind the key, by type; every row has the same.
fn value(type_name: &str, column: usize) -> String {
    match type_name {
        "bigint" | "integer" | "smallint" => (1_000 + column).to_string(),
        "numeric" => format!("{}.25", 100 + column),
        "boolean" => "t".to_owned(),
        "timestamp without time zone" => "2026-01-02 03:04:05.678901".to_owned(),
        "timestamp with time zone" => "2026-01-02 03:04:05.678901+00".to_owned(),
        "double precision" => "2.5".to_owned(),
        _ => format!("value of column {column}"),
    }
}

impl Flood {
    /// `transactions` transactions of `rows` inserts each.
    ///
    /// # Panics
    /// When a transaction has no rows or the key is not a `bigint`: a mistake in a test.
    pub fn new(table: Arc<Table>, rows: u64, transactions: u64) -> Flood {
        assert!(rows > 0 && table.columns.first().is_some_and(|key| key.type_name == "bigint"));
        Flood { table, rows, transactions, sent: AtomicU64::new(0) }
    }

    /// A table of 12 columns, as many lines of business have them.
    pub fn example_table() -> Table {
        let columns = [
            ("id", "bigint"),
            ("customer", "bigint"),
            ("status", "character varying"),
            ("amount", "numeric"),
            ("currency", "character varying"),
            ("paid", "boolean"),
            ("created", "timestamp without time zone"),
            ("updated", "timestamp with time zone"),
            ("lines", "integer"),
            ("weight", "double precision"),
            ("channel", "character varying"),
            ("note", "text"),
        ];
        Table::new("shop", "events", &columns, 1)
    }

    /// Where it begins.
    pub fn start(&self) -> Lsn {
        Lsn(START)
    }

    /// Rows of all transactions.
    pub fn total(&self) -> u64 {
        self.rows * self.transactions
    }

    /// Rows sent so far by the furthest reader.
    pub fn rows_sent(&self) -> u64 {
        self.rows * self.sent.load(Ordering::Relaxed)
    }

    /// Where its furthest reader stands.
    pub fn position(&self) -> Lsn {
        self.first(self.sent.load(Ordering::Relaxed))
    }

    fn stride(&self) -> u64 {
        self.rows * ROW + COMMIT
    }

    fn first(&self, number: u64) -> Lsn {
        Lsn(START + number * self.stride())
    }

    /// First position of the last transaction that was confirmed with `flush`.
    pub fn floor(&self, flush: Lsn) -> Lsn {
        self.first((flush.0.saturating_sub(START) / self.stride()).saturating_sub(1))
    }

    /// Number of the first transaction a reader at `from` is sent.
    pub fn seek(&self, from: Lsn) -> u64 {
        // Commit records start at first + rows * ROW.
        let behind_rows = from.0.saturating_sub(START + self.rows * ROW);
        behind_rows.div_ceil(self.stride())
    }

    /// A transaction, as [`crate::Log`] would have it.
    pub fn transaction(&self, number: u64) -> Option<Transaction> {
        (number < self.transactions).then(|| {
            let first_lsn = self.first(number);
            let row = |row: u64| Change {
                table: Arc::clone(&self.table),
                op: Op::Insert,
                lsn: Lsn(first_lsn.0 + row * ROW),
                new: self.row(number * self.rows + row),
                old: Vec::new(),
            };
            let commit_lsn = Lsn(first_lsn.0 + self.rows * ROW);
            Transaction {
                xid: 1_000_000 + number,
                csn: 1_000_000 + number,
                time: now(),
                first_lsn,
                commit_lsn,
                end_lsn: Lsn(commit_lsn.0 + COMMIT),
                origin: 0,
                changes: (0..self.rows).map(row).collect(),
            }
        })
    }

    fn row(&self, number: u64) -> Vec<crate::log::Cell> {
        let rest = self.table.columns.iter().enumerate().skip(1);
        let rest = rest.map(|(at, column)| Some(value(&column.type_name, at).into()));
        std::iter::once(Some((FIRST_KEY + number).to_string().into())).chain(rest).collect()
    }
}

/// Reads a flood into CopyData messages.
#[derive(Debug)]
pub struct FloodReader {
    renderer: Renderer,
    /// The bytes of a row, as one message or as the record of a batch.
    template: Vec<u8>,
    /// Where its positions (of 8 bytes) and its key stand.
    positions: Vec<usize>,
    clock: Option<usize>,
    key: usize,
    next: u64,
}

impl FloodReader {
    /// A reader from a position on.
    pub fn new(flood: &Flood, from: Lsn, options: DecodeOptions) -> FloodReader {
        // A position and a key that cannot stand in a template by chance.
        const MARK: u64 = 0x1122_3344_5566_7788;
        let change = Change {
            table: Arc::clone(&flood.table),
            op: Op::Insert,
            lsn: Lsn(MARK),
            new: flood.row(MARK - FIRST_KEY),
            old: Vec::new(),
        };
        let mut template = Vec::new();
        let batched = Renderer::new(options.clone()).row(&change, &mut template);
        let find = |needle: &[u8]| {
            template
                .windows(needle.len())
                .enumerate()
                .filter(|(_, part)| *part == needle)
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        let positions = find(&MARK.to_be_bytes());
        let key = find(MARK.to_string().as_bytes()).first().copied().unwrap_or_default();
        let clock = (!batched).then_some(5 + 17);
        // The mark has more digits than a key: the template is made again with a key of the right length.
        let change = Change { new: flood.row(0), ..change };
        template.clear();
        Renderer::new(options.clone()).row(&change, &mut template);
        let next = flood.seek(from);
        FloodReader { renderer: Renderer::new(options), template, positions, clock, key, next }
    }

    /// Appends the next transaction; false at the end.
    pub fn next(&mut self, flood: &Flood, out: &mut Vec<u8>) -> bool {
        if self.next >= flood.transactions {
            return false;
        }
        let number = self.next;
        let first = flood.first(number);
        let commit = Lsn(first.0 + flood.rows * ROW);
        let frame = Transaction {
            xid: 1_000_000 + number,
            csn: 1_000_000 + number,
            time: now(),
            first_lsn: first,
            commit_lsn: commit,
            end_lsn: Lsn(commit.0 + COMMIT),
            origin: 0,
            changes: Vec::new(),
        };
        self.renderer.begin(&frame, out);
        let clock = (frame.time - EPOCH_2000).to_be_bytes();
        for row in 0..flood.rows {
            let lsn = first.0 + row * ROW;
            for &at in &self.positions {
                self.template[at..at + 8].copy_from_slice(&lsn.to_be_bytes());
            }
            if let Some(at) = self.clock {
                self.template[at..at + 8].copy_from_slice(&clock);
            }
            let mut rest = FIRST_KEY + number * flood.rows + row;
            for digit in self.template[self.key..self.key + 12].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            if self.clock.is_some() {
                out.extend_from_slice(&self.template);
            } else {
                self.renderer.push(Lsn(lsn), commit, &self.template, out);
            }
        }
        self.renderer.commit(&frame, out);
        self.next += 1;
        flood.sent.fetch_max(self.next, Ordering::Relaxed);
        true
    }

    /// Whether a batch waits.
    pub fn is_filling(&self) -> bool {
        self.renderer.is_filling()
    }

    /// Sends the batch that waits.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.renderer.flush(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Style;

    fn rendered(flood: &Flood, options: &DecodeOptions) -> Vec<u8> {
        let mut out = Vec::new();
        let mut renderer = Renderer::new(options.clone());
        for number in 0..flood.transactions {
            renderer.transaction(&flood.transaction(number).unwrap(), &mut out);
        }
        renderer.flush(&mut out);
        out
    }

    /// The clock stands at fixed places only in messages of the log; it is cut out before comparing.
    fn without_clocks(mut bytes: Vec<u8>) -> Vec<u8> {
        let mut at = 0;
        while at < bytes.len() {
            let length = u32::from_be_bytes(bytes[at + 1..at + 5].try_into().unwrap()) as usize;
            bytes[at + 22..at + 30].fill(0);
            at += 1 + length;
        }
        bytes
    }

    #[test]
    fn templates_say_what_the_renderer_says() {
        let flood = Flood::new(Arc::new(Flood::example_table()), 7, 5);
        for style in [Style::Serial, Style::Binary, Style::Json, Style::Text] {
            for batch in [false, true] {
                let options = DecodeOptions { batch, timestamp: false, ..DecodeOptions::new(style) };
                let mut reader = FloodReader::new(&flood, Lsn(0), options.clone());
                let mut out = Vec::new();
                while reader.next(&flood, &mut out) {}
                reader.flush(&mut out);
                assert_eq!(without_clocks(out), without_clocks(rendered(&flood, &options)), "{style:?} {batch}");
            }
        }
    }

    #[test]
    fn readers_begin_anywhere() {
        let flood = Flood::new(Arc::new(Flood::example_table()), 3, 100);
        let fourth = flood.transaction(4).unwrap();
        assert_eq!(flood.seek(Lsn(0)), 0);
        assert_eq!(flood.seek(fourth.first_lsn), 4);
        assert_eq!(flood.seek(fourth.commit_lsn), 4);
        assert_eq!(flood.seek(Lsn(fourth.commit_lsn.0 + 1)), 5);
        assert_eq!(flood.seek(fourth.end_lsn), 5);
        assert_eq!(flood.floor(fourth.end_lsn), fourth.first_lsn);
    }
}
