//! Bounds-checked reading of one record, binary or text.
//!
//! Owns integers (network byte order), fixed text and decimal numbers. Must not know what a record means.

use super::{Reason, RecordError, row::Span};

/// A place in a record.
#[derive(Clone, Debug)]
pub(super) struct Scan<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(record: &'a [u8]) -> Scan<'a> {
        Scan { all: record, at: 0 }
    }

    /// The same from a place on.
    pub(super) fn behind(record: &'a [u8], at: usize) -> Scan<'a> {
        Scan { all: record, at: at.min(record.len()) }
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.all[self.at..]
    }

    /// Bytes read so far.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Bytes in all.
    #[inline]
    pub(super) fn total(&self) -> usize {
        self.all.len()
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.all.get(self.at).copied()
    }

    #[cold]
    pub(super) fn error(&self, reason: Reason) -> RecordError {
        RecordError::new(reason, self.at)
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], RecordError> {
        match self.rest().get(..length) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.error(Reason::Truncated(what))),
        }
    }

    /// The same as a place.
    #[inline]
    pub(super) fn span(&mut self, length: usize, what: &'static str) -> Result<Span, RecordError> {
        let start = self.at;
        self.take(length, what)?;
        Ok(Span { start, end: self.at })
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], RecordError> {
        match self.rest().first_chunk() {
            Some(taken) => {
                self.at += N;
                Ok(*taken)
            }
            None => Err(self.error(Reason::Truncated(what))),
        }
    }

    #[inline]
    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, RecordError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    #[inline]
    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, RecordError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    #[inline]
    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, RecordError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    #[inline]
    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, RecordError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    /// Steps over this text if it stands here.
    #[inline]
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let here = self.rest().starts_with(text.as_bytes());
        self.at += if here { text.len() } else { 0 };
        here
    }

    /// The same for bytes.
    #[inline]
    pub(super) fn eat_bytes(&mut self, bytes: &[u8]) -> bool {
        let here = self.rest().starts_with(bytes);
        self.at += if here { bytes.len() } else { 0 };
        here
    }

    /// The same, whatever the case of ASCII letters.
    pub(super) fn eat_any_case(&mut self, text: &str) -> bool {
        let here = self.rest().get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()));
        self.at += if here { text.len() } else { 0 };
        here
    }

    #[inline]
    pub(super) fn expect(&mut self, text: &'static str) -> Result<(), RecordError> {
        if self.eat(text) { Ok(()) } else { Err(self.error(Reason::Expected(text))) }
    }

    /// Everything up to a byte, which is stepped over too.
    pub(super) fn until(&mut self, end: u8, what: &'static str) -> Result<&'a [u8], RecordError> {
        let Some(length) = self.rest().iter().position(|byte| *byte == end) else {
            return Err(self.error(Reason::Truncated(what)));
        };
        let found = self.take(length, what)?;
        self.at += 1;
        Ok(found)
    }

    /// An unsigned decimal number.
    pub(super) fn number(&mut self, what: &'static str) -> Result<u64, RecordError> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(&self.rest()[..digits]).unwrap_or_default();
        let number = text.parse().map_err(|_| self.error(Reason::Malformed(what)))?;
        self.at += digits;
        Ok(number)
    }

    /// Nothing may be left.
    pub(super) fn finish(&self) -> Result<(), RecordError> {
        match self.all.len() - self.at {
            0 => Ok(()),
            left => Err(self.error(Reason::Trailing(left))),
        }
    }
}
