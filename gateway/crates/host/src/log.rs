//! The `log` import.
//!
//! Owns how much a module may write and how its text is made safe. Lines go to `tracing` under the target `millrace::module`.

use crate::contract::log;
use crate::instance::State;
use crate::usage::LimitKind;
use std::fmt::Write;
use std::time::Instant;

/// Most characters of one line; the rest is cut.
const LINE_LIMIT: usize = 2048;

/// A token bucket of one second's worth of lines.
pub(crate) struct LogGate {
    per_second: f64,
    left: f64,
    since: Instant,
    suppressed: u64,
}

impl LogGate {
    pub(crate) fn new(lines_per_second: u32) -> LogGate {
        let per_second = f64::from(lines_per_second);
        LogGate { per_second, left: per_second, since: Instant::now(), suppressed: 0 }
    }

    /// Some(number of lines held back since the last one that passed) where a line may pass.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        self.left = (self.left + now.duration_since(self.since).as_secs_f64() * self.per_second).min(self.per_second);
        self.since = now;
        if self.left < 1.0 {
            self.suppressed += 1;
            return None;
        }
        self.left -= 1.0;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// A module's text on one line: cut to a length, control characters escaped, so that it can forge neither lines nor colours.
pub(crate) fn line(text: &str, limit: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(limit));
    for (count, character) in text.chars().enumerate() {
        if count == limit {
            clean.push_str(" ...");
            break;
        }
        if character.is_control() {
            // Writing into a String does not fail.
            let _ = write!(clean, "{}", character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

impl log::Host for State {
    fn log(&mut self, level: u8, message: String) -> wasmtime::Result<()> {
        self.handed(message.len())?;
        if level == 0 {
            // A panic hook speaks just before the trap: this becomes the trap's message.
            self.last_words = Some(line(&message, LINE_LIMIT));
        }
        let Some(suppressed) = self.log.admit(Instant::now()) else {
            self.usage.hit(LimitKind::Log);
            return Ok(());
        };
        self.usage.log_line();
        let text = line(&message, LINE_LIMIT);
        let (module, stage) = (&*self.module, self.stage);
        match level {
            0 => tracing::error!(target: "millrace::module", module, stage, suppressed, "{text}"),
            1 => tracing::warn!(target: "millrace::module", module, stage, suppressed, "{text}"),
            2 => tracing::info!(target: "millrace::module", module, stage, suppressed, "{text}"),
            3 => tracing::debug!(target: "millrace::module", module, stage, suppressed, "{text}"),
            _ => tracing::trace!(target: "millrace::module", module, stage, suppressed, "{text}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_then_the_rate_holds_and_what_is_held_back_is_counted() {
        let mut gate = LogGate::new(10);
        let start = gate.since;
        let passed = (0..100).filter(|_| gate.admit(start).is_some()).count();
        assert_eq!(passed, 10);
        assert_eq!(gate.admit(start + Duration::from_millis(100)), Some(90));
        assert_eq!(gate.admit(start + Duration::from_millis(100)), None);
    }

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(line("a\nb\u{1b}[31m", 100), "a\\nb\\u{1b}[31m");
        assert_eq!(line("abcdef", 3), "abc ...");
    }
}
