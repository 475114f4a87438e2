//! Text of binary columns. In comes the canonical text, hexadecimal digits without prefix.

use crate::config::Binary;

/// How the cells of one column are rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rewrite {
    Lower,
    Upper,
    /// `\x` and lower case.
    Escaped,
    ByteList,
}

impl Rewrite {
    /// For a column of this type; `None` where the text stays as it is.
    pub(crate) fn of(binary: Binary, type_name: &str) -> Option<Self> {
        let bytea = match type_name {
            "bytea" => true,
            "blob" | "raw" => false,
            _ => return None,
        };
        match binary {
            // Canonical bytea is lower case already: the common case costs nothing.
            Binary::Hex => (!bytea).then_some(Self::Lower),
            Binary::HexUpper => Some(Self::Upper),
            Binary::Pg => Some(if bytea { Self::Escaped } else { Self::Upper }),
            Binary::ByteList => Some(Self::ByteList),
        }
    }

    /// Appends the text for these digits as a JSON string; only a backslash in it needs an escape.
    ///
    /// # Errors
    /// They are no hexadecimal digits.
    pub(crate) fn apply(self, digits: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        if digits.len() % 2 != 0 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err("a binary value is not a whole number of hexadecimal bytes".to_owned());
        }
        out.push(b'"');
        match self {
            Self::Lower => out.extend(digits.iter().map(u8::to_ascii_lowercase)),
            Self::Upper => out.extend(digits.iter().map(u8::to_ascii_uppercase)),
            Self::Escaped => {
                out.extend_from_slice(b"\\\\x");
                out.extend(digits.iter().map(u8::to_ascii_lowercase));
            }
            Self::ByteList => {
                out.push(b'[');
                for (i, pair) in digits.chunks_exact(2).enumerate() {
                    if i > 0 {
                        out.extend_from_slice(b", ");
                    }
                    decimal(nibble(pair[0]) << 4 | nibble(pair[1]), out);
                }
                out.push(b']');
            }
        }
        out.push(b'"');
        Ok(())
    }
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        // The caller has checked that it is a letter from a to f.
        _ => (digit | 0x20) - b'a' + 10,
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
        let mut out = Vec::new();
        match Rewrite::of(binary, type_name) {
            None => digits.to_owned(),
            Some(rewrite) => {
                rewrite.apply(digits.as_bytes(), &mut out).unwrap();
                serde_json::from_slice(&out).unwrap()
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

    #[test]
    fn what_is_no_hexadecimal_is_refused() {
        for digits in ["0", "0g", "\\x00"] {
            assert!(Rewrite::Lower.apply(digits.as_bytes(), &mut Vec::new()).is_err(), "{digits}");
        }
    }
}
