//! The publication a PostgreSQL task reads through.
//!
//! Owns that it exists before the slot does (decoding uses the catalogue of its time), is made only where the task says so, and
//! publishes what the task promises. The statement that would mend it is in every refusal.

use millrace_batch::Failure;
use millrace_replication::{quote_ident, quote_qualified};
use tokio_postgres::Client;

use crate::config::Task;

const PUBLICATION: &str =
    "SELECT puballtables, pubinsert AND pubupdate AND pubdelete FROM pg_catalog.pg_publication WHERE pubname = $1";

/// Checks the publication; makes a missing one where the task says so and the slot is still to be made.
pub(crate) async fn ensure(task: &Task, client: &Client, first_start: bool) -> Result<(), Failure> {
    let name = task.source.publication.as_str();
    let tried = format!("looking at publication {name:?}");
    let asked = client.query_opt(PUBLICATION, &[&name]).await;
    let row = asked.map_err(|error| millrace_replication::Error::sql(tried.as_str(), error).failure())?;
    match row.map(|row| row.try_get::<_, bool>(1)) {
        Some(Ok(true)) => Ok(()),
        Some(Ok(false)) => Err(Failure::definite(
            "publication_incomplete",
            tried,
            "it leaves out inserts, updates or deletes",
            format!("ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')", quote_ident(name)),
        )),
        Some(Err(error)) => Err(millrace_replication::Error::sql(tried, error).failure()),
        None if task.source.create_publication && first_start => create(task, client, name).await,
        None => Err(Failure::definite(
            "publication_missing",
            tried,
            format!("database {:?} has no publication {name:?}", task.source.database.as_str()),
            format!("{}; or set source.create_publication = true before the first start", statement(task, name)),
        )),
    }
}

/// The statement that makes the publication of a task: the tables it names, or all where it uses patterns.
pub(crate) fn statement(task: &Task, name: &str) -> String {
    let exact: Option<Vec<String>> = task
        .objects
        .include
        .iter()
        .map(|pattern| pattern.exact().map(|(schema, table)| quote_qualified(schema, table)))
        .collect();
    match exact {
        Some(tables) if !tables.is_empty() => {
            format!("CREATE PUBLICATION {} FOR TABLE {}", quote_ident(name), tables.join(", "))
        }
        _ => format!("CREATE PUBLICATION {} FOR ALL TABLES", quote_ident(name)),
    }
}

async fn create(task: &Task, client: &Client, name: &str) -> Result<(), Failure> {
    let statement = statement(task, name);
    client.batch_execute(&statement).await.map_err(|error| {
        let why = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
        Failure::definite(
            "publication_not_created",
            format!("making publication {name:?}"),
            why,
            format!("as the owner of the tables (or a superuser for all tables): {statement}"),
        )
    })?;
    tracing::info!(code = "publication_created", statement, "publication created");
    Ok(())
}
