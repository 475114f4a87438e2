//! What keeps a connection from being made, and which host is tried next.

use crate::assert_failure;
use crate::cluster::{MAIN, UNPREPARED};
use millrace_batch::Class::{Definite, Transient};
use millrace_replication::{ConnectOptions, CreateSlot, Error, Host, ReplicationConnection, Secret, connect_sql};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

async fn connect(options: &ConnectOptions) -> Result<ReplicationConnection, Error> {
    ReplicationConnection::connect(options).await
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let cases = [
        ("stranger", "postgres", "no_hba_entry"),
        ("locked", "postgres", "role_cannot_log_in"),
        ("reader", "postgres", "not_replication_role"),
        ("trust_user", "no_such_database", "database_missing"),
    ];
    for (user, database, code) in cases {
        assert_failure(connect(&MAIN.tcp(user, database)).await, code, Definite);
    }
    connect_sql(&MAIN.tcp("reader", "postgres")).await.unwrap();
    let mut nobody = MAIN.unix("postgres");
    nobody.user = "nobody".to_owned();
    assert_failure(connect(&nobody).await, "role_missing", Definite);
    // With a password method the server hides that the role does not exist.
    let unknown = MAIN.with_password("nobody_knows", "x");
    assert_failure(connect(&unknown).await, "authentication_failed", Definite);
}

/// A port where nothing listens.
async fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// A listener that answers the first bytes of everybody with `answer` and then says nothing; counts visitors.
async fn listener(answer: &'static [u8]) -> (u16, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let visitors = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let count = visitors.clone();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let _ = socket.write_all(answer).await;
            kept.push(socket);
        }
    });
    (port, visitors)
}

#[tokio::test]
async fn the_next_host_is_tried_after_a_failure_that_may_pass() {
    let mut options = MAIN.tcp("trust_user", "postgres");
    options.connect_timeout = Duration::from_millis(500);
    let (silent, _) = listener(b"").await;
    options.hosts.insert(0, (Host::Tcp("127.0.0.1".into()), dead_port().await));
    options.hosts.insert(1, (Host::Tcp("127.0.0.1".into()), silent));
    options.hosts.insert(2, (Host::Unix("/nonexistent".into()), 1));
    let connection = connect(&options).await.unwrap();
    assert_eq!(connection.place(), format!("127.0.0.1:{}", MAIN.port));

    options.hosts.pop();
    let error = connect(&options).await.unwrap_err();
    assert!(error.to_string().contains(&silent.to_string()), "{error}");
    assert_failure(Err::<(), _>(error), "connection_refused", Transient);
    options.hosts.remove(2);
    assert_failure(connect(&options).await, "timeout", Transient);
}

#[tokio::test]
async fn a_wrong_password_is_not_carried_to_the_next_host() {
    let (other, visitors) = listener(b"").await;
    let mut options = MAIN.with_password("scram_user", "not it");
    options.hosts.push((Host::Tcp("127.0.0.1".into()), other));
    assert_failure(connect(&options).await, "authentication_failed", Definite);
    assert_eq!(visitors.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_no_database_server_is_refused() {
    let options = |port| {
        let mut options = ConnectOptions::new(Host::Tcp("127.0.0.1".into()), port, "u", "d");
        options.password = Some(Secret::new("pw"));
        options.connect_timeout = Duration::from_secs(5);
        options
    };
    let (port, _) = listener(b"N").await;
    assert_failure(connect(&options(port)).await, "tls_not_offered", Definite);
    let (port, _) = listener(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert_failure(connect(&options(port)).await, "protocol_violation", Definite);
    let mut bare = options(port);
    bare.sslmode = millrace_replication::SslMode::Disable;
    assert!(connect(&bare).await.is_err_and(|error| !error.is_transient()));
    // Kerberos (code 7), then a method that does not exist.
    for answer in [b"R\0\0\0\x08\0\0\0\x07".as_slice(), b"R\0\0\0\x08\0\0\0\x63"] {
        let (port, _) = listener(answer).await;
        let mut bare = options(port);
        bare.sslmode = millrace_replication::SslMode::Disable;
        assert_failure(connect(&bare).await, "auth_method_unsupported", Definite);
    }
}

#[tokio::test]
async fn an_unprepared_server_says_what_it_lacks() {
    let options = UNPREPARED.unix("postgres");
    let mut first = connect(&options).await.unwrap();
    let slot = first.create_slot(&CreateSlot::pgoutput("s"), Duration::from_secs(10)).await;
    assert_failure(slot, "wal_level", Definite);
    assert_failure(connect(&options).await, "wal_senders_exhausted", Transient);
    first.simple_query("CREATE_REPLICATION_SLOT one PHYSICAL").await.unwrap();
    let second = first.simple_query("CREATE_REPLICATION_SLOT two PHYSICAL").await;
    assert_failure(second, "slots_exhausted", Definite);
    first.drop_slot("one", true).await.unwrap();
    first.close().await;
}
