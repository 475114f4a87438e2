//! Standard error shared by log lines and the status line.
//!
//! Owns the one line at the bottom of a terminal: a log line takes it away before it is written, the next status brings it
//! back. Without a terminal there is no such line.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// Whether a status line is on the screen, with the last column the cursor reached.
static SHOWN: Mutex<bool> = Mutex::new(false);

/// Carriage return and "erase in line" (ECMA-48 EL 2).
const ERASE: &[u8] = b"\r\x1b[2K";

/// Whether standard error is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Shows a status line in place of the last one.
pub(super) fn show(line: &str) {
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = io::stderr().lock();
    // A terminal that is gone is no reason to stop.
    let _ = out.write_all(ERASE).and_then(|()| out.write_all(line.as_bytes())).and_then(|()| out.flush());
    *shown = true;
}

/// Takes the status line away.
pub(super) fn clear() {
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::take(&mut *shown) {
        let _ = io::stderr().lock().write_all(ERASE);
    }
}

/// Where log lines go.
pub(super) struct LogLine;

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        clear();
        io::stderr().lock().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
