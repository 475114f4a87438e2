//! The day with a simulated GaussDB Distributed: pre-check, a stream for each data node, a failover in the middle.

use super::broker::{Broker, PARTITIONS, Reader};
use super::cluster::{Cluster, NODES, source_settings};
use super::day::{Day, Step};
use super::pipeline::Pipeline;
use super::shop::{End, TABLES, Transaction};
use super::show::{Findings, Show};
use super::{DATABASE, Ending, Options, PATIENCE, scratch, task_file, topics, verify};
use crate::check::{Item, Verdict};
use crate::config;
use millrace_batch::Failure;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two transactions: the day takes some seconds, so that the failover meets a stream that flows.
const PACE: Duration = Duration::from_millis(3);

/// The node that fails over.
const FAILING: usize = 1;

pub(super) async fn whole_day(options: &Options, show: Show) -> Result<Ending, Failure> {
    show.title("GaussDB Distributed (simulated)");
    let scratch = scratch()?;
    let seed = options.seed();
    let (password, password_file) = password(scratch.path())?;
    let mut cluster = Cluster::start(seed, &password)?;
    let tables = TABLES.len();
    show.fact("source", &format!("coordinator on 127.0.0.1:{}, {NODES} data nodes, {tables} tables", cluster.port()));
    let topics = topics();
    let broker = Broker::start(topics.clone())?;
    show.fact("broker", &format!("embedded, on {}, {PARTITIONS} partitions a topic", broker.address()));

    let task = task_file(&source_settings(cluster.port()), &password_file, &broker.address());
    checked(&task, scratch.path(), show).await?;
    let mut pipeline = Pipeline::start(&task, scratch.path())?;
    pipeline.until_streaming(async || Ok(cluster.is_read())).await?;
    let names: Vec<&str> = (0..NODES).map(|node| cluster.name(node)).collect();
    show.fact("shards", &format!("{}: a slot, a stream and a position each", names.join(", ")));
    show.fact("gateway", "streaming through select, topic-router and drs-json");

    let reader = broker.reader()?;
    reader.count()?;
    let began = Instant::now();
    let (transactions, rolled_back) = open_shop(&mut cluster, seed, options.rows as usize, show).await;
    let shop = began.elapsed();
    let closed = Instant::now();
    let complete = arrivals(&reader, &cluster, &mut pipeline).await?;
    let behind = complete.then(|| closed.elapsed());
    pipeline.stop().await?;

    let records = reader.read_all()?;
    let verdict = verify::verify(DATABASE, cluster.committed(), &records);
    show.findings(&Findings {
        seed,
        transactions,
        rolled_back,
        shop,
        behind,
        confirmed: &cluster.confirmed(),
        topics: &topics,
        records: &records,
        verdict: &verdict,
    });
    Ok(if verdict.passed() { Ending::Passed } else { Ending::Refuted })
}

/// A password of this run, and the file that tells it to the gateway.
fn password(folder: &Path) -> Result<(String, std::path::PathBuf), Failure> {
    let password = format!("Demo@{:016x}", fastrand::u64(..));
    let path = folder.join("password");
    let mut file = File::options();
    let written = file.write(true).create_new(true).mode(0o600).open(&path);
    let written = written.and_then(|mut file| file.write_all(password.as_bytes()));
    match written {
        Ok(()) => Ok((password, path)),
        Err(error) => {
            let mend = "make room there, or set TMPDIR to another folder";
            Err(Failure::definite("demo_source", "writing the password file", error.to_string(), mend))
        }
    }
}

/// The pre-check of `millrace check`, as far as it is about the source: the embedded broker answers no administrator's questions.
async fn checked(task: &str, folder: &Path, show: Show) -> Result<(), Failure> {
    let mut task = config::parse(task, folder).map_err(|problems| {
        Failure::definite("demo_task", "reading the demo's task file", problems.to_string(), "report it, please")
    })?;
    task.sink.kind = config::SinkKind::Blackhole;
    let report = crate::check::check(&task).await;
    let source: Vec<&Item> = report.items.iter().filter(|item| item.id.starts_with("source")).collect();
    let count = |verdict| source.iter().filter(|item| item.verdict == verdict).count();
    let text = format!(
        "{} items passed, {} to confirm, {} failed",
        count(Verdict::Passed),
        count(Verdict::Alarm),
        count(Verdict::Failed)
    );
    show.fact("pre-check", &text);
    for item in source.iter().filter(|item| matches!(item.verdict, Verdict::Alarm | Verdict::Failed)) {
        show.fact("", &format!("{} {}: {}", item.verdict, item.id, item.reason));
    }
    Ok(())
}

/// Runs the day; half-way the primary of one data node dies. Gives how many transactions committed and were rolled back.
async fn open_shop(cluster: &mut Cluster, seed: u64, rows: usize, show: Show) -> (usize, usize) {
    let (mut committed, mut rolled_back, mut changes, mut failed_over) = (0, 0, 0, false);
    let mut one = |cluster: &mut Cluster, transaction: Transaction| {
        changes += transaction.changes.len();
        match transaction.end {
            End::Commit => {
                committed += 1;
                cluster.commit(&transaction);
            }
            End::Rollback => rolled_back += 1,
        }
        changes
    };
    for step in Day::new(seed, rows) {
        let changes = match step {
            Step::Alone(transaction) => one(cluster, transaction),
            Step::Overlapping { outer, inner } => {
                one(cluster, inner);
                one(cluster, outer)
            }
        };
        if !failed_over && changes * 2 >= rows {
            failed_over = true;
            let (before, after) = cluster.failover(FAILING);
            let name = cluster.name(FAILING);
            show.fact(
                "failover",
                &format!("{name}: the primary on port {before} died, its standby on {after} took over"),
            );
        }
        tokio::time::sleep(PACE).await;
    }
    (committed, rolled_back)
}

/// Waits until every slot is confirmed to its end: true, or nothing moved for [`PATIENCE`]: false, the check will say what is missing.
async fn arrivals(reader: &Reader, cluster: &Cluster, pipeline: &mut Pipeline) -> Result<bool, Failure> {
    let (mut seen, mut since) = ((0, 0), Instant::now());
    loop {
        pipeline.must_run().await?;
        let now = (cluster.finished(), reader.count()?);
        if now.0 == NODES {
            return Ok(true);
        }
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
