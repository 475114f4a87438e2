//! A replication connection between log-in and the stream: simple queries and slot commands.

use crate::command::{self, CreateSlot, CreatedSlot, StartReplication, SystemIdentity};
use crate::error::{Error, ServerError};
use crate::feedback::{FlushPosition, feedback_interval};
use crate::handshake::{self, Place, Purpose, Session};
use crate::message;
use crate::options::{ConnectOptions, Dialect};
use crate::stream::{ReplicationStream, StreamOptions};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Most rows kept of one simple query; commands of replication answer one.
const MAX_ROWS: usize = 100_000;

/// Rows of a simple query, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimpleRows {
    /// Column names.
    pub columns: Vec<String>,
    /// Values; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl SimpleRows {
    /// The value of a named column in the first row.
    pub fn value(&self, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.rows.first()?.get(at)?.as_deref()
    }
}

/// A connection with `replication=database`.
#[derive(Debug)]
pub struct ReplicationConnection {
    session: Session,
    options: ConnectOptions,
}

impl ReplicationConnection {
    /// Connects and logs in.
    ///
    /// # Errors
    /// Everything that can keep a connection from being made; see [`Error::failure`] for what a person can do.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, Error> {
        let session = handshake::open(options, Purpose::Replication).await?;
        Ok(Self { session, options: options.clone() })
    }

    /// A parameter the server reported at log-in (`server_version`, `server_encoding`, ...).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.session.parameters.get(name).map(String::as_str)
    }

    /// Major version of the server, 0 when it does not say.
    pub fn server_version(&self) -> u32 {
        let version = self.parameter("server_version").unwrap_or("");
        version.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }

    /// Process of the server that serves this connection.
    pub fn backend_pid(&self) -> i32 {
        self.session.backend.0
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.session.transport.is_tls()
    }

    /// Host and port this connection reached.
    pub fn place(&self) -> String {
        format!("{}:{}", self.session.place.host, self.session.place.port)
    }

    /// Runs one statement by the simple protocol: a replication command, or SQL.
    ///
    /// # Errors
    /// The server's error, or a broken connection.
    pub async fn simple_query(&mut self, sql: &str) -> Result<SimpleRows, Error> {
        self.query_as(&format!("running {}", sql.split([' ', '\n']).next().unwrap_or(sql)), sql).await
    }

    async fn query_as(&mut self, during: &str, sql: &str) -> Result<SimpleRows, Error> {
        let query = message::query(sql).map_err(Error::malformed(during))?;
        self.session.send(during, &query).await?;
        self.query_result(during).await
    }

    async fn query_result(&mut self, during: &str) -> Result<SimpleRows, Error> {
        let malformed = Error::malformed(during);
        let mut result = SimpleRows::default();
        let mut failed: Option<ServerError> = None;
        loop {
            let message = self.session.message(during).await?;
            let body = self.session.buffer.bytes(message.body);
            match message.tag {
                b'T' => result.columns = message::row_description(body).map_err(&malformed)?,
                b'D' if result.rows.len() < MAX_ROWS => result.rows.push(message::data_row(body).map_err(&malformed)?),
                b'D' => return Err(Error::protocol(during, format!("more than {MAX_ROWS} rows"))),
                b'C' | b'I' => {}
                b'S' => {
                    let (name, value) = message::parameter_status(body).map_err(&malformed)?;
                    self.session.parameters.insert(name, value);
                }
                b'N' => tracing::info!(notice = %message::error_response(body), "notice"),
                b'E' => {
                    let error = message::error_response(body);
                    // After FATAL no ReadyForQuery comes.
                    if error.severity != "ERROR" {
                        return Err(Error::server(during, error));
                    }
                    failed = Some(error);
                }
                b'Z' => break,
                tag => return Err(Error::protocol(during, format!("unexpected message `{}`", tag.escape_ascii()))),
            }
        }
        failed.map_or(Ok(result), |error| Err(Error::server(during, error)))
    }

    /// `IDENTIFY_SYSTEM`.
    ///
    /// # Errors
    /// As [`Self::simple_query`].
    pub async fn identify_system(&mut self) -> Result<SystemIdentity, Error> {
        let during = "identifying the system";
        let rows = self.query_as(during, "IDENTIFY_SYSTEM").await?;
        let field = |name: &str| rows.value(name).ok_or_else(|| Error::protocol(during, format!("no column {name}")));
        Ok(SystemIdentity {
            system_id: field("systemid")?.to_owned(),
            timeline: number(during, field("timeline")?)?,
            wal_flush: number(during, field("xlogpos")?)?,
            database: rows.value("dbname").map(str::to_owned),
        })
    }

    /// Creates a logical slot. The server first waits for every transaction that is open; after `bound` the command is
    /// cancelled at the server, so that no slot appears later that nobody knows of.
    ///
    /// # Errors
    /// [`Error::SlotCreationBlocked`] after `bound`; else as [`Self::simple_query`].
    pub async fn create_slot(&mut self, slot: &CreateSlot, bound: Duration) -> Result<CreatedSlot, Error> {
        let during = format!("creating slot `{}`", slot.name);
        let sql = match self.options.dialect {
            Dialect::PostgreSql => slot.sql(self.server_version()),
            Dialect::GaussDb => slot.gauss_sql().map_err(|reason| Error::Options(reason.to_owned()))?,
        };
        let query = message::query(&sql).map_err(Error::malformed(&during))?;
        self.session.send(&during, &query).await?;
        let mut timed_out = false;
        if let Ok(ready) = tokio::time::timeout(bound, self.session.ready(&during)).await {
            ready?;
        } else {
            if self.session.backend == (0, 0) {
                // A walsender of openGauss tells no key to cancel it by. It notices the lost connection when the transactions
                // it waits for have ended, and removes the slot then.
                self.session.transport.shutdown().await.map_err(|source| Error::io(during.as_str(), source))?;
                return Err(Error::SlotCreationBlocked { slot: slot.name.clone(), after: bound });
            }
            timed_out = true;
            self.cancel().await?;
            let after = self.options.connect_timeout;
            tokio::time::timeout(after, self.session.ready(&during))
                .await
                .unwrap_or_else(|_| Err(Error::Timeout { during: during.clone(), after }))?;
        }
        let rows = self.query_result(&during).await;
        let rows = rows.map_err(|error| match error.server_error() {
            Some(server) if timed_out && server.sqlstate == "57014" => {
                Error::SlotCreationBlocked { slot: slot.name.clone(), after: bound }
            }
            _ => error,
        })?;
        let point = rows.value("consistent_point").ok_or_else(|| Error::protocol(&during, "no consistent_point"))?;
        Ok(CreatedSlot {
            name: rows.value("slot_name").unwrap_or(&slot.name).to_owned(),
            consistent_point: number(&during, point)?,
            snapshot: rows.value("snapshot_name").map(str::to_owned),
        })
    }

    /// Asks the server, on a connection of its own, to give up the running command.
    async fn cancel(&self) -> Result<(), Error> {
        let place: &Place = &self.session.place;
        let (process_id, key) = self.session.backend;
        let work = async {
            let mut transport = handshake::reach(&self.options, place).await?;
            let sent = transport.write_all(&message::cancel_request(process_id, key)).await;
            sent.map_err(|source| Error::io("cancelling a command", source))?;
            transport.shutdown().await.map_err(|source| Error::io("cancelling a command", source))
        };
        let after = self.options.connect_timeout;
        tokio::time::timeout(after, work)
            .await
            .unwrap_or_else(|_| Err(Error::Timeout { during: "cancelling a command".to_owned(), after }))
    }

    /// Drops a slot; with `wait` the server waits until nobody uses it.
    ///
    /// # Errors
    /// As [`Self::simple_query`].
    pub async fn drop_slot(&mut self, name: &str, wait: bool) -> Result<(), Error> {
        self.query_as(&format!("dropping slot `{name}`"), &command::drop_slot(name, wait)).await.map(drop)
    }

    /// A setting as this session sees it; `None` where the server does not have it.
    ///
    /// # Errors
    /// As [`Self::simple_query`].
    pub async fn setting(&mut self, name: &str) -> Result<Option<String>, Error> {
        let mut rows = self.query_as(&format!("reading setting {name}"), &command::show(name)).await?.rows;
        Ok(rows.pop().and_then(|mut row| row.pop()).flatten())
    }

    /// Starts the stream. From now on a task of the current tokio runtime sends status updates with what `position`
    /// holds, whatever the reader does.
    ///
    /// # Errors
    /// Slot missing, in use or invalidated, plugin refused and so on, or a broken connection. A missing publication
    /// shows only later, at the first change.
    pub async fn start(
        mut self,
        start: &StartReplication,
        position: FlushPosition,
        stream: StreamOptions,
    ) -> Result<ReplicationStream, Error> {
        // Never longer than the server's own patience allows, whatever is asked for.
        let patience = feedback_interval(match command::sender_timeout(&start.options) {
            Some(named) => named,
            None => self.wal_sender_timeout().await?,
        });
        let interval = stream.feedback_interval.map_or(patience, |wanted| wanted.min(patience));
        let during = format!("starting replication from slot `{}`", start.slot);
        let query = message::query(&start.sql()).map_err(Error::malformed(&during))?;
        self.session.send(&during, &query).await?;
        loop {
            let message = self.session.message(&during).await?;
            let body = self.session.buffer.bytes(message.body);
            match message.tag {
                b'W' => break,
                b'E' => return Err(Error::server(during, message::error_response(body))),
                b'N' => tracing::info!(notice = %message::error_response(body), "notice"),
                b'S' => {}
                tag => return Err(Error::protocol(during, format!("unexpected message `{}`", tag.escape_ascii()))),
            }
        }
        ReplicationStream::new(self.session, &start.slot, self.options.dialect, position, interval, stream)
    }

    /// The server's time-out on a silent stream as this session has it, `None` when it is off: `wal_sender_timeout`, in GaussDB
    /// and openGauss `logical_sender_timeout`.
    ///
    /// # Errors
    /// As [`Self::simple_query`].
    pub async fn wal_sender_timeout(&mut self) -> Result<Option<Duration>, Error> {
        let name = match self.options.dialect {
            Dialect::PostgreSql => "wal_sender_timeout",
            Dialect::GaussDb => "logical_sender_timeout",
        };
        let during = format!("reading {name}");
        let sql = format!("SELECT setting FROM pg_catalog.pg_settings WHERE name = '{name}'");
        let rows = self.query_as(&during, &sql).await?;
        let millis: u64 = rows.value("setting").map_or(Ok(0), |text| number(&during, text))?;
        Ok((millis > 0).then(|| Duration::from_millis(millis)))
    }

    /// Says good-bye, so that the server logs no lost connection.
    pub async fn close(mut self) {
        // The connection is given up either way.
        let _ = self.session.send("closing", &message::TERMINATE).await;
        let _ = self.session.transport.shutdown().await;
    }
}

fn number<T: std::str::FromStr>(during: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::protocol(during, format!("cannot read {text:?}")))
}
