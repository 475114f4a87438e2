//! Encodings of databases.
//!
//! Owns which server encodings can be read and how their text becomes UTF-8. The plugin's output is never converted by the server
//! (`client_encoding` has no effect on a stream of GaussDB or openGauss), so it happens here. Must not know cells or tables.

use encoding_rs::{DecoderResult, Encoding as Table};
use millrace_batch::Failure;

/// The encoding of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Utf8,
    /// ISO 8859-1: every byte is the code point of its number.
    Latin1,
    Table(&'static Table),
}

/// Encodings besides UTF-8 by the names of `pg_encoding_to_char`, without what sets words apart, in lower case. The tables are those
/// of the WHATWG Encoding Standard, which know all letters the server knows. Left out is what has no such table (EUC_TW, EUC_JIS_2004,
/// JOHAB, MULE_INTERNAL), LATIN5, whose table gives control characters another meaning, and SQL_ASCII, which is the lack of an encoding.
const TABLES: [(&str, &str, &Table); 29] = [
    ("gbk", "GBK", encoding_rs::GBK),
    ("zhs16gbk", "ZHS16GBK", encoding_rs::GBK),
    ("euccn", "EUC_CN", encoding_rs::GBK),
    ("gb18030", "GB18030", encoding_rs::GB18030),
    ("gb180302022", "GB18030_2022", encoding_rs::GB18030),
    ("big5", "BIG5", encoding_rs::BIG5),
    ("eucjp", "EUC_JP", encoding_rs::EUC_JP),
    ("euckr", "EUC_KR", encoding_rs::EUC_KR),
    ("latin2", "LATIN2", encoding_rs::ISO_8859_2),
    ("latin3", "LATIN3", encoding_rs::ISO_8859_3),
    ("latin4", "LATIN4", encoding_rs::ISO_8859_4),
    ("latin6", "LATIN6", encoding_rs::ISO_8859_10),
    ("latin7", "LATIN7", encoding_rs::ISO_8859_13),
    ("latin8", "LATIN8", encoding_rs::ISO_8859_14),
    ("latin9", "LATIN9", encoding_rs::ISO_8859_15),
    ("latin10", "LATIN10", encoding_rs::ISO_8859_16),
    ("iso88595", "ISO_8859_5", encoding_rs::ISO_8859_5),
    ("iso88596", "ISO_8859_6", encoding_rs::ISO_8859_6),
    ("iso88597", "ISO_8859_7", encoding_rs::ISO_8859_7),
    ("iso88598", "ISO_8859_8", encoding_rs::ISO_8859_8),
    ("win1250", "WIN1250", encoding_rs::WINDOWS_1250),
    ("win1251", "WIN1251", encoding_rs::WINDOWS_1251),
    ("win1252", "WIN1252", encoding_rs::WINDOWS_1252),
    ("win1253", "WIN1253", encoding_rs::WINDOWS_1253),
    ("win1254", "WIN1254", encoding_rs::WINDOWS_1254),
    ("win1257", "WIN1257", encoding_rs::WINDOWS_1257),
    ("win866", "WIN866", encoding_rs::IBM866),
    ("koi8r", "KOI8R", encoding_rs::KOI8_R),
    ("koi8u", "KOI8U", encoding_rs::KOI8_U),
];

impl Encoding {
    /// UTF-8: nothing is converted.
    pub const UTF8: Encoding = Encoding { name: "UTF8", kind: Kind::Utf8 };

    /// The encoding with this name, as `server_encoding` or `pg_encoding_to_char` gives it.
    ///
    /// # Errors
    /// `encoding_unsupported` for any other.
    pub fn by_name(name: &str) -> Result<Encoding, Failure> {
        let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        match letters.as_str() {
            "utf8" | "unicode" => return Ok(Encoding::UTF8),
            "latin1" => return Ok(Encoding { name: "LATIN1", kind: Kind::Latin1 }),
            _ => {}
        }
        let found = TABLES.iter().find(|(known, ..)| *known == letters);
        let encoding = found.map(|(_, name, table)| Encoding { name, kind: Kind::Table(table) });
        encoding.ok_or_else(|| {
            Failure::definite(
                "encoding_unsupported",
                "reading the encoding of the database",
                format!("text in {name} cannot be converted to UTF-8 without guessing"),
                "stream from a database with one of the encodings docs/sources/gaussdb.md lists, UTF8 at best",
            )
        })
    }

    /// Its name at the server.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The text in UTF-8; UTF-8 and ASCII as they stand. None where the bytes are no text of the encoding. UTF-8 itself is not checked.
    #[inline]
    pub fn to_utf8<'a>(self, text: &'a [u8], space: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        match self.kind {
            Kind::Utf8 => Some(text),
            _ if text.is_ascii() => Some(text),
            kind => convert(kind, text, space),
        }
    }

    /// A name of the catalogue as the stream would have it. What the encoding does not have stays UTF-8, which no name in it equals.
    pub(crate) fn of_utf8(self, name: &str) -> Vec<u8> {
        match self.kind {
            Kind::Table(table) if !name.is_ascii() => match table.encode(name) {
                (bytes, _, false) => bytes.into_owned(),
                _ => name.as_bytes().to_vec(),
            },
            Kind::Latin1 => match name.chars().map(|letter| u8::try_from(u32::from(letter))).collect() {
                Ok(bytes) => bytes,
                Err(_) => name.as_bytes().to_vec(),
            },
            _ => name.as_bytes().to_vec(),
        }
    }

    /// A name in UTF-8.
    pub(crate) fn name_to_utf8(self, name: &[u8]) -> Option<String> {
        let mut space = Vec::new();
        String::from_utf8(self.to_utf8(name, &mut space)?.to_vec()).ok()
    }
}

#[inline(never)]
fn convert<'a>(kind: Kind, text: &[u8], space: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    space.clear();
    let Kind::Table(table) = kind else {
        for byte in text {
            space.extend_from_slice(char::from(*byte).encode_utf8(&mut [0; 2]).as_bytes());
        }
        return Some(space);
    };
    let mut decoder = table.new_decoder_without_bom_handling();
    space.resize(decoder.max_utf8_buffer_length_without_replacement(text.len())?, 0);
    match decoder.decode_to_utf8_without_replacement(text, space, true) {
        (DecoderResult::InputEmpty, _, written) => Some(&space[..written]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &[u8]) -> Option<String> {
        let mut space = vec![1; 3];
        let encoding = Encoding::by_name(name).unwrap();
        Some(String::from_utf8(encoding.to_utf8(text, &mut space)?.to_vec()).unwrap())
    }

    #[test]
    fn text_of_every_family() {
        for (name, text, expected) in [
            ("UTF8", "é乗".as_bytes(), "é乗"),
            ("GBK", b"\x81\x5Cx \xC4\xE3\xBA\xC3", "乗x 你好"),
            ("GB18030", b"\x84\x31\xA4\x36\xC4\xE3", "\u{FFFC}你"),
            ("EUC_CN", b"\xC4\xE3", "你"),
            ("BIG5", b"\xA7\x41\xA6\x6E", "你好"),
            ("EUC_JP", b"\xC6\xFC\xCB\xDC", "日本"),
            ("EUC_KR", b"\xC7\xD1", "한"),
            ("LATIN1", b"\xE9\x80\xFF", "é\u{80}ÿ"),
            ("LATIN9", b"\xA4", "€"),
            ("WIN1251", b"\xCF\xF0", "Пр"),
            ("KOI8R", b"\xF0\xD2", "Пр"),
            ("Iso-8859-7", b"\xE1", "α"),
        ] {
            assert_eq!(read(name, text).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn the_page_the_refusal_names_lists_them() {
        let page = include_str!("../../../../docs/sources/gaussdb.md");
        let listed = page.split("## Encodings").nth(1).unwrap().split("Others cannot").next().unwrap();
        let words: Vec<&str> = listed.split(|c: char| c.is_whitespace() || ",.:".contains(c)).collect();
        for name in TABLES.iter().map(|(_, name, _)| *name).chain(["UTF8", "LATIN1"]) {
            assert!(words.contains(&name), "{name}");
        }
        let refused = page.split("without guessing (").nth(1).unwrap().split(" ...").next().unwrap();
        for name in refused.split(", ") {
            assert_eq!(Encoding::by_name(name).unwrap_err().code, "encoding_unsupported", "{name}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for (name, text) in [
            ("GBK", &b"\x81"[..]),
            ("GBK", b"\x81\x20"),
            ("GB18030", b"\x84\x31\xA4"),
            ("EUC_JP", b"\xC6"),
            ("WIN1253", b"\xD2"),
        ] {
            assert_eq!(read(name, text), None, "{name} {text:x?}");
        }
    }

    #[test]
    fn unknown_encodings_are_refused_by_name() {
        for name in ["SQL_ASCII", "MULE_INTERNAL", "EUC_TW", "JOHAB", "LATIN5", ""] {
            let failure = Encoding::by_name(name).unwrap_err();
            assert_eq!(failure.code, "encoding_unsupported");
            assert!(failure.why.contains(name));
        }
        for (_, name, table) in TABLES {
            assert_eq!(Encoding::by_name(name).map(|found| found.name()), Ok(name));
            assert!(table.is_ascii_compatible());
        }
    }
}
