//! Avro's binary encoding (specification 1.11, "Binary Encoding"), as far as this schema needs it.

/// Appends a long (or int, or the count of a block): zigzag, then seven bits a byte, the lowest first.
#[inline]
pub(crate) fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a string: its length, then its bytes.
#[inline]
pub(crate) fn string(text: &[u8], out: &mut Vec<u8>) {
    // A text is shorter than a batch, which is below 1 GiB.
    long(text.len() as i64, out);
    out.extend_from_slice(text);
}

/// Appends the one block of a map or array of `count` items and the end behind it; an empty one has no block.
pub(crate) fn block(count: usize, out: &mut Vec<u8>, items: impl FnOnce(&mut Vec<u8>)) {
    if count > 0 {
        long(count as i64, out);
        items(out);
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the specification, and the ends of the range.
    #[test]
    fn longs_are_those_of_the_specification() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (-2, &[0x03]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let mut out = Vec::new();
            long(value, &mut out);
            assert_eq!(out, bytes, "{value}");
        }
        let mut out = Vec::new();
        string(b"foo", &mut out);
        assert_eq!(out, b"\x06foo");
    }
}
