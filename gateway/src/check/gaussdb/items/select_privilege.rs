//! Item `source.select_privilege`: the role may read the selected tables.

use millrace_replication::{catalog::gauss::CheckedTable, quote_ident};

use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, selected: &[&CheckedTable]) -> Item {
    let id = "source.select_privilege";
    let user = quote_ident(task.source.user.as_str());
    let without: Vec<&CheckedTable> = selected.iter().copied().filter(|table| !table.selectable).collect();
    if without.is_empty() {
        return Item::passed(id, "on every selected table");
    }
    let mut schemas: Vec<&str> = without.iter().map(|table| table.schema.as_str()).collect();
    schemas.dedup();
    let usage = schemas.iter().map(|schema| format!("GRANT USAGE ON SCHEMA {} TO {user};\n", quote_ident(schema)));
    let mend = usage.collect::<String>()
        + &super::statements(&without, |table| format!("GRANT SELECT ON {} TO {user};", super::qualified(table)));
    Item::failed(id, format!("missing on {}", super::listed(&without)), mend)
}
