//! One attempt: from nothing to a running session, and the session itself.
//!
//! Owns the order of steps before data moves: modules, position store (fences an earlier owner), source, slot, topics, stream.
//! Must not retry. What is expensive and stays valid is kept between attempts: compiled modules and the open store.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use millrace_batch::{Failure, Lsn, RelationLog};
use millrace_decode::Start as StreamStart;
use millrace_host::{Chain, TopicTable};
use millrace_position::{Position, PositionRecord, Progress, SlotState, version_for};
use millrace_replication::{FlushPosition, StartReplication, SystemIdentity};
use millrace_sink::KafkaConfig;
use tokio::sync::watch;

use super::{
    family::{self, Source},
    life::{Life, Resting},
    login::Gate,
    modules::{Loaded, hex},
    precheck::Precheck,
    shard::Common,
    slot_watch, source,
    spread::Spread,
    start::{Found, Start, Stored, Wanted, decide},
    store::{self, Store},
    swaps::{Link, Swaps},
    topics,
    topology::{self, Shard},
};
use crate::{
    config::{Decoding, SinkKind, SourceKind, Task},
    observe::Observe,
    pipeline::{
        Cut, Generation, Places, Prepared, Ring, Session, SessionEnd, SessionParts, SpillRoom, Switch, Turn, Wish,
    },
};

/// The `n` of a task's first id.
const FIRST_ID: u64 = 1;
/// Least time between two positions taken from keepalives, which keeps an idle task from writing all the time.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);
/// The last events that are kept to try new modules on.
const RING_CHANGES: usize = 2048;
/// Most bytes of them.
const RING_BYTES: usize = 4 << 20;

/// What one task keeps between attempts.
pub(crate) struct Runner {
    observe: Arc<Observe>,
    in_session: Arc<AtomicBool>,
    /// The versions of the chain; the one that is installed outlives sessions.
    swaps: Swaps,
    gate: Arc<Gate>,
    spill: Arc<SpillRoom>,
    precheck: Arc<Precheck>,
    store: Option<Kept>,
    /// Since when the slot has been in use by somebody else.
    busy_since: Option<Instant>,
    life: Life,
    /// The last attempt got past the login at the source.
    logged_in: bool,
    /// A session has run: its topics are not made anew by the next one.
    begun: bool,
}

struct Kept {
    store: Arc<Mutex<Store>>,
    record: Option<PositionRecord>,
}

impl Runner {
    /// Keeps nothing yet.
    pub fn new(common: &Common, observe: Arc<Observe>) -> Runner {
        Runner {
            observe,
            in_session: Arc::default(),
            swaps: common.swaps.clone(),
            gate: common.gate.clone(),
            spill: common.spill.clone(),
            precheck: common.precheck.clone(),
            life: common.life.clone(),
            store: None,
            busy_since: None,
            logged_in: false,
            begun: false,
        }
    }

    /// True while a session runs, which ends itself in order when told to stop.
    pub fn in_session(&self) -> Arc<AtomicBool> {
        self.in_session.clone()
    }

    /// Whether the last attempt got past the login at the source.
    pub fn logged_in(&self) -> bool {
        self.logged_in
    }

    /// Starts a session and runs it to its end.
    pub async fn attempt(&mut self, task: &Task, shard: &Shard, stop: watch::Receiver<bool>) -> SessionEnd {
        let parts = match self.prepare(task, shard).await {
            Ok(parts) => parts,
            Err(Unready::Rests(resting)) => {
                self.swaps.closed(shard.number);
                return SessionEnd::Rests(resting);
            }
            Err(Unready::Failed(failure)) => {
                self.swaps.closed(shard.number);
                self.doubt_store();
                return SessionEnd::Failed(self.judge_busy(task, failure));
            }
        };
        self.busy_since = None;
        self.begun = true;
        self.in_session.store(true, Ordering::Release);
        self.observe.metrics.began(parts.workers);
        self.observe.streaming();
        self.life.streaming(shard.number);
        self.swaps.opened(shard.number, Link::of(&parts));
        let record = parts.record.clone();
        let watch = slot_watch::while_streaming(task, parts.catalogue.clone(), self.observe.clone());
        let (stopping, own_select) = (stop.clone(), parts.own_select.clone());
        let ended = Session::run(parts, stop).await;
        watch.abort();
        self.in_session.store(false, Ordering::Release);
        if let Some(kept) = &mut self.store {
            kept.record = Some(record.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone());
        }
        self.doubt_store();
        if *stopping.borrow() {
            // Until the task runs again, which the swaps are told. Before the session is told as ended: what waits is not for the next one.
            self.swaps.stop();
        }
        self.swaps.closed(shard.number);
        self.note_modules(own_select.as_deref()).await;
        self.doubt_store();
        ended
    }

    /// A swap that was under way when the session ended may stand in the record and have come to nothing, or the other way round:
    /// what the next start runs is what is installed.
    async fn note_modules(&mut self, own_select: Option<&str>) {
        let (Some(version), Some(kept)) = (self.swaps.current(), &mut self.store) else { return };
        let active = version.loaded.for_shard(own_select).active();
        let Some(mut record) = kept.record.clone().filter(|record| record.modules != active) else { return };
        record.run(active);
        record.written_at_ms = super::now_millis();
        match write(kept, record).await {
            Ok(record) => kept.record = Some(record),
            Err(failure) => {
                tracing::warn!(code = failure.code, "{failure}: the record may name other modules than ran last")
            }
        }
    }

    /// After a write that failed, for whatever reason and whatever else failed with it, nobody knows what is durable: the store
    /// is opened, fenced and read again before anything more is confirmed (I1).
    fn doubt_store(&mut self) {
        let spent = |kept: &Kept| kept.store.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).is_spent();
        if self.store.as_ref().is_some_and(spent) {
            self.store = None;
        }
    }

    /// A slot that another connection uses is waited for, but not for ever.
    fn judge_busy(&mut self, task: &Task, failure: Failure) -> Failure {
        if failure.code != "slot_in_use" {
            self.busy_since = None;
            return failure;
        }
        let since = *self.busy_since.get_or_insert_with(Instant::now);
        if since.elapsed() < task.source.slot_busy_timeout.get() {
            return Failure { class: millrace_batch::Class::Transient, ..failure };
        }
        Failure { class: millrace_batch::Class::Definite, ..failure }
    }

    async fn prepare(&mut self, task: &Task, shard: &Shard) -> Result<SessionParts, Unready> {
        self.logged_in = false;
        self.swaps.load(task).await?;
        let kafka = match task.sink.kind {
            SinkKind::Kafka => Some(topics::kafka_config(task)?),
            SinkKind::Blackhole => None,
        };
        self.open_store(task, kafka.clone(), shard.number).await?;
        let record = self.store.as_ref().and_then(|kept| kept.record.as_ref());
        if let Some(resting) = self.life.found(shard.number, record) {
            return Err(Unready::Rests(resting));
        }
        let ran = self.store.as_ref().and_then(|kept| Some(kept.record.as_ref()?.modules.clone()));
        self.swaps.begin(task, ran.unwrap_or_default()).await?;
        let Some(kept) = &mut self.store else {
            return Err(nothing_loaded().into());
        };

        let mut from = self.gate.pass(Source::connect(task, &shard.hosts)).await?;
        let system = from.connection.identify_system().await.map_err(|error| error.failure())?;
        self.logged_in = true;
        // From here on until the session streams no swap begins.
        let Some(version) = self.swaps.open(shard.number).await else {
            return Err(nothing_loaded().into());
        };
        let own_select = (shard.count > 1).then(|| task.select_config());
        let loaded = &version.loaded.for_shard(own_select.as_deref());
        let record = settle(task, kept, &mut from, &system, loaded, shard, &self.precheck).await?;
        self.life.slots_ready(shard.number);
        // Shards share an engine; its numbers are shown once.
        if *version.loaded.shown_by.get_or_init(|| shard.number) == shard.number {
            self.observe.metrics.modules(loaded.engine.clone());
        }

        let relations = RelationLog::new();
        let table = TopicTable::new();
        let dead_letters = topics::dead_letters(task, &table)?;
        let workers = if loaded.is_stateful() { 1 } else { task.pipeline.workers.to_usize() };
        let limits = loaded.engine.limits();
        let chains = (0..workers).map(|_| {
            let chain = Chain::instantiate(&loaded.spec, limits, &table)?;
            Ok(Prepared { chain, announced: 0 })
        });
        let chains: Result<Vec<_>, millrace_host::HostError> = chains.collect();
        let chains = chains.map_err(|error| error.failure())?;
        let scratch = Chain::instantiate(&loaded.spec, limits, &table).map_err(|error| error.failure())?;

        let record = Arc::new(Mutex::new(record));
        let (sink, topics) = topics::open_sink(task, kafka.as_ref()).await?;
        let wish = Wish { remake: !self.begun, ..topics::wish(task) };
        let frames = topics::frames(task, loaded.engine.schemas().clone(), table.clone())?.map(Arc::new);
        let places = Arc::new(Places::new(sink.clone(), topics, table, record.clone(), wish));
        let ready = topics::Ready { places: places.clone(), frames: frames.clone(), also: dead_letters };
        let tables = topics::before_start(task, &from.catalogue, scratch, ready).await?;

        let position = record.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).position;
        let confirm = FlushPosition::new(position.end_lsn);
        self.observe.metrics.resumed(position.end_lsn);
        let begin = StartReplication {
            slot: task.source.slot.to_string(),
            from: position.end_lsn,
            options: source::plugin_options(task),
        };
        let stream = from
            .connection
            .start(&begin, confirm.clone(), source::stream_options(task))
            .await
            .map_err(|error| error.failure())?;
        tracing::info!(code = "started", from = %position.end_lsn, next_id = position.next_id, workers, "stream started");
        if task.source.decoding == Decoding::Parallel {
            tracing::warn!(
                code = "parallel_decoding",
                "in parallel decoding the server leaves out, in silence, rows that follow a change of the catalogue in their \
                 transaction, and inserts that create an interval partition"
            );
        }
        let start = StreamStart {
            shard: shard.number,
            shards: shard.count,
            database: task.source.database.to_string(),
            end_lsn: position.end_lsn,
            next_id: position.next_id,
        };
        let decoder = source::decoder(task, &from.encoding, start, relations.clone(), &self.spill)?;
        Ok(SessionParts {
            stream,
            confirm,
            decoder,
            catalogue: from.catalogue,
            spread: (shard.number > 0).then(|| Arc::new(Spread::new(task, self.gate.clone(), &shard.tables))),
            relations,
            generation: Arc::new(Generation::new(version.number, loaded.chain_digest(), None, chains)),
            workers,
            switch: Arc::<Switch>::default(),
            turn: Arc::<Turn>::default(),
            ring: Arc::new(Ring::new(RING_CHANGES, RING_BYTES)),
            sink,
            places,
            frames,
            progress: Progress::new(position),
            store: kept.store.clone(),
            record,
            headers: task.sink.headers,
            tables,
            own_select,
            task: task.task.name.to_string(),
            dead_letters,
            shard: shard.number,
            cut: Cut { batch: source::cut(task), idle_interval: IDLE_INTERVAL, shared_spill: shard.count > 1 },
            budget: usize::try_from(task.pipeline.budget.get()).unwrap_or(usize::MAX),
            position_interval: task.position.interval.get(),
            drain_timeout: task.pipeline.drain_timeout.get(),
            hurry: self.life.hurry(),
            observe: self.observe.clone(),
        })
    }

    /// Opens the store once; it is what keeps a second gateway out.
    async fn open_store(&mut self, task: &Task, kafka: Option<KafkaConfig>, shard: u16) -> Result<(), Failure> {
        if self.store.is_none() {
            let task = task.clone();
            let opened = blocking("opening the position store", move || store::open(&task, kafka.as_ref(), shard));
            let (store, record) = opened.await?;
            self.store = Some(Kept { store: Arc::new(Mutex::new(store)), record });
        }
        Ok(())
    }
}

/// Why there is no session.
enum Unready {
    Failed(Failure),
    /// A person does not want one.
    Rests(Resting),
}

impl From<Failure> for Unready {
    fn from(failure: Failure) -> Unready {
        Unready::Failed(failure)
    }
}

fn nothing_loaded() -> Failure {
    Failure::transient("internal", "starting", "nothing is loaded", "report this with the log")
}

/// Compares position and slot, and makes the slot on a first start; gives the record the session goes on with.
async fn settle(
    task: &Task,
    kept: &mut Kept,
    from: &mut Source,
    system: &SystemIdentity,
    loaded: &Loaded,
    shard: &Shard,
    precheck: &Precheck,
) -> Result<PositionRecord, Failure> {
    let slot = task.source.slot.as_str();
    let found = family::slot(task, &from.catalogue).await.map_err(|error| error.failure())?.map(|found| Found {
        wal_status: if found.is_lost() { Some("lost".to_owned()) } else { found.wal_status },
        plugin: found.plugin.unwrap_or_default(),
        database: found.database.unwrap_or_default(),
        confirmed: found.confirmed_flush_lsn.unwrap_or(Lsn(0)),
        restart: found.restart_lsn,
    });
    if let Some(record) = &kept.record {
        belongs(record, shard)?;
    }
    let stored = kept.record.as_ref().map(|record| Stored {
        system_identifier: record.system_identifier.clone(),
        slot: record.slot.clone(),
        end_lsn: record.position.end_lsn,
        slot_created: record.slot_state == SlotState::Created,
    });
    let wanted = Wanted {
        slot,
        database: task.source.database.as_str(),
        plugin: task.source.decoding.plugin(),
        system_identifier: &system.system_id,
        log_end: system.wal_flush,
    };
    let decision = decide(wanted, stored.as_ref(), found.as_ref())?;
    if decision == Start::First && task.check.at_start {
        precheck.pass(task).await?;
    }
    if task.source.decoding == Decoding::Pgoutput {
        super::publication::ensure(task, &from.catalogue, decision == Start::First).await?;
    }
    let fresh = |position, slot_state| PositionRecord {
        version: version_for(&loaded.active()),
        task: task.task.name.to_string(),
        position,
        shards: shard.count,
        node: shard.node.clone(),
        source_kind: match task.source.kind {
            SourceKind::Postgresql => "postgresql".to_owned(),
            SourceKind::Gaussdb => "gaussdb".to_owned(),
        },
        decoding: source::decoding_name(task).to_owned(),
        system_identifier: system.system_id.clone(),
        timeline: Some(system.timeline),
        slot: slot.to_owned(),
        slot_state,
        partitions: Default::default(),
        modules: loaded.active(),
        selection: format!("sha256:{}", hex(&<sha2::Sha256 as sha2::Digest>::digest(task.selection()))),
        paused: false,
        written_at_ms: super::now_millis(),
    };
    // A task that begins anew goes on with its ids: consumers that remember the old ones must not meet them again.
    let next_id = kept.record.as_ref().map_or(FIRST_ID, |record| record.position.next_id);
    let at = |end_lsn| Position { shard: shard.number, end_lsn, ordinal: 0, next_id };
    let record = match (decision, kept.record.clone()) {
        (Start::Resume, Some(record)) => {
            let now = fresh(record.position, SlotState::Created);
            report_changes(&record, &now);
            PositionRecord { partitions: record.partitions, ..now }
        }
        (Start::Adopt(confirmed), _) => {
            tracing::warn!(code = "slot_adopted", slot, from = %confirmed, "an earlier start made the slot and died: going on from there");
            write(kept, fresh(at(confirmed), SlotState::Created)).await?
        }
        _ => {
            // Kept as well: a slot that is made and not yet noted must be recognised as ours by the next attempt.
            kept.record = Some(write(kept, fresh(at(Lsn(0)), SlotState::Intended)).await?);
            let begins = family::create_slot(task, &mut from.connection, &from.catalogue).await?;
            tracing::info!(code = "slot_created", slot, from = %begins, "slot created");
            write(kept, fresh(at(begins), SlotState::Created)).await?
        }
    };
    kept.record = Some(record.clone());
    Ok(record)
}

/// Whether a position is that of this shard: of the same node among as many.
fn belongs(record: &PositionRecord, shard: &Shard) -> Result<(), Failure> {
    if record.shards == shard.count && record.node == shard.node {
        return Ok(());
    }
    let was =
        format!("the position is that of {} among {}", record.node.as_deref().unwrap_or("one server"), record.shards);
    Err(topology::changed(&was, shard))
}

/// Writes a record off the async runtime.
async fn write(kept: &Kept, record: PositionRecord) -> Result<PositionRecord, Failure> {
    let store = kept.store.clone();
    blocking("writing the position", move || {
        store.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).write(&record)?;
        Ok(record)
    })
    .await
}

/// What a restart changed is said aloud: records before and after it may differ.
fn report_changes(before: &PositionRecord, now: &PositionRecord) {
    for (old, new) in before.modules.iter().zip(&now.modules).filter(|(old, new)| old != new) {
        let (stage, name) = (&new.stage, &new.name);
        tracing::warn!(
            code = "module_changed",
            stage,
            name,
            before = old.digest,
            now = new.digest,
            "another module or configuration than before the restart"
        );
    }
    if before.modules.len() != now.modules.len() {
        tracing::warn!(
            code = "module_changed",
            before = before.modules.len(),
            now = now.modules.len(),
            "another chain than before the restart"
        );
    }
    if before.decoding != now.decoding {
        tracing::warn!(
            code = "decoding_changed",
            before = before.decoding,
            now = now.decoding,
            "another decoding than before the restart"
        );
    }
    if before.selection != now.selection {
        tracing::warn!(code = "selection_changed", "another selection of tables than before the restart");
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    tried: &'static str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Failure::transient("internal", tried, error.to_string(), "report this with the log")),
    }
}
