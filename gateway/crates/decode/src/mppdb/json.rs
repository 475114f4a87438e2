//! Row JSON of serial decoding and of style j.
//!
//! Owns the fixed key order and the escapes the server's JSON printer uses. Unescapes byte by byte: the text is in the
//! encoding of the database, whose trail bytes may look like a backslash. Must not know frames or transactions.

use super::{Reason, RecordError, literal, row::ColumnSpans, row::Row, row::Span, scan::Scan};
use millrace_batch::Op;

/// Reads one row object.
pub(super) fn row(scan: &mut Scan<'_>, row: &mut Row) -> Result<(), RecordError> {
    scan.expect("{\"table_name\":")?;
    let start = string(scan, row)?;
    (row.schema, row.table) =
        qualified(&mut row.bytes, start).ok_or_else(|| scan.error(Reason::Malformed("a table's name")))?;
    scan.expect(",\"op_type\":")?;
    row.op = match () {
        () if scan.eat("\"INSERT\"") => Op::Insert,
        () if scan.eat("\"UPDATE\"") => Op::Update,
        () if scan.eat("\"DELETE\"") => Op::Delete,
        () => return Err(scan.error(Reason::Malformed("an operation"))),
    };
    let mut new = std::mem::take(&mut row.new);
    let read = image(scan, row, &mut new, [",\"columns_name\":[", ",\"columns_type\":[", ",\"columns_val\":["]);
    row.new = new;
    read?;
    let mut old = std::mem::take(&mut row.old);
    let read = image(scan, row, &mut old, [",\"old_keys_name\":[", ",\"old_keys_type\":[", ",\"old_keys_val\":["]);
    row.old = old;
    read?;
    scan.expect("}")
}

fn image(
    scan: &mut Scan<'_>,
    row: &mut Row,
    columns: &mut Vec<ColumnSpans>,
    [names, types, values]: [&'static str; 3],
) -> Result<(), RecordError> {
    scan.expect(names)?;
    let names = array(scan, |scan, _| {
        let start = string(scan, row)?;
        let name =
            literal::name(&mut row.bytes, start).ok_or_else(|| scan.error(Reason::Malformed("a column's name")))?;
        columns.push(ColumnSpans { name, ..ColumnSpans::default() });
        Ok(())
    })?;
    scan.expect(types)?;
    let types = array(scan, |scan, index| {
        let start = string(scan, row)?;
        if let Some(column) = columns.get_mut(index) {
            column.type_name = Span { start, end: row.bytes.len() };
        }
        Ok(())
    })?;
    scan.expect(values)?;
    let values = array(scan, |scan, index| {
        let start = string(scan, row)?;
        let value =
            literal::value(&mut row.bytes, start).ok_or_else(|| scan.error(Reason::Malformed("a value's literal")))?;
        if let Some(column) = columns.get_mut(index) {
            column.value = value;
        }
        Ok(())
    })?;
    if names == types && types == values { Ok(()) } else { Err(scan.error(Reason::Uneven { names, types, values })) }
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

/// A string, unescaped to the end of the row's bytes; gives where it starts there.
fn string(scan: &mut Scan<'_>, row: &mut Row) -> Result<usize, RecordError> {
    scan.expect("\"")?;
    let start = row.bytes.len();
    loop {
        let rest = scan.rest();
        let Some(run) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) else {
            return Err(scan.error(Reason::Truncated("a string")));
        };
        row.bytes.extend_from_slice(scan.take(run, "a string")?);
        match scan.u8("a string")? {
            b'"' => return Ok(start),
            b'\\' => escape(scan, &mut row.bytes)?,
            _ => return Err(scan.error(Reason::Malformed("a string"))),
        }
    }
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

/// Schema and table of the qualified name in the bytes from `start` on, split at the dot outside quotes.
pub(super) fn qualified(bytes: &mut Vec<u8>, start: usize) -> Option<(Span, Span)> {
    let mut quoted = false;
    let dot = bytes[start..].iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b'.' && !quoted
    })?;
    let (end, dot) = (bytes.len(), start + dot);
    if !bytes[start..].contains(&b'"') {
        let plain = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| literal::plain(*byte));
        let parts = (Span { start, end: dot }, Span { start: dot + 1, end });
        return (plain(&bytes[start..dot]) && plain(&bytes[dot + 1..])).then_some(parts);
    }
    let table: Vec<u8> = bytes.drain(dot..).skip(1).collect();
    let schema = literal::name(bytes, start)?;
    let from = bytes.len();
    bytes.extend(table);
    Some((schema, literal::name(bytes, from)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Row, RecordError> {
        let mut out = Row::default();
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
