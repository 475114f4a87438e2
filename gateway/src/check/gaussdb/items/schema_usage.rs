//! Item `source.schema_usage`: the role may use the schemas of the selected tables.

use std::collections::BTreeSet;

use millrace_replication::{catalog::gauss::CheckedTable, quote_ident};

use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, selected: &[&CheckedTable]) -> Item {
    let id = "source.schema_usage";
    let without: BTreeSet<&str> = selected.iter().filter(|t| !t.usable).map(|table| table.schema.as_str()).collect();
    if without.is_empty() {
        return Item::passed(id, "on every schema of a selected table");
    }
    let user = quote_ident(task.source.user.as_str());
    let grant = |schema: &&str| format!("GRANT USAGE ON SCHEMA {} TO {user};", quote_ident(schema));
    let mend = without.iter().map(grant).collect::<Vec<_>>().join("\n");
    Item::failed(id, format!("missing on {}", without.into_iter().collect::<Vec<_>>().join(", ")), mend)
}
