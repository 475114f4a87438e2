//! Acknowledgements to durable positions to confirmations.
//!
//! Owns the thread that moves the watermark into [`Progress`], writes positions and lets the feedback confirm them, in this order
//! and no other (I1). Must not decide which position may be written: `Progress` does.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use millrace_batch::Failure;
use millrace_position::{Position, PositionRecord, Progress};
use millrace_replication::FlushPosition;
use millrace_sink::Sink;

use super::{Turn, flight::Flights, turn::Asked};
use crate::{failpoint, observe::Observe, task::Store};

/// How often the watermark is looked at. Nothing waits for it but the position, which is written far less often.
const TICK: Duration = Duration::from_millis(10);
/// The same while somebody waits for a position.
const TURN_TICK: Duration = Duration::from_millis(1);

/// The writing side of one session.
pub(crate) struct Writer {
    pub sink: Arc<Sink>,
    pub progress: Arc<Mutex<Progress>>,
    pub store: Arc<Mutex<Store>>,
    /// The record as it was last written; partition counts are added by `deliver` through this lock.
    pub record: Arc<Mutex<PositionRecord>>,
    pub confirm: FlushPosition,
    pub interval: Duration,
    pub flights: Arc<Flights>,
    pub observe: Arc<Observe>,
    /// Asks for the modules that run from a position on to be noted with it.
    pub turn: Arc<Turn>,
    /// Set when everything to be sent was sent: one last round, then end.
    pub finish: Arc<AtomicBool>,
}

impl Writer {
    /// Runs until told to finish or until something fails.
    pub fn run(self) -> Result<(), Failure> {
        let mut written = Instant::now();
        let mut seen = 0;
        self.turn.serve_from(std::thread::current());
        loop {
            let finishing = self.finish.load(Ordering::Acquire);
            if let Some(failure) = self.sink.failure() {
                return Err(failure);
            }
            let watermark = self.sink.watermark();
            if watermark > seen {
                failpoint::pass("after_ack");
                seen = watermark;
            }
            let due = self.advance(watermark);
            let durable = self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).position;
            let reached = due.unwrap_or(durable);
            let asked = if self.turn.is_waiting() { self.turn.take_from(reached.end_lsn) } else { None };
            if asked.is_some() || due.is_some() && (finishing || written.elapsed() >= self.interval) {
                self.write(reached, asked)?;
                written = Instant::now();
            }
            if finishing {
                return Ok(());
            }
            std::thread::park_timeout(if self.turn.is_waiting() { TURN_TICK } else { TICK });
        }
    }

    fn advance(&self, watermark: u64) -> Option<Position> {
        let mut progress = self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        progress.acked(watermark);
        self.flights.acked(watermark, &self.observe.metrics);
        progress.completable()
    }

    fn write(&self, position: Position, asked: Option<Asked>) -> Result<(), Failure> {
        let mut record = self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        record.position = position;
        record.written_at_ms = crate::task::now_millis();
        let (modules, done) = asked.map(|asked| (asked.modules, asked.done)).unzip();
        if let Some(modules) = &modules {
            record.run(modules.clone());
        }
        failpoint::pass("before_position");
        self.store.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).write(&record)?;
        // Only now: what this record says is taken for durable by the next session (I1). Partition counts pinned meanwhile stay.
        {
            let mut kept = self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            kept.position = position;
            if let Some(modules) = modules {
                kept.run(modules);
            }
        }
        self.observe.metrics.position_written(position.end_lsn);
        failpoint::pass("after_position");
        let confirmable = {
            let mut progress = self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            progress.made_durable(position);
            progress.confirmable()
        };
        failpoint::pass("before_confirm");
        self.confirm.confirm(confirmable);
        self.confirm.send_now();
        self.observe.metrics.confirmed(confirmable);
        if let Some(done) = done {
            // Who asked may have given up meanwhile.
            let _ = done.send(());
        }
        failpoint::pass("after_confirm");
        Ok(())
    }
}
