//! Decides from the recent rate of messages whether a reader should wait a moment and take many with one read. Sans-IO.
//!
//! A walsender sends every message by itself. A reader that is woken for each one costs both sides a system call and a
//! context switch per row; one that waits a millisecond under load does not, and an idle stream is still read at once.

use std::time::{Duration, Instant};

/// Length of the window the rate is taken over.
const WINDOW: Duration = Duration::from_millis(5);

/// Messages per window from which waiting pays: about 8,000 per second.
const BUSY_MESSAGES: u64 = 40;

#[derive(Debug)]
pub(crate) struct Pace {
    window_start: Instant,
    messages: u64,
    busy: bool,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { window_start: now, messages: 0, busy: false }
    }

    /// A message was taken.
    #[inline]
    pub(crate) fn message(&mut self) {
        self.messages += 1;
    }

    /// Whether the stream is under load, asked before every read.
    pub(crate) fn is_busy(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.window_start);
        if elapsed >= WINDOW {
            let due = BUSY_MESSAGES.saturating_mul(elapsed.as_micros() as u64) / WINDOW.as_micros() as u64;
            self.busy = self.messages >= due;
            self.window_start = now;
            self.messages = 0;
        }
        self.busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_follows_the_rate_both_ways() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert!(!pace.is_busy(start));
        (0..100).for_each(|_| pace.message());
        assert!(!pace.is_busy(start + WINDOW / 2), "not before a whole window");
        assert!(pace.is_busy(start + WINDOW));
        (0..10).for_each(|_| pace.message());
        assert!(pace.is_busy(start + WINDOW * 3 / 2), "holds within a window");
        assert!(!pace.is_busy(start + WINDOW * 2));
        (0..100).for_each(|_| pace.message());
        assert!(!pace.is_busy(start + WINDOW * 100), "a burst after a pause is not a load");
    }
}
