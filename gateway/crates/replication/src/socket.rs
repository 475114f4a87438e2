//! Socket options that neither std nor tokio offers. Knows file descriptors, nothing of the protocol.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

fn set_option(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the borrow; the pointer and size describe `value`, which lives
    // through the call; the kernel copies it and keeps no pointer.
    let code = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the kernel notice a dead peer: probes after `idle` without traffic, and gives up on data that stays
/// unacknowledged as long.
pub(crate) fn set_keepalive(fd: BorrowedFd<'_>, idle: Duration) -> io::Result<()> {
    let seconds = i32::try_from(idle.as_secs().max(1)).unwrap_or(i32::MAX);
    let probes = 3;
    set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, (seconds / probes).max(1))?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, probes)?;
    let millis = seconds.saturating_mul(2000);
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, millis)
}

/// A second descriptor of the stream's socket, kept beside the (possibly encrypted) halves to set its low-water mark.
#[derive(Debug)]
pub(crate) struct LowWater {
    fd: OwnedFd,
    current: i32,
}

impl LowWater {
    /// Duplicates the descriptor; the socket stays open until this is dropped too.
    pub(crate) fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { fd: socket.try_clone_to_owned()?, current: 1 })
    }

    /// From now on the socket counts as readable with at least `bytes` queued (or at its end). Lowering it wakes a
    /// waiter when enough is queued already. Takes effect for TCP; Unix sockets ignore it.
    pub(crate) fn set(&mut self, bytes: i32) {
        if self.current != bytes && set_option(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes).is_ok() {
            self.current = bytes;
        }
    }
}
