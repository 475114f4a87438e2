//! `millrace demo`: the whole way, on one machine, with a check at its end.
//!
//! Owns the order of things: a source of its own, an embedded broker, the gateway's own pipeline between them, a day in a small
//! shop, and a comparison of what was committed with what arrived. The source is a simulated GaussDB Distributed, which needs
//! nothing but this program, or with `--postgres` a private PostgreSQL. Nothing is left when it ends, however it ends. Must not
//! reach around the pipeline: the task is a task file like any other.

mod broker;
mod cluster;
mod day;
mod gaussdb;
mod pipeline;
mod postgres;
mod scratch;
mod shop;
mod show;
mod verify;

use broker::{Broker, KEPT_BYTES_PER_PARTITION, PARTITIONS, Reader};
use day::{Day, Step};
use millrace_batch::Failure;
use pipeline::Pipeline;
use postgres::{DATABASE, Postgres, USER};
use scratch::Scratch;
use shop::{Change, End, SCHEMA, TABLES, Transaction};
use show::{Findings, Show};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// Upper bound of `--rows`: the embedded broker drops old records above a size, and then the check would not find them.
const MOST_ROWS: u32 = 10_000;

/// Bytes of the longest message this shop makes, generously: what [`MOST_ROWS`] rests on.
const LONGEST_MESSAGE: u64 = 1500;

// All changes in the fullest topic, which gets less than that: its partitions still hold them.
const _: () = assert!(MOST_ROWS as u64 * LONGEST_MESSAGE < KEPT_BYTES_PER_PARTITION * PARTITIONS as u64);

/// How long nothing may arrive before the demo stops waiting for what is missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Arguments of `millrace demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Row changes the shop commits, at least
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ROWS)))]
    pub rows: u32,
    /// Repeats the day of this seed; a new one each time otherwise
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Reads a private PostgreSQL, which must be installed, instead of a simulated GaussDB Distributed
    #[arg(long)]
    pub postgres: bool,
}

impl Options {
    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| fastrand::u64(..u64::from(u32::MAX)))
    }
}

/// How a demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every committed change arrived once and in order.
    Passed,
    /// The check found something: exit code 5.
    Refuted,
    /// Ctrl-C or SIGTERM: everything was stopped and removed.
    Interrupted,
}

/// Runs the demo; text or, with `json`, one object on standard output.
///
/// Call it on the thread that blocks on the runtime: the embedded broker stays where it was made.
///
/// # Errors
/// `demo_source` and `demo_broker` when its own servers cannot be had, and every failure of the pipeline.
pub async fn run(options: &Options, json: bool) -> Result<Ending, Failure> {
    let show = Show::new(json);
    // Dropping the unfinished day on a signal stops and removes what it holds.
    let day = async {
        if options.postgres { whole_day(options, show).await } else { gaussdb::whole_day(options, show).await }
    };
    let ending = tokio::select! {
        ending = day => ending?,
        () = interrupted() => return Ok(Ending::Interrupted),
    };
    show.farewell();
    Ok(ending)
}

fn scratch() -> Result<Scratch, Failure> {
    Scratch::create().map_err(|e| {
        let dir = std::env::temp_dir();
        let mend = "make room there, or set TMPDIR to another folder";
        Failure::definite("demo_source", format!("making a folder in {}", dir.display()), e.to_string(), mend)
    })
}

/// Topics of the tables.
fn topics() -> Vec<String> {
    TABLES.iter().map(|table| format!("{DATABASE}-public-{}", table.name)).collect()
}

async fn whole_day(options: &Options, show: Show) -> Result<Ending, Failure> {
    show.title("PostgreSQL");
    let scratch = scratch()?;
    // Dropped in the opposite order: gateway, broker, server, folder.
    let postgres = Postgres::start(&scratch).await?;
    postgres.connect("postgres").await?.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await.map_err(sql)?;
    let clients = [postgres.connect(DATABASE).await?, postgres.connect(DATABASE).await?];
    clients[0].batch_execute(SCHEMA).await.map_err(sql)?;
    let version = postgres.version();
    show.fact("source", &format!("PostgreSQL {version} on 127.0.0.1:{}, {} tables", postgres.port(), TABLES.len()));

    let topics = topics();
    let broker = Broker::start(topics.clone())?;
    show.fact("broker", &format!("embedded, on {}, {PARTITIONS} partitions a topic", broker.address()));

    let source = format!(
        r#"kind = "postgresql"
hosts = ["127.0.0.1:{port}"]
database = "{DATABASE}"
user = "{USER}"
publication = "{slot}"
create_publication = true"#,
        port = postgres.port(),
        slot = pipeline::SLOT,
    );
    let task = task_file(&source, postgres.password_file(), &broker.address());
    let mut pipeline = Pipeline::start(&task, scratch.path())?;
    // The server's word, not the gateway's.
    let active = async || {
        let sql = "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND active";
        Ok(clients[0].query_opt(sql, &[&pipeline::SLOT]).await.map_err(self::sql)?.is_some())
    };
    pipeline.until_streaming(active).await?;
    show.fact("gateway", "streaming through select, topic-router and drs-json");

    // Connected before the shop opens, so that what is measured is the way of the records and not that of the first question.
    let reader = broker.reader()?;
    reader.count()?;
    let seed = options.seed();
    let began = Instant::now();
    let log = open_shop(&clients, Day::new(seed, options.rows as usize)).await?;
    let shop = began.elapsed();

    let closed = Instant::now();
    let complete = arrivals(&reader, log.committed.len() as u64, &mut pipeline).await?;
    let behind = complete.then(|| closed.elapsed());
    // Stopped before the topics are read, so that a record that came too often is seen too.
    pipeline.stop().await?;
    let confirmed = clients[0]
        .query_one(
            "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1",
            &[&pipeline::SLOT],
        )
        .await
        .map_err(sql)?
        .get(0);

    let records = reader.read_all()?;
    let verdict = verify::verify(DATABASE, std::slice::from_ref(&log.committed), &records);
    show.findings(&Findings {
        seed,
        transactions: log.transactions,
        rolled_back: log.rolled_back,
        shop,
        behind,
        confirmed: &[(pipeline::SLOT.to_owned(), confirmed)],
        topics: &topics,
        records: &records,
        verdict: &verdict,
    });
    Ok(if verdict.passed() { Ending::Passed } else { Ending::Refuted })
}

/// The task file of the demo. What it leaves out has the same defaults as everywhere.
fn task_file(source: &str, password: &Path, broker: &str) -> String {
    let tables: Vec<String> = TABLES.iter().map(|table| format!("public.{}", table.name)).collect();
    format!(
        r#"
[task]
name = "demo"

[source]
{source}
password = {{ file = {password:?} }}
sslmode = "disable"
slot = "{slot}"

[objects]
include = {tables:?}

[check]
at_start = false   # the embedded broker answers no administrator

[route]
partitions = {PARTITIONS}
create_topics = false

[sink]
kind = "kafka"
brokers = ["{broker}"]

[position]
store = "file"
path = "demo.position"

[pipeline]
on_halt = "exit"

[admin]
listen = "127.0.0.1:0"
"#,
        slot = pipeline::SLOT,
    )
}

/// What the shop did.
#[derive(Debug, Default)]
struct Log {
    committed: Vec<Change>,
    transactions: usize,
    rolled_back: usize,
}

impl Log {
    fn add(&mut self, transaction: Transaction) {
        match transaction.end {
            End::Commit => self.transactions += 1,
            End::Rollback => self.rolled_back += 1,
        }
        self.committed.extend(transaction.changes);
    }
}

/// Runs the day's transactions; the log is in commit order.
async fn open_shop(clients: &[Client; 2], day: Day) -> Result<Log, Failure> {
    let mut log = Log::default();
    let begin = |one: &Transaction| format!("BEGIN;\n{}", one.statements);
    let end = |one: &Transaction| match one.end {
        End::Commit => "COMMIT",
        End::Rollback => "ROLLBACK",
    };
    for step in day {
        match step {
            Step::Alone(one) => {
                clients[0].batch_execute(&(begin(&one) + end(&one))).await.map_err(sql)?;
                log.add(one);
            }
            Step::Overlapping { outer, inner } => {
                clients[0].batch_execute(&begin(&outer)).await.map_err(sql)?;
                clients[1].batch_execute(&(begin(&inner) + end(&inner))).await.map_err(sql)?;
                clients[0].batch_execute(end(&outer)).await.map_err(sql)?;
                log.add(inner);
                log.add(outer);
            }
        }
    }
    Ok(log)
}

/// Waits until `wanted` records are in the broker: true, or none has come for [`PATIENCE`]: false, the check will say what is missing.
async fn arrivals(reader: &Reader, wanted: u64, pipeline: &mut Pipeline) -> Result<bool, Failure> {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        pipeline.must_run().await?;
        let count = reader.count()?;
        if count >= wanted {
            return Ok(true);
        }
        if count > seen {
            (seen, since) = (count, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn interrupted() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            // Then SIGTERM ends the process as it would without us, and the janitor clears up.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        // An error here means the same: Ctrl-C ends the process, the janitor clears up.
        interrupt = tokio::signal::ctrl_c() => if interrupt.is_err() { std::future::pending::<()>().await },
        () = terminate => {}
    }
}

fn sql(error: tokio_postgres::Error) -> Failure {
    let why = error.as_db_error().map_or_else(|| format!("{error:?}"), ToString::to_string);
    Failure::definite(
        "demo_source",
        "running the shop's statements",
        why,
        "run the demo again; if it happens again, report it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_task_file_is_legal() {
        let postgresql = "kind = \"postgresql\"\nhosts = [\"127.0.0.1:5432\"]\ndatabase = \"shop\"\nuser = \"u\"";
        for source in [postgresql.to_owned(), cluster::source_settings(8000)] {
            let text = task_file(&source, Path::new("/secrets/password"), "127.0.0.1:9092");
            crate::config::parse(&text, Path::new("/tmp")).unwrap_or_else(|problems| panic!("{problems:?}"));
        }
    }
}
