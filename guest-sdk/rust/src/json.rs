//! A JSON writer for cells: copies and scans sixteen bytes a step, and takes what never changes from a template.
//!
//! It writes what it is told and keeps no state of nesting: commas and braces come from the caller's templates.

use std::{error, fmt};

use crate::{
    Cell, Image,
    scan::{Classes, Escapes, HTML, HTML_NIBBLES, PLAIN, PLAIN_NIBBLES},
    steps::{self, Padded, Plain, Row},
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
#[derive(Clone, Debug, Default)]
pub struct Template(Padded);

/// A part of a [`Template`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    start: u32,
    end: u32,
}

/// The names of an object's members: `,"name":"` each.
#[derive(Clone, Debug)]
pub struct Members {
    names: Padded,
    places: Vec<(u32, u32)>,
    length: usize,
}

impl Members {
    /// Names, in the order of the cells they will have.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>, escape: Escape) -> Self {
        let mut members = Self { names: Padded::default(), places: Vec::new(), length: 0 };
        for name in names {
            let mut text = vec![b','];
            // A str is UTF-8, so this cannot fail.
            let _ = JsonWriter::new(&mut text, escape).string(name.as_bytes());
            text.extend_from_slice(b":\"");
            members.length += text.len();
            members.places.push(members.names.push(&text));
        }
        members
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// One name, as a JSON string.
    ///
    /// # Panics
    /// There is no such member.
    #[must_use]
    pub fn name(&self, position: usize) -> &[u8] {
        let (start, end) = self.places[position];
        self.names.get(start + 1, end - 2)
    }
}

impl Template {
    /// Adds text. A template is far below 4 GiB: it is made of one table's names.
    pub fn push(&mut self, text: &[u8]) -> Piece {
        let (start, end) = self.0.push(text);
        Piece { start, end }
    }

    /// The bytes of a piece.
    ///
    /// # Panics
    /// It is of another template.
    #[must_use]
    pub fn get(&self, piece: Piece) -> &[u8] {
        self.0.get(piece.start, piece.end)
    }
}

/// Appends JSON to a buffer.
pub struct JsonWriter<'a> {
    out: &'a mut Vec<u8>,
    escapes: &'static Escapes,
    classes: Classes,
}

impl<'a> JsonWriter<'a> {
    /// Writes to the end of `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, escape: Escape) -> Self {
        let (escapes, nibbles) = match escape {
            Escape::Plain => (&PLAIN, &PLAIN_NIBBLES),
            Escape::Html => (&HTML, &HTML_NIBBLES),
        };
        Self { out, escapes, classes: Classes::of(nibbles) }
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
        template.0.append_to(self.out, piece.start, piece.end);
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
    pub fn unsigned(&mut self, value: u64) {
        const GROUP: u64 = 100_000_000;
        // 24 digits hold any u64.
        let mut digits = [b'0'; 24];
        // Wasm divides 64 bits slowly and has no high half of a product: groups of eight digits fit into 32.
        let (mut rest, mut end) = (value, 24);
        while rest >= GROUP {
            group((rest % GROUP) as u32, &mut digits[..end]);
            rest /= GROUP;
            end -= 8;
        }
        let length = group(rest as u32, &mut digits[..end]);
        self.out.extend_from_slice(&digits[end - length..]);
    }

    /// Text as a JSON string.
    ///
    /// # Errors
    /// It is not UTF-8; what was written of it stays in the buffer.
    pub fn string(&mut self, text: &[u8]) -> Result<(), NotUtf8> {
        self.out.push(b'"');
        self.text(text)
    }

    /// An object with a member per cell of an image: strings, and `null` for SQL NULL. A cell that was not sent is taken from
    /// the same position of `otherwise`, and its member left out where that has none either.
    ///
    /// # Errors
    /// A cell that is not UTF-8, by its position; what was written stays in the buffer.
    #[inline]
    pub fn object(
        &mut self,
        members: &Members,
        image: &Image<'_>,
        otherwise: Option<&Image<'_>>,
    ) -> Result<(), (usize, NotUtf8)> {
        let opening = self.out.len();
        let mut position = 0;
        loop {
            let row = Row {
                names: &members.names,
                members: &members.places[position..],
                names_length: members.length,
                data: image.data,
                ends: image.ends.get(position..).unwrap_or_default(),
                start: image.span(position).map_or(0, |(start, _)| start),
            };
            let Plain { written, last_unchecked } = steps::append_plain_members(self.out, &row, self.classes);
            position += written;
            if last_unchecked {
                if let Some(Cell::Text(text)) = image.get(position - 1) {
                    utf8(text).map_err(|e| (position - 1, e))?;
                }
                continue;
            }
            if position >= members.len() {
                break;
            }
            // A member that is not plain, or beyond the image.
            if !self.member(members, position, image).map_err(|e| (position, e))? {
                if let Some(other) = otherwise {
                    self.member(members, position, other).map_err(|e| (position, e))?;
                }
            }
            position += 1;
        }
        self.close(opening);
        Ok(())
    }

    /// Ends an object whose members were written from `opening` on: the comma of the first becomes the opening brace.
    pub fn close(&mut self, opening: usize) {
        match self.out.get_mut(opening) {
            Some(comma) => *comma = b'{',
            None => self.out.push(b'{'),
        }
        self.out.push(b'}');
    }

    /// Comma, name, colon, and the cell as a JSON string or `null`. Says whether there was a cell: for one that was not sent, or
    /// a position beyond the image, nothing is written.
    ///
    /// # Errors
    /// The cell is not UTF-8; what was written of it stays in the buffer.
    pub fn member(&mut self, members: &Members, position: usize, image: &Image<'_>) -> Result<bool, NotUtf8> {
        let (start, end) = members.places[position];
        match image.get(position) {
            None | Some(Cell::Unchanged) => Ok(false),
            Some(Cell::Null) => {
                members.names.append_to(self.out, start, end - 1);
                self.raw(b"null");
                Ok(true)
            }
            Some(Cell::Text(text)) => {
                members.names.append_to(self.out, start, end);
                self.text(text).map(|()| true)
            }
        }
    }

    /// Writes text as the rest of a JSON string, behind its opening quote.
    fn text(&mut self, text: &[u8]) -> Result<(), NotUtf8> {
        let beyond_ascii = steps::append_text(self.out, text, self.classes, self.escapes);
        self.out.push(b'"');
        if beyond_ascii { utf8(text) } else { Ok(()) }
    }
}

#[inline(never)]
fn utf8(text: &[u8]) -> Result<(), NotUtf8> {
    std::str::from_utf8(text).map(drop).map_err(|e| NotUtf8 { offset: e.valid_up_to() })
}

/// Writes a number below 10^8 before the end of `to`, whose bytes are zeros; says how many digits it has.
#[inline]
fn group(mut value: u32, to: &mut [u8]) -> usize {
    let mut at = to.len();
    while value >= 10 {
        at -= 2;
        to[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value > 0 || at == to.len() {
        at -= 1;
        to[at] = b'0' + value as u8;
    }
    to.len() - at
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
    use crate::change::{NOT_SENT, NULL, fixture};

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
                prop_assert_eq!(template.get(piece), part.as_bytes());
            }
        }
    }

    /// Every mix of plain and other cells, also where the data ends with the image, equals one string at a time.
    #[derive(Clone, Debug)]
    enum Given {
        Text(String),
        Null,
        Unsent,
    }

    fn given() -> impl Strategy<Value = Given> {
        prop_oneof![
            6 => "[a-z0-9 ]{0,40}".prop_map(Given::Text),
            2 => "[a-z<\"\\\\\n]{0,40}|\\PC{0,30}|[a-zé漢]{0,40}".prop_map(Given::Text),
            1 => Just(Given::Null),
            1 => Just(Given::Unsent),
        ]
    }

    proptest! {
        #[test]
        fn objects_equal_their_strings(cells in proptest::collection::vec(given(), 0..9), more in 0..40_usize, html: bool) {
            let escape = if html { Escape::Html } else { Escape::Plain };
            let names: Vec<_> = (0..cells.len()).map(|i| format!("n{}{i}", "<".repeat(i * 3))).collect();
            let relation = fixture::relation(1, &names.iter().map(String::as_str).collect::<Vec<_>>());
            let columns: Vec<_> = (0..cells.len() as u16).collect();
            let (mut data, mut ends, mut expected) = (b"before\"".to_vec(), Vec::new(), Vec::new());
            let start = data.len() as u32;
            for (name, cell) in names.iter().zip(&cells) {
                let (flag, value) = match cell {
                    Given::Text(text) => {
                        data.extend_from_slice(text.as_bytes());
                        (0, Some(plainly(text, escape)))
                    }
                    Given::Null => (NULL, Some("null".to_owned())),
                    Given::Unsent => (NOT_SENT, None),
                };
                ends.push(data.len() as u32 | flag);
                expected.extend(value.map(|v| format!("{}:{v}", plainly(name, escape))));
            }
            // What stands behind the image is neither judged nor written.
            data.extend(std::iter::repeat_n(b'\xff', more));
            let image = Image { data: &data, ends: &ends, start, relation: &relation, columns: &columns };
            let members = Members::new(names.iter().map(String::as_str), escape);
            let json = written(escape, |w| w.object(&members, &image, None).unwrap());
            prop_assert_eq!(String::from_utf8(json).unwrap(), format!("{{{}}}", expected.join(",")));
        }
    }
}
