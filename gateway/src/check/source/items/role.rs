//! Item `source.role`: the role may replicate.

use millrace_replication::quote_ident;

use super::super::Facts;
use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, facts: &Facts) -> Item {
    let user = task.source.user.as_str();
    if facts.superuser || facts.replication {
        return Item::passed("source.role", format!("{user} may replicate"));
    }
    let mend = format!("ALTER ROLE {} REPLICATION;", quote_ident(user));
    Item::failed("source.role", format!("{user} has no REPLICATION"), mend)
}
