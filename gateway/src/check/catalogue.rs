//! The tables of a live source, as people choose from them: which there are, and which of them cannot be chosen.
//!
//! Owns the rules for one table; the items of the check and `millrace objects` both ask here. Every call reads the catalogue anew.

use std::collections::BTreeSet;

use millrace_batch::Failure;
use millrace_replication::{SqlConnection, catalog::gauss::CheckedTable};
use serde::Serialize;

use super::source;
use crate::{
    config::{ILLEGAL_IN_OBJECT, SourceKind, Task, is_system},
    task::{family, topology},
};

/// A table of the source that is not the server's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Schema, as the catalogue has it.
    pub schema: String,
    /// Table, as the catalogue has it.
    pub table: String,
    /// Whether the task selects it.
    pub selected: bool,
    /// Why it cannot be selected; empty where it can.
    pub refused: Vec<&'static str>,
}

impl Listed {
    /// `schema.table` as lists show it: outer spaces left out, inner runs as one.
    pub fn shown(&self) -> String {
        format!("{}.{}", millrace_objects::shown(&self.schema), millrace_objects::shown(&self.table))
    }
}

/// What is wrong with a name, by the managed service's rules.
pub(super) fn refused_name(name: &str) -> bool {
    name.contains(ILLEGAL_IN_OBJECT) || name.contains(char::is_whitespace)
}

/// Why changes of a table do not come, or come without some of their columns.
pub(super) fn refused_kind(table: &CheckedTable) -> Vec<&'static str> {
    let rules = [
        (table.columnar, "it is stored by column"),
        (table.temporary, "it is temporary"),
        (table.compressed, "it is compressed"),
        (table.interval_partitioned, "it is partitioned by intervals"),
    ];
    rules.into_iter().filter_map(|(broken, why)| broken.then_some(why)).collect()
}

/// Every table of the source outside its own schemas, by schema and name.
///
/// # Errors
/// The source cannot be reached or asked.
pub async fn catalogue(task: &Task) -> Result<Vec<Listed>, Failure> {
    let shards = topology::find(task).await?;
    let hosts = shards.first().map_or(&task.source.hosts, |shard| &shard.hosts);
    let options = crate::task::source::options_at(task, hosts)?;
    let (_, client) = family::primary(options).await.map_err(|error| error.failure())?;
    list(task, &client).await
}

/// The same over a connection that is there.
pub(crate) async fn list(task: &Task, client: &SqlConnection) -> Result<Vec<Listed>, Failure> {
    let listed = |schema: &str, table: &str, mut refused: Vec<&'static str>| {
        if refused_name(schema) || refused_name(table) {
            refused.push("its name holds a space or one of / < . > \\ ' ` | , ? !");
        }
        Listed { schema: schema.to_owned(), table: table.to_owned(), selected: task.selects(schema, table), refused }
    };
    let failed = |error: tokio_postgres::Error| millrace_replication::Error::sql("listing the tables", error).failure();
    let mut tables: Vec<Listed> = match task.source.kind {
        SourceKind::Gaussdb => {
            let found = millrace_replication::catalog::gauss::tables(client).await.map_err(|error| error.failure())?;
            found.iter().map(|table| listed(&table.schema, &table.name, refused_kind(table))).collect()
        }
        SourceKind::Postgresql => {
            let publication = task.source.publication.as_str();
            let found = source::tables_of(client, Some(publication)).await.map_err(failed)?;
            found.iter().map(|table| listed(&table.schema, &table.name, Vec::new())).collect()
        }
    };
    tables.retain(|table| !is_system(task.source.kind, &table.schema, &table.table));
    Ok(tables)
}

/// A row of a list, or a pattern of one table, that the source cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Line of the list; 0 where it is a pattern of the task file.
    pub line: u32,
    /// `schema.table`.
    pub object: String,
    /// What it is mapped to.
    pub target: String,
    /// What is wrong.
    pub rule: String,
}

/// Compares the tables that a task names one by one with those the source has.
pub fn unfit(task: &Task, tables: &[Listed]) -> Vec<Unfit> {
    let known: BTreeSet<(&str, &str)> = tables.iter().map(|t| (t.schema.as_str(), t.table.as_str())).collect();
    let judge = |schema: &str, table: &str| -> Option<String> {
        if !known.contains(&(schema, table)) {
            return Some("the source has no such table, or does not show it to this user; case counts".to_owned());
        }
        let refused = tables.iter().find(|t| t.schema == schema && t.table == table).map(|t| &t.refused[..]);
        refused.filter(|refused| !refused.is_empty()).map(|refused| refused.join("; "))
    };
    if let Some(import) = &task.objects.imported {
        let rows = import.rows.iter().filter_map(|row| {
            let rule = judge(&row.schema, &row.table)?;
            let object = format!("{}.{}", row.schema, row.table);
            Some(Unfit { line: row.line, object, target: row.target.clone().unwrap_or_default(), rule })
        });
        return rows.collect();
    }
    let exact = task.objects.include.iter().filter_map(|pattern| {
        let (schema, table) = pattern.exact()?;
        let rule = judge(schema, table)?;
        Some(Unfit { line: 0, object: format!("{schema}.{table}"), target: String::new(), rule })
    });
    exact.collect()
}
