//! A JSON writer for cells: copies and scans sixteen bytes a step, and takes what never changes from a template.
//!
//! It writes what it is told and keeps no state of nesting: commas and braces come from the caller's templates.

use std::{error, fmt};

use crate::{
    Image,
    change::{END, NOT_SENT, NULL},
    scan::{Chunk, Classes, Escapes, HTML, HTML_CLASSES, PLAIN, PLAIN_CLASSES, STEP},
};

/// Which characters are written as escapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// What JSON demands: quote, backslash, control characters.
    #[default]
    Plain,
    /// Also `<` `>` `&` `=` `'`, as `\u003c` and so on: what Java's Gson does unless told otherwise.
    Html,
}

/// A cell is not UTF-8, so JSON cannot carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8 {
    /// Offset of the first bad byte in the text.
    pub offset: usize,
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not UTF-8 at byte {}", self.offset)
    }
}

impl error::Error for NotUtf8 {}

impl From<NotUtf8> for String {
    fn from(error: NotUtf8) -> Self {
        error.to_string()
    }
}

/// Text that is the same for every change of a table, written once in `announce`.
#[derive(Clone, Debug)]
pub struct Template {
    /// The text, and [`STEP`] bytes more, so that a step may read beyond the last piece.
    bytes: Vec<u8>,
}

/// A part of a [`Template`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    start: u32,
    end: u32,
}

impl Piece {
    /// The piece without its last `bytes`.
    #[must_use]
    pub fn shortened(self, bytes: u32) -> Self {
        Self { start: self.start, end: self.end.saturating_sub(bytes).max(self.start) }
    }

    /// The piece without its first `bytes`.
    #[must_use]
    pub fn after(self, bytes: u32) -> Self {
        Self { start: self.start.saturating_add(bytes).min(self.end), end: self.end }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl Default for Template {
    fn default() -> Self {
        Self { bytes: vec![0; STEP] }
    }
}

impl Template {
    /// Adds text. A template is far below 4 GiB: it is made of one table's names.
    pub fn push(&mut self, text: &[u8]) -> Piece {
        let start = self.bytes.len() - STEP;
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(text);
        let end = self.bytes.len();
        self.bytes.resize(end + STEP, 0);
        Piece { start: start as u32, end: end as u32 }
    }

    /// The bytes of a piece.
    #[must_use]
    pub fn get(&self, piece: Piece) -> &[u8] {
        &self.bytes[piece.start as usize..piece.end as usize]
    }
}

/// Appends JSON to a buffer.
pub struct JsonWriter<'a> {
    out: &'a mut Vec<u8>,
    escapes: &'static Escapes,
    classes: &'static Classes,
}

impl<'a> JsonWriter<'a> {
    /// Writes to the end of `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, escape: Escape) -> Self {
        let (escapes, classes) = match escape {
            Escape::Plain => (&PLAIN, &PLAIN_CLASSES),
            Escape::Html => (&HTML, &HTML_CLASSES),
        };
        Self { out, escapes, classes }
    }

    /// Copies bytes as they are. For short constants; text of a table belongs into a [`Template`].
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// The buffer, to append what is JSON already.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Copies a piece of a template as it is.
    #[inline]
    pub fn piece(&mut self, template: &Template, piece: Piece) {
        self.copy(&template.bytes, piece.start as usize, piece.end as usize);
    }

    /// A whole number.
    #[inline]
    pub fn number(&mut self, value: i64) {
        if value < 0 {
            self.out.push(b'-');
        }
        self.unsigned(value.unsigned_abs());
    }

    /// A whole number without sign.
    #[inline]
    pub fn unsigned(&mut self, mut value: u64) {
        // 20 digits hold any u64; the rest lets a step read beyond them.
        let mut digits = [0_u8; 20 + STEP];
        let mut at = 20;
        while value >= 100 {
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
            value /= 100;
        }
        if value >= 10 {
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[value as usize]);
        } else {
            at -= 1;
            digits[at] = b'0' + value as u8;
        }
        self.copy(&digits, at, 20);
    }

    /// Text as a JSON string.
    ///
    /// # Errors
    /// It is not UTF-8; what was written of it stays in the buffer.
    pub fn string(&mut self, text: &[u8]) -> Result<(), NotUtf8> {
        self.quoted(text, 0, text.len())
    }

    /// The cell at a position of an image: a JSON string, or `null` for SQL NULL. Says whether there was a cell to write:
    /// for one that the source did not send, or a position beyond the image, nothing is written.
    ///
    /// # Errors
    /// It is not UTF-8; what was written of it stays in the buffer.
    #[inline]
    pub fn cell(&mut self, image: &Image<'_>, position: usize) -> Result<bool, NotUtf8> {
        match image.span(position) {
            None => Ok(false),
            Some((_, end)) if end & NOT_SENT != 0 => Ok(false),
            Some((_, end)) if end & NULL != 0 => {
                self.raw(b"null");
                Ok(true)
            }
            Some((start, end)) => self.quoted(image.data, start as usize, (end & END) as usize).map(|()| true),
        }
    }

    /// `template`'s piece, then the cell; nothing at all where there is no cell to write. For members of an object, whose
    /// piece is the comma, the name and the colon.
    ///
    /// # Errors
    /// Those of [`Self::cell`].
    #[inline]
    pub fn member(
        &mut self,
        template: &Template,
        piece: Piece,
        image: &Image<'_>,
        position: usize,
    ) -> Result<bool, NotUtf8> {
        let before = self.out.len();
        self.piece(template, piece);
        let written = self.cell(image, position)?;
        if !written {
            self.out.truncate(before);
        }
        Ok(written)
    }

    /// Copies `data[start..end]`; reads up to [`STEP`] bytes beyond it where `data` goes on.
    #[inline]
    fn copy(&mut self, data: &[u8], start: usize, end: usize) {
        assert!(start <= end && end <= data.len());
        self.out.reserve(end - start + STEP);
        let (from, length) = (self.out.len(), end - start);
        let mut done = 0;
        while done < length {
            let chunk = load(data, start + done);
            // SAFETY: the reserve above left `length + STEP` spare bytes behind `from`, and `done < length`.
            unsafe { chunk.store(self.out.as_mut_ptr().add(from + done)) };
            done += STEP;
        }
        // SAFETY: `length` bytes were reserved, and the loop has initialised at least as many.
        unsafe { self.out.set_len(from + length) };
    }

    /// Writes `data[start..end]` as a JSON string; reads up to [`STEP`] bytes beyond it where `data` goes on.
    #[inline]
    fn quoted(&mut self, data: &[u8], start: usize, end: usize) -> Result<(), NotUtf8> {
        assert!(start <= end && end <= data.len());
        self.out.push(b'"');
        let (mut at, mut beyond_ascii) = (start, 0);
        self.out.reserve(end - at + STEP);
        let mut len = self.out.len();
        // Holds at the head of the loop: the buffer has room for `end - at + STEP` bytes behind `len`.
        while at < end {
            let step = STEP.min(end - at);
            let lanes = u32::MAX >> (32 - step);
            let chunk = load(data, at);
            // SAFETY: room for STEP bytes behind `len`, see above.
            unsafe { chunk.store(self.out.as_mut_ptr().add(len)) };
            beyond_ascii |= chunk.beyond_ascii() & lanes;
            let special = chunk.special(self.classes) & lanes;
            if special == 0 {
                len += step;
                at += step;
            } else {
                // Found in the lanes, so `plain < step`, and the special byte is ASCII by its class.
                let plain = special.trailing_zeros() as usize;
                let escape = &self.escapes[usize::from(data[at + plain])];
                // SAFETY: `plain` bytes behind `len` were initialised by the store and lie within the capacity.
                unsafe { self.out.set_len(len + plain) };
                self.out.extend_from_slice(&escape[..usize::from(escape[7])]);
                len = self.out.len();
                at += plain + 1;
                self.out.reserve(end - at + STEP);
            }
        }
        // SAFETY: every byte before `len` was stored above, within the capacity.
        unsafe { self.out.set_len(len) };
        self.out.push(b'"');
        if beyond_ascii != 0 {
            std::str::from_utf8(&data[start..end]).map_err(|e| NotUtf8 { offset: e.valid_up_to() })?;
        }
        Ok(())
    }
}

/// Sixteen bytes from `at` on, zeros beyond the end of `data`.
#[inline(always)]
fn load(data: &[u8], at: usize) -> Chunk {
    match data.get(at..).and_then(|rest| rest.first_chunk::<STEP>()) {
        Some(bytes) => Chunk::load(bytes),
        None => load_last(data, at),
    }
}

/// As [`load`], where fewer than sixteen bytes are left: the last cell of a batch.
#[cold]
fn load_last(data: &[u8], at: usize) -> Chunk {
    let mut bytes = [0; STEP];
    let rest = data.get(at..).unwrap_or_default();
    bytes[..rest.len()].copy_from_slice(rest);
    Chunk::load(&bytes)
}

/// "00" to "99".
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(escape: Escape, write: impl FnOnce(&mut JsonWriter<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut JsonWriter::new(&mut out, escape));
        out
    }

    /// One byte at a time, after RFC 8259: what the steps must equal.
    fn plainly(text: &str, escape: Escape) -> String {
        let mut out = String::from('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\u{8}' => out.push_str("\\b"),
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '\u{c}' => out.push_str("\\f"),
                '\r' => out.push_str("\\r"),
                c if c < ' ' || (escape == Escape::Html && "<>&='".contains(c)) => {
                    out.push_str(&format!("\\u{:04x}", c as u32));
                }
                c => out.push(c),
            }
        }
        out.push('"');
        out
    }

    proptest! {
        #[test]
        fn strings_equal_the_plain_writer(text in "[\\x00-\\x7f]{0,40}|\\PC{0,60}|[a-z<>&='\"é漢\\n]{0,90}", html: bool) {
            let escape = if html { Escape::Html } else { Escape::Plain };
            let json = written(escape, |w| w.string(text.as_bytes()).unwrap());
            prop_assert_eq!(std::str::from_utf8(&json).unwrap(), plainly(&text, escape));
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        }

        #[test]
        fn bytes_give_text_or_the_offset(bytes: Vec<u8>, before in 0..20_usize) {
            let mut out = vec![b'x'; before];
            let result = JsonWriter::new(&mut out, Escape::Html).string(&bytes);
            match std::str::from_utf8(&bytes) {
                Ok(text) => {
                    prop_assert_eq!(result, Ok(()));
                    prop_assert_eq!(std::str::from_utf8(&out[before..]).unwrap(), plainly(text, Escape::Html));
                }
                Err(e) => prop_assert_eq!(result, Err(NotUtf8 { offset: e.valid_up_to() })),
            }
        }

        #[test]
        fn numbers_are_decimal(value: i64, shift in 0..64_u32) {
            let value = value >> shift;
            prop_assert_eq!(written(Escape::Plain, |w| w.number(value)), value.to_string().into_bytes());
            prop_assert_eq!(written(Escape::Plain, |w| w.unsigned(value as u64)), (value as u64).to_string().into_bytes());
        }

        #[test]
        fn pieces_are_copied_whole(parts in proptest::collection::vec("[ -~]{0,50}", 1..8)) {
            let mut template = Template::default();
            let pieces: Vec<_> = parts.iter().map(|p| template.push(p.as_bytes())).collect();
            for (part, piece) in parts.iter().zip(pieces) {
                prop_assert_eq!(written(Escape::Plain, |w| w.piece(&template, piece)), part.as_bytes());
                prop_assert_eq!(template.get(piece.after(1).shortened(1)), part.get(1..part.len().max(2) - 1).unwrap_or_default().as_bytes());
            }
        }
    }

    #[test]
    fn a_byte_beyond_the_text_is_neither_judged_nor_written() {
        // The step reads the quote and the bad byte behind the text, in the same buffer.
        let data = b"abc\"\xff0123456789abcdef";
        let mut out = Vec::new();
        JsonWriter::new(&mut out, Escape::Plain).quoted(data, 0, 3).unwrap();
        assert_eq!(out, b"\"abc\"");
    }
}
