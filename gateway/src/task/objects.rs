//! Another selection of tables for a task that runs.
//!
//! Owns the rules of a change (what may change, what the source must have) and the publication's part in it: tables are added to it
//! before the sessions stand still, taken out of it after. The task file stays the one place that says what is selected, so a restart
//! reads what runs. Must not end sessions itself (that is `swaps`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
};

use millrace_batch::Failure;
use millrace_objects::Import;
use millrace_replication::{SqlConnection, catalog, quote_ident, quote_qualified};
use serde::Serialize;

use super::{Swaps, attempt::blocking, family, source, topology};
use crate::{
    check,
    config::{self, Decoding, Objects, Task},
};

const TRIED: &str = "changing the selection of tables";

/// What a change came to.
#[derive(Debug, Serialize)]
pub struct Edited {
    /// False where the task reads what the file names already.
    pub changed: bool,
    /// Patterns and tables that are new.
    pub added: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
    /// By shard: the boundary up to which everything is durable and was read with the selection before.
    pub boundaries: BTreeMap<u16, String>,
}

/// A list sent by a client: its file name and its bytes.
#[derive(Debug)]
pub struct Sent {
    /// Name with its ending, which tells the form.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Takes the selection that the task file names now; with a list, writes it to the file of `objects.import` first.
///
/// # Errors
/// The file or the list is refused, the source lacks a table, a table that is read already would get another name or topic, or the
/// sessions cannot be brought to a durable position. Nothing has changed then.
pub async fn change(swaps: &Swaps, file: &Path, sent: Option<Sent>) -> Result<Edited, Failure> {
    let running = swaps.task();
    let path = file.to_path_buf();
    let load = || blocking(TRIED, move || config::load(&path).map_err(|problems| refused_file(&problems)));
    let named = load().await?;
    if named.task.name != running.task.name {
        return Err(refuse("objects_refused", "task.name changed", "start another process for another task"));
    }
    let mut next = Task::clone(&running);
    let list = match sent {
        Some(sent) => {
            let Some(target) = named.objects.import.clone() else {
                let why = "the task file selects by patterns, and a list was sent";
                return Err(refuse(
                    "objects_mode",
                    why,
                    "set objects.import in the task file, or edit objects.include there",
                ));
            };
            let (objects, bytes) = taken(sent, &target)?;
            next.objects = objects;
            Some((target, bytes))
        }
        None => {
            next.objects = named.objects;
            None
        }
    };
    judge(&running.objects, &next.objects)?;
    if running.objects.same(&next.objects) {
        return Ok(Edited { changed: false, added: vec![], removed: vec![], boundaries: BTreeMap::new() });
    }
    let (old, new) = (names(&running.objects), names(&next.objects));
    let client = client(&next).await?;
    let tables = check::catalogue::list(&next, &client).await?;
    if let Some(first) = check::unfit(&next, &tables).first() {
        let why = format!("{}: {}", first.object, first.rule);
        return Err(refuse("objects_refused", &why, "`millrace objects check TASK.toml` names all of them"));
    }
    publish(&next, &client).await?;
    if let Some((target, bytes)) = list {
        blocking(TRIED, move || replace(&target, &bytes)).await?;
    }
    let boundaries = swaps.go_on_with(next.clone()).await?;
    withdraw(&running, &next, &client).await;
    let edited = Edited {
        changed: true,
        added: new.difference(&old).cloned().collect(),
        removed: old.difference(&new).cloned().collect(),
        boundaries: boundaries.into_iter().map(|(shard, at)| (shard, at.to_string())).collect(),
    };
    tracing::info!(code = "objects_changed", added = ?edited.added, removed = ?edited.removed, "another selection of tables");
    Ok(edited)
}

fn refuse(code: &'static str, why: &str, mend: &str) -> Failure {
    Failure::definite(code, TRIED, why, mend)
}

fn refused_file(problems: &config::Problems) -> Failure {
    refuse("config_invalid", &problems.to_string(), "mend the named keys; docs/configuration.md explains each")
}

/// Patterns and tables by name.
fn names(objects: &Objects) -> BTreeSet<String> {
    let plain = |pattern: &config::Pattern| match pattern.exact() {
        Some((schema, table)) => format!("{schema}.{table}"),
        None => pattern.to_string(),
    };
    let excluded = objects.exclude.iter().map(|pattern| format!("not {}", plain(pattern)));
    objects.include.iter().map(plain).chain(excluded).collect()
}

/// Reads a list that was sent.
fn taken(sent: Sent, target: &Path) -> Result<(Objects, Vec<u8>), Failure> {
    let ending = |name: &str| name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    if ending(&sent.name) != ending(&target.to_string_lossy()) {
        let why = format!("objects.import is {}, {:?} has another form", target.display(), sent.name);
        return Err(refuse("objects_import", &why, "send a file with the same ending"));
    }
    let import: Import = millrace_objects::read(&sent.name, &sent.bytes).map_err(|error| error.failure(&sent.name))?;
    Ok((Objects::of(import, target.to_path_buf()), sent.bytes))
}

/// What a change of a started task may not do.
fn judge(before: &Objects, after: &Objects) -> Result<(), Failure> {
    if before.import.is_some() && after.import.is_none() {
        let why = "the task was started with a list of tables and cannot go over to patterns";
        return Err(refuse("objects_mode", why, "keep objects.import, or give the task a new name to start anew"));
    }
    let targets = |objects: &Objects| -> BTreeMap<(String, String), (Option<String>, millrace_objects::Mapping)> {
        let rows = objects.imported.iter().flat_map(|import| import.rows.iter().map(|row| (row, import.mapping)));
        rows.map(|(row, mapping)| ((row.schema.clone(), row.table.clone()), (row.target.clone(), mapping))).collect()
    };
    let (before, after) = (targets(before), targets(after));
    for (table, (was, mapping)) in &before {
        if let Some((now, kind)) = after.get(table)
            && (was != now || (was.is_some() && mapping != kind))
        {
            let why = format!(
                "{}.{} is read already as {}, the list says {}",
                table.0,
                table.1,
                was.as_deref().unwrap_or("itself"),
                now.as_deref().unwrap_or("itself")
            );
            return Err(refuse(
                "objects_mapped",
                &why,
                "leave the second cell of tables that are read already as it was",
            ));
        }
    }
    Ok(())
}

async fn client(task: &Task) -> Result<SqlConnection, Failure> {
    let shards = topology::find(task).await?;
    let hosts = shards.first().map_or(&task.source.hosts, |shard| &shard.hosts);
    let (_, client) = family::primary(source::options_at(task, hosts)?).await.map_err(|error| error.failure())?;
    Ok(client)
}

/// Adds to the publication the tables that the selection names one by one and it lacks.
async fn publish(task: &Task, client: &SqlConnection) -> Result<(), Failure> {
    if task.source.decoding != Decoding::Pgoutput {
        return Ok(());
    }
    let name = task.source.publication.as_str();
    let published = catalog::published_tables(client, &[name]).await.map_err(|error| error.failure())?;
    let has = |schema: &str, table: &str| published.iter().any(|p| p.table.schema == schema && p.table.name == table);
    let exact = task.objects.include.iter().filter_map(config::Pattern::exact);
    let missing: Vec<String> =
        exact.filter(|(schema, table)| !has(schema, table)).map(|(s, t)| quote_qualified(s, t)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let statement = format!("ALTER PUBLICATION {} ADD TABLE {}", quote_ident(name), missing.join(", "));
    if !task.source.create_publication {
        let why = format!("publication {name:?} lacks {}", missing.join(", "));
        return Err(refuse("objects_not_published", &why, &format!("{statement}; then ask again")));
    }
    client.batch_execute(&statement).await.map_err(|error| {
        let why = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
        refuse("objects_not_published", &why, &format!("as the owner of the tables: {statement}; then ask again"))
    })
}

/// Takes out of the publication what is read no more. The select stage drops it already, so a refusal is only told.
async fn withdraw(before: &Task, after: &Task, client: &SqlConnection) {
    if after.source.decoding != Decoding::Pgoutput || !after.source.create_publication {
        return;
    }
    let name = after.source.publication.as_str();
    let all = catalog::publication(client, name).await;
    if !matches!(all, Ok(Some(publication)) if !publication.all_tables) {
        return;
    }
    let exact = before.objects.include.iter().filter_map(config::Pattern::exact);
    for (schema, table) in exact.filter(|(schema, table)| !after.selects(schema, table)) {
        let statement =
            format!("ALTER PUBLICATION {} DROP TABLE {}", quote_ident(name), quote_qualified(schema, table));
        if let Err(error) = client.batch_execute(&statement).await {
            tracing::warn!(code = "publication_keeps", %error, statement, "the publication keeps a table that is read no more");
        }
    }
}

/// Puts the new list in the place of the old one: whole or not at all, and durable.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    write().map_err(|error: std::io::Error| {
        let tried = format!("writing {}", path.display());
        Failure::definite("objects_import", tried, error.to_string(), "make the file writable for the gateway")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(csv: &str) -> Objects {
        let sent = Sent { name: "l.csv".to_owned(), bytes: csv.as_bytes().to_vec() };
        taken(sent, Path::new("/x/tables.csv")).expect("a list").0
    }

    #[test]
    fn what_a_started_task_may_not_do() {
        let mapped = objects("object,table_mapping\na.b,x.y\na.c,\n");
        let code = |before: &Objects, after: &Objects| judge(before, after).err().map(|failure| failure.code);
        assert_eq!(code(&mapped, &objects("object,table_mapping\na.b,x.y\na.d,z.z\n")), None, "others come and go");
        assert_eq!(code(&mapped, &objects("object,table_mapping\na.b,x.z\n")), Some("objects_mapped"));
        assert_eq!(code(&mapped, &objects("object,table_mapping\na.b,\n")), Some("objects_mapped"));
        assert_eq!(code(&mapped, &objects("object,topic_mapping\na.b,t\n")), Some("objects_mapped"));
        assert_eq!(code(&mapped, &objects("object,topic_mapping\na.c,\n")), None, "nothing of it is mapped");
        assert_eq!(code(&mapped, &Objects::default()), Some("objects_mode"));
        assert_eq!(code(&Objects::default(), &mapped), None);
    }

    #[test]
    fn a_list_keeps_its_form() {
        let sent = || Sent { name: "l.csv".to_owned(), bytes: b"object,table_mapping\na.b,\n".to_vec() };
        assert!(taken(sent(), Path::new("/x/t.CSV")).is_ok());
        assert_eq!(taken(sent(), Path::new("/x/t.xlsx")).unwrap_err().code, "objects_import");
    }

    #[test]
    fn a_list_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(Path::new("/no/such/folder/t.csv"), b"x").is_err());
    }
}
