//! SQL over the server's Unix socket, blocking, all values as text.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// A row of a simple query; `None` is SQL NULL.
pub type Row = Vec<Option<String>>;

/// The runtime behind every blocking call of the harness.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("start a tokio runtime")
    })
}

/// A database of a test server, and one session to it that is opened again after the server came back.
#[derive(Debug)]
pub struct Database {
    name: String,
    socket_dir: PathBuf,
    port: u16,
    session: Mutex<Option<Session>>,
}

impl Database {
    pub(crate) fn new(name: &str, socket_dir: PathBuf, port: u16) -> Self {
        Self { name: name.to_owned(), socket_dir, port, session: Mutex::new(None) }
    }

    /// Name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// TCP port of its server on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Folder of the server's Unix socket.
    pub fn socket_dir(&self) -> &std::path::Path {
        &self.socket_dir
    }

    /// A session of its own, as the superuser.
    pub fn session(&self) -> Session {
        self.try_session().unwrap_or_else(|e| panic!("cannot connect to database {}: {e:?}", self.name))
    }

    /// As [`Self::session`]; gives the error of a server that is down or still starting.
    pub fn try_session(&self) -> Result<Session, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host_path(&self.socket_dir).port(self.port).user("postgres").dbname(&self.name);
        config.application_name("millrace-tests").connect_timeout(Duration::from_secs(10));
        runtime().block_on(async {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(async move {
                // Its error reaches whoever uses the client.
                let _ = connection.await;
            });
            Ok(Session { client })
        })
    }

    fn shared(&self) -> MutexGuard<'_, Option<Session>> {
        let mut held = self.session.lock().unwrap_or_else(|poisoned| {
            let mut held = poisoned.into_inner();
            *held = None;
            held
        });
        if held.as_ref().is_none_or(|session| session.client.is_closed()) {
            *held = Some(self.session());
        }
        held
    }

    /// Runs statements; panics with the text of a failing one.
    pub fn exec(&self, sql: &str) {
        self.shared().as_ref().expect("opened above").exec(sql);
    }

    /// The rows of a query.
    pub fn rows(&self, sql: &str) -> Vec<Row> {
        self.shared().as_ref().expect("opened above").rows(sql)
    }

    /// The only column of the only row.
    pub fn one(&self, sql: &str) -> Option<String> {
        self.shared().as_ref().expect("opened above").one(sql)
    }

    /// The only column of the only row, a number.
    pub fn number(&self, sql: &str) -> i64 {
        let text = self.one(sql).unwrap_or_else(|| panic!("{sql}: NULL"));
        text.parse().unwrap_or_else(|e| panic!("{sql}: {text:?} is no number: {e}"))
    }

    /// Asks until the answer of `sql` is `want`; panics with the last answer when `limit` has passed.
    pub fn wait_until(&self, sql: &str, want: &str, limit: Duration) {
        let start = Instant::now();
        loop {
            let got = self.one(sql);
            if got.as_deref() == Some(want) {
                return;
            }
            assert!(start.elapsed() < limit, "{sql}: {got:?}, wanted {want:?} within {limit:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// One session.
#[derive(Debug)]
pub struct Session {
    client: Client,
}

impl Session {
    /// Runs statements; panics with the text of a failing one.
    pub fn exec(&self, sql: &str) {
        self.try_exec(sql).unwrap_or_else(|e| panic!("{}: {e:?}", shortened(sql)));
    }

    /// Runs statements.
    pub fn try_exec(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        runtime().block_on(self.client.batch_execute(sql))
    }

    /// The rows of a query.
    pub fn rows(&self, sql: &str) -> Vec<Row> {
        let messages =
            runtime().block_on(self.client.simple_query(sql)).unwrap_or_else(|e| panic!("{}: {e:?}", shortened(sql)));
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
            _ => None,
        };
        messages.into_iter().filter_map(row).collect()
    }

    /// The only column of the only row.
    pub fn one(&self, sql: &str) -> Option<String> {
        let rows = self.rows(sql);
        assert!(rows.len() == 1 && rows[0].len() == 1, "{sql}: not one row of one column: {rows:?}");
        rows[0][0].clone()
    }
}

fn shortened(sql: &str) -> String {
    sql.chars().take(300).collect()
}
