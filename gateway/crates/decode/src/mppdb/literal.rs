//! Quoted names and SQL literals.
//!
//! Owns `quote_identifier` and the literal forms of the decoder's value printer, both backwards. Works on spans of a row's
//! bytes, and byte by byte, so that it is right in every server encoding. Must not know where they stood.

use super::row::Span;

/// What stands between the quotes of a span, a doubled quote once. In place where nothing is doubled, else at the end of the
/// bytes. None where the quotes are not well formed.
#[inline]
fn unquote(bytes: &mut Vec<u8>, span: Span, quote: u8) -> Option<Span> {
    let inner = Span { start: span.start + 1, end: span.end.checked_sub(1)? };
    if inner.start > inner.end || bytes[inner.end] != quote {
        return None;
    }
    if !bytes[inner.start..inner.end].contains(&quote) {
        return Some(inner);
    }
    let start = bytes.len();
    let mut from = inner.start;
    while let Some(run) = bytes[from..inner.end].iter().position(|byte| *byte == quote) {
        let doubled = from + run + 1;
        if doubled >= inner.end || bytes[doubled] != quote {
            return None;
        }
        bytes.extend_from_within(from..doubled);
        from = doubled + 1;
    }
    bytes.extend_from_within(from..inner.end);
    Some(Span { start, end: bytes.len() })
}

/// The name in a span, quoted where it needs to be.
#[inline]
pub(super) fn name(bytes: &mut Vec<u8>, span: Span) -> Option<Span> {
    match bytes[span.start..span.end] {
        [] => None,
        [b'"', ..] => unquote(bytes, span, b'"').filter(|name| name.end > name.start),
        ref bare => bare.iter().all(|byte| plain(*byte)).then_some(span),
    }
}

/// What `quote_identifier` leaves bare.
#[inline]
pub(super) fn plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

/// The value in a span; `Some(None)` is NULL.
#[inline]
pub(super) fn value(bytes: &mut Vec<u8>, span: Span) -> Option<Option<Span>> {
    match &bytes[span.start..span.end] {
        b"null" => Some(None),
        [] => None,
        [b'\'', ..] => unquote(bytes, span, b'\'').map(Some),
        // Bit strings, as the server prints them in JSON and text: the type's own text has no frame.
        [b'B', b'\'', bits @ .., b'\''] if bits.iter().all(|bit| matches!(bit, b'0' | b'1')) => {
            Some(Some(Span { start: span.start + 2, end: span.end - 1 }))
        }
        [b'B', b'\'', ..] => None,
        _ => Some(Some(span)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_value(text: &str) -> Option<Option<String>> {
        let mut bytes = [b"xx", text.as_bytes()].concat();
        let span = Span { start: 2, end: bytes.len() };
        value(&mut bytes, span)
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
            let span = Span { start: 0, end: bytes.len() };
            let read = name(&mut bytes, span).map(|span| bytes[span.start..span.end].to_vec());
            prop_assert_eq!(read, Some(text.into_bytes()).filter(|text| !text.is_empty()));
        }
    }
}
