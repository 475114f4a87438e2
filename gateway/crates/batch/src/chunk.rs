//! Changes as bytes that leave memory for a while and come back.
//!
//! Owns the layout of a chunk: what a transaction whose end is not known has of its changes, that is all but ids, LSN, number and
//! time. Never kept from one process to the next, so it has no version. Must not know where chunks lie.

use crate::{Batch, batch::Parts};

/// Bytes in front of a chunk: numbers of changes, cells and value bytes, and the checksum, 64 bits each.
const HEADER: usize = 32;

impl Batch {
    /// The changes as a chunk: header and fields are appended to `fields`, cell values follow as they lie in [`Batch::data`].
    pub fn chunk_fields(&self, fields: &mut Vec<u8>) {
        let start = fields.len();
        let parts = self.parts();
        for number in [self.len(), parts.ends.len(), self.data().len(), 0] {
            fields.extend_from_slice(&(number as u64).to_le_bytes());
        }
        for list in [parts.ordinals, parts.relations, parts.first_cells, parts.ends] {
            fields.extend(list.iter().flat_map(|number| number.to_le_bytes()));
        }
        for list in [parts.new_cells, parts.old_cells] {
            fields.extend(list.iter().flat_map(|number| number.to_le_bytes()));
        }
        fields.extend_from_slice(parts.ops);
        fields.extend_from_slice(parts.marks);
        let sum = checksum(checksum(0, &fields[start + HEADER..]), self.data());
        fields[start + HEADER - 8..start + HEADER].copy_from_slice(&sum.to_le_bytes());
    }

    /// Puts the changes of a chunk in place of what the batch holds; ids, LSNs, numbers and times are zero. False, and the batch
    /// is empty, where the bytes are not exactly what was written.
    #[must_use]
    pub fn read_chunk(&mut self, chunk: &[u8]) -> bool {
        self.clear();
        let read = self.read_parts(chunk).is_some();
        if !read {
            self.clear();
        }
        read
    }

    fn read_parts(&mut self, chunk: &[u8]) -> Option<()> {
        let (header, body) = chunk.split_at_checked(HEADER)?;
        let mut numbers =
            header.chunks_exact(8).map(|number| number.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)));
        let mut next = || usize::try_from(numbers.next()?).ok();
        let (changes, cells, data, sum) = (next()?, next()?, next()?, next()?);
        let fields = changes.checked_mul(18)?.checked_add(cells.checked_mul(4)?)?;
        let same = |sum: usize, fields: &[u8], data: &[u8]| checksum(checksum(0, fields), data) == sum as u64;
        if body.len() != fields.checked_add(data)? || !same(sum, &body[..fields], &body[fields..]) {
            return None;
        }
        let mut rest = body;
        let mut take = |length: usize| {
            let (taken, left) = rest.split_at(length);
            rest = left;
            taken
        };
        let wide = |bytes: &[u8], into: &mut Vec<u32>| {
            into.extend(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        };
        let narrow = |bytes: &[u8], into: &mut Vec<u16>| {
            into.extend(bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])));
        };
        self.restore(changes, |parts| {
            wide(take(4 * changes), parts.ordinals);
            wide(take(4 * changes), parts.relations);
            wide(take(4 * changes), parts.first_cells);
            wide(take(4 * cells), parts.ends);
            narrow(take(2 * changes), parts.new_cells);
            narrow(take(2 * changes), parts.old_cells);
            parts.ops.extend_from_slice(take(changes));
            parts.marks.extend_from_slice(take(changes));
            parts.data.extend_from_slice(take(data));
        });
        Some(())
    }

    fn parts(&self) -> Parts<&[u32], &[u16], &[u8]> {
        Parts {
            ordinals: self.ordinals(),
            relations: self.relations(),
            first_cells: self.first_cells(),
            ends: self.ends(),
            new_cells: self.new_cells(),
            old_cells: self.old_cells(),
            ops: self.ops(),
            marks: self.marks(),
            data: self.data(),
        }
    }
}

/// Tells what was written from what a disk made of it: eight bytes at a time, multiplied by an odd constant (2^64 divided by the
/// golden ratio).
fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    let mut sum = seed ^ bytes.len() as u64;
    let mut add = |word: u64| sum = (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let (words, tail) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| add(u64::from_le_bytes(*word)));
    add(tail.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChangeStamp, Lsn, Op, marks};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_chunk_comes_back_and_a_damaged_one_does_not(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 0..5), 0..12),
            place: prop::sample::Index, bit in 0..8u32,
        ) {
            let mut batch = Batch::new(3);
            for (n, row) in (0..).zip(&rows) {
                let (id, commit_lsn, xid, commit_time) = (0, Lsn(0), 0, 0);
                batch.begin_change(ChangeStamp { id, commit_lsn, xid, commit_time, ordinal: n, relation: n / 2, op: Op::Update });
                for cell in row {
                    match cell {
                        Some(text) => prop_assert!(batch.push_text(text)),
                        None => batch.push_null(),
                    }
                }
                batch.push_unsent();
                batch.finish_change(row.len() as u16, 1, marks::NEW | marks::OLD);
            }
            let mut chunk = Vec::new();
            batch.chunk_fields(&mut chunk);
            chunk.extend_from_slice(batch.data());
            let mut back = Batch::new(3);
            prop_assert!(back.read_chunk(&chunk));
            prop_assert_eq!(&back, &batch);
            let place = place.index(chunk.len());
            chunk[place] ^= 1 << bit;
            prop_assert!(!back.read_chunk(&chunk));
            prop_assert_eq!(&back, &Batch::new(3));
            chunk[place] ^= 1 << bit;
            chunk.pop();
            prop_assert!(!back.read_chunk(&chunk));
        }
    }
}
