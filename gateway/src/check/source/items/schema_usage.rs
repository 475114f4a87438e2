//! Item `source.schema_usage`: the role may use the schemas of the selected tables.

use std::collections::BTreeSet;

use millrace_replication::quote_ident;

use super::super::Table;
use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, selected: &[&Table]) -> Item {
    let id = "source.schema_usage";
    let without: BTreeSet<&str> = selected.iter().filter(|t| !t.may_use).map(|table| table.schema.as_str()).collect();
    if without.is_empty() {
        return Item::passed(id, "on every schema of a selected table");
    }
    let user = quote_ident(task.source.user.as_str());
    let grant = |schema: &&str| format!("GRANT USAGE ON SCHEMA {} TO {user};", quote_ident(schema));
    let mend = without.iter().map(grant).collect::<Vec<_>>().join("\n");
    let named = without.into_iter().collect::<Vec<_>>().join(", ");
    let reason = format!("missing on {named}; the stream does not need it, the documented rights have it");
    Item::tolerated(task, id, reason, mend)
}
