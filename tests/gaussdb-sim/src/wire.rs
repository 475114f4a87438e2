//! Messages of the frontend/backend protocol 3, written and read.

use crate::error::SqlError;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest message taken from a client.
const MAX_MESSAGE: usize = 16 << 20;

/// A message with its tag and length.
pub fn message(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Text with its terminator.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// `ErrorResponse`, or `NoticeResponse` with tag `N`: fields in the order the recorded server has them.
pub fn error(out: &mut Vec<u8>, severity: &str, error: &SqlError) {
    message(out, b'E', |out| {
        let internal = error.internal.to_string();
        let fields = [
            (b'S', Some(severity)),
            (b'c', Some(internal.as_str())),
            (b'M', Some(error.message.as_str())),
            (b'C', Some(error.sqlstate)),
            (b'd', Some(error.module)),
            (b'D', error.more.as_ref().and_then(|more| more.detail.as_deref())),
            (b'H', error.more.as_ref().and_then(|more| more.hint.as_deref())),
            (b'W', error.more.as_ref().and_then(|more| more.context.as_deref())),
        ];
        for (tag, value) in fields {
            if let Some(value) = value {
                out.push(tag);
                text(out, value);
            }
        }
        out.push(0);
    });
}

/// `ReadyForQuery`; the state is `I`, `T` or `E`.
pub fn ready(out: &mut Vec<u8>, state: u8) {
    message(out, b'Z', |out| out.push(state));
}

/// `CommandComplete`.
pub fn complete(out: &mut Vec<u8>, tag: &str) {
    message(out, b'C', |out| text(out, tag));
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: String,
    /// OID of its type.
    pub oid: u32,
}

/// `RowDescription`. `modifier` is what stands for "no modifier": -1 from SQL, 0 from a replication command.
pub fn row_description(out: &mut Vec<u8>, fields: &[Field], binary: bool, modifier: i32) {
    message(out, b'T', |out| {
        out.extend_from_slice(&(fields.len() as u16).to_be_bytes());
        for field in fields {
            text(out, &field.name);
            // No table, no column.
            out.extend_from_slice(&[0; 6]);
            out.extend_from_slice(&field.oid.to_be_bytes());
            out.extend_from_slice(&type_length(field.oid).to_be_bytes());
            out.extend_from_slice(&modifier.to_be_bytes());
            out.extend_from_slice(&u16::from(binary).to_be_bytes());
        }
    });
}

/// `pg_type.typlen` of the types that results have.
fn type_length(oid: u32) -> i16 {
    match oid {
        16 | 18 => 1,
        21 => 2,
        23 | 26 => 4,
        20 | 1184 => 8,
        19 => 64,
        _ => -1,
    }
}

/// `DataRow` of values as they stand on the wire.
pub fn data_row<T: AsRef<[u8]>>(out: &mut Vec<u8>, values: &[Option<T>]) {
    message(out, b'D', |out| {
        out.extend_from_slice(&(values.len() as u16).to_be_bytes());
        for value in values {
            match value {
                None => out.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(value) => {
                    let value = value.as_ref();
                    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
                    out.extend_from_slice(value);
                }
            }
        }
    });
}

/// The next message of a client; `None` at the end of the connection.
///
/// # Errors
/// A broken connection, or a length no server takes.
pub async fn read(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 5];
    match input.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if !(4..=MAX_MESSAGE).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "invalid message length"));
    }
    let mut body = vec![0; length - 4];
    input.read_exact(&mut body).await?;
    Ok(Some((head[0], body)))
}

/// Reads the parts of a message.
#[derive(Debug)]
pub struct Body<'a>(pub &'a [u8]);

impl<'a> Body<'a> {
    /// So many bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// A 16-bit number.
    pub fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// A 32-bit number.
    pub fn i32(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    /// A text with its terminator.
    pub fn text(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(self.take(end)?).ok()?;
        self.take(1)?;
        Some(text)
    }
}
