//! What a walsender sends for a transaction, in each layout of `mppdb_decoding`.
//!
//! Owns payloads and the headers in front of them, byte for byte as a running openGauss 6.0.2 was recorded to send them. It knows
//! neither sockets nor slots.

mod binary;
mod line;

use crate::log::{Change, Op, Transaction};
use crate::text::{EPOCH_2000, Lsn, now};
use std::sync::Arc;
use std::time::Duration;

/// How changes are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Serial decoding: a line or a JSON object for each message.
    Serial,
    /// `decode-style` b.
    Binary,
    /// `decode-style` j.
    Json,
    /// `decode-style` t.
    Text,
}

/// Options of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Layout.
    pub style: Style,
    /// `sending-batch`.
    pub batch: bool,
    /// `include-xids`.
    pub xids: bool,
    /// `include-timestamp`.
    pub timestamp: bool,
    /// `skip-empty-xacts`.
    pub skip_empty: bool,
    /// `only-local`: transactions of another origin are not sent.
    pub only_local: bool,
    /// `include-originid`.
    pub origin: bool,
    /// `white-table-list`: schema and table, `*` for any.
    pub tables: Option<Vec<(String, String)>>,
    /// `sender-timeout`, where the stream names one; zero is never.
    pub timeout: Option<Duration>,
}

impl DecodeOptions {
    /// The server's defaults for a layout.
    pub fn new(style: Style) -> DecodeOptions {
        DecodeOptions {
            style,
            batch: false,
            xids: true,
            // On in serial decoding, off in parallel decoding.
            timestamp: style == Style::Serial,
            skip_empty: false,
            only_local: true,
            origin: false,
            tables: None,
            timeout: None,
        }
    }

    fn lists(&self, schema: &str, table: &str) -> bool {
        let is = |listed: &str, name: &str| listed == "*" || listed == name;
        self.tables.as_ref().is_none_or(|all| all.iter().any(|(one, other)| is(one, schema) && is(other, table)))
    }
}

/// A batch is sent when it is larger than this, its header of 25 bytes included.
const BATCH_LIMIT: usize = 1 << 20;

/// Bytes of an XLogData header.
pub(crate) const HEADER: usize = 25;

/// Turns transactions into CopyData messages. One for each stream: it keeps an unfinished batch and the last commit.
#[derive(Debug)]
pub struct Renderer {
    options: Arc<DecodeOptions>,
    /// Payload of the batch that is filling.
    batch: Vec<u8>,
    /// Commit record of the transaction that opened it.
    opener: Lsn,
    /// Start of the last commit record sent.
    committed: Option<Lsn>,
    /// Scratch space.
    record: Vec<u8>,
    framed: Vec<u8>,
}

impl Renderer {
    /// A renderer at the start of a stream.
    pub fn new(options: DecodeOptions) -> Renderer {
        let (batch, record, framed) = (Vec::new(), Vec::new(), Vec::new());
        Renderer { options: Arc::new(options), batch, opener: Lsn(0), committed: None, record, framed }
    }

    /// Appends the messages of a transaction to `out`. Those of a batch that is not full stay behind: see [`Self::flush`].
    pub fn transaction(&mut self, transaction: &Transaction, out: &mut Vec<u8>) {
        let options = Arc::clone(&self.options);
        let serial = options.style == Style::Serial;
        // Of another origin: serial decoding says nothing, parallel decoding sends an empty transaction.
        let hidden = options.only_local && transaction.origin != 0;
        if hidden && serial {
            return;
        }
        let sent = |change: &&Change| {
            !hidden
                && match change.op {
                    // A white list does not filter it; parallel decoding does not know it.
                    Op::Truncate => serial,
                    _ => options.lists(&change.table.schema, &change.table.name),
                }
        };
        let mut changes = transaction.changes.iter().filter(sent).peekable();
        // Serial decoding says BEGIN when it meets the first row, before the list has its say.
        let empty = if serial { transaction.changes.is_empty() } else { changes.peek().is_none() };
        if options.skip_empty && empty {
            return;
        }
        let starts = if hidden { transaction.commit_lsn } else { transaction.first_lsn };
        let first = changes.peek().map_or(starts, |change| change.lsn);
        let begin = match (serial, options.skip_empty) {
            (true, true) => Lsn(0),
            (true, false) => starts,
            (false, true) => first,
            (false, false) => self.committed.unwrap_or(transaction.commit_lsn),
        };
        self.begin_at(begin, starts, transaction, out);
        while let Some(change) = changes.next() {
            let mut record = std::mem::take(&mut self.record);
            record.clear();
            if change.op == Op::Truncate {
                // Tables emptied by one statement share a position and a line.
                let mut tables = vec![change.table.as_ref()];
                while let Some(next) = changes.next_if(|next| next.op == Op::Truncate && next.lsn == change.lsn) {
                    tables.push(&next.table);
                }
                line::truncate(&tables, &mut record);
            } else {
                self.render_row(change, &mut record);
            }
            self.send(change.lsn, change.lsn, transaction.commit_lsn, &record, out);
            self.record = record;
        }
        self.commit(transaction, out);
    }

    fn begin_at(&mut self, header: Lsn, starts: Lsn, transaction: &Transaction, out: &mut Vec<u8>) {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        match self.options.style {
            Style::Serial => line::begin_serial(transaction, &self.options, &mut record),
            Style::Binary => binary::begin(transaction, starts, &self.options, &mut record),
            Style::Json | Style::Text => line::begin_parallel(transaction, starts, &self.options, &mut record),
        }
        self.send(header, starts, transaction.commit_lsn, &record, out);
        self.record = record;
    }

    fn render_row(&self, change: &Change, record: &mut Vec<u8>) {
        match self.options.style {
            Style::Serial | Style::Json => line::json(change, record),
            Style::Binary => binary::row(change, record),
            Style::Text => line::text(change, record),
        }
    }

    /// Appends the beginning of a transaction that has rows.
    pub(crate) fn begin(&mut self, transaction: &Transaction, out: &mut Vec<u8>) {
        let header = match (self.options.style == Style::Serial, self.options.skip_empty) {
            (true, true) => Lsn(0),
            (false, false) => self.committed.unwrap_or(transaction.commit_lsn),
            _ => transaction.first_lsn,
        };
        self.begin_at(header, transaction.first_lsn, transaction, out);
    }

    /// Appends the bytes of a row: a message, or (true) the record as it stands in a batch, without a separator.
    pub(crate) fn row(&self, change: &Change, out: &mut Vec<u8>) -> bool {
        let mut record = Vec::new();
        self.render_row(change, &mut record);
        let batched = self.is_batched();
        if batched {
            self.frame(change.lsn, &record, out);
        } else {
            copy_data(change.lsn, &[&record, self.end()], out);
        }
        batched
    }

    /// Appends the end of a transaction.
    pub(crate) fn commit(&mut self, transaction: &Transaction, out: &mut Vec<u8>) {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        let header = match self.options.style {
            Style::Serial => {
                line::commit_serial(transaction, &self.options, &mut record);
                transaction.end_lsn
            }
            Style::Binary => {
                binary::commit(transaction, &self.options, &mut record);
                transaction.commit_lsn
            }
            Style::Json | Style::Text => {
                line::commit_parallel(transaction, &self.options, &mut record);
                transaction.commit_lsn
            }
        };
        self.send(header, transaction.end_lsn, transaction.commit_lsn, &record, out);
        self.record = record;
        self.committed = Some(transaction.commit_lsn);
    }

    fn is_batched(&self) -> bool {
        self.options.batch && self.options.style != Style::Serial
    }

    /// What ends a message that is one record.
    fn end(&self) -> &'static [u8] {
        if self.options.style == Style::Binary { b"F" } else { b"" }
    }

    /// A record as it stands in a batch.
    fn frame(&self, lsn: Lsn, record: &[u8], out: &mut Vec<u8>) {
        if self.options.style != Style::Binary {
            out.extend_from_slice(&(record.len() as u32 + 8).to_be_bytes());
            out.extend_from_slice(&lsn.0.to_be_bytes());
        }
        out.extend_from_slice(record);
    }

    /// Sends one record, or puts it into the batch. `header` stands in front of a message, `lsn` in front of the record.
    fn send(&mut self, header: Lsn, lsn: Lsn, commit: Lsn, record: &[u8], out: &mut Vec<u8>) {
        if !self.is_batched() {
            copy_data(header, &[record, self.end()], out);
            return;
        }
        let mut framed = std::mem::take(&mut self.framed);
        framed.clear();
        self.frame(lsn, record, &mut framed);
        self.push(header, commit, &framed, out);
        self.framed = framed;
    }

    /// Puts a framed record into the batch; sends the batch when it is full.
    pub(crate) fn push(&mut self, header: Lsn, commit: Lsn, framed: &[u8], out: &mut Vec<u8>) {
        let binary = self.options.style == Style::Binary;
        if self.batch.is_empty() {
            self.opener = commit;
        }
        self.batch.extend_from_slice(framed);
        if self.batch.len() + HEADER > BATCH_LIMIT {
            let end: &[u8] = if binary { b"F" } else { &[0; 4] };
            copy_data(header, &[&self.batch, end], out);
            self.batch.clear();
        } else if binary {
            self.batch.push(b'P');
        }
    }

    /// Whether a batch waits.
    pub fn is_filling(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Sends the batch that waits, as the server's timer does after a second without work.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if self.is_filling() {
            copy_data(self.opener, &[&self.batch, &[0; 4]], out);
            self.batch.clear();
        }
    }
}

/// One CopyData with an XLogData header; `parts` are the payload.
fn copy_data(at: Lsn, parts: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(b'd');
    out.extend_from_slice(&((4 + HEADER + length) as u32).to_be_bytes());
    out.push(b'w');
    out.extend_from_slice(&at.0.to_be_bytes());
    out.extend_from_slice(&at.0.to_be_bytes());
    out.extend_from_slice(&(now() - EPOCH_2000).to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}
