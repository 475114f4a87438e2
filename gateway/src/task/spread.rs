//! How a coordinator spreads tables, asked again when a table comes that nobody knew.
//!
//! Owns the answer to one question: does another shard read this table? A table that is on every node and was made after the stream
//! began would come from each of them, with an id of each. Must not know streams.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use millrace_batch::Failure;
use millrace_replication::{catalog, connect_sql};

use super::{login::Gate, source};
use crate::config::Task;

/// What is known of the spread of tables, by schema and name: true for those that every node has.
pub struct Spread {
    task: Task,
    gate: Arc<Gate>,
    known: RwLock<HashMap<(String, String), bool>>,
}

impl Spread {
    /// What a coordinator said a moment ago.
    pub fn new(task: &Task, gate: Arc<Gate>, tables: &[catalog::gauss::NodeTable]) -> Spread {
        let known = tables.iter().map(|table| ((table.schema.clone(), table.name.clone()), table.replicated));
        Spread { task: task.clone(), gate, known: RwLock::new(known.collect()) }
    }

    /// Makes sure that a table which this shard is about to read for the first time is no other shard's.
    ///
    /// # Errors
    /// Transient `replicated_table_appeared`: the next session leaves it out. A coordinator that cannot be asked.
    pub async fn must_be_ours(&self, schema: &str, table: &str) -> Result<(), Failure> {
        let name = (schema.to_owned(), table.to_owned());
        let known = |spread: &Spread| spread.known.read().unwrap_or_else(PoisonError::into_inner).get(&name).copied();
        if known(self).is_some() {
            // One that every node has is left out by the filter of this session.
            return Ok(());
        }
        let tables = self.gate.pass(self.ask()).await?;
        let replicated = tables.iter().any(|found| found.replicated && found.schema == schema && found.name == table);
        if replicated {
            return Err(Failure::transient(
                "replicated_table_appeared",
                format!("reading table {schema}.{table} for the first time"),
                "it was made after the session began, and every node has all of its rows",
                "nothing to do: the next session reads it from the first shard only",
            ));
        }
        // A table that was dropped meanwhile is in no list: it is not asked for again.
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(name, false);
        Ok(())
    }

    async fn ask(&self) -> Result<Vec<catalog::gauss::NodeTable>, Failure> {
        let options = source::connect_options(&self.task)?;
        let coordinator = connect_sql(&options).await.map_err(|error| error.failure())?;
        catalog::gauss::node_tables(&coordinator).await.map_err(|error| error.failure())
    }
}
