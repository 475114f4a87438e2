//! Drains a slot into a counter: what reading costs, without anything behind it.
//!
//! `drain HOST PORT USER DATABASE SLOT PUBLICATION CHANGES [COALESCE_MS]`; a HOST with a slash is a socket directory, 0 ms
//! reads at once. Confirms nothing, so a slot can be drained again. Prints changes, seconds, reads and CPU.

use millrace_batch::Lsn;
use millrace_replication::{
    ConnectOptions, FlushPosition, Frame, Host, Pgoutput, ReplicationConnection, SslMode, StartReplication,
    StreamOptions,
};
use std::time::{Duration, Instant};

/// CPU time of this process in seconds, user and system.
fn cpu_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    (ticks(11), ticks(12))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, user, database, slot, publication, changes, rest @ ..] = arguments.as_slice() else {
        return Err("HOST PORT USER DATABASE SLOT PUBLICATION CHANGES [COALESCE_MS]".into());
    };
    let host = if host.contains('/') { Host::Unix(host.into()) } else { Host::Tcp(host.clone()) };
    let mut options = ConnectOptions::new(host, port.parse()?, user, database);
    options.sslmode = SslMode::Prefer;
    options.password = std::env::var("PGPASSWORD").ok().map(millrace_replication::Secret::new);
    if std::env::var("PGSSLMODE").is_ok_and(|mode| mode == "disable") {
        options.sslmode = SslMode::Disable;
    }
    let wait: u64 = rest.first().map_or(Ok(1), |text| text.parse())?;
    let coalesce = (wait > 0).then(|| Duration::from_millis(wait));
    let wanted: u64 = changes.parse()?;

    let connection = ReplicationConnection::connect(&options).await?;
    let start = StartReplication { slot: slot.clone(), from: Lsn(0), options: Pgoutput::new([publication]).options() };
    let stream = StreamOptions { coalesce, ..StreamOptions::default() };
    let mut stream = connection.start(&start, FlushPosition::default(), stream).await?;
    let (mut seen, mut bytes, mut reads) = (0u64, 0usize, 0u64);
    let mut started = None;
    while seen < wanted {
        bytes += stream.reader.fill().await?;
        started.get_or_insert_with(Instant::now);
        reads += 1;
        while let Some(frame) = stream.reader.next_frame()? {
            if let Frame::XLogData { payload, .. } = frame {
                seen += u64::from(matches!(payload.first(), Some(b'I' | b'U' | b'D')));
            }
        }
    }
    let seconds = started.map_or(0.0, |started| started.elapsed().as_secs_f64());
    let (user_cpu, system_cpu) = cpu_seconds();
    println!(
        "{seen} changes, {bytes} bytes in {seconds:.2} s: {:.0} changes/s; {reads} reads; CPU {:.2} us per change (user {user_cpu:.2} s, system {system_cpu:.2} s)",
        seen as f64 / seconds,
        (user_cpu + system_cpu) * 1e6 / seen as f64,
    );
    Ok(())
}
