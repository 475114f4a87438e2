//! How long to wait before the next attempt after a transient failure.
//!
//! Owns the schedule only: doubling from a quarter of a second to half a minute, with jitter so that many gateways that lost
//! the same server do not return in step. Must not sleep or know what failed.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// The schedule of one supervisor.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Starts over: the last attempt got as far as streaming.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause before the next attempt: between half and all of the step, so the first is 125 to 250 ms.
    pub fn pause(&mut self) -> Duration {
        let step = FIRST.saturating_mul(1 << self.failures.min(7)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Attempts that failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_half_a_minute_and_starts_over() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.pause()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST);
        assert!(waits[12..].iter().all(|wait| *wait >= LONGEST / 2 && *wait <= LONGEST));
        assert_eq!(backoff.failures(), 20);
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
