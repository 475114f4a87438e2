//! Item `source.object_names`: names that the managed service takes.

use millrace_replication::catalog::gauss::CheckedTable;

use crate::{check::Item, config::ILLEGAL_IN_OBJECT};

pub(in crate::check) fn judge(selected: &[&CheckedTable]) -> Item {
    let id = "source.object_names";
    let odd = |name: &str| name.contains(ILLEGAL_IN_OBJECT);
    let found: Vec<&CheckedTable> =
        selected.iter().copied().filter(|table| odd(&table.schema) || odd(&table.name)).collect();
    if found.is_empty() {
        return Item::passed(id, "every name can stand in a topic and in the managed service's task");
    }
    let reason = format!("the managed service would refuse {}", super::listed(&found));
    Item::failed(id, reason, "-- rename them, or choose topic names that do not hold them")
}
