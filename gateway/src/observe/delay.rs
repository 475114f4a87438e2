//! When a delay is an alarm.
//!
//! Owns the two thresholds and how long the delay has been above the first. Pure: the time comes in.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What a delay is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// It is above the threshold.
    pub late: bool,
    /// It has been for long enough.
    pub alarm: bool,
}

/// The judge of one task's delay.
#[derive(Debug)]
pub(super) struct Delay(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    threshold: Duration,
    after: Duration,
    since: Option<Instant>,
    judged: Judged,
}

impl Default for Delay {
    fn default() -> Delay {
        let (threshold, after) = (Duration::from_secs(60), Duration::from_secs(360));
        Delay(Mutex::new(Inner { threshold, after, since: None, judged: Judged::default() }))
    }
}

impl Delay {
    /// The thresholds from now on.
    pub fn set(&self, threshold: Duration, after: Duration) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.threshold, inner.after) = (threshold, after);
    }

    /// Judges a delay; gives the verdict before and now.
    pub fn judge(&self, delay: Duration, now: Instant) -> (Judged, Judged) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = inner.judged;
        let late = delay > inner.threshold;
        let since = if late { Some(inner.since.unwrap_or(now)) } else { None };
        inner.since = since;
        inner.judged = Judged { late, alarm: since.is_some_and(|since| now - since >= inner.after) };
        (before, inner.judged)
    }

    /// The last verdict.
    pub fn judged(&self) -> Judged {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).judged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_late_at_once_and_an_alarm_after_a_while() {
        let delay = Delay::default();
        delay.set(Duration::from_secs(5), Duration::from_secs(60));
        let start = Instant::now();
        let at = |seconds: u64, ms: u64| delay.judge(Duration::from_millis(ms), start + Duration::from_secs(seconds)).1;
        assert_eq!(at(0, 5_000), Judged { late: false, alarm: false });
        assert_eq!(at(1, 5_001), Judged { late: true, alarm: false });
        assert_eq!(at(60, 9_000), Judged { late: true, alarm: false });
        assert_eq!(at(61, 9_000), Judged { late: true, alarm: true });
        assert_eq!(at(62, 0), Judged { late: false, alarm: false });
        assert_eq!(at(63, 9_000), Judged { late: true, alarm: false }, "it begins anew");
        assert_eq!(delay.judged(), Judged { late: true, alarm: false });
    }
}
