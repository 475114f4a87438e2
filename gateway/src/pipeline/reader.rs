//! From the replication socket to numbered batches.
//!
//! Owns the loop that pulls frames, feeds the decoder, answers what it asks of the catalogue and hands batches on. Must not know modules,
//! topics or positions. It waits for room in the byte budget before it dispatches, and reads nothing meanwhile (I7).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use millrace_batch::{Batch, Commit, Failure, Lsn, ReplicaIdentity};
use millrace_decode::{
    Answer, Ask, Decoder, Step,
    mppdb::{CatalogueColumn, CatalogueTable},
};
use millrace_replication::{Frame, SqlConnection, StreamReader, catalog};
use tokio::sync::watch;

use super::{Armed, Drain, Gate, Generation, Pool, Room, Switch, Turn, Work, switch::Park};
use crate::{failpoint, observe::Observe, task::spread::Spread};

/// Longest wait for a streamed transaction to become visible; only a stuck synchronous standby makes it long.
const VISIBLE_BOUND: Duration = Duration::from_secs(30);
/// One line in the log this often about updates of primary keys.
const KEYS_PAUSE: Duration = Duration::from_secs(10);
/// How long a full spill is left alone before the next try: another shard may give its room back.
const FULL_PAUSE: Duration = Duration::from_millis(200);

/// When the reader cuts a batch, and how it reads.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// When a batch is full.
    pub batch: millrace_decode::Cut,
    /// Least time between two idle positions taken from keepalives.
    pub idle_interval: Duration,
    /// Whether other shards use the spill too, so that a full one may empty by itself.
    pub shared_spill: bool,
}

/// The reading side of one session.
pub(crate) struct Reader {
    pub stream: StreamReader,
    pub decoder: Decoder,
    pub catalogue: Arc<SqlConnection>,
    pub spread: Option<Arc<Spread>>,
    pub cut: Cut,
    pub outlet: Outlet,
    /// When a keepalive last became a position.
    pub idle_at: Instant,
}

/// Where batches leave the reader.
pub(crate) struct Outlet {
    room: Room,
    pool: Pool,
    work: Sender<Work>,
    observe: Arc<Observe>,
    /// The version of the chain that batches are dispatched with.
    generation: Arc<Generation>,
    /// Where the next version waits.
    switch: Arc<Switch>,
    /// Where the modules from a position on are noted.
    turn: Arc<Turn>,
    /// The batch that is being filled.
    batch: Batch,
    sequence: u64,
    /// End of the newest transaction that was handed on, or of a keepalive that became one.
    handed_on: Lsn,
    /// Time spent waiting, which is not decoding.
    waited: Duration,
}

/// Why reading ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// The gateway is asked to stop, or the session to end.
    Stopped,
}

impl Reader {
    /// Reads until stopped or until something fails. What was read before is dispatched in either case, so that it can be
    /// delivered before the session ends. Gives the stream back, so that it can be closed in order.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> (StreamReader, Result<ReadEnd, Failure>) {
        let outcome = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Ok(ReadEnd::Stopped),
            outcome = self.read() => outcome,
        };
        // A change that was half decoded is not in the batch; whole ones are worth delivering.
        if self.outlet.dispatch().await.is_err() {
            tracing::debug!("the workers ended before the reader");
        }
        (self.stream, outcome)
    }

    async fn read(&mut self) -> Result<ReadEnd, Failure> {
        let Reader { stream, decoder, catalogue, spread, cut, outlet, idle_at } = self;
        let mut keys = KeyChanges::default();
        loop {
            tokio::select! {
                biased;
                filled = stream.fill() => { filled.map_err(|error| error.failure())?; }
                // An idle source has no commit to wait for.
                () = outlet.switch.rung(), if !decoder.in_transaction() => {
                    outlet.cross().await?;
                    continue;
                }
            }
            failpoint::pass("after_receive");
            let working = Instant::now();
            outlet.waited = Duration::ZERO;
            loop {
                match stream.next_frame().map_err(|error| error.failure())? {
                    None => break,
                    Some(Frame::XLogData { wal_start, payload, .. }) => loop {
                        match decoder.payload(wal_start, payload, &mut outlet.batch)? {
                            Step::Done => {
                                if outlet.switch.is_armed() && !decoder.in_transaction() {
                                    outlet.cross().await?;
                                }
                                break;
                            }
                            Step::Cut => outlet.dispatch().await?,
                            Step::Ask(ask) => {
                                let asked = Instant::now();
                                if let (Some(spread), Ask::Table { schema, table }) = (&spread, &ask) {
                                    spread.must_be_ours(schema, table).await?;
                                }
                                let answer = answer(catalogue, ask, decoder.xid()).await?;
                                decoder.answer(answer)?;
                                outlet.waited += asked.elapsed();
                            }
                            Step::Full if cut.shared_spill => tokio::time::sleep(FULL_PAUSE).await,
                            Step::Full => return Err(decoder.too_large()),
                        }
                    },
                    Some(Frame::Keepalive { wal_end, reply_requested, .. }) => {
                        if decoder.keepalive_is_position() {
                            outlet.observe.metrics.received_lsn(wal_end);
                            // A server that asks is perhaps shutting down: it waits until this very position is confirmed.
                            let due = reply_requested || idle_at.elapsed() >= cut.idle_interval;
                            if due && wal_end > outlet.last_end() {
                                *idle_at = Instant::now();
                                outlet.idle(wal_end, decoder.next_id());
                            }
                        }
                    }
                    Some(Frame::End) => return Err(ended()),
                }
            }
            keys.tell(decoder.key_changes());
            outlet.observe.metrics.stage("decode", working.elapsed().saturating_sub(outlet.waited));
            failpoint::pass("after_decode");
            outlet.dispatch().await?;
        }
    }
}

/// What was last said of updates of primary keys. Under the partition policy by key such a row may change its partition, and consumers
/// then see its old and new events in any order.
#[derive(Default)]
struct KeyChanges {
    told: u64,
    at: Option<Instant>,
}

impl KeyChanges {
    #[inline]
    fn tell(&mut self, count: u64) {
        if count == self.told || self.at.is_some_and(|at| at.elapsed() < KEYS_PAUSE) {
            return;
        }
        tracing::warn!(
            code = "primary_key_updated",
            updates = count - self.told,
            since_start = count,
            "updates changed primary keys: an event goes where its new key belongs; route.split_key_changes makes two of it"
        );
        (self.told, self.at) = (count, Some(Instant::now()));
    }
}

impl Outlet {
    /// An outlet with an empty batch, for a stream that begins behind `begins_at`.
    pub fn new(
        room: Room,
        pool: Pool,
        work: Sender<Work>,
        observe: Arc<Observe>,
        versions: (Arc<Generation>, Arc<Switch>, Arc<Turn>),
        begins_at: Lsn,
    ) -> Outlet {
        let batch = pool.batch();
        let (generation, switch, turn) = versions;
        let (sequence, waited) = (0, Duration::ZERO);
        Outlet { room, pool, work, observe, generation, switch, turn, batch, sequence, handed_on: begins_at, waited }
    }

    /// End of the newest transaction read, or of a keepalive that became one.
    fn last_end(&self) -> Lsn {
        self.batch.commits().last().map_or(self.handed_on, |commit| commit.end_lsn)
    }

    /// Changes to the version that waits. Called between transactions only: everything up to here is dispatched with the version
    /// before, everything after with the new one (I5). Where both would put a change to different places, a gate goes between them: the
    /// position behind everything up to here is durable, together with the new modules, before the first record of the new version
    /// is sent: a crash then replays nothing of one version with the other (I3).
    async fn cross(&mut self) -> Result<(), Failure> {
        if let Some(park) = self.switch.take_park() {
            self.stand_still(park).await?;
        }
        let Some(Armed { generation, drain, done }) = self.switch.take() else { return Ok(()) };
        // Room for what was read is needed with and without a swap, so waiting for it is none of the swap's pause.
        self.dispatch().await?;
        let began = Instant::now();
        let before = std::mem::replace(&mut self.generation, generation);
        self.generation.follows(before);
        let Some(Drain { modules, patience }) = drain else {
            // Who prepared it may have gone with the task.
            let _ = done.send(Ok(began.elapsed()));
            return Ok(());
        };
        let noted = self.turn.ask(self.last_end(), modules);
        self.send(Some(Gate { noted, turn: self.turn.clone(), patience, done })).await
    }

    /// Stands still between two transactions, with everything before it durable, until the session is told to end: what comes next may
    /// be read with another selection of tables, and ids and records of what was read stay as they are (I2, I3).
    async fn stand_still(&mut self, park: Park) -> Result<(), Failure> {
        self.dispatch().await?;
        let began = Instant::now();
        let noted = self.turn.ask(self.last_end(), park.modules);
        if tokio::time::timeout(park.patience, noted).await.is_ok() {
            // Who asked may have gone with the task; the session then ends for the same reason.
            let _ = park.done.send(Ok(self.last_end()));
            return std::future::pending().await;
        }
        self.turn.withdraw();
        self.waited += began.elapsed();
        let why = format!("what was read was not acknowledged and noted within {:?}", park.patience);
        let mend = "look at the brokers, then ask again; the selection before it goes on";
        let tried = "draining before another selection of tables";
        let _ = park.done.send(Err(Failure::transient("objects_drain", tried, why, mend)));
        Ok(())
    }

    /// A keepalive outside a transaction says that everything before its LSN was sent: it becomes an empty transaction end, and
    /// is confirmed by the same rule as a real one, after everything before it (I1).
    fn idle(&mut self, wal_end: Lsn, next_id: u64) {
        let end = Commit { after: 0, commit_lsn: wal_end, end_lsn: wal_end, xid: 0, commit_time: 0, next_id };
        self.batch.push_commit(end);
    }

    /// Hands the batch on, if there is anything in it.
    async fn dispatch(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() && self.batch.commits().is_empty() {
            return Ok(());
        }
        self.send(None).await
    }

    /// The same, whatever is in it. Everything from it on waits at the gate, where there is one.
    async fn send(&mut self, gate: Option<Gate>) -> Result<(), Failure> {
        // Room first: a stop that cancels the wait must find the batch still in its place.
        let began = Instant::now();
        self.handed_on = self.last_end();
        self.observe.metrics.received_lsn(self.handed_on);
        let permit = self.room.take(self.batch.weight()).await;
        self.waited += began.elapsed();
        let batch = std::mem::replace(&mut self.batch, self.pool.batch());
        self.observe.metrics.batch_received(&batch);
        self.observe.metrics.budget_used(self.room.used());
        let generation = self.generation.clone();
        let work = Work { sequence: self.sequence, batch, permit, generation, gate };
        self.sequence += 1;
        self.work.send(work).map_err(|_| {
            Failure::transient("session_ended", "handing a batch to the workers", "the workers have stopped", "")
        })
    }
}

/// Asks the catalogue for a decoder, once the transaction it stands in is visible.
pub(crate) async fn answer(catalogue: &SqlConnection, ask: Ask, xid: Option<u64>) -> Result<Answer, Failure> {
    if let Some(xid) = xid {
        until_visible(catalogue, xid).await?;
    }
    match ask {
        Ask::Keys { oid } => {
            let keys = catalog::primary_key(catalogue, oid).await.map_err(|error| error.failure())?;
            tracing::info!(oid, key = ?keys, "table version");
            Ok(Answer::Keys(keys))
        }
        Ask::Table { schema, table } => {
            let found = catalog::stream_table(catalogue, &schema, &table).await.map_err(|error| error.failure())?;
            let key = found.as_ref().map(|found| &found.primary_key);
            tracing::info!(schema, table, ?key, "table version");
            Ok(Answer::Table(found.map_or_else(CatalogueTable::gone, catalogue_table)))
        }
    }
}

/// A column of the catalogue in the decoder's terms.
pub(crate) fn catalogue_column(column: catalog::StreamColumn) -> CatalogueColumn {
    CatalogueColumn {
        name: column.name,
        type_name: column.type_name,
        type_oid: column.type_oid,
        type_modifier: Some(column.type_modifier),
        base_type: column.base_type,
    }
}

fn catalogue_table(found: catalog::StreamTable) -> CatalogueTable {
    CatalogueTable {
        oid: found.oid,
        identity: match found.replica_identity {
            catalog::ReplicaIdentity::Default => ReplicaIdentity::Default,
            catalog::ReplicaIdentity::Full => ReplicaIdentity::Full,
            catalog::ReplicaIdentity::Index => ReplicaIdentity::Index,
            catalog::ReplicaIdentity::Nothing => ReplicaIdentity::Nothing,
        },
        columns: found.columns.into_iter().map(catalogue_column).collect(),
        key_columns: found.primary_key,
    }
}

/// A transaction is streamed as soon as its commit is in the WAL, a moment before others can see it: the catalogue would
/// still answer with what it changed. Its lock on its own number is given up after it has become visible.
async fn until_visible(catalogue: &SqlConnection, xid: u64) -> Result<(), Failure> {
    let deadline = Instant::now() + VISIBLE_BOUND;
    while catalog::transaction_runs(catalogue, xid).await.map_err(|error| error.failure())? {
        if Instant::now() >= deadline {
            let tried = "waiting for a transaction to be visible in the catalogue";
            let why = format!("transaction {xid} was streamed and is not visible after {VISIBLE_BOUND:?}");
            let mend = "a synchronous standby that does not answer holds commits back: bring it back";
            return Err(Failure::transient("catalogue_behind", tried, why, mend));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

fn ended() -> Failure {
    Failure::transient(
        "source_ended_stream",
        "streaming",
        "the source ended the stream (it is shutting down)",
        "wait for it to come back",
    )
}
