//! Row JSON of serial decoding and of style j.
//!
//! Owns the fixed key order and the escapes the server's JSON printer uses. Unescapes byte by byte: the text is in the
//! encoding of the database, whose trail bytes may look like a backslash. Must not know frames or transactions.

use super::{Reason, RecordError, literal, row::ColumnSpans, row::Row, row::Span, scan::Scan};
use millrace_batch::Op;

/// Reads one row object.
pub(super) fn row(scan: &mut Scan<'_>, row: &mut Row) -> Result<(), RecordError> {
    match row.same_header(scan.rest()) {
        Some(length) => drop(scan.take(length, "a row")?),
        None => {
            table(scan, row)?;
            let (new, record) = (std::mem::take(&mut row.new), scan.total());
            row.new = columns(scan, row, new, [",\"columns_name\":[", ",\"columns_type\":[", ",\"columns_val\":["])?;
            row.keep_header(scan.at(), record);
        }
    }
    let new = std::mem::take(&mut row.new);
    row.new = values(scan, row, new)?;
    let old = std::mem::take(&mut row.old);
    let old = columns(scan, row, old, [",\"old_keys_name\":[", ",\"old_keys_type\":[", ",\"old_keys_val\":["])?;
    row.old = values(scan, row, old)?;
    scan.expect("}")
}

fn table(scan: &mut Scan<'_>, row: &mut Row) -> Result<(), RecordError> {
    scan.expect("{\"table_name\":")?;
    let span = string(scan, row)?;
    (row.schema, row.table) =
        qualified(&mut row.bytes, span).ok_or_else(|| scan.error(Reason::Malformed("a table's name")))?;
    scan.expect(",\"op_type\":")?;
    row.op = match () {
        () if scan.eat("\"INSERT\"") => Op::Insert,
        () if scan.eat("\"UPDATE\"") => Op::Update,
        () if scan.eat("\"DELETE\"") => Op::Delete,
        () => return Err(scan.error(Reason::Malformed("an operation"))),
    };
    Ok(())
}

/// Names and types of an image, up to the bracket that opens its values. (The vectors of columns go in and out, so that they
/// are not borrowed with the row; one lost to an error is made anew.)
fn columns(
    scan: &mut Scan<'_>,
    row: &mut Row,
    mut columns: Vec<ColumnSpans>,
    [names, types, values]: [&'static str; 3],
) -> Result<Vec<ColumnSpans>, RecordError> {
    scan.expect(names)?;
    let names = array(scan, |scan, _| {
        let span = string(scan, row)?;
        let name =
            literal::name(&mut row.bytes, span).ok_or_else(|| scan.error(Reason::Malformed("a column's name")))?;
        columns.push(ColumnSpans { name, ..ColumnSpans::default() });
        Ok(())
    })?;
    scan.expect(types)?;
    let types = array(scan, |scan, index| {
        let span = string(scan, row)?;
        if let Some(column) = columns.get_mut(index) {
            column.type_name = span;
        }
        Ok(())
    })?;
    if names != types {
        return Err(scan.error(Reason::Uneven { names, others: types }));
    }
    scan.expect(values)?;
    Ok(columns)
}

fn values(scan: &mut Scan<'_>, row: &mut Row, mut columns: Vec<ColumnSpans>) -> Result<Vec<ColumnSpans>, RecordError> {
    let values = array(scan, |scan, index| {
        let span = string(scan, row)?;
        let value =
            literal::value(&mut row.bytes, span).ok_or_else(|| scan.error(Reason::Malformed("a value's literal")))?;
        if let Some(column) = columns.get_mut(index) {
            column.value = value;
        }
        Ok(())
    })?;
    let names = columns.len();
    if names == values { Ok(columns) } else { Err(scan.error(Reason::Uneven { names, others: values })) }
}

/// The elements of an array whose bracket is open; gives their number.
fn array<'a>(
    scan: &mut Scan<'a>,
    mut element: impl FnMut(&mut Scan<'a>, usize) -> Result<(), RecordError>,
) -> Result<usize, RecordError> {
    if scan.eat("]") {
        return Ok(0);
    }
    let mut count = 0;
    loop {
        element(scan, count)?;
        count += 1;
        if !scan.eat(",") {
            scan.expect("]")?;
            return Ok(count);
        }
    }
}

/// A string: its place in the record, or at the end of the row's bytes where it had to be unescaped.
#[inline]
fn string(scan: &mut Scan<'_>, row: &mut Row) -> Result<Span, RecordError> {
    scan.expect("\"")?;
    let plain = scan.span(special(scan.rest()), "a string")?;
    if scan.eat("\"") {
        return Ok(plain);
    }
    let start = row.bytes.len();
    row.bytes.extend_from_within(plain.start..plain.end);
    loop {
        match scan.u8("a string")? {
            b'"' => return Ok(Span { start, end: row.bytes.len() }),
            b'\\' => escape(scan, &mut row.bytes)?,
            _ => return Err(scan.error(Reason::Malformed("a string"))),
        }
        let run = special(scan.rest());
        row.bytes.extend_from_slice(scan.take(run, "a string")?);
    }
}

/// Place of the first byte that cannot stand for itself in a string; eight bytes at a time, as values may be large
/// (Sean Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n" and "equal to n").
#[inline]
fn special(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let mut at = 0;
    while let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let quotes = has_zero(word ^ (ONES * u64::from(b'"'))) | has_zero(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        // The lowest bit found is right; bits above it may be borrowed ones.
        match quotes | controls {
            0 => at += 8,
            found => return at + found.trailing_zeros() as usize / 8,
        }
    }
    let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    text[at..].iter().position(stop).map_or(text.len(), |rest| at + rest)
}

fn escape(scan: &mut Scan<'_>, bytes: &mut Vec<u8>) -> Result<(), RecordError> {
    bytes.push(match scan.u8("an escape")? {
        plain @ (b'"' | b'\\' | b'/') => plain,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            // The server writes only control characters so; anything above ASCII would need to know the encoding.
            let digits = std::str::from_utf8(scan.take(4, "an escape")?).unwrap_or_default();
            let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            match u8::from_str_radix(digits, 16) {
                Ok(code @ 1..0x80) if hex => code,
                _ => return Err(scan.error(Reason::Malformed("an escape"))),
            }
        }
        _ => return Err(scan.error(Reason::Malformed("an escape"))),
    });
    Ok(())
}

/// Schema and table of the qualified name in a span, split at the dot outside quotes.
pub(super) fn qualified(bytes: &mut Vec<u8>, span: Span) -> Option<(Span, Span)> {
    let mut quoted = false;
    let dot = bytes[span.start..span.end].iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b'.' && !quoted
    })?;
    let schema = literal::name(bytes, Span { end: span.start + dot, ..span })?;
    Some((schema, literal::name(bytes, Span { start: span.start + dot + 1, ..span })?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Row, RecordError> {
        let mut out = Row::default();
        out.start(text.as_bytes());
        let mut scan = Scan::new(text.as_bytes());
        row(&mut scan, &mut out)?;
        scan.finish()?;
        Ok(out)
    }

    #[test]
    fn names_literals_and_escapes() {
        let text = r#"{"table_name":"\"My.S\".\"T\"\"q\"","op_type":"INSERT","columns_name":["id","\"a b\""],"columns_type":["integer","text"],"columns_val":["1","'x\\\"\n\u001F''é'"],"old_keys_name":[],"old_keys_type":[],"old_keys_val":[]}"#;
        let row = read(text).unwrap();
        assert_eq!((row.schema(), row.table()), (&b"My.S"[..], &b"T\"q"[..]));
        let columns: Vec<_> = row.new_image().map(|column| (column.name, column.value)).collect();
        assert_eq!(columns, [(&b"id"[..], Some(&b"1"[..])), (b"a b", Some("x\\\"\n\u{1f}'é".as_bytes()))]);
        assert_eq!(row.old_image().len(), 0);
    }

    #[test]
    fn special_bytes_are_found_wherever_they_stand() {
        for length in 0..40 {
            for stop in [b'"', b'\\', 0, 0x1F] {
                for filler in [b' ', b'a', 0x7F, 0x80, 0xFF, b'!', b'#', b'[', b']'] {
                    let mut text = vec![filler; 40];
                    assert_eq!(special(&text), 40);
                    text[length] = stop;
                    assert_eq!(special(&text), length, "{stop} in {filler}");
                }
            }
        }
    }

    #[test]
    fn damage_is_refused() {
        let text = r#"{"table_name":"s.t","op_type":"DELETE","columns_name":[],"columns_type":[],"columns_val":[],"old_keys_name":["a"],"old_keys_type":["text"],"old_keys_val":["'x'"]}"#;
        assert!(read(text).is_ok());
        for (from, to) in [
            ("s.t", "st"),
            ("s.t", "S.t"),
            ("DELETE", "delete"),
            ("[\"a\"]", "[\"a\",\"b\"]"),
            ("'x'", "'x"),
            ("'x'", "'\\x'"),
            ("'x'", "'\\u00e9'"),
            ("'x'", "'\\u+01f'"),
            ("'x'", "'\\u0000'"),
            ("'x'", "'\n'"),
            ("}", ""),
            ("}", "}}"),
            ("[],", "[,],"),
        ] {
            assert!(read(&text.replace(from, to)).is_err(), "{from} -> {to}");
        }
    }
}
