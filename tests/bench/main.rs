//! `make bench`: one backlog of changes, drained by `pg_recvlogical` into a pipe (the ceiling), by the gateway into nothing, and by
//! the gateway into a real broker, all in one run on the same cores; then the latency at a fixed rate.
//!
//! Rates are taken from the first to the last change that came out, for the ceiling and the gateway alike; what happens before the
//! first one is told apart as `first_record_ms`. CPU time covers the whole life of a process up to the last change, its start
//! included. Writes target/bench/latest.json.

mod backlog;
mod ceiling;
mod drain;
mod latency;
mod report;
mod shards;

use millrace_tests::kafka::{Jvm, Kafka};
use millrace_tests::postgres::Postgres;
use report::{Drain, Report};

/// Command line: what is measured, and how often.
struct Plan {
    changes: u64,
    rounds: usize,
    latency_seconds: u64,
    /// Rows on each data node of the simulated cluster; then nothing else is measured.
    shards: Option<u64>,
}

impl Plan {
    fn from_args() -> Result<Self, String> {
        let mut plan = Self { changes: 1_000_000, rounds: 3, latency_seconds: 10, shards: None };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let mut number =
                || args.next().and_then(|text| text.parse::<u64>().ok()).ok_or(format!("{name} wants a number"));
            match name.as_str() {
                "--changes" => plan.changes = number()?,
                "--rounds" => plan.rounds = usize::try_from(number()?.max(1)).map_err(|e| e.to_string())?,
                "--latency-seconds" => plan.latency_seconds = number()?,
                "--shards" => plan.shards = Some(number()?.max(1)),
                _ => {
                    return Err(format!(
                        "{name}: known are --changes N, --rounds N, --latency-seconds N, --shards ROWS"
                    ));
                }
            }
        }
        // Ten changes a transaction.
        plan.changes = plan.changes.div_ceil(10).max(100) * 10;
        Ok(plan)
    }
}

fn main() -> std::process::ExitCode {
    let plan = match Plan::from_args() {
        Ok(plan) => plan,
        Err(usage) => {
            eprintln!("{usage}");
            return std::process::ExitCode::from(2);
        }
    };
    println!("gateway: {}", millrace_tests::gateway::program().display());
    if let Some(rows) = plan.shards {
        shards::measure(&Kafka::start(Jvm::Full, ""), rows, plan.rounds);
        return std::process::ExitCode::SUCCESS;
    }
    let postgres = Postgres::start("autovacuum = off\ncheckpoint_timeout = 1h\nmax_wal_size = 16GB");
    let kafka = Kafka::start(Jvm::Full, "");
    let backlog = backlog::Backlog::prepare(&postgres, &kafka, plan.rounds);
    let seconds = backlog.fill(plan.changes);
    println!("backlog: {} changes made in {seconds:.1} s", plan.changes);

    let mut report = Report::new(&postgres, plan.changes);
    // Round by round, so that what disturbs the machine disturbs all of them.
    for round in 0..plan.rounds {
        report.ceiling.push(shown("ceiling", ceiling::measure(&backlog, round, plan.changes)));
        report.blackhole.push(shown("blackhole", drain::into_nothing(&backlog, round, plan.changes)));
        report.kafka.push(shown("kafka", drain::into_kafka(&backlog, &kafka, round, plan.changes)));
    }
    report.latency = (plan.latency_seconds > 0).then(|| latency::measure(&postgres, &kafka, plan.latency_seconds));
    report.print();
    report.write();
    std::process::ExitCode::SUCCESS
}

fn shown(what: &str, drain: Drain) -> Drain {
    println!("  {what:<10} {drain}");
    drain
}
