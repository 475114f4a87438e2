//! Item `sink.topic_names`: every table has a topic of a legal name, and of its own where that is wanted.

use std::collections::BTreeMap;

use super::super::{Wanted, some};
use crate::{
    check::Item,
    config::{Task, TopicPolicy},
};

pub(in crate::check) fn judge(task: &Task, wanted: &Wanted) -> Item {
    let id = "sink.topic_names";
    if let Some(why) = wanted.unknown {
        return Item::skipped(id, why);
    }
    if !wanted.illegal.is_empty() {
        let names = some(&wanted.illegal);
        return if task.route.sanitize {
            Item::alarm(id, format!("rewritten, as route.sanitize says: {names}"), "-- tell the consumers")
        } else {
            Item::failed(id, format!("Kafka refuses {names}"), "-- set route.sanitize = true, or exclude these tables")
        };
    }
    // Two tables in one topic under policy 1; or names that differ only in '.' and '_', which collide in Kafka's metrics.
    let mut by_metric: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in wanted.legal.keys() {
        by_metric.entry(name.replace('.', "_")).or_default().push(name);
    }
    let mut shared: Vec<String> =
        by_metric.into_values().filter(|names| names.len() > 1).map(|n| n.join(" and ")).collect();
    if !shared.is_empty() {
        let mend = "-- change route.topic_name_format: the brokers refuse a topic whose metric name another one has";
        return Item::failed(id, format!("'.' and '_' are one in metric names: {}", some(&shared)), mend);
    }
    if task.route.topic_policy == TopicPolicy::PerTable {
        let many = wanted.legal.iter().filter(|(name, tables)| tables.len() > 1 && !wanted.mapped.contains(*name));
        shared = many.map(|(name, tables)| format!("{name} takes {}", tables.join(", "))).collect();
    }
    if !shared.is_empty() {
        let mend = "-- use $database$-$schema$-$tablename$, or another separator than one that names contain";
        return Item::failed(id, format!("several tables in one topic: {}", some(&shared)), mend);
    }
    Item::passed(id, format!("{} topics, all legal", wanted.legal.len()))
}
