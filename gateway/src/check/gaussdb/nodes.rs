//! Item `source.nodes`: the data nodes that the task file lists are those the cluster has.

use crate::check::Item;

/// `declared`: names in the task file, empty where it lists none; `actual`: what the coordinator tells, absent where it does not.
pub(super) fn judge(declared: &[&str], actual: Option<&[String]>) -> Item {
    let id = "source.nodes";
    let Some(actual) = actual else {
        return Item::skipped(id, "the coordinator does not list its data nodes");
    };
    let listed = actual.join(", ");
    if declared.is_empty() {
        return Item::passed(id, format!("{} data nodes: {listed}", actual.len()));
    }
    let (mut ours, mut theirs) = (declared.to_vec(), actual.iter().map(String::as_str).collect::<Vec<_>>());
    ours.sort_unstable();
    theirs.sort_unstable();
    if ours == theirs {
        return Item::passed(id, format!("{} data nodes, as source.nodes has them", actual.len()));
    }
    let reason =
        format!("source.nodes lists {} ({}), the cluster has {} ({listed})", ours.len(), ours.join(", "), actual.len());
    Item::alarm(id, reason, "-- correct source.nodes, or leave it out: the coordinator is asked then")
}
