//! Item `source.deferrable_constraints`: no selected table has a constraint that may be checked late.

use millrace_replication::{catalog::gauss::Mark, quote_ident, quote_qualified};

use crate::{
    check::Item,
    config::{SourceKind, Task},
};

pub(in crate::check) fn judge(task: &Task, marks: &[Mark]) -> Item {
    let id = "source.deferrable_constraints";
    let found: Vec<&Mark> = marks.iter().filter(|mark| task.selects(&mark.schema, &mark.table)).collect();
    if found.is_empty() {
        return Item::passed(id, "none on the selected tables");
    }
    let named: Vec<String> = found.iter().take(5).map(|m| format!("{}.{} ({})", m.schema, m.table, m.name)).collect();
    let reason = format!("{} may be checked late: {}", found.len(), named.join(", "));
    let mend = found.iter().take(100).map(|mark| {
        let (table, name) = (quote_qualified(&mark.schema, &mark.table), quote_ident(&mark.name));
        format!("ALTER TABLE {table} DROP CONSTRAINT {name};  -- and add it again NOT DEFERRABLE")
    });
    let mend = mend.collect::<Vec<_>>().join("\n");
    match task.source.kind {
        SourceKind::Gaussdb => Item::failed(id, reason, mend),
        SourceKind::Postgresql => Item::tolerated(task, id, reason, mend),
    }
}
