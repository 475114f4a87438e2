//! Keepalive and status update of the family: C structures of a little-endian machine, where PostgreSQL sends network order.
//!
//! `WalSndrMessage` and `StandbyReplyMessage` of its `walprotocol.h`. XLogData is PostgreSQL's, big-endian.

/// Least length of a keepalive, with its tag. Its last seven bytes are flags and padding that hold garbage.
const KEEPALIVE: usize = 33;

/// What a keepalive says: end of what the server has worked through, microseconds since 2000-01-01 UTC, and whether an answer
/// is wanted. `None` where the body is none.
#[inline]
pub(crate) fn keepalive(body: &[u8]) -> Option<(u64, i64, bool)> {
    // A later version that appends a field still begins like this; the vendor's own driver reads no further either.
    if body.first() != Some(&b'k') || body.len() < KEEPALIVE {
        return None;
    }
    let word = |at: usize| body.get(at..).and_then(|rest| rest.first_chunk()).copied();
    Some((u64::from_le_bytes(word(1)?), i64::from_le_bytes(word(17)?), *body.get(25)? != 0))
}

/// Length of [`status_update`].
pub(crate) const STATUS_UPDATE: usize = 70;

/// Status update in its CopyData. Only `flush` moves the slot. The two apply positions stay zero: they speak of standbys that
/// share storage with their primary.
pub(crate) fn status_update(received: u64, flushed: u64, clock: i64, reply_wanted: bool) -> [u8; STATUS_UPDATE] {
    let mut out = [0; STATUS_UPDATE];
    // The length of a message is in network order all the same.
    out[..6].copy_from_slice(&[b'd', 0, 0, 0, STATUS_UPDATE as u8 - 1, b'r']);
    out[6..14].copy_from_slice(&received.to_le_bytes());
    out[14..22].copy_from_slice(&received.to_le_bytes());
    out[22..30].copy_from_slice(&flushed.to_le_bytes());
    out[54..62].copy_from_slice(&clock.to_le_bytes());
    out[62] = u8::from(reply_wanted);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::{CopyData, decode_copy_data};
    use crate::options::Dialect;
    use millrace_batch::Lsn;
    use proptest::prelude::*;

    const RECORDED: &str = include_str!("../../tests/data/opengauss/stream.txt");

    /// Case, kind and bytes of every recorded line.
    fn recorded() -> Vec<(&'static str, &'static str, Vec<u8>)> {
        let mut case = "";
        let mut out = Vec::new();
        for line in RECORDED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kind, rest) = line.split_once(' ').unwrap();
            match kind {
                "case" => case = rest,
                "end" => {}
                _ => {
                    let byte = |at: usize| u8::from_str_radix(&rest[at..at + 2], 16).unwrap();
                    out.push((case, kind, (0..rest.len()).step_by(2).map(byte).collect()));
                }
            }
        }
        out
    }

    /// XLogData, in network order, and keepalives tell the same clock, second by second.
    #[test]
    fn recorded_messages_are_read_and_their_clocks_agree() {
        let (mut keepalives, mut data) = (0, 0);
        let mut last = ("", 0);
        for (case, kind, body) in recorded().into_iter().filter(|(_, kind, _)| matches!(*kind, "k" | "w")) {
            let time = match Dialect::GaussDb.decode_copy_data(&body).unwrap() {
                CopyData::Keepalive { wal_end, server_time, .. } => {
                    keepalives += 1;
                    assert!(wal_end.0 < 1 << 33, "{case}: {wal_end}");
                    assert!(decode_copy_data(&body).is_err(), "no keepalive of PostgreSQL");
                    server_time
                }
                CopyData::XLogData { wal_start, wal_end, server_time, payload } => {
                    data += 1;
                    assert!(wal_start == wal_end && wal_start.0 < 1 << 33, "{case}: {wal_start}");
                    assert!(!payload.is_empty());
                    server_time
                }
            };
            assert_eq!(kind, char::from(body[0]).to_string());
            if last.0 == case {
                assert!((time - last.1).abs() < 20_000_000, "{case}: {time} after {}", last.1);
            }
            last = (case, time);
        }
        assert!(keepalives > 200 && data > 150, "{keepalives} keepalives, {data} pieces of data");
    }

    /// Answers are wanted where the recording shows one at half the time-out.
    #[test]
    fn a_wanted_reply_is_seen() {
        let silent: Vec<bool> = recorded()
            .iter()
            .filter(|(case, kind, _)| *case == "cadence_timeout6_silent" && *kind == "k")
            .map(|(_, _, body)| keepalive(body).unwrap().2)
            .collect();
        assert!(silent.contains(&true) && silent.contains(&false), "{silent:?}");
    }

    /// Positions the server took, from the recorder's own encoder; the rest of our message is the same, byte for byte.
    #[test]
    fn status_updates_are_those_the_server_took() {
        let mut compared = 0;
        for (case, _, body) in recorded().iter().filter(|(_, kind, body)| *kind == "r" && body.len() == 65) {
            let word = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().unwrap());
            let ours = status_update(word(1), word(17), word(49) as i64, body[57] != 0);
            assert_eq!(ours[5..], body[..], "{case}");
            assert_eq!(ours[..5], [b'd', 0, 0, 0, 69], "{case}");
            compared += 1;
        }
        assert_eq!(compared, 21);
        let told = status_update(0xcfe_63b0, 0xcfe_63b0, 0x0002_b39b_976c_a1f1, false);
        let documented = "72b063fe0c00000000b063fe0c00000000b063fe0c00000000000000000000000000000000000000000000000000000000f1a16c979bb302000000000000000000";
        assert_eq!(crate::gauss::proof::hex(&told[5..]), documented);
    }

    #[test]
    fn positions_keep_their_places() {
        let update = status_update(0x0102, 0x0304, 0x0506, true);
        assert_eq!((update[6..8].to_vec(), update[14..16].to_vec()), (vec![2, 1], vec![2, 1]), "received and written");
        assert_eq!((&update[22..24], &update[54..56], update[62]), ([4, 3].as_slice(), [6, 5].as_slice(), 1));
        let set = update.iter().skip(6).filter(|byte| **byte != 0).count();
        assert_eq!(set, 9, "nothing else is set");
    }

    #[test]
    fn other_lengths_are_refused() {
        let mut body = vec![b'k'];
        body.extend(0xcfe_63b0u64.to_le_bytes());
        body.extend([2, 0, 0, 0, 1, 0, 0, 0]);
        body.extend(7i64.to_le_bytes());
        body.extend([1, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
        let expected = CopyData::Keepalive { wal_end: Lsn(0xcfe_63b0), server_time: 7, reply_requested: true };
        assert_eq!(Dialect::GaussDb.decode_copy_data(&body), Ok(expected));
        for short in 0..body.len() {
            assert!(Dialect::GaussDb.decode_copy_data(&body[..short]).is_err(), "{short} bytes");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(tag in prop::sample::select(vec![b'k', b'w', b'z']), rest in prop::collection::vec(any::<u8>(), 0..60)) {
            let body = [&[tag], rest.as_slice()].concat();
            let _ = Dialect::GaussDb.decode_copy_data(&body);
        }
    }
}
