//! Copying in steps of [`STEP`] bytes, of which the last may reach beyond what it copies. With `scan`, all unsafe code of the
//! kit is here; what leaves this file is safe.
//!
//! Compiled Wasm has few registers, and a loop that may call anything keeps its state in memory. So the loop over a row's
//! cells ([`plain_members`]) calls nothing and checks no room; it stops at whatever is not plain, and its caller sees to that.

use crate::{
    change::{END, NOT_SENT, NULL},
    scan::{Chunk, Classes, Escapes, STEP},
};

/// Text with [`STEP`] bytes more behind it, so that a step may begin at any byte of it.
#[derive(Clone, Debug)]
pub(crate) struct Padded(Vec<u8>);

impl Default for Padded {
    fn default() -> Self {
        Self(vec![0; STEP])
    }
}

impl Padded {
    /// Adds text; gives its place.
    pub(crate) fn push(&mut self, text: &[u8]) -> (u32, u32) {
        let start = self.0.len() - STEP;
        self.0.truncate(start);
        self.0.extend_from_slice(text);
        let end = self.0.len();
        self.0.resize(end + STEP, 0);
        // Names of one table, far below 4 GiB.
        (start as u32, end as u32)
    }

    /// The text between two places.
    pub(crate) fn get(&self, start: u32, end: u32) -> &[u8] {
        &self.0[start as usize..end as usize]
    }

    /// Appends the text between two places to a buffer.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>, start: u32, end: u32) {
        let (start, end) = (start as usize, end as usize);
        assert!(start <= end && end + STEP <= self.0.len());
        let (from, length) = (out.len(), end - start);
        out.reserve(length + STEP);
        // SAFETY: as asserted and reserved: a step more than `length` is readable and writable.
        unsafe {
            copy(self.0.as_ptr().add(start), out.as_mut_ptr().add(from), length);
            out.set_len(from + length);
        }
    }
}

/// Copies `length` bytes.
///
/// # Safety
/// A step more than them is readable at `from` and writable at `to`. They do not overlap.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    // The first step outside of the loop, at whose head the host counts time.
    // SAFETY: the caller's promise.
    unsafe { Chunk::load(&*from.cast()).store(to) };
    let mut done = STEP;
    while done < length {
        // SAFETY: the caller's promise, with `done < length`.
        unsafe { Chunk::load(&*from.add(done).cast()).store(to.add(done)) };
        done += STEP;
    }
}

/// Appends text with escapes where the classes name them. Says whether it met a byte beyond ASCII.
pub(crate) fn append_text(out: &mut Vec<u8>, text: &[u8], classes: Classes, escapes: &Escapes) -> bool {
    let (mut at, mut beyond_ascii) = (0, 0);
    while at < text.len() {
        let step = STEP.min(text.len() - at);
        let chunk = match text[at..].first_chunk() {
            Some(bytes) => Chunk::load(bytes),
            None => {
                let mut bytes = [0; STEP];
                bytes[..step].copy_from_slice(&text[at..]);
                Chunk::load(&bytes)
            }
        };
        out.reserve(STEP);
        let (len, lanes) = (out.len(), u32::MAX >> (32 - step));
        let flagged = chunk.flagged(classes) & lanes;
        let beyond = if flagged == 0 { 0 } else { chunk.beyond_ascii() & lanes };
        beyond_ascii |= beyond;
        let plain = step.min((flagged & !beyond).trailing_zeros() as usize);
        // SAFETY: a step was reserved, and `plain` is no more than a step.
        unsafe {
            chunk.store(out.as_mut_ptr().add(len));
            out.set_len(len + plain);
        }
        at += plain;
        if plain < step {
            // Flagged and not beyond ASCII.
            let escape = &escapes[usize::from(text[at] & 0x7f)];
            out.extend_from_slice(&escape[..usize::from(escape[7])]);
            at += 1;
        }
    }
    beyond_ascii != 0
}

/// An image's cells, and the names they are written under.
pub(crate) struct Row<'a> {
    pub(crate) names: &'a Padded,
    /// Places of `,"name":"` in `names`.
    pub(crate) members: &'a [(u32, u32)],
    /// Length of all those together, or more.
    pub(crate) names_length: usize,
    pub(crate) data: &'a [u8],
    /// Ends of the cells, flags included, from the first member on.
    pub(crate) ends: &'a [u32],
    /// Where the first cell begins.
    pub(crate) start: u32,
}

/// What [`append_plain_members`] did.
pub(crate) struct Plain {
    /// How many members it wrote.
    pub(crate) written: usize,
    /// The last of them has bytes beyond ASCII, and nobody has checked that they are UTF-8.
    pub(crate) last_unchecked: bool,
}

/// Appends members as long as they are plain: text without escapes, or NULL. Stops behind a text that is not all ASCII.
#[inline]
pub(crate) fn append_plain_members(out: &mut Vec<u8>, row: &Row<'_>, classes: Classes) -> Plain {
    let Row { names, members, names_length, data, ends, start } = *row;
    let cells = members.len().min(ends.len());
    let (begin, end) = (start as usize, ends[..cells].last().map_or(0, |last| (last & END) as usize));
    // Steps read beyond the image: at the end of the data, its last cells are for the caller.
    if begin > end || end + STEP > data.len() {
        return Plain { written: 0, last_unchecked: false };
    }
    // A NULL takes the three bytes of its name's and its own quote, and one more.
    out.reserve(names_length + (end - begin) + 4 * cells + 2 * STEP);
    let from = out.len();
    // SAFETY: `members` are places in `names` and `names_length` covers them, both by `Members`; the reserve covers names,
    // texts, quotes and two steps. Every end is checked against the image's own.
    let (plain, to) = unsafe {
        let to = out.as_mut_ptr().add(from);
        plain_members(names.0.as_ptr(), &members[..cells], data.as_ptr(), &ends[..cells], begin, end, to, classes)
    };
    // SAFETY: `to` is behind what was written, within what was reserved.
    unsafe { out.set_len(to.offset_from(out.as_ptr()) as usize) };
    plain
}

/// See [`append_plain_members`]. Also gives the end of what was written.
///
/// # Safety
/// A step more than each member is readable at `names`, a step more than `end` at `data`. At `to` there is room for all
/// names, `end - begin` bytes, 4 bytes per member and two steps.
#[inline(never)]
#[allow(clippy::too_many_arguments, reason = "scalars stay in registers, a struct does not")]
unsafe fn plain_members(
    names: *const u8,
    members: &[(u32, u32)],
    data: *const u8,
    ends: &[u32],
    begin: usize,
    end: usize,
    to: *mut u8,
    classes: Classes,
) -> (Plain, *mut u8) {
    let (mut start, mut to) = (begin, to);
    for (i, (&(name, name_end), &flags)) in members.iter().zip(ends).enumerate() {
        let (stop, length) = ((flags & END) as usize, (name_end - name) as usize);
        // A contradictory batch is for the caller to fail on.
        if flags & NOT_SENT != 0 || stop < start || stop > end {
            return (Plain { written: i, last_unchecked: false }, to);
        }
        // SAFETY: the caller's promise.
        unsafe { copy(names.add(name as usize), to, length) };
        // SAFETY: as above; so far at most this name, and the text below, were added to what earlier members took.
        let mut next = unsafe { to.add(length) };
        if flags & NULL != 0 {
            // SAFETY: over the quote that the name ends with.
            unsafe {
                next.sub(1).cast::<[u8; 4]>().write(*b"null");
                to = next.add(3);
            }
            start = stop;
            continue;
        }
        let mut last_unchecked = false;
        loop {
            // SAFETY: `start <= stop <= end`, and a step more than `end` is readable; `next` has room for the text's rest and a
            // step.
            let chunk = unsafe {
                let chunk = Chunk::load(&*data.add(start).cast());
                chunk.store(next);
                chunk
            };
            let left = stop - start;
            let mut flagged = chunk.flagged(classes);
            if left < STEP {
                flagged &= (1 << left) - 1;
            }
            if flagged != 0 {
                if flagged & !chunk.beyond_ascii() != 0 {
                    return (Plain { written: i, last_unchecked: false }, to);
                }
                last_unchecked = true;
            }
            if left <= STEP {
                // SAFETY: room for the text and its quote.
                unsafe {
                    next.add(left).write(b'"');
                    to = next.add(left + 1);
                }
                break;
            }
            // SAFETY: more than a step of text is left.
            next = unsafe { next.add(STEP) };
            start += STEP;
        }
        if last_unchecked {
            return (Plain { written: i + 1, last_unchecked }, to);
        }
        start = stop;
    }
    (Plain { written: members.len(), last_unchecked: false }, to)
}
