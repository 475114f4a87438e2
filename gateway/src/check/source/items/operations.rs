//! Item `source.operations`: the publication sends every kind of change.

use millrace_replication::quote_ident;

use super::super::Facts;
use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, facts: &Facts) -> Item {
    let id = "source.operations";
    let Some(publication) = &facts.publication else { return Item::skipped(id, "there is no publication") };
    if publication.left_out.is_empty() {
        return Item::passed(id, "insert, update and delete are published");
    }
    let mend = format!(
        "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate');",
        quote_ident(task.source.publication.as_str())
    );
    Item::alarm(id, format!("not published: {}", publication.left_out.join(", ")), mend)
}
