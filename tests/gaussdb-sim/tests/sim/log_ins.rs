//! Log-ins: every password method, refusals, locks.

use crate::client::{cluster, connect_options};
use millrace_gaussdb_sim::{Encryption, Hba, Login, Options, Product, Role};
use millrace_replication::{
    ConnectOptions, Error, ReplicationConnection, Secret, SslMode, connect_sql, detect_dialect,
};

fn single(encryption: Encryption, hba: Hba) -> Options {
    let login = Login { role: Role::replication("cdc"), password: "Gauss@123".into(), encryption };
    Options {
        product: Product::OpenGauss,
        data_nodes: 1,
        standbys: false,
        logins: vec![login],
        sql_hba: hba,
        replication_hba: hba,
        ..Options::new()
    }
}

#[track_caller]
fn code<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(error) => error.failure().code,
    }
}

/// Both ways in.
async fn both(options: &ConnectOptions) -> (&'static str, &'static str) {
    (code(connect_sql(options).await), code(ReplicationConnection::connect(options).await))
}

#[tokio::test]
async fn every_method_lets_the_right_password_in_and_no_other() {
    for (encryption, hba) in [
        (Encryption::Sha256, Hba::Sha256),
        (Encryption::Sha256, Hba::Md5),
        (Encryption::Md5, Hba::Md5),
        (Encryption::Md5, Hba::Sha256),
        (Encryption::Md5, Hba::Sha256OfMd5),
        (Encryption::Combined, Hba::Sha256),
        (Encryption::Combined, Hba::Md5),
        (Encryption::Sm3, Hba::Sm3),
        (Encryption::Sha256, Hba::Trust),
        (Encryption::Sha256, Hba::Cleartext),
    ] {
        let cluster = cluster(single(encryption, hba));
        let mut options = connect_options(cluster.port());
        assert_eq!(both(&options).await, ("accepted", "accepted"), "{encryption:?} {hba:?}");
        if hba != Hba::Trust {
            options.password = Some(Secret::new("Wrong@123"));
            let wrong = "authentication_failed";
            assert_eq!(both(&options).await, (wrong, wrong), "{encryption:?} {hba:?}");
            assert_eq!(cluster.attempts("cdc"), 4, "one attempt each");
        }
    }
}

/// What cannot be right never is: the recorded server asks all the same.
#[tokio::test]
async fn methods_that_do_not_fit_the_stored_password_deny() {
    for (encryption, hba) in [
        (Encryption::Md5, Hba::Sm3),
        (Encryption::Combined, Hba::Sm3),
        (Encryption::Sm3, Hba::Sha256),
        (Encryption::Sm3, Hba::Md5),
    ] {
        let cluster = cluster(single(encryption, hba));
        let (sql, replication) = both(&connect_options(cluster.port())).await;
        assert!(sql != "accepted" && sql == replication, "{encryption:?} {hba:?}: {sql}");
    }
}

#[tokio::test]
async fn an_account_is_locked_after_ten_failures_and_told_so() {
    let cluster = cluster(single(Encryption::Sha256, Hba::Sha256));
    let mut options = connect_options(cluster.port());
    options.password = Some(Secret::new("Wrong@123"));
    for _ in 0..10 {
        assert_eq!(code(connect_sql(&options).await), "authentication_failed");
    }
    assert_eq!(code(connect_sql(&options).await), "account_locked");
    options.password = Some(Secret::new("Gauss@123"));
    assert_eq!(both(&options).await, ("account_locked", "account_locked"));
    cluster.lock_account("cdc", false);
    assert_eq!(both(&options).await, ("accepted", "accepted"));
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let cluster = cluster(single(Encryption::Sha256, Hba::Sha256));
    let options = connect_options(cluster.port());
    let mut other = options.clone();
    other.user = "nobody_here".into();
    assert_eq!(code(connect_sql(&other).await), "authentication_failed");
    let mut other = options.clone();
    other.database = "no_such_db".into();
    assert_eq!(code(connect_sql(&other).await), "database_missing");
    let mut other = options.clone();
    other.replication_port = Some(cluster.port());
    assert_eq!(code(ReplicationConnection::connect(&other).await), "ha_port_required");
    let mut other = options.clone();
    other.hosts[0].1 += 1;
    assert_eq!(code(connect_sql(&other).await), "sql_on_ha_port");
    assert!(cluster.change_role("cdc", |role| role.replication = false));
    assert_eq!(both(&options).await, ("accepted", "not_replication_role"));
    assert!(cluster.change_role("cdc", |role| role.login = false));
    assert_eq!(both(&options).await, ("role_cannot_log_in", "role_cannot_log_in"));
    drop(cluster);
    let cluster = self::cluster(single(Encryption::Sha256, Hba::Missing));
    assert_eq!(both(&connect_options(cluster.port())).await, ("no_hba_entry", "no_hba_entry"));
}

#[tokio::test]
async fn the_family_shows_and_tls_is_spoken_where_asked_for() {
    let cluster = cluster(Options { tls: true, ..single(Encryption::Sha256, Hba::Sha256) });
    let mut options = connect_options(cluster.port());
    options.sslmode = SslMode::Require;
    assert!(ReplicationConnection::connect(&options).await.unwrap().is_tls());
    assert_eq!(detect_dialect(&options).await.unwrap(), millrace_replication::Dialect::GaussDb);
    options.sslmode = SslMode::VerifyFull;
    assert_ne!(code(connect_sql(&options).await), "accepted");
    drop(cluster);
    let cluster = self::cluster(single(Encryption::Sha256, Hba::Sha256));
    let mut options = connect_options(cluster.port());
    options.sslmode = SslMode::Require;
    assert_ne!(code(connect_sql(&options).await), "accepted", "without TLS");
}
