//! The life of one session: start the threads, wait for the first thing that ends it, end the rest in order.
//!
//! Owns the order of ending: stop reading, let what was read be transformed and sent, wait for acknowledgements within the drain
//! time, write the last position, let the source know, close. Must not decide what happens next (that is `task`).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use millrace_batch::{Failure, Relation, RelationLog};
use millrace_decode::Decoder;
use millrace_host::TopicId;
use millrace_position::{PositionRecord, Progress};
use millrace_replication::{FlushPosition, ReplicationStream, SqlConnection, StreamReader};
use millrace_sink::Sink;
use tokio::{
    sync::{mpsc, watch},
    task::JoinError,
};

use super::{
    Cut, Generation, Lanes, Pool, ReadEnd, Ring, Room, Switch, Turn,
    aside::Aside,
    deliver::Deliver,
    flight::Flights,
    frames::{Framer, Frames},
    reader::{Outlet, Reader},
    targets::{Places, Targets},
    worker::Worker,
    writer::Writer,
};
use crate::{
    observe::Observe,
    task::{Store, life::Resting, spread::Spread},
};

/// How long the source may take to acknowledge the end of the stream.
const CLOSE_BOUND: Duration = Duration::from_secs(5);
/// Acknowledgements are looked at this often while draining.
const DRAIN_TICK: Duration = Duration::from_millis(5);

/// Everything a session is made of.
pub struct SessionParts {
    /// The running stream.
    pub stream: ReplicationStream,
    /// What the source is told as flushed.
    pub confirm: FlushPosition,
    /// Decoder at the start position.
    pub decoder: Decoder,
    /// SQL connection for keys.
    pub catalogue: Arc<SqlConnection>,
    /// Which tables another shard reads, where there are several.
    pub spread: Option<Arc<Spread>>,
    /// Table versions, shared with the decoder.
    pub relations: RelationLog,
    /// The version of the chain to begin with, with one chain for each worker thread.
    pub generation: Arc<Generation>,
    /// Worker threads.
    pub workers: usize,
    /// Where the next version waits.
    pub switch: Arc<Switch>,
    /// Where the modules from a position on are noted.
    pub turn: Arc<Turn>,
    /// The last events.
    pub ring: Arc<Ring>,
    /// Where records go.
    pub sink: Arc<Sink>,
    /// Topics by number.
    pub places: Arc<Places>,
    /// What stands before a datum; none for nothing.
    pub frames: Option<Arc<Frames>>,
    /// Tables that will be sent, as far as they are known beforehand.
    pub tables: Arc<[Relation]>,
    /// Configuration of the default filter, where the shard has one of its own.
    pub own_select: Option<String>,
    /// Progress from the start position.
    pub progress: Progress,
    /// Where positions are kept.
    pub store: Arc<Mutex<Store>>,
    /// The record the store holds.
    pub record: Arc<Mutex<PositionRecord>>,
    /// Whether records carry a header.
    pub headers: bool,
    /// Name of the task.
    pub task: String,
    /// Topic of changes that a stage could not handle.
    pub dead_letters: Option<TopicId>,
    /// Shard.
    pub shard: u16,
    /// When batches are cut.
    pub cut: Cut,
    /// Byte budget.
    pub budget: usize,
    /// Time between two written positions.
    pub position_interval: Duration,
    /// Time for acknowledgements at the end.
    pub drain_timeout: Duration,
    /// Set where acknowledgements are not waited for any more.
    pub hurry: Arc<AtomicBool>,
    /// Metrics and status.
    pub observe: Arc<Observe>,
}

/// How a session ended.
#[derive(Debug)]
pub enum SessionEnd {
    /// Asked to stop. `unacknowledged` records were sent and not acknowledged within the drain time; they come again.
    Stopped {
        /// Records that will be sent again by the next start.
        unacknowledged: u64,
    },
    /// Something failed; what was complete is in the position.
    Failed(Failure),
    /// There was none: a person paused the task, or stopped it for good.
    Rests(Resting),
}

enum Report {
    Delivered(Result<(), Failure>),
    Written(Result<(), Failure>),
}

/// A running session.
pub struct Session {
    sink: Arc<Sink>,
    observe: Arc<Observe>,
    drain_timeout: Duration,
    hurry: Arc<AtomicBool>,
    abandon: Arc<AtomicBool>,
    finish: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Session {
    /// Runs a session to its end.
    pub async fn run(parts: SessionParts, mut stop: watch::Receiver<bool>) -> SessionEnd {
        let SessionParts { stream: ReplicationStream { reader: input, feedback }, .. } = parts;
        let workers = parts.workers;
        let pool = Pool::new(parts.shard, 4 * workers + 8);
        let (work, work_inbox) = crossbeam_channel::unbounded();
        // Room for one result per worker: a worker that is ahead waits here, so records never pile up (I7).
        let (done, done_inbox) = crossbeam_channel::bounded(workers);
        let (report, reports) = mpsc::unbounded_channel();
        let begins_at = parts.progress.newest().end_lsn;
        let progress = Arc::new(Mutex::new(parts.progress));
        let flights = Arc::<Flights>::default();
        let mut session = Session {
            sink: parts.sink.clone(),
            observe: parts.observe.clone(),
            drain_timeout: parts.drain_timeout,
            hurry: parts.hurry,
            abandon: Arc::default(),
            finish: Arc::default(),
            threads: Vec::new(),
            reports,
        };
        for number in 0..workers {
            // Without a chain it is a defect; the channels then end the session at once.
            let Some(lanes) = Lanes::new(parts.generation.clone(), parts.switch.retired.clone()) else { break };
            let worker = Worker {
                lanes,
                switch: parts.switch.clone(),
                beside: None,
                noted: 0,
                relations: parts.relations.clone(),
                inbox: work_inbox.clone(),
                outbox: done.clone(),
                pool: pool.clone(),
                observe: parts.observe.clone(),
            };
            session.spawn(format!("transform-{number}"), move || worker.run());
        }
        drop((work_inbox, done));
        let deliver = Deliver {
            inbox: done_inbox,
            sink: parts.sink.clone(),
            targets: Targets::new(parts.places),
            framer: parts.frames.map(Framer::new),
            progress: progress.clone(),
            relations: parts.relations,
            headers: parts.headers,
            shard: parts.shard,
            pool: pool.clone(),
            ring: parts.ring,
            flights: flights.clone(),
            observe: parts.observe.clone(),
            abandon: session.abandon.clone(),
            next_seq: 0,
            ends: Vec::new(),
            aside: Aside::new(parts.dead_letters, parts.task),
        };
        let delivered = report.clone();
        session.spawn("deliver".into(), move || {
            // Nobody listens any more only where the session is over already.
            let _ = delivered.send(Report::Delivered(deliver.run()));
        });
        let writer = Writer {
            sink: parts.sink,
            progress,
            store: parts.store,
            record: parts.record,
            confirm: parts.confirm,
            flights,
            interval: parts.position_interval,
            observe: parts.observe.clone(),
            turn: parts.turn.clone(),
            finish: session.finish.clone(),
        };
        session.spawn("position".into(), move || {
            let _ = report.send(Report::Written(writer.run()));
        });
        let reader = Reader {
            stream: input,
            decoder: parts.decoder,
            catalogue: parts.catalogue,
            spread: parts.spread,
            cut: parts.cut,
            outlet: Outlet::new(
                Room::new(parts.budget, 4 * workers + 4),
                pool,
                work,
                parts.observe,
                (parts.generation, parts.switch, parts.turn),
                begins_at,
            ),
            idle_at: Instant::now(),
        };
        let (end_reading, reading) = watch::channel(false);
        let mut read = tokio::spawn(reader.run(reading));

        // The first thing that ends the session.
        let mut ending = Ending::default();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            ended = &mut read => ending.reader(ended),
            Some(report) = session.reports.recv() => ending.note(report),
        }
        if ending.failure.is_none() {
            session.observe.draining();
        }
        let hurry = session.hurry.load(Ordering::Acquire);
        let deadline = tokio::time::Instant::now() + if hurry { Duration::ZERO } else { session.drain_timeout };
        let _ = end_reading.send(true);
        if !ending.reader_ended {
            // The reader may wait for room that only acknowledgements, or giving up, will make.
            match tokio::time::timeout_at(deadline, &mut read).await {
                Ok(ended) => ending.reader(ended),
                Err(_) => {
                    session.give_up();
                    ending.reader(read.await);
                }
            }
        }
        let unacknowledged = session.drain(&mut ending, deadline).await;
        session.finish.store(true, Ordering::Release);
        session.abandon.store(true, Ordering::Release);
        while !ending.writer_ended
            && let Some(report) = session.reports.recv().await
        {
            ending.note(report);
        }
        if let Some(input) = ending.input.take()
            && let Err(error) = input.finish(feedback, CLOSE_BOUND).await
        {
            tracing::debug!(%error, "the stream did not end in order");
        }
        let threads = std::mem::take(&mut session.threads);
        // Joining is blocking; a panic of a thread is a defect, told by its own message.
        let _ = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await;
        match ending.failure {
            Some(failure) => SessionEnd::Failed(failure),
            None => SessionEnd::Stopped { unacknowledged },
        }
    }

    fn spawn(&mut self, name: String, body: impl FnOnce() + Send + 'static) {
        match std::thread::Builder::new().name(name.clone()).spawn(body) {
            Ok(thread) => self.threads.push(thread),
            // The channels of a thread that never ran are dropped with it, which ends the session like a failure would.
            Err(error) => tracing::error!(%error, name, "cannot start a thread"),
        }
    }

    fn give_up(&self) {
        self.abandon.store(true, Ordering::Release);
        self.sink.purge();
    }

    /// Waits until everything sent is acknowledged, up to the deadline; gives what is not. A sink that failed is not waited
    /// for: its producer is purged, and what the watermark reached is what counts.
    async fn drain(&mut self, ending: &mut Ending, deadline: tokio::time::Instant) -> u64 {
        loop {
            while let Ok(report) = self.reports.try_recv() {
                ending.note(report);
            }
            let missing = self.sink.in_flight();
            if ending.deliver_ended && missing == 0 {
                return 0;
            }
            let hopeless = self.sink.failure().is_some() || ending.writer_ended;
            if hopeless || self.hurry.load(Ordering::Acquire) || tokio::time::Instant::now() >= deadline {
                self.give_up();
                return missing;
            }
            tokio::time::sleep(DRAIN_TICK).await;
        }
    }
}

/// What has ended so far, and the first failure.
#[derive(Default)]
struct Ending {
    failure: Option<Failure>,
    input: Option<StreamReader>,
    reader_ended: bool,
    deliver_ended: bool,
    writer_ended: bool,
}

impl Ending {
    fn reader(&mut self, ended: Result<(StreamReader, Result<ReadEnd, Failure>), JoinError>) {
        self.reader_ended = true;
        let late = match ended {
            Ok((input, outcome)) => {
                self.input = Some(input);
                outcome.err()
            }
            Err(error) => Some(Failure::transient(
                "reader_defect",
                "reading the stream",
                error.to_string(),
                "report this with the log: the reader must not end like this",
            )),
        };
        self.fail(late);
    }

    fn note(&mut self, report: Report) {
        match report {
            Report::Delivered(outcome) => {
                self.deliver_ended = true;
                self.fail(outcome.err());
            }
            Report::Written(outcome) => {
                self.writer_ended = true;
                self.fail(outcome.err());
            }
        }
    }

    /// The first failure is the cause; a later one replaces it only where the first was a mere consequence.
    fn fail(&mut self, late: Option<Failure>) {
        let consequence = self.failure.as_ref().is_none_or(|first| first.code == "session_ended");
        if consequence && late.is_some() {
            self.failure = late;
        }
    }
}
