//! Text of binary columns. In comes the canonical text, hexadecimal digits without prefix.

/// How bytea, blob and raw are written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Binary {
    /// Bare lower-case hexadecimal digits.
    #[default]
    Hex,
    /// Bare upper-case hexadecimal digits.
    HexUpper,
    /// As the database prints them: bytea `\x` and lower case, blob and raw bare upper case.
    Pg,
    /// `[106, 103]`: decimal bytes in brackets.
    ByteList,
    /// Base64 of RFC 4648 section 4, with padding.
    Base64,
    /// Base64 of RFC 4648 section 5 (`-` and `_`), with padding.
    Base64Url,
}

/// How the cells of one binary column are rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryText {
    /// Lower-case digits.
    Lower,
    /// Upper-case digits.
    Upper,
    /// `\x` and lower-case digits.
    Escaped,
    /// Decimal bytes in brackets.
    ByteList,
    /// Base64.
    Base64,
    /// Base64 for URLs.
    Base64Url,
}

/// Whether cells of this type are canonical hexadecimal digits.
#[must_use]
pub fn is_binary(type_name: &str) -> bool {
    matches!(type_name, "bytea" | "blob" | "raw")
}

impl BinaryText {
    /// For a column of this type; `None` where the cell's text stays as it is.
    #[must_use]
    pub fn of(binary: Binary, type_name: &str) -> Option<Self> {
        if !is_binary(type_name) {
            return None;
        }
        let bytea = type_name == "bytea";
        match binary {
            // Canonical bytea is lower case already: the common case costs nothing.
            Binary::Hex => (!bytea).then_some(Self::Lower),
            Binary::HexUpper => Some(Self::Upper),
            Binary::Pg => Some(if bytea { Self::Escaped } else { Self::Upper }),
            Binary::ByteList => Some(Self::ByteList),
            Binary::Base64 => Some(Self::Base64),
            Binary::Base64Url => Some(Self::Base64Url),
        }
    }

    /// Appends the text for these digits. It has no quotes and no control characters.
    ///
    /// # Errors
    /// They are no hexadecimal digits; nothing was written.
    pub fn append(self, digits: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        check(digits)?;
        match self {
            Self::Lower => out.extend(digits.iter().map(u8::to_ascii_lowercase)),
            Self::Upper => out.extend(digits.iter().map(u8::to_ascii_uppercase)),
            Self::Escaped => {
                out.extend_from_slice(b"\\x");
                out.extend(digits.iter().map(u8::to_ascii_lowercase));
            }
            Self::ByteList => {
                out.push(b'[');
                for (i, byte) in bytes(digits).enumerate() {
                    if i > 0 {
                        out.extend_from_slice(b", ");
                    }
                    decimal(byte, out);
                }
                out.push(b']');
            }
            Self::Base64 => base64(bytes(digits), STANDARD, out),
            Self::Base64Url => base64(bytes(digits), URL, out),
        }
        Ok(())
    }

    /// Appends the text for these digits as a JSON string; only a backslash in it needs an escape.
    ///
    /// # Errors
    /// They are no hexadecimal digits; nothing was written.
    pub fn append_json(self, digits: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        check(digits)?;
        out.push(b'"');
        if self == Self::Escaped {
            out.push(b'\\');
        }
        self.append(digits, out)?;
        out.push(b'"');
        Ok(())
    }
}

fn check(digits: &[u8]) -> Result<(), String> {
    if digits.len() % 2 != 0 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err("a binary value is not a whole number of hexadecimal bytes".to_owned());
    }
    Ok(())
}

/// Appends the bytes that these digits stand for.
///
/// # Errors
/// They are no hexadecimal digits; nothing was written.
pub fn append_bytes(digits: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    check(digits)?;
    out.extend(bytes(digits));
    Ok(())
}

/// The bytes of checked digits.
fn bytes(digits: &[u8]) -> impl Iterator<Item = u8> + '_ {
    digits.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1]))
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        // Checked to be a letter from a to f.
        _ => (digit | 0x20) - b'a' + 10,
    }
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Appends the base64 text of bytes (RFC 4648 section 4, with padding).
pub fn append_base64(bytes: &[u8], out: &mut Vec<u8>) {
    base64(bytes.iter().copied(), STANDARD, out);
}

/// Three bytes are four characters of six bits.
fn base64(mut bytes: impl Iterator<Item = u8>, alphabet: &[u8; 64], out: &mut Vec<u8>) {
    while let Some(first) = bytes.next() {
        let (second, third) = (bytes.next(), bytes.next());
        let group = u32::from(first) << 16 | u32::from(second.unwrap_or(0)) << 8 | u32::from(third.unwrap_or(0));
        let digit = |shift: u32| alphabet[(group >> shift & 63) as usize];
        out.extend([digit(18), digit(12)]);
        out.push(if second.is_some() { digit(6) } else { b'=' });
        out.push(if third.is_some() { digit(0) } else { b'=' });
    }
}

fn decimal(value: u8, out: &mut Vec<u8>) {
    if value >= 100 {
        out.push(b'0' + value / 100);
    }
    if value >= 10 {
        out.push(b'0' + value / 10 % 10);
    }
    out.push(b'0' + value % 10);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(binary: Binary, type_name: &str, digits: &str) -> String {
        let (mut text, mut json) = (Vec::new(), Vec::new());
        match BinaryText::of(binary, type_name) {
            None => digits.to_owned(),
            Some(rewrite) => {
                rewrite.append(digits.as_bytes(), &mut text).unwrap();
                rewrite.append_json(digits.as_bytes(), &mut json).unwrap();
                let text = String::from_utf8(text).unwrap();
                assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
                text
            }
        }
    }

    #[test]
    fn every_form_of_every_type() {
        assert_eq!(rewritten(Binary::Hex, "bytea", "00ff"), "00ff");
        assert_eq!(rewritten(Binary::Hex, "raw", "00FF"), "00ff");
        assert_eq!(rewritten(Binary::HexUpper, "bytea", "00ff"), "00FF");
        assert_eq!(rewritten(Binary::Pg, "bytea", "00ff"), "\\x00ff");
        assert_eq!(rewritten(Binary::Pg, "blob", "00ff"), "00FF");
        assert_eq!(rewritten(Binary::ByteList, "blob", "00076aff"), "[0, 7, 106, 255]");
        assert_eq!(rewritten(Binary::ByteList, "bytea", ""), "[]");
        assert_eq!(rewritten(Binary::ByteList, "text", "00ff"), "00ff");
    }

    /// The vectors of RFC 4648 section 10, and the two characters in which the alphabets differ.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, expected) in
            [("", ""), ("66", "Zg=="), ("666f", "Zm8="), ("666f6f", "Zm9v"), ("666f6f626172", "Zm9vYmFy")]
        {
            assert_eq!(rewritten(Binary::Base64, "bytea", text), expected);
        }
        assert_eq!(rewritten(Binary::Base64, "raw", "FBFF"), "+/8=");
        assert_eq!(rewritten(Binary::Base64Url, "raw", "FBFF"), "-_8=");
    }

    #[test]
    fn what_is_no_hexadecimal_is_refused() {
        for digits in ["0", "0g", "\\x00"] {
            let mut out = Vec::new();
            assert!(BinaryText::Lower.append_json(digits.as_bytes(), &mut out).is_err(), "{digits}");
            assert!(append_bytes(digits.as_bytes(), &mut out).is_err() && out.is_empty(), "{digits}");
        }
    }
}
