//! The client against a server that plays what openGauss 6.0.2 was recorded to say, over real sockets.

#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod playback;

use millrace_batch::{Class, Lsn};
use millrace_replication::{
    ConnectOptions, CreateSlot, Dialect, Error, FlushPosition, Frame, Host, ReplicationConnection, Secret, SslMode,
    StartReplication, StreamOptions, connect_sql, detect_dialect,
};
use playback::{Ports, Server, stream_body};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(20);

fn options(ports: &Ports, password: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(Host::Tcp("127.0.0.1".into()), ports.data, "cdc", "postgres");
    options.sslmode = SslMode::Disable;
    options.password = Some(Secret::new(password));
    options.dialect = Dialect::GaussDb;
    options
}

#[track_caller]
fn assert_code<T>(result: Result<T, Error>, code: &str) {
    let Err(error) = result else { panic!("succeeded where `{code}` was due") };
    let failure = error.failure();
    assert_eq!((failure.code, failure.class), (code, Class::Definite), "{failure}");
}

#[tokio::test]
async fn a_whole_stream() {
    let ports = Ports::find();
    let server = Server::play(&ports.listen(1), "sha256_ok_replication_ha_port");
    let connection = ReplicationConnection::connect(&options(&ports, "Gauss@123")).await.unwrap();
    assert_eq!(connection.parameter("is_sysadmin"), Some("off"));
    assert_eq!(connection.place(), format!("127.0.0.1:{}", ports.data + 1));
    let start = StartReplication { slot: "st_c".into(), from: Lsn(0), options: Vec::new() };
    let position = FlushPosition::default();
    let mut stream = connection.start(&start, position.clone(), StreamOptions::default()).await.unwrap();
    let (mut keepalives, mut data) = (Vec::new(), Vec::new());
    while data.len() < 3 {
        match stream.reader.next_frame().unwrap() {
            Some(Frame::Keepalive { wal_end, .. }) => keepalives.push(wal_end),
            Some(Frame::XLogData { wal_start, payload, .. }) => {
                data.push((wal_start, String::from_utf8(payload.to_vec()).unwrap()));
            }
            Some(Frame::End) => panic!("ended"),
            None => {
                stream.reader.fill().await.unwrap();
            }
        }
    }
    assert_eq!(keepalives, [Lsn(0x2fb_1808), Lsn(0x2fb_1808)]);
    assert_eq!(data[0], (Lsn(0x2fb_35a0), "BEGIN 13916".to_owned()));
    assert_eq!(data[2].0, Lsn(0x2fb_37a8));
    position.confirm(data[2].0);
    // The server resets the connection instead of an answer to CopyDone.
    stream.reader.finish(stream.feedback, BOUND).await.unwrap();
    let heard = server.heard().await;
    assert!(heard.queries[0].contains("logical_sender_timeout"), "{:?}", heard.queries);
    assert_eq!(heard.queries[1], "START_REPLICATION SLOT \"st_c\" LOGICAL 0/0");
    let last = heard.updates.last().unwrap();
    assert_eq!((last.len(), last[0]), (65, b'r'));
    assert_eq!(last[17..25], 0x2fb_37a8u64.to_le_bytes(), "flush");
    assert!(heard.done, "CopyDone");
}

#[tokio::test]
async fn the_data_port_is_tried_where_nobody_listens_after_it() {
    let ports = Ports::find();
    let server = Server::play(&ports.listen(0), "sha256_ok_replication_ha_port");
    let connection = ReplicationConnection::connect(&options(&ports, "Gauss@123")).await.unwrap();
    assert_eq!(connection.place(), format!("127.0.0.1:{}", ports.data));
    connection.close().await;
    server.heard().await;
}

#[tokio::test]
async fn a_thread_pool_asks_for_its_own_port() {
    let ports = Ports::find();
    let server =
        Server::refuse(&ports.listen(0), "SERROR\0C22023\0Mreplication should connect HA port in thread_pool\0\0");
    assert_code(ReplicationConnection::connect(&options(&ports, "Gauss@123")).await, "ha_port_required");
    server.heard().await;
}

/// One attempt in all: not at the data port, not at the next host.
#[tokio::test]
async fn a_refused_log_in_is_never_tried_again() {
    for (case, password, code) in [
        ("wrong_password", "Wrong@123", "authentication_failed"),
        ("locked_right_password", "Lock@12345", "account_locked"),
    ] {
        let ports = Ports::find();
        let (ha, data) = (ports.listen(1), ports.listen(0));
        let server = Server::play(&ha, case);
        let mut options = options(&ports, password);
        options.hosts.push((Host::Tcp("127.0.0.1".into()), ports.data));
        assert_code(ReplicationConnection::connect(&options).await, code);
        server.heard().await;
        for listener in [ha, data] {
            listener.set_nonblocking(true).unwrap();
            assert_eq!(
                listener.accept().unwrap_err().kind(),
                std::io::ErrorKind::WouldBlock,
                "{case}: a second attempt"
            );
        }
    }
}

#[tokio::test]
async fn sql_goes_to_the_data_port() {
    let ports = Ports::find();
    let (_ha, data) = (ports.listen(1), ports.listen(0));
    let server = Server::play(&data, "sha256_ok_3_51");
    let sql = connect_sql(&options(&ports, "Gauss@123")).await.unwrap();
    assert_eq!(sql.parameter("server_version"), Some("9.2.4"));
    drop(sql);
    server.heard().await;
}

#[tokio::test]
async fn slots_are_created_in_the_words_of_the_family_and_within_the_bound() {
    let ports = Ports::find();
    let server = Server::play(&ports.listen(1), "sha256_ok_replication_ha_port");
    let mut connection = ReplicationConnection::connect(&options(&ports, "Gauss@123")).await.unwrap();
    let slot = CreateSlot { plugin: "mppdb_decoding".into(), ..CreateSlot::pgoutput("waits") };
    let blocked = connection.create_slot(&slot, Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(blocked.failure().code, "slot_creation_blocked");
    let heard = server.heard().await;
    assert_eq!(heard.queries, ["CREATE_REPLICATION_SLOT \"waits\" LOGICAL \"mppdb_decoding\""]);
}

/// TLS tells an end that was not announced from a closed connection; for us both are a lost connection, which may come back.
#[tokio::test]
async fn a_server_that_dies_under_tls_is_a_lost_connection() {
    let ports = Ports::find();
    let server = Server::vanish(&ports.listen(1), "sha256_ok_replication_ha_port");
    let mut options = options(&ports, "Gauss@123");
    options.sslmode = SslMode::Require;
    let mut connection = ReplicationConnection::connect(&options).await.unwrap();
    assert!(connection.is_tls());
    let failure = connection.simple_query("SELECT 1").await.unwrap_err().failure();
    assert_eq!((failure.code, failure.class), ("connection_lost", Class::Transient), "{failure}");
    server.heard().await;
}

/// PostgreSQL bargains about the version; it is told apart before a password leaves.
#[tokio::test]
async fn another_family_is_told_apart() {
    let ports = Ports::find();
    let negotiate = [b"v".as_slice(), &12u32.to_be_bytes(), &(3u32 << 16).to_be_bytes(), &0u32.to_be_bytes()].concat();
    let server = Server::say(&ports.listen(1), negotiate);
    assert_code(ReplicationConnection::connect(&options(&ports, "Gauss@123")).await, "wrong_dialect");
    assert!(server.heard().await.passwords.is_empty());

    let server = Server::play(&ports.listen(0), "sha256_ok_3_51");
    let mut postgresql = options(&ports, "Gauss@123");
    postgresql.dialect = Dialect::PostgreSql;
    assert_code(connect_sql(&postgresql).await, "wrong_dialect");
    assert!(server.heard().await.passwords.is_empty());
}

#[tokio::test]
async fn the_family_shows_without_a_password() {
    let ports = Ports::find();
    let negotiate = [b"v".as_slice(), &12u32.to_be_bytes(), &(3u32 << 16).to_be_bytes(), &0u32.to_be_bytes()].concat();
    let old = "SFATAL\0C0A000\0Munsupported frontend protocol 3.51: server supports 1.0 to 3.0\0\0";
    let data = ports.listen(0);
    let shows = async |server: Server| {
        let dialect = detect_dialect(&options(&ports, "Gauss@123")).await.unwrap();
        assert!(server.heard().await.passwords.is_empty());
        dialect
    };
    assert_eq!(shows(Server::play(&data, "sha256_ok_3_51")).await, Dialect::GaussDb);
    assert_eq!(shows(Server::play(&data, "stored_md5_hba_md5_3_51")).await, Dialect::GaussDb);
    assert_eq!(shows(Server::say(&data, negotiate)).await, Dialect::PostgreSql);
    assert_eq!(shows(Server::refuse(&data, old)).await, Dialect::PostgreSql);
    let server = Server::play(&data, "hba_reject");
    assert_code(detect_dialect(&options(&ports, "Gauss@123")).await, "no_hba_entry");
    server.heard().await;
}

#[test]
fn recorded_bodies_are_there() {
    assert_eq!(stream_body("confirm_serial_commit_end").len(), 5);
}
