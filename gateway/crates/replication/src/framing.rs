//! Cuts the byte stream of a server into messages, and CopyData into its replication forms, without copying.
//!
//! Sans-IO: the caller reads into [`FrameBuffer::spare`] and reports how much came. Layouts are those of PostgreSQL's
//! documentation, "Message Formats" and "Streaming Replication Protocol". Must not know what a payload means.

use crate::gauss;
use crate::options::Dialect;
use millrace_batch::Lsn;
use std::ops::Range;

/// Tag byte and length word that precede every body.
const HEADER: usize = 5;

/// A message the framing cannot accept. The connection is useless afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The length word is below its own size.
    #[error("message `{tag}` announces a length of {length}, below its own size")]
    BadLength {
        /// Tag byte as a character.
        tag: char,
        /// The length word.
        length: usize,
    },
    /// The message is larger than the configured bound.
    #[error("message `{tag}` has {length} bytes, the limit is {limit}")]
    TooLarge {
        /// Tag byte as a character.
        tag: char,
        /// Its length in bytes.
        length: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// A CopyData body that is none of the known replication messages.
    #[error("copy data of {length} bytes starting with {first:?} is no replication message")]
    NotReplication {
        /// First byte, if there is one.
        first: Option<char>,
        /// Length of the body in bytes.
        length: usize,
    },
}

/// Where one whole message lies in the buffer. Valid until the next [`FrameBuffer::spare`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// Tag byte.
    pub tag: u8,
    /// Bounds of the body, for [`FrameBuffer::bytes`].
    pub body: Range<usize>,
}

/// A read buffer that yields whole messages in place. Holds `capacity` bytes, more only while a single message needs
/// it, never more than the bound on a message plus its header.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    capacity: usize,
    max_message: usize,
}

impl FrameBuffer {
    /// An empty buffer. `capacity` is the size of a read, `max_message` the largest body accepted, both in bytes.
    pub fn new(capacity: usize, max_message: usize) -> Self {
        let capacity = capacity.max(64);
        Self { bytes: vec![0; capacity], start: 0, end: 0, capacity, max_message }
    }

    /// The part to read into, never empty. Moves an unfinished message to the front and grows only when one message
    /// fills the whole buffer, so memory follows the bytes that really came and not a length somebody announced.
    pub fn spare(&mut self) -> &mut [u8] {
        let pending = self.end - self.start;
        if pending == 0 {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > self.capacity {
                self.bytes.truncate(self.capacity);
                self.bytes.shrink_to_fit();
            }
        } else if self.start >= pending || self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, pending);
        }
        if self.end == self.bytes.len() {
            let limit = (self.max_message + HEADER).max(self.capacity);
            let grown = (self.bytes.len() * 2).min(limit).max(self.bytes.len() + 1);
            self.bytes.resize(grown, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Says that the first `count` bytes of [`Self::spare`] were filled.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// The next whole message, `None` when more bytes are needed.
    ///
    /// # Errors
    /// A length that is impossible or above the bound, as soon as the header is there.
    #[inline]
    pub fn advance(&mut self) -> Result<Option<RawMessage>, FramingError> {
        let pending = &self.bytes[self.start..self.end];
        let Some(&[tag, a, b, c, d]) = pending.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length < 4 {
            return Err(FramingError::BadLength { tag: tag as char, length });
        }
        if length - 4 > self.max_message {
            return Err(FramingError::TooLarge { tag: tag as char, length: length - 4, limit: self.max_message });
        }
        if pending.len() <= length {
            return Ok(None);
        }
        let body = self.start + HEADER..self.start + 1 + length;
        self.start = body.end;
        Ok(Some(RawMessage { tag, body }))
    }

    /// Whether [`Self::advance`] has an answer without another read.
    pub(crate) fn is_ready(&self) -> bool {
        let pending = &self.bytes[self.start..self.end];
        let length = pending.first_chunk::<HEADER>().map(|&[_, a, b, c, d]| u32::from_be_bytes([a, b, c, d]) as usize);
        length.is_some_and(|length| length < 4 || length - 4 > self.max_message || pending.len() > length)
    }

    /// The bytes of a message just yielded.
    #[inline]
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Whether a read would land in the middle of a message.
    pub fn is_mid_message(&self) -> bool {
        self.end > self.start
    }

    /// Takes what was read but not yielded yet.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.bytes[self.start..self.end].to_vec();
        (self.start, self.end) = (0, 0);
        rest
    }

    /// Changes the read size and the bound, keeping what is pending.
    pub(crate) fn resize(&mut self, capacity: usize, max_message: usize) {
        let rest = self.take_rest();
        *self = Self::new(capacity.max(rest.len()), max_message);
        self.bytes[..rest.len()].copy_from_slice(&rest);
        self.end = rest.len();
    }
}

/// What a CopyData body of a replication stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyData<'a> {
    /// `w`: a piece of the output plugin's stream.
    XLogData {
        /// Position of the data in the log.
        wal_start: Lsn,
        /// End of the log at the server, as it reports it (logical decoding repeats `wal_start`).
        wal_end: Lsn,
        /// Microseconds since 2000-01-01 UTC at the server.
        server_time: i64,
        /// The plugin's bytes.
        payload: &'a [u8],
    },
    /// `k`: the server is alive and has sent everything up to `wal_end`.
    Keepalive {
        /// Position up to which everything was sent. Not so in GaussDB's parallel decoding: there it is zero, or ahead of
        /// commits that are still to come, and must never be confirmed.
        wal_end: Lsn,
        /// Microseconds since 2000-01-01 UTC at the server.
        server_time: i64,
        /// The server wants a status update at once.
        reply_requested: bool,
    },
}

/// Reads a CopyData body in PostgreSQL's (big-endian) layout.
///
/// # Errors
/// [`FramingError::NotReplication`] for an unknown first byte or a body too short for its kind.
#[inline]
pub fn decode_copy_data(body: &[u8]) -> Result<CopyData<'_>, FramingError> {
    let word = |at: usize| body.get(at..).and_then(|rest| rest.first_chunk()).copied();
    let unknown = || FramingError::NotReplication { first: body.first().map(|b| *b as char), length: body.len() };
    match body.first() {
        Some(b'w') => match (word(1), word(9), word(17), body.get(25..)) {
            (Some(start), Some(end), Some(time), Some(payload)) => Ok(CopyData::XLogData {
                wal_start: Lsn(u64::from_be_bytes(start)),
                wal_end: Lsn(u64::from_be_bytes(end)),
                server_time: i64::from_be_bytes(time),
                payload,
            }),
            _ => Err(unknown()),
        },
        Some(b'k') if body.len() == 18 => match (word(1), word(9)) {
            (Some(end), Some(time)) => Ok(CopyData::Keepalive {
                wal_end: Lsn(u64::from_be_bytes(end)),
                server_time: i64::from_be_bytes(time),
                reply_requested: body[17] != 0,
            }),
            _ => Err(unknown()),
        },
        _ => Err(unknown()),
    }
}

impl Dialect {
    /// Reads a CopyData body as servers of this family lay it out.
    ///
    /// # Errors
    /// As [`decode_copy_data`]. The keepalive of another family is an error too.
    #[inline]
    pub fn decode_copy_data(self, body: &[u8]) -> Result<CopyData<'_>, FramingError> {
        match self {
            Dialect::GaussDb if body.first() == Some(&b'k') => match gauss::copy::keepalive(body) {
                Some((wal_end, server_time, reply_requested)) => {
                    Ok(CopyData::Keepalive { wal_end: Lsn(wal_end), server_time, reply_requested })
                }
                None => Err(FramingError::NotReplication { first: Some('k'), length: body.len() }),
            },
            Dialect::PostgreSql | Dialect::GaussDb => decode_copy_data(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend((body.len() as u32 + 4).to_be_bytes());
        out.extend(body);
        out
    }

    fn push(buffer: &mut FrameBuffer, mut bytes: &[u8], out: &mut Vec<(u8, Vec<u8>)>) {
        while !bytes.is_empty() {
            let spare = buffer.spare();
            let n = spare.len().min(bytes.len());
            assert!(n > 0, "spare is never empty");
            spare[..n].copy_from_slice(&bytes[..n]);
            buffer.filled(n);
            bytes = &bytes[n..];
            while let Some(m) = buffer.advance().unwrap() {
                out.push((m.tag, buffer.bytes(m.body).to_vec()));
            }
        }
    }

    #[test]
    fn split_at_every_byte() {
        let sent = [(b'd', vec![7; 100]), (b'Z', vec![b'I']), (b'c', vec![]), (b'd', vec![9; 300])];
        let bytes: Vec<u8> = sent.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
        for cut in 0..=bytes.len() {
            let mut buffer = FrameBuffer::new(64, 1000);
            let mut got = Vec::new();
            push(&mut buffer, &bytes[..cut], &mut got);
            push(&mut buffer, &bytes[cut..], &mut got);
            assert_eq!(got, sent, "cut at {cut}");
            assert!(!buffer.is_mid_message());
        }
    }

    #[test]
    fn bounds_are_kept_and_memory_is_given_back() {
        let mut buffer = FrameBuffer::new(64, 1000);
        let mut got = Vec::new();
        push(&mut buffer, &message(b'd', &[1; 1000]), &mut got);
        assert_eq!(got.len(), 1);
        assert_eq!(buffer.spare().len(), 64);
        let spare = buffer.spare();
        spare[..5].copy_from_slice(&[b'd', 0, 0, 3, 0xed]);
        buffer.filled(5);
        assert_eq!(buffer.advance(), Err(FramingError::TooLarge { tag: 'd', length: 1001, limit: 1000 }));

        let mut buffer = FrameBuffer::new(64, 1000);
        buffer.spare()[..5].copy_from_slice(&[b'x', 0, 0, 0, 3]);
        buffer.filled(5);
        assert_eq!(buffer.advance(), Err(FramingError::BadLength { tag: 'x', length: 3 }));
    }

    #[test]
    fn copy_data_forms() {
        let mut xlog = vec![b'w'];
        xlog.extend(0x10u64.to_be_bytes());
        xlog.extend(0x20u64.to_be_bytes());
        xlog.extend(30i64.to_be_bytes());
        assert_eq!(
            decode_copy_data(&[xlog.as_slice(), b"BEGIN"].concat()),
            Ok(CopyData::XLogData { wal_start: Lsn(0x10), wal_end: Lsn(0x20), server_time: 30, payload: b"BEGIN" })
        );
        for short in 0..xlog.len() {
            assert!(decode_copy_data(&xlog[..short]).is_err(), "{short} bytes");
        }
        let mut keepalive = vec![b'k'];
        keepalive.extend(0x30u64.to_be_bytes());
        keepalive.extend((-1i64).to_be_bytes());
        assert!(decode_copy_data(&keepalive).is_err());
        keepalive.push(1);
        let expected = CopyData::Keepalive { wal_end: Lsn(0x30), server_time: -1, reply_requested: true };
        assert_eq!(decode_copy_data(&keepalive), Ok(expected));
        keepalive.push(0);
        assert!(decode_copy_data(&keepalive).is_err());
        assert!(decode_copy_data(b"z").is_err());
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_messages(
            sent in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
            chunks in prop::collection::vec(1usize..200, 1..50),
            capacity in 1usize..400,
        ) {
            let bytes: Vec<u8> = sent.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
            let mut buffer = FrameBuffer::new(capacity, 300);
            let (mut got, mut at) = (Vec::new(), 0);
            for chunk in chunks.iter().cycle() {
                if at == bytes.len() { break; }
                let end = (at + chunk).min(bytes.len());
                push(&mut buffer, &bytes[at..end], &mut got);
                at = end;
            }
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut buffer = FrameBuffer::new(64, 512);
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let spare = buffer.spare();
                let n = spare.len().min(rest.len());
                spare[..n].copy_from_slice(&rest[..n]);
                buffer.filled(n);
                rest = &rest[n..];
                loop {
                    match buffer.advance() {
                        Ok(Some(m)) => { let _ = decode_copy_data(buffer.bytes(m.body)); }
                        Ok(None) => break,
                        Err(_) => return Ok(()),
                    }
                }
            }
        }
    }
}
