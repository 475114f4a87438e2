//! Rows of style t, and the TRUNCATE line of serial decoding.
//!
//! Owns `table <schema> <table> INSERT: name[type]:literal ...`. Schema and table stand bare, so a blank in either is refused.
//! Must not know frames or transactions.

use super::{Reason, RecordError, json, literal, row::ColumnSpans, row::Row, row::Span, scan::Scan};
use millrace_batch::Op;

/// Reads one row; `table ` is stepped over already.
pub(super) fn row(scan: &mut Scan<'_>, row: &mut Row) -> Result<(), RecordError> {
    let header = scan.clone();
    let rest = scan.rest();
    let blanks = rest.iter().enumerate().filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
    let mut marks = blanks.filter_map(|at| Some((at, operation(&rest[at..])?)));
    let Some((end, op)) = marks.next() else {
        return Err(scan.error(Reason::Malformed("an operation")));
    };
    let Some(blank) = rest[..end].iter().position(|byte| *byte == b' ') else {
        return Err(header.error(Reason::AmbiguousName));
    };
    if blank == 0 || blank + 1 == end || rest[blank + 1..end].contains(&b' ') {
        return Err(header.error(Reason::AmbiguousName));
    }
    row.schema = scan.span(blank, "a schema's name")?;
    scan.expect(" ")?;
    row.table = scan.span(end - blank - 1, "a table's name")?;
    scan.take(OPERATION, "an operation")?;
    row.op = op;
    if scan.eat(" (no-tuple-data)") {
        return Ok(());
    }
    let (mut new, mut old) = (std::mem::take(&mut row.new), std::mem::take(&mut row.old));
    let read = match op {
        Op::Update if scan.eat(" old-key:") => columns(scan, row, &mut old)
            .and_then(|()| scan.expect(" new-tuple:"))
            .and_then(|()| columns(scan, row, &mut new)),
        Op::Delete => columns(scan, row, &mut old),
        _ => columns(scan, row, &mut new),
    };
    (row.new, row.old) = (new, old);
    read
}

/// Length of an operation's mark.
const OPERATION: usize = " INSERT:".len();

fn operation(text: &[u8]) -> Option<Op> {
    match text.get(..OPERATION)? {
        b" INSERT:" => Some(Op::Insert),
        b" UPDATE:" => Some(Op::Update),
        b" DELETE:" => Some(Op::Delete),
        _ => None,
    }
}

/// Columns up to the end, or to the mark between an update's images.
fn columns(scan: &mut Scan<'_>, row: &mut Row, columns: &mut Vec<ColumnSpans>) -> Result<(), RecordError> {
    while !scan.rest().is_empty() && !scan.rest().starts_with(b" new-tuple:") {
        scan.expect(" ")?;
        let span = name(scan)?;
        let name =
            literal::name(&mut row.bytes, span).ok_or_else(|| scan.error(Reason::Malformed("a column's name")))?;
        scan.expect("[")?;
        let type_name = type_name(scan)?;
        scan.expect("]:")?;
        let span = value(scan)?;
        let value =
            literal::value(&mut row.bytes, span).ok_or_else(|| scan.error(Reason::Malformed("a value's literal")))?;
        columns.push(ColumnSpans { name, type_name, type_oid: 0, value });
    }
    Ok(())
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|window| window == mark)
}

/// Length of the quoted text at the start, quotes included; a doubled quote does not end it.
fn quoted(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == quote)? + 1;
        if text.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

fn name(scan: &mut Scan<'_>) -> Result<Span, RecordError> {
    let length = match scan.peek() {
        Some(b'"') => quoted(scan.rest(), b'"'),
        _ => Some(scan.rest().iter().take_while(|byte| literal::plain(**byte)).count()),
    };
    match length {
        Some(length) => scan.span(length, "a column's name"),
        None => Err(scan.error(Reason::Truncated("a column's name"))),
    }
}

/// A type up to `]:`; array types hold brackets, user types quotes.
fn type_name(scan: &mut Scan<'_>) -> Result<Span, RecordError> {
    let rest = scan.rest();
    let mut at = 0;
    while !rest[at..].starts_with(b"]:") {
        let step = match rest.get(at) {
            Some(b'"') => quoted(&rest[at..], b'"'),
            Some(_) => Some(1),
            None => None,
        };
        at += step.ok_or_else(|| scan.error(Reason::Truncated("a type's name")))?;
    }
    scan.span(at, "a type's name")
}

fn value(scan: &mut Scan<'_>) -> Result<Span, RecordError> {
    let rest = scan.rest();
    let length = match rest {
        [b'\'', ..] => quoted(rest, b'\''),
        _ => Some(rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len())),
    };
    match length {
        Some(length) => scan.span(length, "a value"),
        None => Err(scan.error(Reason::Truncated("a value"))),
    }
}

/// The tables of `table a.b, c.d: TRUNCATE: (no-flags)`; `table ` is stepped over already. None where it is no such line.
pub(super) fn truncate(line: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let at = find(line, b": TRUNCATE:")?;
    let (names, flags) = (&line[..at], &line[at + b": TRUNCATE:".len()..]);
    if !matches!(flags, b" (no-flags)" | b" restart_seqs" | b" cascade" | b" restart_seqs cascade") {
        return None;
    }
    let mut tables = Vec::new();
    let mut from = 0;
    let mut in_quotes = false;
    for (place, byte) in names.iter().enumerate() {
        in_quotes ^= *byte == b'"';
        if *byte == b',' && !in_quotes {
            tables.push(qualified(&names[from..place])?);
            from = place + 1 + usize::from(names.get(place + 1) == Some(&b' '));
        }
    }
    tables.push(qualified(names.get(from..)?)?);
    Some(tables)
}

fn qualified(name: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut bytes = name.to_vec();
    let (schema, table) = json::qualified(&mut bytes, Span { start: 0, end: name.len() })?;
    let part = |span: Span| bytes[span.start..span.end].to_vec();
    Some((part(schema), part(table)))
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
    fn images_types_and_literals() {
        let row = read(r#"s t UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:1 "a b"["T ]:"."x"]:'it''s ]: new-tuple: 2' c[text[]]:'{a}' d[bit]:B'1' e[text]:null"#).unwrap();
        let new: Vec<_> = row.new_image().map(|column| (column.name, column.type_name, column.value)).collect();
        assert_eq!(new[1], (&b"a b"[..], &b"\"T ]:\".\"x\""[..], Some(&b"it's ]: new-tuple: 2"[..])));
        assert_eq!(new[2], (&b"c"[..], &b"text[]"[..], Some(&b"{a}"[..])));
        assert_eq!((new[3].2, new[4].2), (Some(&b"1"[..]), None));
        assert_eq!(row.old_image().len(), 1);
        assert_eq!(read("s t DELETE: (no-tuple-data)").unwrap().old_image().len(), 0);
    }

    #[test]
    fn what_can_be_read_two_ways_is_refused() {
        assert_eq!(read("s a b INSERT: id[integer]:1").unwrap_err().code(), "decode_ambiguous_name");
        for bad in [
            "s t INSERT: Id[integer]:1",
            "s t INSERT: id[integer]:'1",
            "s t INSERT: id[integer:1",
            "s t MERGE: id[integer]:1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn truncated_tables() {
        let tables = truncate(br#"public.a, "S, x"."b.c": TRUNCATE: cascade"#).unwrap();
        assert_eq!(tables, [(b"public".to_vec(), b"a".to_vec()), (b"S, x".to_vec(), b"b.c".to_vec())]);
        assert_eq!(truncate(b"public.a: TRUNCATE: perhaps"), None);
    }
}
