//! Quoted names and SQL literals.
//!
//! Owns `quote_identifier` and the literal forms of the decoder's value printer, both backwards. Works in place on the last
//! bytes of a row, and byte by byte, so that it is right in every server encoding. Must not know where they stood.

use super::row::Span;

/// Takes a quote's doubling and the quotes away. None where the quotes are not well formed.
fn unquote(bytes: &mut Vec<u8>, start: usize, quote: u8) -> Option<Span> {
    let end = bytes.len().checked_sub(1).filter(|end| *end > start && bytes[*end] == quote)?;
    let mut to = start;
    let mut from = start + 1;
    while from < end {
        let run = bytes[from..end].iter().position(|byte| *byte == quote).unwrap_or(end - from);
        bytes.copy_within(from..from + run, to);
        (from, to) = (from + run, to + run);
        if from < end {
            if from + 1 >= end || bytes[from + 1] != quote {
                return None;
            }
            bytes[to] = quote;
            (from, to) = (from + 2, to + 1);
        }
    }
    bytes.truncate(to);
    Some(Span { start, end: to })
}

/// The name in the bytes from `start` on, quoted where it needs to be.
pub(super) fn name(bytes: &mut Vec<u8>, start: usize) -> Option<Span> {
    match bytes.get(start)? {
        b'"' => unquote(bytes, start, b'"').filter(|span| span.end > span.start),
        _ if bytes[start..].iter().all(|byte| plain(*byte)) => Some(Span { start, end: bytes.len() }),
        _ => None,
    }
}

/// What `quote_identifier` leaves bare.
pub(super) fn plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

/// The value in the bytes from `start` on; `Some(None)` is NULL.
pub(super) fn value(bytes: &mut Vec<u8>, start: usize) -> Option<Option<Span>> {
    match &bytes[start..] {
        b"null" => Some(None),
        [] => None,
        [b'\'', ..] => unquote(bytes, start, b'\'').map(Some),
        // Bit strings, as the server prints them in JSON and text: the type's own text has no frame.
        [b'B', b'\'', bits @ .., b'\''] if bits.iter().all(|bit| matches!(bit, b'0' | b'1')) => {
            bytes.copy_within(start + 2.., start);
            bytes.truncate(bytes.len() - 3);
            Some(Some(Span { start, end: bytes.len() }))
        }
        [b'B', b'\'', ..] => None,
        _ => Some(Some(Span { start, end: bytes.len() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_value(text: &str) -> Option<Option<String>> {
        let mut bytes = [b"xx", text.as_bytes()].concat();
        value(&mut bytes, 2)
            .map(|span| span.map(|span| String::from_utf8(bytes[span.start..span.end].to_vec()).unwrap()))
    }

    #[test]
    fn literals() {
        let text = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(read_value("null"), Some(None));
        assert_eq!(read_value("'null'"), text("null"));
        assert_eq!(read_value("''"), text(""));
        assert_eq!(read_value("'it''s'''"), text("it's'"));
        assert_eq!(read_value("B'101'"), text("101"));
        assert_eq!(read_value("B''"), text(""));
        assert_eq!(read_value("-.5"), text("-.5"));
        for bad in ["", "'", "'a", "'a'b'", "'a''", "B'2'", "B'1"] {
            assert_eq!(read_value(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn quoting_comes_back(text in "[a'\"\\\\é]{0,12}") {
            let literal = format!("'{}'", text.replace('\'', "''"));
            prop_assert_eq!(read_value(&literal), Some(Some(text.clone())));
            let mut bytes = format!("\"{}\"", text.replace('"', "\"\"")).into_bytes();
            let read = name(&mut bytes, 0).map(|span| bytes[span.start..span.end].to_vec());
            prop_assert_eq!(read, Some(text.into_bytes()).filter(|text| !text.is_empty()));
        }
    }
}
