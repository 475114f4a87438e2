//! A database of a server that has the plugin.

use crate::cluster::{Cluster, programs, run};
use millrace_replication::{ConnectOptions, SqlConnection, connect_sql};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// The server all tests share, with the plugin built into its home.
static SERVER: LazyLock<Cluster> = LazyLock::new(|| {
    let settings = "wal_level = logical\nmax_wal_senders = 30\nmax_replication_slots = 60\nmax_wal_size = 2GB\n";
    let cluster = Cluster::start("mppdb", settings);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/mppdb-plugin");
    let folder = cluster.home.join("plugin");
    std::fs::create_dir(&folder).unwrap();
    for name in ["Makefile", "mppdb_decoding.c"] {
        std::fs::copy(sources.join(name), folder.join(name)).unwrap();
    }
    let pg_config = programs().join("pg_config");
    // A `make test` around this hands its own options down.
    run(Command::new("make")
        .arg("-s")
        .arg(format!("PG_CONFIG={}", pg_config.display()))
        .current_dir(&folder)
        .env_remove("MAKEFLAGS"));
    let set = |name: &str, value: &str| cluster.psql("postgres", &format!("ALTER SYSTEM SET {name} = {value}"));
    set("dynamic_library_path", &format!("'$libdir:{}'", folder.display()));
    // Minor releases of 2026 and newer name the plugins a slot may have; older servers know no such setting.
    if cluster.psql("postgres", "SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'") == "1" {
        set("output_plugin_libraries", "pgoutput, test_decoding, mppdb_decoding");
    }
    cluster.restart("fast");
    cluster
});

/// A database and a session to it.
pub struct Database {
    pub name: String,
    sql: SqlConnection,
}

impl Database {
    /// A new one.
    pub async fn new(name: &str) -> Database {
        // Two copies of one template at once refuse each other.
        static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let name = {
            let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            SERVER.database(name)
        };
        let sql = SERVER.sql(&name).await;
        sql.batch_execute("SET search_path = public").await.unwrap();
        Database { name, sql }
    }

    /// Runs statements.
    pub async fn exec(&self, sql: &str) {
        self.sql.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql:.200}: {error:?}"));
    }

    /// Options of a connection to it.
    pub fn options(&self) -> ConnectOptions {
        SERVER.unix(&self.name)
    }

    /// The end of what the server has logged.
    pub fn server_log() -> String {
        let log = std::fs::read_to_string(SERVER.home.join("log")).unwrap_or_default();
        log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }

    /// A session of its own.
    pub async fn session(&self) -> SqlConnection {
        connect_sql(&self.options()).await.unwrap()
    }
}
