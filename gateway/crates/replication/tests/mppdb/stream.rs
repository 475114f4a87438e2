//! One slot read through one decoder.

use crate::database::Database;
use millrace_batch::{Batch, Cell, Lsn, RelationLog, ReplicaIdentity, marks};
use millrace_decode::mppdb::{CatalogueColumn, CatalogueTable, Layout, Mppdb, Options};
use millrace_decode::pgoutput::PgOutput;
use millrace_decode::{Answer, Ask, Cut, Decoder, Spill, Start, Step};
use millrace_replication::{
    Feedback, FlushPosition, Frame, Pgoutput, ReplicationConnection, SqlConnection, StartReplication, StreamOptions,
    StreamReader,
};
use std::time::Duration;

/// A cell, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Unsent,
    Text(String),
}

/// A change, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: u64,
    pub table: String,
    pub identity: ReplicaIdentity,
    /// Names and types; where the row is a delete, those of the catalogue.
    pub columns: Vec<(String, String)>,
    pub keys: Vec<u16>,
    pub op: u8,
    pub marks: u8,
    pub new: Vec<Value>,
    pub old: Vec<Value>,
}

/// A transaction, owned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    pub xid: u64,
    pub end_lsn: Lsn,
    pub commit_time: i64,
    pub changes: Vec<Change>,
}

/// How the plugin is asked to write.
#[derive(Clone, Debug)]
pub struct Variant {
    pub layout: Layout,
    pub batched: bool,
    /// Further options of the plugin.
    pub more: Vec<(&'static str, &'static str)>,
}

impl Variant {
    pub fn mppdb(layout: Layout, batched: bool) -> Variant {
        Variant { layout, batched, more: Vec::new() }
    }

    pub fn options(&self) -> Vec<(String, Option<String>)> {
        let mut options = vec![("include-xids", "1"), ("include-timestamp", "1")];
        let style = match self.layout {
            Layout::Serial => None,
            Layout::Binary => Some("b"),
            Layout::Json => Some("j"),
            Layout::Text => Some("t"),
        };
        match style {
            None => options.push(("parallel-decode-num", "1")),
            Some(style) => {
                options.extend([("parallel-decode-num", "2"), ("decode-style", style)]);
                options.push(("sending-batch", if self.batched { "1" } else { "0" }));
            }
        }
        options.extend(self.more.iter().copied());
        options.into_iter().map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).collect()
    }
}

/// What a decoder starts with here.
pub fn start(database: &Database) -> Start {
    Start { shard: 0, shards: 1, database: database.name.clone(), end_lsn: Lsn(0), next_id: 1 }
}

/// A stream and what reads it.
pub struct Reading {
    reader: StreamReader,
    catalogue: SqlConnection,
    pub decoder: Decoder,
    pub log: RelationLog,
    pub batch: Batch,
    /// Most payloads of one batched message; bytes of payload.
    pub bytes: u64,
    pub payloads: u64,
    server_log: Box<dyn Fn() -> String>,
    /// Answers the server while this one lives.
    _feedback: Feedback,
}

impl Reading {
    /// pgoutput of the publication `everything` from the slot `pg_` and the database's name.
    pub async fn pgoutput(database: &Database, cut: Cut) -> Reading {
        let log = RelationLog::new();
        let decoder = Decoder::pgoutput(PgOutput::new(start(database), log.clone()), cut);
        Reading::begin(database, "pg", Pgoutput::new(["everything"]).options(), decoder, log).await
    }

    /// mppdb_decoding from the slot `mppdb_` and the database's name.
    pub async fn mppdb(
        database: &Database,
        variant: &Variant,
        cut: Cut,
        memory: usize,
        spill: Box<dyn Spill>,
    ) -> Reading {
        let log = RelationLog::new();
        let options = Options { batched: variant.batched, cut, memory, ..Options::new(variant.layout) };
        let decoder = Decoder::mppdb(Mppdb::new(options, start(database), log.clone(), spill));
        Reading::begin(database, "mppdb", variant.options(), decoder, log).await
    }

    async fn begin(
        database: &Database,
        slot: &str,
        options: Vec<(String, Option<String>)>,
        decoder: Decoder,
        log: RelationLog,
    ) -> Reading {
        let connect = database.options();
        let catalogue = database.session().await;
        let begin = StartReplication { slot: format!("{slot}_{}", database.name), from: Lsn(0), options };
        // The last reader's walsender may need a moment to let go of the slot.
        for _ in 0..1500 {
            let connection = ReplicationConnection::connect(&connect).await.unwrap();
            match connection.start(&begin, FlushPosition::new(Lsn(0)), StreamOptions::default()).await {
                Ok(stream) => {
                    let (reader, batch) = (stream.reader, Batch::new(0));
                    let (bytes, payloads, server_log) = (0, 0, Box::new(Database::server_log));
                    return Reading {
                        reader,
                        catalogue,
                        decoder,
                        log,
                        batch,
                        bytes,
                        payloads,
                        server_log,
                        _feedback: stream.feedback,
                    };
                }
                Err(error) if error.failure().code == "slot_in_use" => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{}", error.failure()),
            }
        }
        panic!("slot {slot} stays in use");
    }

    /// Reads on and gives the batch whenever it is cut, or the socket has no more; ends when `until` says so.
    pub async fn read(&mut self, mut until: impl FnMut(&Batch, &RelationLog, &Decoder) -> bool) {
        loop {
            while let Some(frame) = self.reader.next_frame().unwrap() {
                let Frame::XLogData { wal_start, payload, .. } = frame else {
                    assert!(!matches!(frame, Frame::End), "the stream ended");
                    continue;
                };
                self.bytes += payload.len() as u64;
                self.payloads += 1;
                loop {
                    match self.decoder.payload(wal_start, payload, &mut self.batch) {
                        Ok(Step::Done) => break,
                        Ok(Step::Cut) => {
                            let done = until(&self.batch, &self.log, &self.decoder);
                            self.batch.clear();
                            if done {
                                return;
                            }
                        }
                        Ok(Step::Ask(ask)) => {
                            let answer = answer(&self.catalogue, ask).await;
                            self.decoder.answer(answer).unwrap();
                        }
                        Ok(Step::Full) => panic!("{}", self.decoder.too_large()),
                        Err(failure) => panic!("{failure}: {:?}", String::from_utf8_lossy(payload)),
                    }
                }
            }
            let done = until(&self.batch, &self.log, &self.decoder);
            self.batch.clear();
            if done {
                return;
            }
            let filled = tokio::time::timeout(Duration::from_secs(60), self.reader.fill()).await.expect("WAL comes");
            filled.unwrap_or_else(|error| panic!("{error}\n{}", (self.server_log)()));
        }
    }

    /// All transactions up to the one that writes to `public.finish`, which is left out.
    pub async fn transactions(&mut self) -> Vec<Transaction> {
        let (mut out, mut open) = (Vec::new(), Vec::new());
        self.read(|batch, log, _| {
            let mut ends = batch.commits().iter().peekable();
            for n in 0..=batch.len() {
                while let Some(commit) = ends.next_if(|commit| commit.after as usize == n) {
                    let changes: Vec<Change> = std::mem::take(&mut open);
                    let finish = changes.iter().any(|change| change.table == "public.finish");
                    if finish {
                        return true;
                    }
                    let (xid, end_lsn, commit_time) = (commit.xid, commit.end_lsn, commit.commit_time);
                    out.push(Transaction { xid, end_lsn, commit_time, changes });
                }
                if n < batch.len() {
                    open.push(own(batch, n, log));
                }
            }
            false
        })
        .await;
        out
    }
}

fn own(batch: &Batch, n: usize, log: &RelationLog) -> Change {
    let relation = log.get(batch.relations()[n]).unwrap();
    let value = |cell: Cell<'_>| match cell {
        Cell::Null => Value::Null,
        Cell::Unsent => Value::Unsent,
        Cell::Text(text) => Value::Text(String::from_utf8(text.to_vec()).unwrap()),
    };
    let image = |mark: u8, cell: &dyn Fn(usize) -> Value| -> Vec<Value> {
        if batch.marks()[n] & mark == 0 { Vec::new() } else { (0..relation.columns.len()).map(cell).collect() }
    };
    Change {
        id: batch.ids()[n],
        table: format!("{}.{}", relation.schema, relation.table),
        identity: relation.identity,
        columns: relation.columns.iter().map(|column| (column.name.clone(), column.type_name.clone())).collect(),
        keys: relation.key_columns(),
        op: batch.ops()[n],
        marks: batch.marks()[n],
        new: image(marks::NEW, &|column| value(batch.new_cell(n, column))),
        old: image(marks::OLD, &|column| value(batch.old_cell(n, column))),
    }
}

async fn answer(sql: &SqlConnection, ask: Ask) -> Answer {
    const KEYS: &str = "SELECT coalesce(array_agg(a.attname::text ORDER BY k.n), '{}') FROM pg_index i \
        CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n) \
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE i.indisprimary AND i.indrelid = $1";
    let (schema, table) = match ask {
        Ask::Keys { oid } => return Answer::Keys(sql.query_one(KEYS, &[&oid]).await.unwrap().get(0)),
        Ask::Table { schema, table } => (schema, table),
    };
    let found = "SELECT c.oid, c.relreplident FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = $1 AND c.relname = $2";
    let Some(row) = sql.query_opt(found, &[&schema, &table]).await.unwrap() else {
        return Answer::Table(CatalogueTable::gone());
    };
    let (oid, identity) = (row.get::<_, u32>(0), row.get::<_, i8>(1));
    let columns = "SELECT a.attname::text, format_type(a.atttypid, NULL), a.atttypid, a.atttypmod, \
        CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, NULL) END \
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let columns = sql.query(columns, &[&oid]).await.unwrap();
    let column = |row: &tokio_postgres::Row| CatalogueColumn {
        name: row.get(0),
        type_name: row.get(1),
        type_oid: row.get(2),
        type_modifier: Some(row.get(3)),
        base_type: row.get(4),
    };
    Answer::Table(CatalogueTable {
        oid,
        identity: match identity as u8 {
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            b'n' => ReplicaIdentity::Nothing,
            _ => ReplicaIdentity::Default,
        },
        columns: columns.iter().map(column).collect(),
        key_columns: sql.query_one(KEYS, &[&oid]).await.unwrap().get(0),
    })
}
