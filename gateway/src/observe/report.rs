//! The regular word about how it goes: a live line on a terminal, a log line every ten seconds elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Observe, Snapshot, console};

/// How often the rate is measured and the live line drawn.
const TICK: Duration = Duration::from_secs(1);

/// How many ticks make a log line.
const TICKS_PER_LINE: u64 = 10;

/// Weight of the newest second in the rate: it settles within some five seconds.
const NEWEST: f64 = 0.4;

impl Observe {
    /// Measures the rate and reports until the future is dropped.
    pub async fn report(self: Arc<Observe>) {
        let live = console::is_terminal();
        let _cleared = Cleared;
        // What the first second brings counts as well.
        self.sample();
        let (mut last, mut then, mut rate) = (self.delivered_records(), Instant::now(), 0.0);
        for tick in 1_u64.. {
            tokio::time::sleep(TICK).await;
            let (delivered, now) = (self.delivered_records(), Instant::now());
            let newest = (delivered - last) as f64 / (now - then).as_secs_f64();
            rate = if newest == 0.0 && rate < 1.0 { 0.0 } else { rate + NEWEST * (newest - rate) };
            (last, then) = (delivered, now);
            self.status.rate(rate);
            self.sample();
            if live {
                console::show(&line(&self.snapshot()));
            } else if tick % TICKS_PER_LINE == 0 {
                log(&self.snapshot());
            }
        }
    }
}

/// Takes the live line away when reporting ends.
struct Cleared;

impl Drop for Cleared {
    fn drop(&mut self) {
        console::clear();
    }
}

fn line(now: &Snapshot) -> String {
    let sum = Sum::of(now);
    let stalled = if now.stalled { ", the sink does not acknowledge" } else { "" };
    let failure = now.failure.as_ref().map_or_else(String::new, |failure| format!(" [{}]", failure.code));
    format!(
        "{} {}{failure}: {:.0} records/s, lag {} ms {}, {} in flight, {} delivered{stalled}",
        now.about.task,
        now.state.as_str(),
        now.rate,
        sum.lag_ms,
        bytes(sum.lag_bytes),
        sum.in_flight,
        now.records_delivered,
    )
}

fn log(now: &Snapshot) {
    let sum = Sum::of(now);
    tracing::info!(
        code = "progress",
        state = now.state.as_str(),
        rate = now.rate,
        delivered = now.records_delivered,
        in_flight = sum.in_flight,
        lag_ms = sum.lag_ms,
        lag_bytes = sum.lag_bytes,
        confirmed_lsn = %sum.confirmed,
        slot_retained_bytes = sum.retained,
        "{}",
        now.state.as_str(),
    );
}

/// All shards in one line: the longest delay, everything else added up.
struct Sum {
    lag_ms: u64,
    lag_bytes: u64,
    in_flight: u64,
    retained: u64,
    confirmed: String,
}

impl Sum {
    fn of(now: &Snapshot) -> Sum {
        let shards = || now.shards.iter();
        Sum {
            lag_ms: shards().map(|shard| shard.lag_ms).max().unwrap_or(0),
            lag_bytes: shards().map(|shard| shard.lag_bytes).sum(),
            in_flight: shards().map(|shard| shard.in_flight).sum(),
            retained: shards().map(|shard| shard.slot_retained_bytes).sum(),
            confirmed: shards().map(|shard| shard.confirmed_lsn.to_string()).collect::<Vec<_>>().join(" "),
        }
    }
}

fn bytes(n: u64) -> String {
    match n {
        0..=9999 => format!("{n} B"),
        10_000..=9_999_999 => format!("{} KiB", n >> 10),
        _ => format!("{} MiB", n >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::About;
    use millrace_batch::{Failure, Lsn};

    #[test]
    fn the_line_says_state_rate_lag_and_what_is_in_flight() {
        let observe = Observe::new(About { task: "shop".to_owned(), ..About::default() });
        observe.streaming();
        observe.metrics.in_flight(7, 700);
        observe.metrics.acknowledged(12, 1);
        observe.metrics.confirmed(Lsn(1));
        observe.metrics.received_lsn(Lsn(20_481));
        assert_eq!(
            line(&observe.snapshot()),
            "shop streaming: 0 records/s, lag 0 ms 20 KiB, 7 in flight, 12 delivered"
        );
        observe.halted(&Failure::definite("slot_lost", "t", "w", "m"));
        assert!(line(&observe.snapshot()).starts_with("shop halted [slot_lost]: "));
        assert!(!observe.is_ready());
    }
}
