//! Keepalives and status updates: structures of a little-endian machine (`walprotocol.h`).

use crate::error::SqlError;
use crate::text::{EPOCH_2000, Lsn, now};

/// Bytes of a status update behind its tag; shorter is refused, what follows is ignored.
const STATUS: usize = 64;

/// Appends a keepalive in its CopyData. `network_order` is how PostgreSQL sends it: a fault here.
pub(super) fn keepalive(end: Lsn, reply: bool, network_order: bool, out: &mut Vec<u8>) {
    let clock = now() - EPOCH_2000;
    out.push(b'd');
    if network_order {
        out.extend_from_slice(&22u32.to_be_bytes());
        out.push(b'k');
        out.extend_from_slice(&end.0.to_be_bytes());
        out.extend_from_slice(&clock.to_be_bytes());
        out.push(u8::from(reply));
        return;
    }
    out.extend_from_slice(&37u32.to_be_bytes());
    out.push(b'k');
    out.extend_from_slice(&end.0.to_le_bytes());
    // A node alone says "normal" of its role and state.
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&clock.to_le_bytes());
    out.push(u8::from(reply));
    // Flags and padding hold what was there before; recorded bytes, so that nobody relies on zeros.
    out.extend_from_slice(&[0x01, 0xfd, 0x00, 0xff, 0xff, 0xff, 0xff]);
}

/// What a client's CopyData says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// A status update: the flushed position, and whether an answer is wanted.
    Status { flush: Lsn, reply: bool },
    /// Something for other parts of a server; taken without effect.
    Other,
    /// A tag nobody knows: the connection ends without a word.
    Unknown,
}

/// Reads a client's CopyData.
pub(super) fn heard(body: &[u8]) -> Result<Heard, SqlError> {
    let error = |text: &str, internal| SqlError::new("08P01", text).internal(internal);
    let Some((tag, rest)) = body.split_first() else { return Err(error("no data left in message", 9_467)) };
    match tag {
        b'r' => {
            let rest: &[u8; STATUS] =
                rest.first_chunk().ok_or_else(|| error("insufficient data left in message", 9_469))?;
            let word: [u8; 8] = std::array::from_fn(|at| rest[16 + at]);
            Ok(Heard::Status { flush: Lsn(u64::from_le_bytes(word)), reply: rest[56] != 0 })
        }
        b'h' | b's' | b'A' | b'a' | b'S' | b'R' | b'b' | b'w' | b'C' => Ok(Heard::Other),
        _ => Ok(Heard::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn status_updates_as_recorded() {
        let update = bytes(
            "726061fb02000000006061fb02000000006061fb020000000000000000000000000000000000000000000000000000000044861c29e60303000000000000000000",
        );
        assert_eq!(heard(&update), Ok(Heard::Status { flush: Lsn(0x2fb_6160), reply: false }));
        let mut longer = update.clone();
        longer[57] = 1;
        longer.extend([0; 15]);
        assert_eq!(heard(&longer), Ok(Heard::Status { flush: Lsn(0x2fb_6160), reply: true }));
        assert_eq!(heard(&update[..34]).unwrap_err().message, "insufficient data left in message");
        assert_eq!(heard(&[]).unwrap_err().message, "no data left in message");
        assert_eq!(heard(b"Z123"), Ok(Heard::Unknown));
    }

    #[test]
    fn keepalives_have_the_recorded_layout() {
        let recorded = bytes("6b0818fb02000000000100000001000000fb45f628e60303000001fd00ffffffff");
        let mut out = Vec::new();
        keepalive(Lsn(0x2fb_1808), false, false, &mut out);
        let body = &out[5..];
        assert_eq!((out[0], body.len(), u32::from_be_bytes(out[1..5].try_into().unwrap())), (b'd', 33, 37));
        assert_eq!((&body[..17], &body[25..]), (&recorded[..17], &recorded[25..]));
    }
}
