//! `sslmode` as libpq defines it, roots, host names and client certificates.

use crate::assert_failure;
use crate::certificates::KEY_PASSPHRASE;
use crate::cluster::MAIN;
use millrace_batch::Class::Definite;
use millrace_replication::{ConnectOptions, Error, Host, ReplicationConnection, Secret, SslMode, connect_sql};

/// Connects both ways; whether it was encrypted.
async fn encrypted(options: &ConnectOptions) -> Result<bool, Error> {
    let stream = ReplicationConnection::connect(options).await?;
    let sql = connect_sql(options).await?;
    let row = sql.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
    assert_eq!(row.get::<_, bool>(0), stream.is_tls());
    Ok(stream.is_tls())
}

#[tokio::test]
async fn verification_follows_the_mode() {
    let mut options = MAIN.tls("tls_user", Some("tls secret"));
    assert!(encrypted(&options).await.unwrap());

    // The certificate names localhost only.
    options.hosts[0].0 = Host::Tcp("127.0.0.1".into());
    assert_failure(encrypted(&options).await, "tls_certificate", Definite);
    options.sslmode = SslMode::VerifyCa;
    assert!(encrypted(&options).await.unwrap());

    options.root_cert = Some(MAIN.home.join("other.crt"));
    assert_failure(encrypted(&options).await, "tls_certificate", Definite);
    // As libpq: a root certificate makes `require` verify the chain.
    options.sslmode = SslMode::Require;
    assert_failure(encrypted(&options).await, "tls_certificate", Definite);
    options.root_cert = None;
    assert!(encrypted(&options).await.unwrap());
    // The system's roots do not know ours.
    options.sslmode = SslMode::VerifyFull;
    assert_failure(encrypted(&options).await, "tls_certificate", Definite);
    options.root_cert = Some(MAIN.home.join("nowhere.crt"));
    assert_failure(encrypted(&options).await, "tls_config", Definite);
}

#[tokio::test]
async fn allow_and_prefer_take_the_other_way_when_the_server_wants_it() {
    let with = |user: &str, mode| {
        let mut options = MAIN.tls(user, Some(&format!("{} secret", user.trim_end_matches("_user"))));
        (options.root_cert, options.sslmode) = (None, mode);
        options
    };
    assert!(encrypted(&with("tls_user", SslMode::Allow)).await.unwrap());
    assert!(encrypted(&with("tls_user", SslMode::Prefer)).await.unwrap());
    assert!(!encrypted(&with("plain_user", SslMode::Allow)).await.unwrap());
    assert!(!encrypted(&with("plain_user", SslMode::Prefer)).await.unwrap());
    assert!(!encrypted(&with("clear_user", SslMode::Allow)).await.unwrap());
    assert_failure(encrypted(&with("tls_user", SslMode::Disable)).await, "no_hba_entry", Definite);
    assert_failure(encrypted(&with("plain_user", SslMode::Require)).await, "no_hba_entry", Definite);
}

#[tokio::test]
async fn client_certificates() {
    let mut options = MAIN.tls("cert_user", None);
    assert_failure(encrypted(&options).await, "authentication_failed", Definite);
    options.client_cert = Some(MAIN.home.join("client.crt"));
    assert_failure(encrypted(&options).await, "tls_config", Definite);
    options.client_key = Some(MAIN.home.join("client.key"));
    assert!(encrypted(&options).await.unwrap());
    options.client_key = Some(MAIN.home.join("client-encrypted.key"));
    assert_failure(encrypted(&options).await, "tls_config", Definite);
    options.client_key_passphrase = Some(Secret::new(KEY_PASSPHRASE));
    assert!(encrypted(&options).await.unwrap());
    options.client_key = Some(MAIN.home.join("server.key"));
    assert_failure(encrypted(&options).await, "tls_config", Definite);
}
