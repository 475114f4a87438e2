//! Array literals (`{1,NULL,"a b"}`) as JSON arrays. Nested ones are arrays of arrays; bounds in front are left out.

use super::{kind::Kind, value::shown};
use crate::JsonWriter;

/// The most dimensions an array of the database has.
const DIMENSIONS: usize = 6;

/// Writes an array of elements of one kind.
///
/// # Errors
/// The text is no array literal, or an element is not of its kind.
pub(super) fn write(element: &Kind, delimiter: u8, text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    let wrong = || format!("{} is no array", shown(text));
    let start = text.iter().position(|&b| b == b'{').ok_or_else(wrong)?;
    // `[0:2]=` tells bounds other than 1.
    if start > 0 && (text[0] != b'[' || text[start - 1] != b'=') {
        return Err(wrong());
    }
    let mut reader = Reader { rest: &text[start..], element, delimiter, scratch: Vec::new() };
    reader.array(1, json)?.ok_or_else(wrong)?;
    if reader.rest.is_empty() { Ok(()) } else { Err(wrong()) }
}

struct Reader<'a> {
    rest: &'a [u8],
    element: &'a Kind,
    delimiter: u8,
    scratch: Vec<u8>,
}

impl Reader<'_> {
    /// One pair of braces; `None` where the text is no literal.
    fn array(&mut self, depth: usize, json: &mut JsonWriter<'_>) -> Result<Option<()>, String> {
        if depth > DIMENSIONS || self.next() != Some(b'{') {
            return Ok(None);
        }
        json.raw(b"[");
        if self.rest.first() == Some(&b'}') {
            self.next();
            json.raw(b"]");
            return Ok(Some(()));
        }
        loop {
            let written = match self.rest.first() {
                Some(b'{') => self.array(depth + 1, json)?,
                Some(b'"') => self.quoted(json)?,
                _ => self.plain(json)?,
            };
            if written.is_none() {
                return Ok(None);
            }
            match self.next() {
                Some(b'}') => break,
                Some(byte) if byte == self.delimiter => json.raw(b","),
                _ => return Ok(None),
            }
        }
        json.raw(b"]");
        Ok(Some(()))
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn quoted(&mut self, json: &mut JsonWriter<'_>) -> Result<Option<()>, String> {
        self.next();
        self.scratch.clear();
        loop {
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => match self.next() {
                    Some(byte) => self.scratch.push(byte),
                    None => return Ok(None),
                },
                Some(byte) => self.scratch.push(byte),
                None => return Ok(None),
            }
        }
        self.element.write(&self.scratch, json).map(Some)
    }

    fn plain(&mut self, json: &mut JsonWriter<'_>) -> Result<Option<()>, String> {
        let is_end = |&b: &u8| b == self.delimiter || matches!(b, b'}' | b'{' | b'"');
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        match text {
            b"" => Ok(None),
            // Text that reads so is quoted.
            _ if text.eq_ignore_ascii_case(b"NULL") => {
                json.raw(b"null");
                Ok(Some(()))
            }
            _ => self.element.write(text, json).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::value::tests::written, *};

    fn array(kind: Kind, text: &str) -> Result<String, String> {
        written(text, |text, json| write(&kind, b',', text, json))
    }

    #[test]
    fn literals_become_arrays() {
        let text = || Kind::Text("");
        for (literal, expected) in [
            ("{}", "[]"),
            ("{a,b}", r#"["a","b"]"#),
            (r#"{NULL,"NULL","a \"q\" \\ {,}",""}"#, r#"[null,"NULL","a \"q\" \\ {,}",""]"#),
            ("{{a,b},{c,NULL}}", r#"[["a","b"],["c",null]]"#),
            ("[0:1]={a,b}", r#"["a","b"]"#),
        ] {
            assert_eq!(array(text(), literal).unwrap(), expected);
        }
        assert_eq!(array(Kind::Integer(32), "{1,-2,NULL}").unwrap(), "[1,-2,null]");
        assert_eq!(array(Kind::Boolean, "{t,f}").unwrap(), "[true,false]");
    }

    #[test]
    fn what_is_no_literal_is_refused() {
        for literal in ["", "{", "{a", "{a,}", "{,a}", "{a}b", "{\"a}", "{\"a\"b}", "{a{b}}", "x{a}", "{\"a\\"] {
            assert!(array(Kind::Text(""), literal).is_err(), "{literal}");
        }
        assert!(array(Kind::Text(""), &format!("{}{}", "{".repeat(7), "}".repeat(7))).is_err());
        assert!(array(Kind::Integer(32), "{1,x}").is_err());
    }
}
