//! Slots: made, dropped, missing, taken, lost.

use crate::assert_failure;
use crate::cluster::{FRAGILE, MAIN};
use millrace_batch::Class::{Definite, Transient};
use millrace_batch::Lsn;
use millrace_replication::{
    CreateSlot, Error, FlushPosition, Pgoutput, ReplicationConnection, ReplicationStream, Snapshot, StartReplication,
    StreamOptions, catalog,
};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(20);

async fn start(database: &str, slot: &str) -> Result<ReplicationStream, Error> {
    let connection = ReplicationConnection::connect(&MAIN.unix(database)).await?;
    let options = Pgoutput::new(["p"]).options();
    let start = StartReplication { slot: slot.into(), from: Lsn(0), options };
    connection.start(&start, FlushPosition::default(), StreamOptions::default()).await
}

#[tokio::test]
async fn a_slot_lives_and_dies() {
    let database = MAIN.database("slot_life");
    let sql = MAIN.sql(&database).await;
    let mut connection = ReplicationConnection::connect(&MAIN.unix(&database)).await.unwrap();
    let created = connection.create_slot(&CreateSlot::pgoutput("life"), BOUND).await.unwrap();
    assert_eq!((created.name.as_str(), created.snapshot), ("life", None));

    let seen = catalog::slot(&sql, "life").await.unwrap().unwrap();
    assert_eq!(seen.plugin.as_deref(), Some("pgoutput"));
    assert_eq!(seen.database.as_deref(), Some("slot_life"));
    assert_eq!(seen.confirmed_flush_lsn, Some(created.consistent_point));
    assert_eq!((seen.active, seen.temporary, seen.is_lost()), (false, false, false));
    assert_eq!(seen.wal_status.as_deref(), Some("reserved"));
    assert!(seen.retained_bytes.unwrap() >= 0 && seen.lag_bytes.unwrap() >= 0);

    let again = connection.create_slot(&CreateSlot::pgoutput("life"), BOUND).await;
    assert_failure(again, "slot_exists", Definite);
    connection.drop_slot("life", true).await.unwrap();
    assert_eq!(catalog::slot(&sql, "life").await.unwrap(), None);
    assert_failure(connection.drop_slot("life", true).await, "slot_missing", Definite);
    assert_failure(start(&database, "life").await, "slot_missing", Definite);

    let temporary = CreateSlot { temporary: true, snapshot: Snapshot::Export, ..CreateSlot::pgoutput("brief") };
    let created = connection.create_slot(&temporary, BOUND).await.unwrap();
    assert!(created.snapshot.is_some_and(|name| !name.is_empty()));
    assert!(catalog::slot(&sql, "brief").await.unwrap().unwrap().temporary);
    let refused = CreateSlot { plugin: "no_such_plugin".into(), ..CreateSlot::pgoutput("other") };
    let error = connection.create_slot(&refused, BOUND).await.unwrap_err().failure();
    // Servers since CVE-2026-6471 check the list of allowed plugins first.
    assert!(["plugin_refused", "plugin_missing"].contains(&error.code), "{error}");
    assert!(error.is_definite());
}

#[tokio::test]
async fn a_slot_has_one_reader_and_one_database() {
    let database = MAIN.database("slot_use");
    MAIN.psql(&database, "CREATE PUBLICATION p FOR ALL TABLES");
    let mut connection = ReplicationConnection::connect(&MAIN.unix(&database)).await.unwrap();
    connection.create_slot(&CreateSlot::pgoutput("used"), BOUND).await.unwrap();
    let ReplicationStream { reader, feedback } = start(&database, "used").await.unwrap();
    assert_failure(start(&database, "used").await, "slot_in_use", Transient);
    reader.finish(feedback, BOUND).await.unwrap();
    // The slot is free at once.
    let stream = start(&database, "used").await.unwrap();
    stream.reader.finish(stream.feedback, BOUND).await.unwrap();
    assert_failure(start("postgres", "used").await, "slot_wrong_database", Definite);
    connection.simple_query("CREATE_REPLICATION_SLOT phys PHYSICAL RESERVE_WAL").await.unwrap();
    assert_failure(start(&database, "phys").await, "slot_not_logical", Definite);
    connection.drop_slot("phys", true).await.unwrap();
}

/// A server says CopyDone first, lets go of the slot, and is ready then. Scripted, since on a quiet machine the two look like one.
#[tokio::test]
async fn a_stream_has_ended_when_the_server_is_ready_again() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let free = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let freed = std::sync::Arc::clone(&free);
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut start_up = vec![0; socket.read_u32().await.unwrap() as usize - 4];
        socket.read_exact(&mut start_up).await.unwrap();
        socket.write_all(b"R\0\0\0\x08\0\0\0\0S\0\0\0\x16server_version\x0015\0Z\0\0\0\x05I").await.unwrap();
        loop {
            let tag = socket.read_u8().await.unwrap();
            let mut body = vec![0; socket.read_u32().await.unwrap() as usize - 4];
            socket.read_exact(&mut body).await.unwrap();
            match tag {
                b'Q' if body.starts_with(b"SELECT") => socket.write_all(b"I\0\0\0\x04Z\0\0\0\x05I").await.unwrap(),
                b'Q' => socket.write_all(b"W\0\0\0\x07\0\0\0").await.unwrap(),
                b'c' => break,
                _ => {}
            }
        }
        socket.write_all(b"c\0\0\0\x04").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        freed.store(true, std::sync::atomic::Ordering::SeqCst);
        socket.write_all(b"C\0\0\0\x0bCOPY 0\0Z\0\0\0\x05I").await.unwrap();
    });
    let mut options = millrace_replication::ConnectOptions::new(
        millrace_replication::Host::Tcp("127.0.0.1".into()),
        port,
        "cdc",
        "shop",
    );
    options.sslmode = millrace_replication::SslMode::Disable;
    let connection = ReplicationConnection::connect(&options).await.unwrap();
    let asked = StartReplication { slot: "used".into(), from: Lsn(0), options: Vec::new() };
    let stream = connection.start(&asked, FlushPosition::default(), StreamOptions::default()).await.unwrap();
    stream.reader.finish(stream.feedback, BOUND).await.unwrap();
    assert!(free.load(std::sync::atomic::Ordering::SeqCst), "the slot is still held");
    server.await.unwrap();
}

#[tokio::test]
async fn a_blocked_creation_leaves_no_slot_behind() {
    let database = MAIN.database("slot_blocked");
    let blocker = MAIN.sql(&database).await;
    blocker.batch_execute("BEGIN; SELECT txid_current();").await.unwrap();
    let mut connection = ReplicationConnection::connect(&MAIN.unix(&database)).await.unwrap();
    let blocked = connection.create_slot(&CreateSlot::pgoutput("late"), Duration::from_millis(300)).await;
    assert_failure(blocked, "slot_creation_blocked", Transient);
    let sql = MAIN.sql(&database).await;
    let open = catalog::open_transactions(&sql).await.unwrap();
    assert!(open.iter().any(|t| t.state.as_deref() == Some("idle in transaction")), "{open:?}");
    blocker.batch_execute("COMMIT").await.unwrap();
    assert_eq!(catalog::slot(&sql, "late").await.unwrap(), None);
    // The connection is whole: the cancelled command is over.
    connection.create_slot(&CreateSlot::pgoutput("late"), BOUND).await.unwrap();
    connection.drop_slot("late", true).await.unwrap();
}

/// One test, as it stops the server others of this cluster would need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_slot_and_a_server_that_goes() {
    let options = FRAGILE.unix("postgres");
    FRAGILE.psql("postgres", "CREATE PUBLICATION p FOR ALL TABLES; CREATE TABLE t (id int PRIMARY KEY)");
    let mut connection = ReplicationConnection::connect(&options).await.unwrap();
    connection.create_slot(&CreateSlot::pgoutput("lost"), BOUND).await.unwrap();
    for id in 0..4 {
        FRAGILE.psql("postgres", &format!("INSERT INTO t VALUES ({id})"));
        FRAGILE.psql("postgres", "SELECT pg_switch_wal()");
        FRAGILE.psql("postgres", "CHECKPOINT");
    }
    let sql = FRAGILE.sql("postgres").await;
    assert!(catalog::slot(&sql, "lost").await.unwrap().unwrap().is_lost());
    let start =
        |slot: &str| StartReplication { slot: slot.into(), from: Lsn(0), options: Pgoutput::new(["p"]).options() };
    let lost = connection.start(&start("lost"), FlushPosition::default(), StreamOptions::default()).await;
    assert_failure(lost, "slot_lost", Definite);

    // A stream that confirms what the server says it has sent lets it shut down in order.
    let mut connection = ReplicationConnection::connect(&options).await.unwrap();
    connection.create_slot(&CreateSlot::pgoutput("kept"), BOUND).await.unwrap();
    let position = FlushPosition::default();
    let stream = connection.start(&start("kept"), position.clone(), StreamOptions::default()).await.unwrap();
    let mut reader = stream.reader;
    let reading = tokio::spawn(async move {
        let _feedback = stream.feedback;
        loop {
            reader.fill().await?;
            while let Some(frame) = reader.next_frame()? {
                match frame {
                    millrace_replication::Frame::Keepalive { wal_end, .. } => position.confirm(wal_end),
                    millrace_replication::Frame::XLogData { .. } => {}
                    millrace_replication::Frame::End => return Ok::<_, Error>(()),
                }
            }
        }
    });
    // Before that the server ends a walsender as any other session.
    while FRAGILE.psql("postgres", "SELECT state FROM pg_stat_replication") != "streaming" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(sql);
    tokio::task::spawn_blocking(|| FRAGILE.restart("fast")).await.unwrap();
    reading.await.unwrap().unwrap();

    // A server that dies is a failure that passes.
    let connection = ReplicationConnection::connect(&options).await.unwrap();
    let stream = connection.start(&start("kept"), FlushPosition::default(), StreamOptions::default()).await.unwrap();
    tokio::task::spawn_blocking(|| FRAGILE.stop("immediate")).await.unwrap();
    let mut reader = stream.reader;
    let error = loop {
        match reader.fill().await {
            Err(error) => break error,
            Ok(_) => match reader.next_frame() {
                Err(error) => break error,
                Ok(_) => continue,
            },
        }
    };
    assert!(error.is_transient(), "{error}");
    assert_failure(ReplicationConnection::connect(&options).await, "connection_refused", Transient);
}
