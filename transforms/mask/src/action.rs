//! What masking does to one value.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// An action with its options.
pub(crate) enum Action {
    /// Keyed hash, 64 hexadecimal digits.
    Hash(Box<Hmac<Sha256>>),
    /// Text instead of the value, or of all of it but some characters at its ends.
    Redact { with: String, first: usize, last: usize },
    /// The first characters.
    Truncate(usize),
    /// SQL NULL.
    Null,
}

impl Action {
    /// Appends what stands for a value; false: NULL does.
    ///
    /// # Errors
    /// The value is not UTF-8, so its characters cannot be told apart.
    pub(crate) fn apply(&self, text: &[u8], out: &mut Vec<u8>) -> Result<bool, String> {
        match self {
            Self::Hash(keyed) => {
                let digest = Hmac::clone(keyed).chain_update(text).finalize().into_bytes();
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend(digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
            }
            Self::Redact { with, first: 0, last: 0 } => out.extend_from_slice(with.as_bytes()),
            Self::Redact { with, first, last } => {
                let text = utf8(text)?;
                let length = text.chars().count();
                // A short value would be shown whole.
                if length > first + last {
                    out.extend_from_slice(&text.as_bytes()[..place(text, *first)]);
                    out.extend_from_slice(with.as_bytes());
                    out.extend_from_slice(&text.as_bytes()[place(text, length - last)..]);
                } else {
                    out.extend_from_slice(with.as_bytes());
                }
            }
            Self::Truncate(length) => {
                let text = utf8(text)?;
                out.extend_from_slice(&text.as_bytes()[..place(text, *length)]);
            }
            Self::Null => return Ok(false),
        }
        Ok(true)
    }
}

fn utf8(text: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(text).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))
}

/// Where the n-th character begins, or the end.
fn place(text: &str, n: usize) -> usize {
    text.char_indices().nth(n).map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(action: &Action, text: &str) -> String {
        let mut out = Vec::new();
        assert!(action.apply(text.as_bytes(), &mut out).unwrap());
        String::from_utf8(out).unwrap()
    }

    /// Test case 2 of RFC 4231.
    #[test]
    fn the_hash_is_hmac_sha_256() {
        let action = Action::Hash(Box::new(Hmac::new_from_slice(b"Jefe").unwrap()));
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(applied(&action, "what do ya want for nothing?"), expected);
        // The keyed state is used again.
        assert_eq!(applied(&action, "what do ya want for nothing?"), expected);
    }

    #[test]
    fn characters_are_whole() {
        let redact = |first, last| Action::Redact { with: "**".to_owned(), first, last };
        assert_eq!(applied(&redact(0, 0), "secret"), "**");
        assert_eq!(applied(&redact(1, 2), "信用卡号码"), "信**号码");
        assert_eq!(applied(&redact(1, 2), "abc"), "**");
        assert_eq!(applied(&redact(0, 4), "4111111111111111"), "**1111");
        assert_eq!(applied(&Action::Truncate(2), "信用卡"), "信用");
        assert_eq!(applied(&Action::Truncate(9), "信用卡"), "信用卡");
        assert!(redact(1, 0).apply(b"\xff", &mut Vec::new()).is_err());
    }
}
