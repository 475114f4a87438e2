//! Every authentication method, on both kinds of connection.

use crate::assert_failure;
use crate::cluster::MAIN;
use millrace_batch::Class;
use millrace_replication::{
    ChannelBinding, ConnectOptions, Dialect, Error, ReplicationConnection, connect_sql, detect_dialect,
};

async fn both(options: &ConnectOptions) -> Result<(), Error> {
    let mut stream = ReplicationConnection::connect(options).await?;
    assert_eq!(stream.identify_system().await?.database.as_deref(), Some("postgres"));
    let sql = connect_sql(options).await?;
    let row = sql.query_one("SELECT current_user::text, $1::int4 + 1", &[&41]).await.unwrap();
    assert_eq!((row.get::<_, String>(0), row.get::<_, i32>(1)), (options.user.clone(), 42));
    assert!(sql.parameter("server_version").is_some());
    Ok(())
}

#[tokio::test]
async fn every_method_logs_in() {
    both(&MAIN.tcp("trust_user", "postgres")).await.unwrap();
    both(&MAIN.with_password("clear_user", "clear secret")).await.unwrap();
    both(&MAIN.with_password("md5_user", "md5 secret")).await.unwrap();
    both(&MAIN.with_password("scram_user", "scram sécret")).await.unwrap();
    both(&MAIN.unix("postgres")).await.unwrap();
}

#[tokio::test]
async fn the_family_shows_whatever_the_method() {
    for options in [
        MAIN.tcp("trust_user", "postgres"),
        MAIN.with_password("scram_user", "not it"),
        MAIN.with_password("md5_user", "not it"),
        MAIN.unix("postgres"),
        MAIN.tls("tls_user", None),
    ] {
        assert_eq!(detect_dialect(&options).await.unwrap(), Dialect::PostgreSql);
        let other = ConnectOptions { dialect: Dialect::GaussDb, ..options };
        assert_failure(connect_sql(&other).await, "wrong_dialect", Class::Definite);
    }
}

#[tokio::test]
async fn a_wrong_password_is_definite_with_every_method() {
    for user in ["clear_user", "md5_user", "scram_user"] {
        let options = MAIN.with_password(user, "not it");
        assert_failure(both(&options).await, "authentication_failed", Class::Definite);
        let shown = format!("{:?} {}", options, both(&options).await.unwrap_err().failure());
        assert!(!shown.contains("not it"), "{shown}");
        let none = ConnectOptions { password: None, ..options };
        assert_failure(both(&none).await, "password_missing", Class::Definite);
    }
}

#[tokio::test]
async fn channel_binding_is_used_where_offered_and_demanded_where_required() {
    let mut options = MAIN.tls("scram_user", Some("scram sécret"));
    options.channel_binding = ChannelBinding::Require;
    both(&options).await.unwrap();
    options.channel_binding = ChannelBinding::Disable;
    both(&options).await.unwrap();

    let mut bare = MAIN.with_password("scram_user", "scram sécret");
    bare.channel_binding = ChannelBinding::Require;
    assert_failure(both(&bare).await, "channel_binding", Class::Definite);
    for (user, password) in [("clear_user", "clear secret"), ("md5_user", "md5 secret"), ("trust_user", "")] {
        let mut options = MAIN.tls(user, Some(password));
        options.channel_binding = ChannelBinding::Require;
        assert_failure(both(&options).await, "channel_binding", Class::Definite);
    }
}

#[tokio::test]
async fn session_settings_win_over_those_of_the_role() {
    let wanted = [
        ("client_encoding", "UTF8"),
        ("datestyle", "ISO"),
        ("timezone", "UTC"),
        ("intervalstyle", "postgres"),
        ("bytea_output", "hex"),
        ("extra_float_digits", "3"),
        ("lc_monetary", "C"),
        ("search_path", "pg_catalog"),
        ("statement_timeout", "0"),
        ("application_name", "millrace"),
    ];
    let options = MAIN.tcp("odd_user", "postgres");
    let mut stream = ReplicationConnection::connect(&options).await.unwrap();
    let sql = connect_sql(&options).await.unwrap();
    for (name, value) in wanted {
        let seen = stream.setting(name).await.unwrap().unwrap();
        assert!(seen.starts_with(value), "{name} is {seen} on the stream");
        let seen: String = sql.query_one("SELECT current_setting($1)", &[&name]).await.unwrap().get(0);
        assert!(seen.starts_with(value), "{name} is {seen} for SQL");
    }
    assert_eq!(stream.setting("no_such.setting").await.unwrap(), None);
    assert_eq!(stream.wal_sender_timeout().await.unwrap(), Some(std::time::Duration::from_millis(900)));
}
