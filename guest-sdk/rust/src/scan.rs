//! Sixteen bytes at a time: load, store, and which of them JSON text cannot hold as they are.
//!
//! Two implementations of one type, by `simd128` or portable; the tests hold both builds to the same table of bytes.

/// Bytes per step.
pub(crate) const STEP: usize = 16;

/// For each ASCII byte: the text that stands for it and, last, its length (0: the byte stands for itself).
pub(crate) type Escapes = [[u8; 8]; 128];

/// Escapes of RFC 8259 section 7 only.
pub(crate) static PLAIN: Escapes = escapes(false);
/// Those, and the five characters that cannot stand in HTML attributes or scripts, as Java's Gson writes them.
pub(crate) static HTML: Escapes = escapes(true);

const fn escapes(html: bool) -> Escapes {
    let mut table = [[0; 8]; 128];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        let short = match b {
            b'"' | b'\\' => b,
            0x08 => b'b',
            0x09 => b't',
            0x0a => b'n',
            0x0c => b'f',
            0x0d => b'r',
            _ => 0,
        };
        if short != 0 {
            table[byte] = [b'\\', short, 0, 0, 0, 0, 0, 2];
        } else if b < 0x20 || (html && matches!(b, b'<' | b'>' | b'&' | b'=' | b'\'')) {
            table[byte] = [b'\\', b'u', b'0', b'0', hex(b >> 4), hex(b & 15), 0, 6];
        }
        byte += 1;
    }
    table
}

const fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Which bytes are flagged, as [`Classes::of`] wants it: bit sets per low and per high nibble; a byte is flagged where the two
/// share a bit. (The classification of simdjson.)
pub(crate) struct Nibbles {
    low: [u8; 16],
    high: [u8; 16],
}

/// Flags what [`PLAIN`] escapes, and all beyond ASCII.
pub(crate) static PLAIN_NIBBLES: Nibbles = nibbles(false);
/// Flags what [`HTML`] escapes, and all beyond ASCII.
pub(crate) static HTML_NIBBLES: Nibbles = nibbles(true);

const fn nibbles(html: bool) -> Nibbles {
    // Control characters and bytes beyond ASCII: any low nibble. Then rows 2, 3 and 5 of ASCII.
    let (control, row2, row3, row5, beyond) = (1, 2, 4, 8, 16);
    let mut low = [control | beyond; 16];
    let mut high = [0, 0, 0, 0, 0, 0, 0, 0, beyond, beyond, beyond, beyond, beyond, beyond, beyond, beyond];
    high[0] = control;
    high[1] = control;
    high[2] = row2;
    high[5] = row5;
    low[2] |= row2; // "
    low[12] |= row5; // backslash
    if html {
        high[3] = row3;
        low[6] |= row2; // &
        low[7] |= row2; // '
        low[12] |= row3; // <
        low[13] |= row3; // =
        low[14] |= row3; // >
    }
    Nibbles { low, high }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod chunk {
    use core::arch::wasm32::{
        i8x16_bitmask, i8x16_eq, i8x16_swizzle, u8x16_shr, u8x16_splat, v128, v128_and, v128_load, v128_store,
    };

    use super::{Nibbles, STEP};

    /// [`Nibbles`] in registers.
    #[derive(Clone, Copy)]
    pub(crate) struct Classes {
        low: v128,
        high: v128,
    }

    impl Classes {
        #[inline(always)]
        pub(crate) fn of(nibbles: &'static Nibbles) -> Self {
            Self { low: Chunk::load(&nibbles.low).0, high: Chunk::load(&nibbles.high).0 }
        }
    }

    /// Sixteen bytes.
    #[derive(Clone, Copy)]
    pub(crate) struct Chunk(v128);

    impl Chunk {
        #[inline(always)]
        pub(crate) fn load(bytes: &[u8; STEP]) -> Self {
            // SAFETY: the reference covers 16 readable bytes; v128_load asks for no alignment.
            Self(unsafe { v128_load(bytes.as_ptr().cast()) })
        }

        /// # Safety
        /// 16 bytes at `to` are writable.
        #[inline(always)]
        pub(crate) unsafe fn store(self, to: *mut u8) {
            // SAFETY: the caller's promise; v128_store asks for no alignment.
            unsafe { v128_store(to.cast(), self.0) }
        }

        /// Bit i: byte i is flagged.
        #[inline(always)]
        pub(crate) fn flagged(self, classes: Classes) -> u32 {
            let low = i8x16_swizzle(classes.low, v128_and(self.0, u8x16_splat(15)));
            let high = i8x16_swizzle(classes.high, u8x16_shr(self.0, 4));
            // The mask of the others, turned around: x86 compares for equality only.
            u32::from(!i8x16_bitmask(i8x16_eq(v128_and(low, high), u8x16_splat(0))))
        }

        /// Bit i: byte i is not ASCII.
        #[inline(always)]
        pub(crate) fn beyond_ascii(self) -> u32 {
            u32::from(i8x16_bitmask(self.0))
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod chunk {
    use super::{Nibbles, STEP};

    /// [`Nibbles`] by reference.
    #[derive(Clone, Copy)]
    pub(crate) struct Classes(&'static Nibbles);

    impl Classes {
        #[inline(always)]
        pub(crate) fn of(nibbles: &'static Nibbles) -> Self {
            Self(nibbles)
        }
    }

    /// Sixteen bytes.
    #[derive(Clone, Copy)]
    pub(crate) struct Chunk([u8; STEP]);

    impl Chunk {
        #[inline(always)]
        pub(crate) fn load(bytes: &[u8; STEP]) -> Self {
            Self(*bytes)
        }

        /// # Safety
        /// 16 bytes at `to` are writable.
        #[inline(always)]
        pub(crate) unsafe fn store(self, to: *mut u8) {
            // SAFETY: the caller's promise; a byte array has no alignment.
            unsafe { to.cast::<[u8; STEP]>().write(self.0) }
        }

        /// Bit i: byte i is flagged.
        #[inline(always)]
        pub(crate) fn flagged(self, Classes(nibbles): Classes) -> u32 {
            self.mask(|b| nibbles.low[usize::from(b & 15)] & nibbles.high[usize::from(b >> 4)] != 0)
        }

        /// Bit i: byte i is not ASCII.
        #[inline(always)]
        pub(crate) fn beyond_ascii(self) -> u32 {
            self.mask(|b| b >= 0x80)
        }

        #[inline(always)]
        fn mask(self, is: impl Fn(u8) -> bool) -> u32 {
            self.0.iter().rev().fold(0, |mask, &b| mask << 1 | u32::from(is(b)))
        }
    }
}

pub(crate) use chunk::{Chunk, Classes};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_and_escapes_name_the_same_bytes() {
        for (nibbles, escapes) in [(&PLAIN_NIBBLES, &PLAIN), (&HTML_NIBBLES, &HTML)] {
            for byte in 0..=255_u8 {
                for place in 0..STEP {
                    let mut bytes = [b'a'; STEP];
                    bytes[place] = byte;
                    let chunk = Chunk::load(&bytes);
                    let flagged = escapes.get(usize::from(byte)).is_none_or(|e| e[7] != 0);
                    assert_eq!(
                        chunk.flagged(Classes::of(nibbles)),
                        u32::from(flagged) << place,
                        "{byte:#04x} at {place}"
                    );
                    assert_eq!(chunk.beyond_ascii(), u32::from(byte >= 0x80) << place);
                }
            }
        }
    }
}
