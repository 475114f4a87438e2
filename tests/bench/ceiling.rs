//! How fast the server gives the changes to a reader that does nothing with them: `pg_recvlogical` over TCP into a pipe.

use crate::backlog::Backlog;
use crate::report::Drain;
use millrace_tests::postgres::client_program;
use millrace_tests::process::{cpu_time, peak_rss_kib};
use std::io::Read;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Drains the round's slot.
pub fn measure(backlog: &Backlog, round: usize, changes: u64) -> Drain {
    let (database, slot) = (&backlog.database, &backlog.ceiling_slots[round]);
    let end = database.one("SELECT pg_current_wal_insert_lsn()").expect("an LSN");
    // pg_recvlogical leaves at the first message beyond its end position, so there has to be one.
    database.exec(&format!("INSERT INTO pulse VALUES ({round})"));
    let mut command = client_program("pg_recvlogical");
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &database.port().to_string(),
        "-U",
        "postgres",
        "-d",
        database.name(),
        "-S",
        slot,
    ]);
    command.args([
        "--start",
        "-f",
        "-",
        "-F",
        "0",
        "--no-loop",
        "-o",
        "proto_version=1",
        "-o",
        "publication_names=bench",
    ]);
    command.args(["--endpos", &end]).stdin(Stdio::null()).stdout(Stdio::piped());
    let start = Instant::now();
    let mut reader = command.spawn().expect("run pg_recvlogical");
    let mut pipe = reader.stdout.take().expect("its output is a pipe");
    let walsender_us = Arc::new(AtomicU64::new(0));
    let sampler = std::thread::spawn({
        let (walsender_us, session, reader) = (walsender_us.clone(), database.session(), reader.id());
        let sql = format!("SELECT active_pid FROM pg_replication_slots WHERE slot_name='{slot}'");
        move || {
            let mut used = (Duration::ZERO, 0);
            let mut pid = None;
            // The walsender is gone when its client is, so the last sample counts.
            while let Some(cpu) = cpu_time(reader) {
                used = (cpu, peak_rss_kib(reader).unwrap_or(used.1));
                pid = pid.or_else(|| session.one(&sql)?.parse().ok());
                if let Some(cpu) = pid.and_then(cpu_time) {
                    walsender_us.store(cpu.as_micros().try_into().expect("less than an age"), Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            used
        }
    });
    let mut buffer = vec![0; 1 << 18];
    let (mut first, mut last) = (None, start);
    while let Ok(length @ 1..) = pipe.read(&mut buffer) {
        // The last bytes may be those of the pulse alone; it follows at once.
        let _ = length;
        last = Instant::now();
        first.get_or_insert(last);
    }
    let status = reader.wait().expect("wait for pg_recvlogical");
    assert!(status.success(), "pg_recvlogical: {status}");
    let (client_cpu, peak_kib) = sampler.join().expect("the sampler does not panic");
    let first = first.expect("pg_recvlogical gave something");
    Drain {
        changes,
        seconds: (last - first).as_secs_f64(),
        first_record: first - start,
        client_cpu,
        walsender_cpu: Duration::from_micros(walsender_us.load(Ordering::Relaxed)),
        broker_cpu: Duration::ZERO,
        peak_rss_kib: peak_kib,
        breakdown: Vec::new(),
    }
}
