//! What the families of source do differently before the stream: which server is the primary, the slot, what is known of the database.
//!
//! Owns the steps between a log-in and a slot. Must not decide where a task starts (that is `start`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use millrace_batch::{Failure, Lsn};
use millrace_replication::{
    ConnectOptions, CreateSlot, Dialect, Error, ReplicationConnection, SqlConnection, catalog, connect_sql,
};

use crate::config::{Decoding, HostAddress, Task};

/// Connections to one server, and what it told of itself.
pub(super) struct Source {
    /// For the stream.
    pub connection: ReplicationConnection,
    /// For the catalogue.
    pub catalogue: Arc<SqlConnection>,
    /// Encoding of the database, as the server names it.
    pub encoding: String,
}

impl Source {
    /// Connects to the first of these servers that may be read from. A log-in that was refused ends the search: trying it elsewhere would
    /// lock the account.
    pub async fn connect(task: &Task, hosts: &[HostAddress]) -> Result<Source, Failure> {
        let options = super::source::options_at(task, hosts)?;
        let (options, catalogue) = primary(options).await.map_err(|error| error.failure())?;
        let encoding = match options.dialect {
            Dialect::GaussDb => gaussdb(task, &catalogue).await?,
            // PostgreSQL converts what pgoutput writes.
            _ if task.source.decoding == Decoding::Pgoutput => "UTF8".to_owned(),
            _ => catalogue.parameter("server_encoding").unwrap_or_default().to_owned(),
        };
        let connection = ReplicationConnection::connect(&options).await.map_err(|error| error.failure())?;
        Ok(Source { connection, catalogue: Arc::new(catalogue), encoding })
    }
}

/// The first server that is a primary, with options that name it alone. PostgreSQL is read from whichever server answers.
pub(crate) async fn primary(options: ConnectOptions) -> Result<(ConnectOptions, SqlConnection), Error> {
    if options.dialect == Dialect::PostgreSql {
        let client = connect_sql(&options).await?;
        return Ok((options, client));
    }
    let mut failures = Vec::new();
    for host in &options.hosts {
        let alone = ConnectOptions { hosts: vec![host.clone()], ..options.clone() };
        let found = async {
            let client = connect_sql(&alone).await?;
            let role = catalog::gauss::server_role(&client).await?;
            if role.is_primary() {
                Ok(client)
            } else {
                Err(Error::NotPrimary { host: format!("{}:{}", host.0, host.1) })
            }
        };
        match found.await {
            Ok(client) => return Ok((alone, client)),
            Err(error) if error.is_transient() => failures.push(error),
            Err(error) => return Err(error),
        }
    }
    Err(if failures.len() == 1 { failures.remove(0) } else { Error::AllHosts(failures) })
}

/// Says which product it is, and gives the encoding of the database.
async fn gaussdb(task: &Task, catalogue: &SqlConnection) -> Result<String, Failure> {
    let server = catalog::gauss::server(catalogue).await.map_err(|error| error.failure())?;
    tracing::info!(
        code = "source_identified",
        product = ?server.product.as_ref().map(|product| product.product),
        version = server.product.as_ref().map_or(server.version.as_str(), |product| product.version.as_str()),
        deployment = ?server.deployment,
        encoding = server.encoding,
        compatibility = server.compatibility,
        "source identified"
    );
    if task.source.decoding == Decoding::Parallel {
        refuse_settings(catalogue).await?;
    }
    // A session's own, wherever it was set: serial decoding obeys the session, parallel decoding what the server itself has.
    let options = catalogue.parameter(COMPATIBILITY).unwrap_or_default();
    if hides_zeros(options) {
        return Err(Failure::definite(
            "database_setting",
            "looking at the settings of the session",
            format!("{COMPATIBILITY} = {options}: numerics would come without the zeros at their end"),
            format!("ALTER DATABASE ... SET {COMPATIBILITY} to the list without hide_tailing_zero"),
        ));
    }
    Ok(server.encoding)
}

/// Parallel decoding ignores what the session asks for and obeys the database: a setting there would change the text of values.
async fn refuse_settings(catalogue: &SqlConnection) -> Result<(), Failure> {
    let settings = catalog::gauss::database_settings(catalogue).await.map_err(|error| error.failure())?;
    match unfit_setting(&settings) {
        None => Ok(()),
        Some((name, value)) => Err(Failure::definite(
            "database_setting",
            "looking at the settings of the database",
            format!("it sets {name} = {value}, which parallel decoding obeys: values would come in another form"),
            format!("ALTER DATABASE ... RESET {name}; or set source.decoding = \"serial\", which obeys the session"),
        )),
    }
}

/// The first of a database's settings that would change the text of values.
pub(crate) fn unfit_setting(settings: &BTreeMap<String, String>) -> Option<(&str, &str)> {
    let fit = |name: &str, value: &str| match name {
        "datestyle" => value.to_ascii_uppercase().starts_with("ISO"),
        "intervalstyle" => value.eq_ignore_ascii_case("postgres"),
        "bytea_output" => value.eq_ignore_ascii_case("hex"),
        COMPATIBILITY => !hides_zeros(value),
        _ => true,
    };
    settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).find(|(name, value)| !fit(name, value))
}

/// The setting that lists the family's habits of other databases.
pub(crate) const COMPATIBILITY: &str = "behavior_compat_options";

/// Whether numerics come without the zeros at their end, `1.5` for `1.50`: digits that were stored and that nobody can put back. Leading
/// zeros, which another of these habits decides, the decoder puts back.
pub(crate) fn hides_zeros(options: &str) -> bool {
    options.split(',').any(|option| option.trim().eq_ignore_ascii_case("hide_tailing_zero"))
}

/// Looks the slot of a task up.
pub(crate) async fn slot(task: &Task, client: &SqlConnection) -> Result<Option<catalog::SlotState>, Error> {
    slot_named(task, client, task.source.slot.as_str()).await
}

/// Looks a slot up by its name.
pub(crate) async fn slot_named(
    task: &Task,
    client: &SqlConnection,
    name: &str,
) -> Result<Option<catalog::SlotState>, Error> {
    match dialect(task) {
        Dialect::GaussDb => catalog::gauss::slot(client, name).await,
        _ => catalog::slot(client, name).await,
    }
}

/// Makes the slot of a task, within its time, and gives where it begins. A failure for want of time names what it waited for.
pub(super) async fn create_slot(
    task: &Task,
    connection: &mut ReplicationConnection,
    client: &SqlConnection,
) -> Result<Lsn, Failure> {
    let (name, plugin) = (task.source.slot.as_str(), task.source.decoding.plugin());
    let bound: Duration = task.source.slot_timeout.get();
    let created = match dialect(task) {
        Dialect::GaussDb => catalog::gauss::create_slot(client, name, plugin, bound).await,
        _ => {
            let slot = CreateSlot { plugin: plugin.to_owned(), ..CreateSlot::pgoutput(name) };
            connection.create_slot(&slot, bound).await.map(|created| created.consistent_point)
        }
    };
    let error = match created {
        Ok(begins) => return Ok(begins),
        Err(error) => error,
    };
    let mut failure = error.failure();
    if matches!(error, Error::SlotCreationBlocked { .. }) {
        let open = match dialect(task) {
            Dialect::GaussDb => catalog::gauss::open_transactions(client).await,
            _ => catalog::open_transactions(client).await,
        };
        failure.mend =
            "wait for them, or end them: SELECT pg_terminate_backend(PID); ROLLBACK PREPARED 'NAME'".to_owned();
        failure.why = format!("{}: {}", failure.why, blockers(open));
    }
    Err(failure)
}

/// The oldest transactions, in one line. Never their statements: these may hold values (I9).
fn blockers(open: Result<Vec<catalog::OpenTransaction>, Error>) -> String {
    let Ok(open) = open else { return "which, cannot be asked now".to_owned() };
    let one = |transaction: &catalog::OpenTransaction| {
        let what = match (transaction.pid, &transaction.name) {
            (Some(pid), _) => format!("process {pid}"),
            (None, name) => format!("prepared {:?}", name.as_deref().unwrap_or_default()),
        };
        let user = transaction.user.as_deref().map_or_else(String::new, |user| format!(" of {user}"));
        format!("{what}{user} ({} s)", transaction.age_seconds)
    };
    let named: Vec<String> = open.iter().take(5).map(one).collect();
    match open.len() {
        0 => "none that this role may see".to_owned(),
        more @ 6.. => format!("{} and {} more", named.join(", "), more - 5),
        _ => named.join(", "),
    }
}

fn dialect(task: &Task) -> Dialect {
    match task.source.kind {
        crate::config::SourceKind::Gaussdb => Dialect::GaussDb,
        crate::config::SourceKind::Postgresql => Dialect::PostgreSql,
    }
}
