//! Values of the simple types. Each takes the canonical text and refuses what is none.

use crate::{JsonWriter, binary::append_base64};

/// Text for messages: cells may be long and of any bytes.
pub(super) fn shown(text: &[u8]) -> String {
    let start = String::from_utf8_lossy(&text[..text.len().min(40)]);
    if text.len() > 40 { format!("{start:?} and more") } else { format!("{start:?}") }
}

/// `true` and `false`; inside arrays the database writes `t` and `f`.
pub(super) fn boolean(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    json.raw(match text {
        b"true" | b"t" => b"true",
        b"false" | b"f" => b"false",
        _ => return Err(format!("{} is no boolean", shown(text))),
    });
    Ok(())
}

/// Digits with or without a minus, copied.
pub(super) fn integer(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    // JSON knows no leading zeros.
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || digits[0] != b'0');
    if !plain {
        return Err(format!("{} is no whole number", shown(text)));
    }
    json.raw(text);
    Ok(())
}

/// A number with fraction or exponent, copied; what JSON has no number for is written as text, as Jackson does.
pub(super) fn number(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    if let b"NaN" | b"Infinity" | b"-Infinity" = text {
        json.raw(b"\"");
        json.raw(text);
        json.raw(b"\"");
        return Ok(());
    }
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = digits(unsigned);
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => digits(rest),
        None => (&b""[..], rest),
    };
    let exponent = match rest.first() {
        Some(b'e' | b'E') => {
            let (power, rest) =
                digits(rest[1..].strip_prefix(b"-").or(rest[1..].strip_prefix(b"+")).unwrap_or(&rest[1..]));
            !power.is_empty() && rest.is_empty()
        }
        Some(_) => false,
        None => true,
    };
    // JSON wants digits on both sides of the point and no leading zero; the second never happens.
    let point = unsigned.get(whole.len()) == Some(&b'.');
    if !exponent
        || (whole.is_empty() && fraction.is_empty())
        || (point && fraction.is_empty())
        || (whole.len() > 1 && whole[0] == b'0')
    {
        return Err(format!("{} is no number", shown(text)));
    }
    if whole.is_empty() {
        // An Oracle-compatible database writes .5 and -.5.
        json.raw(if unsigned.len() < text.len() { b"-0" } else { b"0" });
        json.raw(unsigned);
    } else {
        json.raw(text);
    }
    Ok(())
}

/// The digits at the start of a text, and the rest.
pub(super) fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

/// One bit as a boolean.
pub(super) fn bit(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    json.raw(match text {
        b"1" => b"true",
        b"0" => b"false",
        _ => return Err(format!("{} is no bit", shown(text))),
    });
    Ok(())
}

/// Zeros and ones as bytes, the last character in the lowest bit of the first byte.
pub(super) fn bits(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    let mut bytes = vec![0_u8; text.len().div_ceil(8)];
    for (place, &bit) in text.iter().rev().enumerate() {
        match bit {
            b'0' => {}
            b'1' => bytes[place / 8] |= 1 << (place % 8),
            _ => return Err(format!("{} is no bit string", shown(text))),
        }
    }
    json.raw(b"\"");
    append_base64(&bytes, json.buffer());
    json.raw(b"\"");
    Ok(())
}

/// `(1,2.5)` as coordinates and well-known binary (little-endian point).
pub(super) fn point(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    let wrong = || format!("{} is no point", shown(text));
    let inner =
        std::str::from_utf8(text).ok().and_then(|t| t.strip_prefix('(')?.strip_suffix(')')).ok_or_else(wrong)?;
    let (x, y) = inner.split_once(',').ok_or_else(wrong)?;
    let mut wkb = [0_u8; 21];
    wkb[0] = 1;
    wkb[1] = 1;
    for (name, text, at) in [(&b"{\"x\":"[..], x, 5), (b",\"y\":", y, 13)] {
        // Rust reads and the database writes the shortest text that means the number.
        let value: f64 = text.parse().map_err(|_| wrong())?;
        wkb[at..at + 8].copy_from_slice(&value.to_le_bytes());
        json.raw(name);
        number(text.as_bytes(), json)?;
    }
    json.raw(b",\"wkb\":\"");
    append_base64(&wkb, json.buffer());
    json.raw(b"\",\"srid\":null}");
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::Escape;

    /// What a writer gives for a text.
    pub(crate) fn written(
        text: &str,
        write: impl FnOnce(&[u8], &mut JsonWriter<'_>) -> Result<(), String>,
    ) -> Result<String, String> {
        let mut out = Vec::new();
        write(text.as_bytes(), &mut JsonWriter::new(&mut out, Escape::Plain))?;
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|e| panic!("{text} is no JSON: {e}"));
        Ok(text)
    }

    #[test]
    fn numbers_are_copied_or_refused() {
        for text in ["0", "-7", "9223372036854775807"] {
            assert_eq!(written(text, integer).unwrap(), text);
        }
        for text in ["", "-", "1.0", "+1", "1e3", "0x1", " 1", "01"] {
            assert!(written(text, integer).is_err(), "{text}");
        }
        for text in ["0", "-0", "1.5", "1e+20", "1e-05", "-12.3400", "1.7976931348623157e+308"] {
            assert_eq!(written(text, number).unwrap(), text);
        }
        for (text, expected) in [("NaN", "\"NaN\""), ("-Infinity", "\"-Infinity\""), (".5", "0.5"), ("-.5", "-0.5")] {
            assert_eq!(written(text, number).unwrap(), expected);
        }
        for text in ["", ".", "1.", "e5", "1e", "1e+", "--1", "1.5.2", "infinity", "1 "] {
            assert!(written(text, number).is_err(), "{text}");
        }
    }

    #[test]
    fn bits_are_little_endian_bytes() {
        assert_eq!(written("1", bits).unwrap(), "\"AQ==\"");
        assert_eq!(written("00000011", bits).unwrap(), "\"Aw==\"");
        assert_eq!(written("100000011", bits).unwrap(), "\"AwE=\"");
        assert_eq!(written("", bits).unwrap(), "\"\"");
        assert!(written("012", bits).is_err());
    }

    #[test]
    fn points_have_well_known_binary() {
        assert_eq!(
            written("(1,-2.5)", point).unwrap(),
            r#"{"x":1,"y":-2.5,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAATA","srid":null}"#
        );
        assert!(written("(1)", point).is_err() && written("1,2", point).is_err());
    }
}
