//! `millrace capture`: what a task's source sends from now on, as a file of events.
//!
//! Owns a stream of its own: slot, position and records of the task are not touched. Its slot is a temporary one that PostgreSQL drops with
//! the connection; GaussDB and openGauss have none, so there it is dropped at the end, and one of a capture that was killed stays.
//! Must not know modules: everything the source sends is written down, whatever the chain would make of it.

use std::{
    fs::{self, OpenOptions},
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use millrace_batch::{Batch, Failure, RelationLog};
use millrace_decode::{Start, Step};
use millrace_module::{
    ToolError,
    events::{Capture, Event, Pack, Writer},
    mask::Masker,
};
use millrace_replication::{
    CreateSlot, FlushPosition, Frame, ReplicationStream, Snapshot, SqlConnection, StartReplication, StreamReader,
    catalog,
};

use part::Part;

use super::{
    family::Source,
    source,
    topology::{self, Shard},
};
use crate::{
    config::{SourceKind, Task},
    pipeline::catalogue_answer,
};

/// Longest wait for the slot: the server first waits for every open transaction.
const SLOT_BOUND: Duration = Duration::from_secs(60);

/// Longest wait for the server to free a slot whose stream has ended.
const DROP_BOUND: Duration = Duration::from_secs(10);

/// What to capture, and when to stop.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The shard to read, from 0: a data node of a distributed GaussDB.
    pub shard: u16,
    /// File to write. It appears whole, when the capture is over.
    pub file: &'a Path,
    /// Most changes.
    pub limit: Option<u64>,
    /// Longest time.
    pub duration: Option<Duration>,
    /// Replaces values.
    pub masker: Option<Masker>,
}

/// What was captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Captured {
    /// Changes.
    pub changes: u64,
    /// Versions of tables.
    pub relations: u32,
    /// Transactions that ended.
    pub transactions: u64,
}

/// Captures until a limit is reached or `stop` is done. `ready` is called once every later change will be in the capture.
///
/// # Errors
/// The source cannot be read, or the file cannot be written.
pub async fn capture(
    task: &Task,
    wanted: &Wanted<'_>,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(),
) -> Result<Captured, Failure> {
    let shards = topology::find(task).await?;
    let Some(shard) = shards.get(usize::from(wanted.shard)) else {
        let why = format!("the source has {} shards, numbered from 0", shards.len());
        return Err(Failure::definite("no_such_shard", "choosing what to capture", why, "correct --shard"));
    };
    let task = &shard.share(task);
    // Before the slot: a file that cannot be written shall cost the server nothing.
    let mut recorder = Recorder::create(task, wanted)?;
    let source = Source::connect(task, &shard.hosts).await?;
    let slot = CreateSlot {
        name: format!("millrace_capture_{}_{}", std::process::id(), now_micros()),
        plugin: task.source.decoding.plugin().to_owned(),
        temporary: task.source.kind == SourceKind::Postgresql,
        snapshot: Snapshot::Nothing,
    };
    let catalogue = source.catalogue.clone();
    let read = stream(task, shard, source, &slot, &mut recorder, stop, ready).await;
    let dropped = if slot.temporary { Ok(()) } else { drop_slot(&catalogue, &slot.name).await };
    read?;
    let captured = recorder.finish()?;
    dropped.map(|()| captured)
}

/// Drops the slot of a capture that is over. The server frees it a moment after its stream has ended.
async fn drop_slot(catalogue: &SqlConnection, name: &str) -> Result<(), Failure> {
    let deadline = tokio::time::Instant::now() + DROP_BOUND;
    loop {
        let gone = match catalog::gauss::slot(catalogue, name).await {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => catalog::gauss::drop_slot(catalogue, name).await,
            Err(error) => Err(error),
        };
        let Err(error) = gone else { return Ok(()) };
        if tokio::time::Instant::now() >= deadline {
            let mend = format!("drop it, or it keeps the log: SELECT pg_drop_replication_slot('{name}')");
            return Err(Failure { tried: format!("dropping slot {name:?} of the capture"), mend, ..error.failure() });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Makes the slot and reads until a limit is reached or `stop` is done.
async fn stream(
    task: &Task,
    shard: &Shard,
    source: Source,
    slot: &CreateSlot,
    recorder: &mut Recorder<'_>,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(),
) -> Result<(), Failure> {
    let Source { mut connection, catalogue, encoding } = source;
    tokio::pin!(stop);
    let made = async {
        if slot.temporary {
            connection.create_slot(slot, SLOT_BOUND).await.map(|created| created.consistent_point)
        } else {
            catalog::gauss::create_slot(&catalogue, &slot.name, &slot.plugin, SLOT_BOUND).await
        }
    };
    let begins = tokio::select! {
        made = made => made.map_err(|error| error.failure())?,
        () = &mut stop => return Ok(()),
    };
    let confirm = FlushPosition::new(begins);
    let begin = StartReplication { slot: slot.name.clone(), from: begins, options: source::plugin_options(task) };
    let stream = connection.start(&begin, confirm.clone(), source::stream_options(task)).await;
    let ReplicationStream { mut reader, feedback } = stream.map_err(|error| error.failure())?;
    let start = Start {
        shard: shard.number,
        shards: shard.count,
        database: task.source.database.to_string(),
        end_lsn: begins,
        next_id: 1,
    };
    let relations = RelationLog::new();
    let decoder = source::decoder(task, &encoding, start, relations.clone(), &Arc::new(source::spill(task)))?;
    ready();
    let mut session = Session { decoder, catalogue, relations, confirm, batch: Batch::new(0) };
    let bound = recorder.wanted.duration;
    let over = async {
        match bound {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let read = tokio::select! {
        read = session.read(&mut reader, recorder) => read,
        () = over => Ok(()),
        () = &mut stop => Ok(()),
    };
    // A temporary slot goes with the connection.
    drop((reader, feedback));
    read
}

struct Session {
    decoder: millrace_decode::Decoder,
    catalogue: Arc<SqlConnection>,
    relations: RelationLog,
    confirm: FlushPosition,
    batch: Batch,
}

impl Session {
    /// Reads until the recorder has enough.
    async fn read(&mut self, reader: &mut StreamReader, recorder: &mut Recorder<'_>) -> Result<(), Failure> {
        loop {
            reader.fill().await.map_err(|error| error.failure())?;
            loop {
                let (wal_start, payload) = match reader.next_frame().map_err(|error| error.failure())? {
                    None => break,
                    Some(Frame::XLogData { wal_start, payload, .. }) => (wal_start, payload),
                    Some(Frame::Keepalive { .. }) => continue,
                    Some(Frame::End) => {
                        let mend = "wait for the server to come back, then capture again";
                        return Err(Failure::transient("source_ended_stream", "capturing", "the source ended", mend));
                    }
                };
                loop {
                    match self.decoder.payload(wal_start, payload, &mut self.batch)? {
                        Step::Done => break,
                        Step::Cut => {
                            if self.record(recorder)? {
                                return Ok(());
                            }
                        }
                        Step::Ask(ask) => {
                            let answer = catalogue_answer(&self.catalogue, ask, self.decoder.xid()).await?;
                            self.decoder.answer(answer)?;
                        }
                        Step::Full => return Err(self.decoder.too_large()),
                    }
                }
            }
            if self.record(recorder)? {
                return Ok(());
            }
        }
    }

    /// Writes the batch down and begins a new one; true where the recorder has enough.
    fn record(&mut self, recorder: &mut Recorder<'_>) -> Result<bool, Failure> {
        let end = self.batch.commits().last().map(|commit| commit.end_lsn);
        let batch = std::mem::replace(&mut self.batch, Batch::new(0));
        let enough = recorder.batch(Pack { batch, now: now_micros() }, &self.relations)?;
        if let Some(end) = end {
            self.confirm.confirm(end);
        }
        Ok(enough)
    }
}

/// The file being written.
struct Recorder<'a> {
    wanted: &'a Wanted<'a>,
    part: Part,
    out: Writer<BufWriter<fs::File>>,
    captured: Captured,
}

impl<'a> Recorder<'a> {
    fn create(task: &Task, wanted: &'a Wanted<'a>) -> Result<Recorder<'a>, Failure> {
        let part = Part::beside(wanted.file);
        // Rows of somebody's tables: nobody else's to read.
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part.path());
        let file = file.map_err(|error| ToolError::file(wanted.file, error))?;
        let mut recorder =
            Recorder { wanted, part, out: Writer::new(BufWriter::new(file)), captured: Captured::default() };
        recorder.event(&Event::Capture(Capture {
            version: 1,
            task: task.task.name.to_string(),
            source: source::decoding_name(task).to_owned(),
            shard: wanted.shard,
            masked: wanted.masker.is_some(),
            millrace: env!("CARGO_PKG_VERSION").to_owned(),
        }))?;
        Ok(recorder)
    }

    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        self.out.event(event).map_err(|error| ToolError::file(self.wanted.file, error).into())
    }

    /// Writes tables that are new, then the changes; true where there are enough.
    fn batch(&mut self, pack: Pack, relations: &RelationLog) -> Result<bool, Failure> {
        while let Some(relation) = relations.get(self.captured.relations) {
            self.captured.relations += 1;
            self.event(&Event::Relation((*relation).clone()))?;
        }
        if !pack.batch.is_empty() {
            self.event(&Event::Now(pack.now))?;
        }
        for mut event in pack.events() {
            match &mut event {
                Event::Change(change) => {
                    if self.enough() {
                        return Ok(true);
                    }
                    if let (Some(masker), Some(relation)) = (&self.wanted.masker, relations.get(change.stamp.relation))
                    {
                        masker.change(&relation, change);
                    }
                    self.captured.changes += 1;
                }
                _ => self.captured.transactions += 1,
            }
            self.event(&event)?;
        }
        Ok(self.enough())
    }

    fn enough(&self) -> bool {
        self.wanted.limit.is_some_and(|limit| self.captured.changes >= limit)
    }

    fn finish(self) -> Result<Captured, Failure> {
        let Recorder { wanted, part, out, captured } = self;
        let done = out.finish().and_then(|mut out| {
            out.flush()?;
            out.get_ref().sync_all()?;
            part.becomes(wanted.file)
        });
        done.map_err(|error| ToolError::file(wanted.file, error))?;
        Ok(captured)
    }
}

/// A file under another name until it is whole.
mod part {
    use std::{
        fs, io,
        path::{Path, PathBuf},
    };

    pub(super) struct Part(PathBuf);

    impl Part {
        pub(super) fn beside(file: &Path) -> Part {
            let mut name = file.as_os_str().to_owned();
            name.push(format!(".{}.part", std::process::id()));
            Part(name.into())
        }

        pub(super) fn path(&self) -> &Path {
            &self.0
        }

        pub(super) fn becomes(self, file: &Path) -> io::Result<()> {
            fs::rename(&self.0, file)
        }
    }

    impl Drop for Part {
        fn drop(&mut self) {
            // Gone already where it became the file.
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// The clock of the captured batches, microseconds since the Unix epoch.
fn now_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
