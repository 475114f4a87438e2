//! Item `source.select_privilege`: the role may read the selected tables.

use millrace_replication::quote_ident;

use super::super::{Table, listed, statements};
use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, selected: &[&Table]) -> Item {
    let id = "source.select_privilege";
    let without: Vec<&Table> = selected.iter().copied().filter(|table| !table.may_select).collect();
    if without.is_empty() {
        return Item::passed(id, "on every selected table");
    }
    let user = quote_ident(task.source.user.as_str());
    let mend = statements(&without, |table| format!("GRANT SELECT ON {} TO {user};", table.qualified()));
    Item::tolerated(
        task,
        id,
        format!("missing on {}; the stream does not need it, the documented rights have it", listed(&without)),
        mend,
    )
}
