//! Where a transaction goes that is larger than memory.
//!
//! Owns what an assembler asks of that place. Must not know files: the gateway's folder implements [`Spill`].

use std::io;

/// Bytes of one transaction that is not complete yet, in the order they were appended. One decoder uses it, from its start to the
/// transaction's release, then clears it.
pub trait Spill: Send + std::fmt::Debug {
    /// Appends the parts behind each other. False, and nothing appended, where the cap leaves no room at this time.
    ///
    /// # Errors
    /// What the place could not do; nothing that was appended before may be lost by it.
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<bool>;

    /// Fills the buffer with what was appended from this offset on.
    ///
    /// # Errors
    /// What the place could not do; also where less was appended.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Drops everything and gives its room back.
    ///
    /// # Errors
    /// What the place could not do.
    fn clear(&mut self) -> io::Result<()>;
}

/// A place without room: what does not fit in memory is not taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSpill;

impl Spill for NoSpill {
    fn append(&mut self, _: &[&[u8]]) -> io::Result<bool> {
        Ok(false)
    }

    fn read(&mut self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing was spilled"))
    }

    fn clear(&mut self) -> io::Result<()> {
        Ok(())
    }
}
