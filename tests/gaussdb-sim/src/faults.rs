//! What goes wrong on a node's streams, by script.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A fault of a node's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// After so many more bytes of stream the connection is reset, in the middle of a message. Once.
    Reset {
        /// Bytes that still arrive.
        after: u64,
    },
    /// Nothing is sent any more, no keepalive either, until `Faults::clear`.
    Stall,
    /// Keepalives in network order, as PostgreSQL sends them, until cleared.
    WrongByteOrder,
    /// One CopyData of random bytes.
    Garbage,
}

#[derive(Debug, Default)]
struct Active {
    reset: Option<u64>,
    stalled: bool,
    wrong_byte_order: bool,
    garbage: bool,
}

/// The faults of a node.
#[derive(Debug, Default)]
pub struct Faults {
    active: Mutex<Active>,
    changed: Notify,
}

/// What the next write has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Write,
    /// Write so many bytes, then reset the connection.
    Cut(usize),
    Garbage,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a fault happen.
    pub fn inject(&self, fault: Fault) {
        let mut active = self.lock();
        match fault {
            Fault::Reset { after } => active.reset = Some(after),
            Fault::Stall => active.stalled = true,
            Fault::WrongByteOrder => active.wrong_byte_order = true,
            Fault::Garbage => active.garbage = true,
        }
    }

    /// Ends all faults.
    pub fn clear(&self) {
        *self.lock() = Active::default();
        self.changed.notify_waiters();
    }

    pub(crate) fn wrong_byte_order(&self) -> bool {
        self.lock().wrong_byte_order
    }

    /// Decides over a write of `length` bytes; waits while the node is stalled.
    pub(crate) async fn before_write(&self, length: usize) -> Next {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no wake-up falls between the two.
            changed.as_mut().enable();
            {
                let mut active = self.lock();
                if !active.stalled {
                    if std::mem::take(&mut active.garbage) {
                        return Next::Garbage;
                    }
                    match &mut active.reset {
                        Some(left) if *left < length as u64 => {
                            let left = *left as usize;
                            active.reset = None;
                            return Next::Cut(left);
                        }
                        Some(left) => *left -= length as u64,
                        None => {}
                    }
                    return Next::Write;
                }
            }
            changed.await;
        }
    }
}
