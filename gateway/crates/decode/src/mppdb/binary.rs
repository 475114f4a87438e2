//! Records of style b.
//!
//! Owns kinds, tags and tuples. Reads tags in whatever order they come. Must not know frames.

use super::{Reason, Record, RecordError, literal, row::ColumnSpans, row::Row, row::Span, scan::Scan, time};
use millrace_batch::{Lsn, Op};

/// Length of a NULL value.
const NULL: u32 = u32::MAX;

/// Reads one record behind its length and LSN.
#[inline]
pub(super) fn record(scan: &mut Scan<'_>, lsn: Lsn, row: &mut Row) -> Result<Record, RecordError> {
    if row.same_pieces(scan, value)? {
        return Ok(Record::Row);
    }
    let total = scan.total();
    let record = other(scan, lsn, row)?;
    if record == Record::Row {
        row.keep_pieces(total);
    }
    Ok(record)
}

/// A record that is not the last row with other values.
fn other(scan: &mut Scan<'_>, lsn: Lsn, row: &mut Row) -> Result<Record, RecordError> {
    match scan.u8("the kind of record")? {
        b'B' => {
            let csn = Some(scan.u64("a CSN")?);
            let first_lsn = Some(Lsn(scan.u64("the first LSN")?));
            let (xid, commit_time) = tags(scan)?;
            Ok(Record::Begin { xid, csn, first_lsn, commit_time })
        }
        b'C' => {
            let (xid, commit_time) = tags(scan)?;
            Ok(Record::Commit { xid, csn: None, commit_time, end_lsn: Some(lsn) })
        }
        kind @ (b'I' | b'U' | b'D') => {
            row.forget_pieces();
            row.op = match kind {
                b'I' => Op::Insert,
                b'U' => Op::Update,
                _ => Op::Delete,
            };
            let length = usize::from(scan.u16("a schema's name")?);
            row.schema = scan.span(length, "a schema's name")?;
            let length = usize::from(scan.u16("a table's name")?);
            row.table = scan.span(length, "a table's name")?;
            let (mut new, mut old) = (std::mem::take(&mut row.new), std::mem::take(&mut row.old));
            let read = images(scan, row, &mut new, &mut old);
            (row.new, row.old) = (new, old);
            read?;
            Ok(Record::Row)
        }
        kind => Err(scan.error(Reason::BadField { field: "the kind of record", value: u32::from(kind) })),
    }
}

#[inline]
fn value(scan: &mut Scan<'_>) -> Result<Option<Span>, RecordError> {
    match scan.u32("a value")? {
        NULL => Ok(None),
        length => Ok(Some(scan.span(length as usize, "a value")?)),
    }
}

fn tags(scan: &mut Scan<'_>) -> Result<(Option<u64>, Option<i64>), RecordError> {
    let (mut xid, mut commit_time) = (None, None);
    while scan.peek().is_some() {
        match scan.u8("a tag")? {
            b'X' if xid.is_none() => xid = Some(scan.u64("an xid")?),
            b'T' if commit_time.is_none() => {
                let length = scan.u32("a commit time")? as usize;
                let text = scan.take(length, "a commit time")?;
                commit_time = Some(time::micros(text).ok_or_else(|| scan.error(Reason::Malformed("a commit time")))?);
            }
            // A user's name and an origin: known and not needed.
            b'N' => {
                let length = scan.u32("a user's name")? as usize;
                scan.take(length, "a user's name")?;
            }
            b'O' => {
                scan.u32("an origin")?;
            }
            tag => return Err(scan.error(Reason::BadField { field: "a tag", value: u32::from(tag) })),
        }
    }
    Ok((xid, commit_time))
}

fn images(
    scan: &mut Scan<'_>,
    row: &mut Row,
    new: &mut Vec<ColumnSpans>,
    old: &mut Vec<ColumnSpans>,
) -> Result<(), RecordError> {
    let mut seen = [false; 2];
    while scan.peek().is_some() {
        let (image, seen) = match scan.u8("an image")? {
            b'N' => (&mut *new, &mut seen[0]),
            b'O' => (&mut *old, &mut seen[1]),
            kind => return Err(scan.error(Reason::BadField { field: "an image", value: u32::from(kind) })),
        };
        if std::mem::replace(seen, true) {
            return Err(scan.error(Reason::Malformed("a row with an image twice")));
        }
        for _ in 0..scan.u16("the number of columns")? {
            let length = usize::from(scan.u16("a column's name")?);
            let span = scan.span(length, "a column's name")?;
            let name =
                literal::name(&mut row.bytes, span).ok_or_else(|| scan.error(Reason::Malformed("a column's name")))?;
            let type_oid = scan.u32("a type's OID")?;
            let piece = scan.at();
            let value = value(scan)?;
            row.note_piece(piece, scan.at());
            image.push(ColumnSpans { name, type_oid, value, ..ColumnSpans::default() });
        }
    }
    Ok(())
}
