//! Style b: length-prefixed records, all integers big-endian (`parallel_decode.cpp`).

use super::DecodeOptions;
use crate::log::{Cell, Change, Op, Transaction};
use crate::text::{Lsn, quote_identifier, timestamp};

/// A record: its length, which counts the LSN, the LSN, what `body` writes.
fn record(lsn: Lsn, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&lsn.0.to_be_bytes());
    body(out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn tags(transaction: &Transaction, options: &DecodeOptions, out: &mut Vec<u8>) {
    if options.xids {
        out.push(b'X');
        out.extend_from_slice(&transaction.xid.to_be_bytes());
    }
    if options.timestamp {
        out.push(b'T');
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        timestamp(transaction.time, out);
        let length = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

pub(super) fn begin(transaction: &Transaction, starts: Lsn, options: &DecodeOptions, out: &mut Vec<u8>) {
    record(starts, out, |out| {
        out.push(b'B');
        out.extend_from_slice(&transaction.csn.to_be_bytes());
        out.extend_from_slice(&starts.0.to_be_bytes());
        tags(transaction, options, out);
        if options.origin {
            out.push(b'O');
            out.extend_from_slice(&transaction.origin.to_be_bytes());
        }
    });
}

pub(super) fn commit(transaction: &Transaction, options: &DecodeOptions, out: &mut Vec<u8>) {
    record(transaction.end_lsn, out, |out| {
        out.push(b'C');
        tags(transaction, options, out);
    });
}

pub(super) fn row(change: &Change, out: &mut Vec<u8>) {
    record(change.lsn, out, |out| {
        out.push(match change.op {
            Op::Insert | Op::Truncate => b'I',
            Op::Update => b'U',
            Op::Delete => b'D',
        });
        for name in [&change.table.schema, &change.table.name] {
            out.extend_from_slice(&(name.len() as u16).to_be_bytes());
            out.extend_from_slice(name.as_bytes());
        }
        if !change.new.is_empty() {
            out.push(b'N');
            image(change, 0..change.table.columns.len(), &change.new, out);
        }
        if !change.old.is_empty() {
            out.push(b'O');
            image(change, change.table.identity_columns(), &change.old, out);
        }
    });
}

fn image(change: &Change, columns: impl IntoIterator<Item = usize>, cells: &[Cell], out: &mut Vec<u8>) {
    out.extend_from_slice(&(cells.len() as u16).to_be_bytes());
    for (column, cell) in columns.into_iter().zip(cells) {
        let column = &change.table.columns[column];
        let at = out.len();
        out.extend_from_slice(&[0; 2]);
        quote_identifier(&column.name, out);
        let length = (out.len() - at - 2) as u16;
        out[at..at + 2].copy_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&column.type_oid.to_be_bytes());
        match cell {
            None => out.extend_from_slice(&u32::MAX.to_be_bytes()),
            Some(text) => {
                out.extend_from_slice(&(text.len() as u32).to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}
