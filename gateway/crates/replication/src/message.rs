//! Bodies of the few other messages a replication connection sees, and the packets we send. Sans-IO.
//!
//! Layouts: PostgreSQL's documentation, "Message Formats". Every reader answers a short or broken body with an error text.

use crate::error::ServerError;

/// SSLRequest: length 8, code 1234.5679.
pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Terminate.
pub(crate) const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// CopyDone.
pub(crate) const COPY_DONE: [u8; 5] = [b'c', 0, 0, 0, 4];

/// A body did not have the layout of its message.
pub(crate) type Malformed = &'static str;

/// CancelRequest: code 1234.5678, then the process and its key.
pub(crate) fn cancel_request(process_id: i32, secret_key: i32) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e]);
    out[8..12].copy_from_slice(&process_id.to_be_bytes());
    out[12..].copy_from_slice(&secret_key.to_be_bytes());
    out
}

/// StartupMessage with its parameters in order. A value with a NUL byte cannot be sent and is refused.
pub(crate) fn startup(protocol: i32, parameters: &[(&str, &str)]) -> Result<Vec<u8>, Malformed> {
    let mut out = vec![0; 4];
    out.extend(protocol.to_be_bytes());
    for text in parameters.iter().flat_map(|(name, value)| [name, value]) {
        if text.contains('\0') {
            return Err("a start-up parameter contains a NUL byte");
        }
        out.extend(text.as_bytes());
        out.push(0);
    }
    out.push(0);
    let length = out.len() as u32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

/// A message with a tag, for bodies known to be small.
pub(crate) fn tagged(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(tag);
    out.extend((body.len() as u32 + 4).to_be_bytes());
    out.extend(body);
    out
}

/// Query with one statement.
pub(crate) fn query(sql: &str) -> Result<Vec<u8>, Malformed> {
    if sql.contains('\0') {
        return Err("the statement contains a NUL byte");
    }
    Ok(tagged(b'Q', &[sql.as_bytes(), b"\0"].concat()))
}

/// A cursor over a body.
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl<'a> Body<'a> {
    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        let (head, rest) = self.0.split_first_chunk::<4>().ok_or("body ends in a number")?;
        self.0 = rest;
        Ok(i32::from_be_bytes(*head))
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Malformed> {
        let (head, rest) = self.0.split_first_chunk::<2>().ok_or("body ends in a number")?;
        self.0 = rest;
        Ok(i16::from_be_bytes(*head))
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(count).ok_or("body ends in a value")?;
        self.0 = rest;
        Ok(head)
    }

    /// A NUL-terminated text; bytes that are not UTF-8 are shown as the replacement character.
    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or("text without its end")?;
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0 = &self.0[end + 1..];
        Ok(text)
    }
}

/// ParameterStatus: name and value.
pub(crate) fn parameter_status(body: &[u8]) -> Result<(String, String), Malformed> {
    let mut body = Body(body);
    Ok((body.text()?, body.text()?))
}

/// BackendKeyData: process and key. Protocol 3.0 has a key of four bytes.
pub(crate) fn backend_key(body: &[u8]) -> Result<(i32, i32), Malformed> {
    let mut body = Body(body);
    Ok((body.i32()?, body.i32()?))
}

/// Column names of a RowDescription.
pub(crate) fn row_description(body: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut body = Body(body);
    let count = body.i16()?.max(0);
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(body.text()?);
        body.take(18)?;
    }
    Ok(names)
}

/// Text values of a DataRow.
pub(crate) fn data_row(body: &[u8]) -> Result<Vec<Option<String>>, Malformed> {
    let mut body = Body(body);
    let count = body.i16()?.max(0);
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(match usize::try_from(body.i32()?) {
            Ok(length) => Some(String::from_utf8_lossy(body.take(length)?).into_owned()),
            Err(_) => None,
        });
    }
    Ok(values)
}

/// Fields of an ErrorResponse or NoticeResponse. Never fails: a broken body still is a server's error.
pub(crate) fn error_response(body: &[u8]) -> ServerError {
    let mut error = ServerError::default();
    let mut body = Body(body);
    while let Some((&field, rest)) = body.0.split_first() {
        body.0 = rest;
        let Ok(text) = body.text() else { break };
        match field {
            b'S' if error.severity.is_empty() => error.severity = text,
            // The severity that is never translated (PostgreSQL 9.6 and later).
            b'V' => error.severity = text,
            b'C' => error.sqlstate = text,
            b'M' => error.message = text,
            b'D' => error.detail = Some(text),
            b'H' => error.hint = Some(text),
            b'W' => error.context = Some(text),
            b'R' => error.routine = Some(text),
            _ => {}
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn startup_packet_is_the_documented_one() {
        // The worked example of PostgreSQL's start-up packet, with protocol 3.0.
        let got = startup(3 << 16, &[("user", "cdc"), ("database", "d")]).unwrap();
        assert_eq!(got, b"\0\0\0\x1d\0\x03\0\0user\0cdc\0database\0d\0\0");
        assert!(startup(3 << 16, &[("user", "c\0dc")]).is_err());
        assert!(query("a\0b").is_err());
        assert_eq!(query("a").unwrap(), b"Q\0\0\0\x06a\0");
    }

    #[test]
    fn errors_keep_their_fields() {
        let error = error_response(b"SFEHLER\0VERROR\0C42704\0Mgone\0Ddet\0Rget_publication_oid\0\0");
        assert_eq!((error.severity.as_str(), error.sqlstate.as_str()), ("ERROR", "42704"));
        assert_eq!(error.detail.as_deref(), Some("det"));
        assert_eq!(error.routine.as_deref(), Some("get_publication_oid"));
        assert_eq!(error_response(b"Mcut off").message, "");
    }

    #[test]
    fn rows() {
        let row = b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0";
        assert_eq!(data_row(row).unwrap(), [Some("ab".to_owned()), None, Some(String::new())]);
        for short in 0..row.len() {
            assert!(data_row(&row[..short]).is_err());
        }
        let mut description = b"\0\x01name\0".to_vec();
        description.extend([0; 18]);
        assert_eq!(row_description(&description).unwrap(), ["name"]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = data_row(&body);
            let _ = row_description(&body);
            let _ = parameter_status(&body);
            let _ = backend_key(&body);
            let _ = error_response(&body);
        }
    }
}
