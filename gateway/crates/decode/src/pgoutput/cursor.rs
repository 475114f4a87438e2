//! Bounds-checked reading of one message.
//!
//! Owns integers (network byte order), NUL-terminated strings and counted bytes. Must not know what a message means.

use super::{DecodeError, ErrorKind};

/// The unread rest of a message.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(message: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: message, total: message.len() }
    }

    /// Bytes read so far.
    #[inline]
    pub(super) fn offset(&self) -> usize {
        self.total - self.rest.len()
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error at this place.
    #[cold]
    pub(super) fn error(&self, kind: ErrorKind) -> DecodeError {
        DecodeError::new(kind, self.offset())
    }

    /// An undefined value of the one-byte field just read.
    #[cold]
    pub(super) fn bad_byte(&self, field: &'static str, value: u8) -> DecodeError {
        DecodeError::new(ErrorKind::BadField { field, value: i64::from(value) }, self.offset() - 1)
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.error(ErrorKind::Truncated(what))),
        }
    }

    #[inline]
    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    #[inline]
    pub(super) fn i16(&mut self, what: &'static str) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array(what)?))
    }

    #[inline]
    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    #[inline]
    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array(what)?))
    }

    #[inline]
    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    #[inline]
    pub(super) fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array(what)?))
    }

    /// A count of 16 bits, signed on the wire.
    #[inline]
    pub(super) fn count16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        let value = self.i16(field)?;
        u16::try_from(value)
            .map_err(|_| DecodeError::new(ErrorKind::BadField { field, value: i64::from(value) }, self.offset() - 2))
    }

    /// Bytes behind their count of 32 bits, signed on the wire.
    #[inline]
    pub(super) fn counted(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let value = self.i32(field)?;
        let Ok(length) = usize::try_from(value) else {
            return Err(DecodeError::new(ErrorKind::BadField { field, value: i64::from(value) }, self.offset() - 4));
        };
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.error(ErrorKind::Truncated(field))),
        }
    }

    /// A string up to its NUL.
    pub(super) fn string(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let Some(length) = self.rest.iter().position(|byte| *byte == 0) else {
            return Err(self.error(ErrorKind::Truncated(what)));
        };
        let text = std::str::from_utf8(&self.rest[..length]).map_err(|_| self.error(ErrorKind::NotUtf8(what)))?;
        self.rest = &self.rest[length + 1..];
        Ok(text)
    }

    /// Nothing may be left.
    #[inline]
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.error(ErrorKind::Trailing(left))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_byte() {
        let mut cursor = Cursor::new(&[1, 0xFF, 0xFF, 0, 0, 0, 2, b'x']);
        assert_eq!(cursor.u8("a"), Ok(1));
        let error = cursor.clone().count16("columns").unwrap_err();
        assert_eq!((error.offset(), error.kind()), (1, &ErrorKind::BadField { field: "columns", value: -1 }));
        assert_eq!(cursor.i16("b"), Ok(-1));
        let error = cursor.clone().counted("a value").unwrap_err();
        assert_eq!((error.offset(), error.kind()), (7, &ErrorKind::Truncated("a value")));
        assert_eq!(cursor.finish().unwrap_err().kind(), &ErrorKind::Trailing(5));
    }

    #[test]
    fn strings_end_at_their_nul_and_are_utf8() {
        let mut cursor = Cursor::new(b"a\0\xFF\0b");
        assert_eq!(cursor.string("a name"), Ok("a"));
        assert_eq!(cursor.clone().string("a name").unwrap_err().kind(), &ErrorKind::NotUtf8("a name"));
        assert_eq!(Cursor::new(b"b").string("a name").unwrap_err().kind(), &ErrorKind::Truncated("a name"));
    }
}
