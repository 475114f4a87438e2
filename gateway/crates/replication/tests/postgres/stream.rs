//! A running stream: everything arrives, feedback is heard, errors in its middle have their names.

use crate::assert_failure;
use crate::cluster::MAIN;
use millrace_batch::Class::{Definite, Transient};
use millrace_batch::Lsn;
use millrace_replication::{
    ConnectOptions, CreateSlot, Error, FlushPosition, Frame, Pgoutput, ReplicationConnection, ReplicationStream,
    StartReplication, StreamOptions, StreamReader, catalog,
};
use std::time::{Duration, Instant};

const BOUND: Duration = Duration::from_secs(20);

/// A database with a table, a publication and a slot of the same name.
async fn prepare(name: &str) {
    MAIN.database(name);
    MAIN.psql(name, "CREATE TABLE t (id int8 PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t");
    let mut connection = ReplicationConnection::connect(&MAIN.unix(name)).await.unwrap();
    connection.create_slot(&CreateSlot::pgoutput(name), BOUND).await.unwrap();
    connection.close().await;
}

async fn start(
    options: &ConnectOptions,
    slot: &str,
    position: &FlushPosition,
    stream: StreamOptions,
) -> Result<ReplicationStream, Error> {
    let connection = ReplicationConnection::connect(options).await?;
    let options = Pgoutput::new(["p"]).options();
    connection.start(&StartReplication { slot: slot.into(), from: Lsn(0), options }, position.clone(), stream).await
}

/// Reads until so many inserts and the commit after them are there; their ids, and where the last commit ends.
async fn inserts(reader: &mut StreamReader, count: usize) -> Result<(Vec<i64>, Lsn), Error> {
    let (mut ids, mut end) = (Vec::new(), Lsn(0));
    loop {
        while let Some(frame) = reader.next_frame()? {
            let Frame::XLogData { payload, .. } = frame else { continue };
            match payload[0] {
                // Insert: relation (4), 'N', columns (2), then 't', length (4), text.
                b'I' => {
                    let length = u32::from_be_bytes(payload[9..13].try_into().unwrap()) as usize;
                    ids.push(std::str::from_utf8(&payload[13..13 + length]).unwrap().parse().unwrap());
                }
                // Commit: flags (1), commit LSN (8), end LSN (8).
                b'C' => end = Lsn(u64::from_be_bytes(payload[10..18].try_into().unwrap())),
                _ => {}
            }
            if ids.len() >= count && payload[0] == b'C' {
                return Ok((ids, end));
            }
        }
        reader.fill().await?;
    }
}

async fn confirmed(name: &str) -> Lsn {
    let sql = MAIN.sql(name).await;
    catalog::slot(&sql, name).await.unwrap().unwrap().confirmed_flush_lsn.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_arrives_in_order_on_every_transport() {
    prepare("arrive").await;
    let rows = 60_000;
    MAIN.psql(
        "arrive",
        &format!("INSERT INTO t SELECT i, repeat('x', (i % 50)::int) FROM generate_series(1, {rows}) i"),
    );
    MAIN.psql("arrive", "INSERT INTO t SELECT 1000000, repeat('y', 3000000)");
    let expected: Vec<i64> = (1..=rows).chain([1_000_000]).collect();
    let over = |mut options: ConnectOptions| {
        options.database = "arrive".into();
        options
    };
    let plain = over(MAIN.tcp("trust_user", "arrive"));
    let tls = over(MAIN.tls("scram_user", Some("scram sécret")));
    for options in [&plain, &tls, &MAIN.unix("arrive")] {
        for coalesce in [None, Some(Duration::from_millis(1))] {
            let stream = StreamOptions { coalesce, ..StreamOptions::default() };
            let position = FlushPosition::default();
            let mut stream = start(options, "arrive", &position, stream).await.unwrap();
            let (ids, _) =
                tokio::time::timeout(BOUND, inserts(&mut stream.reader, expected.len())).await.unwrap().unwrap();
            assert!(ids == expected, "{} of {} over {:?}", ids.len(), expected.len(), options.hosts);
            stream.reader.finish(stream.feedback, BOUND).await.unwrap();
        }
    }
}

#[tokio::test]
async fn feedback_moves_the_slot_and_only_where_it_was_told() {
    prepare("feed").await;
    let before = confirmed("feed").await;
    let position = FlushPosition::default();
    let mut stream = start(&MAIN.tcp("trust_user", "feed"), "feed", &position, StreamOptions::default()).await.unwrap();
    MAIN.psql("feed", "INSERT INTO t VALUES (1, 'a')");
    let (_, end) = inserts(&mut stream.reader, 1).await.unwrap();
    position.send_now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(confirmed("feed").await, before, "received is not confirmed");
    position.confirm(end);
    position.send_now();
    let started = Instant::now();
    while confirmed("feed").await != end {
        assert!(started.elapsed() < BOUND, "the slot does not move");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The last update goes out with the end of the stream.
    MAIN.psql("feed", "INSERT INTO t VALUES (2, 'b')");
    let (ids, end) = inserts(&mut stream.reader, 1).await.unwrap();
    assert_eq!(ids, [2]);
    position.confirm(end);
    stream.reader.finish(stream.feedback, BOUND).await.unwrap();
    assert_eq!(confirmed("feed").await, end);

    let mut stream = start(&MAIN.unix("feed"), "feed", &position, StreamOptions::default()).await.unwrap();
    MAIN.psql("feed", "INSERT INTO t VALUES (3, 'c')");
    assert_eq!(inserts(&mut stream.reader, 1).await.unwrap().0, [3], "what was confirmed is not sent again");
}

/// The sink is stuck: nothing is read for several times the server's patience, and the socket is full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_reader_is_not_thrown_out() {
    prepare("stuck").await;
    // wal_sender_timeout of this role is 900 ms.
    let options = MAIN.tcp("odd_user", "stuck");
    MAIN.psql("stuck", "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) i");
    let position = FlushPosition::default();
    let mut stream = start(&options, "stuck", &position, StreamOptions::default()).await.unwrap();
    stream.reader.fill().await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!stream.feedback.is_finished());
    let (ids, _) = inserts(&mut stream.reader, 40_000).await.unwrap();
    assert_eq!(ids.len(), 40_000);
    // And an idle one, whose keepalives are answered.
    let idle = tokio::time::timeout(Duration::from_secs(3), inserts(&mut stream.reader, 1)).await;
    assert!(idle.is_err(), "ended while idle: {idle:?}");
    MAIN.psql("stuck", "INSERT INTO t VALUES (50000, 'z')");
    assert_eq!(inserts(&mut stream.reader, 1).await.unwrap().0, [50_000]);

    // The counter-proof: without status updates the same server ends the stream.
    drop(stream);
    let started = Instant::now();
    let stream = loop {
        match start(&options, "stuck", &position, StreamOptions::default()).await {
            Err(error) if error.failure().code == "slot_in_use" && started.elapsed() < BOUND => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => break other.unwrap(),
        }
    };
    let ReplicationStream { mut reader, feedback } = stream;
    drop(feedback);
    reader.fill().await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let ended = inserts(&mut reader, 1_000_000).await;
    assert_failure(ended, "connection_lost", Transient);
}

#[tokio::test]
async fn errors_in_mid_stream_have_their_names() {
    prepare("middle").await;
    let options = MAIN.tcp("trust_user", "middle");
    let position = FlushPosition::default();
    let missing =
        StartReplication { slot: "middle".into(), from: Lsn(0), options: Pgoutput::new(["not_there"]).options() };
    let connection = ReplicationConnection::connect(&options).await.unwrap();
    let mut stream = connection.start(&missing, position.clone(), StreamOptions::default()).await.unwrap();
    MAIN.psql("middle", "INSERT INTO t VALUES (1, repeat('x', 5000))");
    assert_failure(inserts(&mut stream.reader, 1).await, "publication_missing", Definite);
    drop(stream);

    let started = Instant::now();
    let retry = async |stream: StreamOptions| loop {
        match start(&options, "middle", &position, stream.clone()).await {
            Err(error) if error.failure().code == "slot_in_use" && started.elapsed() < BOUND => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => break other.unwrap(),
        }
    };
    let mut stream = retry(StreamOptions { max_message: 4096, ..StreamOptions::default() }).await;
    assert_failure(inserts(&mut stream.reader, 1).await, "message_too_large", Definite);
    drop(stream);

    let mut stream = retry(StreamOptions::default()).await;
    let sql = MAIN.sql("middle").await;
    let pid = catalog::slot(&sql, "middle").await.unwrap().unwrap().active_pid.unwrap();
    sql.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    assert_failure(inserts(&mut stream.reader, 1_000_000).await, "server_shutting_down", Transient);
}

/// A peer that is there but says nothing: asked for a sign of life, then given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_given_up_and_a_live_one_is_not() {
    prepare("silence").await;
    let stream = StreamOptions { silence: Duration::from_secs(1), ..StreamOptions::default() };
    let position = FlushPosition::default();
    let mut stream = start(&MAIN.tcp("trust_user", "silence"), "silence", &position, stream).await.unwrap();
    // Idle for three times the bound: the server's answers to our probes keep it alive.
    let idle = tokio::time::timeout(Duration::from_secs(3), inserts(&mut stream.reader, 1)).await;
    assert!(idle.is_err(), "{idle:?}");
    let sql = MAIN.sql("silence").await;
    let pid = catalog::slot(&sql, "silence").await.unwrap().unwrap().active_pid.unwrap();
    let signal = |name: &str| {
        assert!(std::process::Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success())
    };
    signal("-STOP");
    let ended = tokio::time::timeout(BOUND, inserts(&mut stream.reader, 1)).await.unwrap();
    signal("-CONT");
    assert_failure(ended, "timeout", Transient);
}
