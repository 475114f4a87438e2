//! Item `source.published_tables`: the publication sends what is selected.

use millrace_replication::quote_ident;

use super::super::{Facts, Table, listed, statements};
use crate::{
    check::Item,
    config::{Pattern, Task},
};

/// Selected tables the publication leaves out. A table named exactly must be there; under `*.*` alone the publication is the
/// selection.
pub(in crate::check) fn judge(task: &Task, facts: &Facts, selected: &[&Table]) -> Item {
    let id = "source.published_tables";
    if facts.publication.is_none() {
        return Item::skipped(id, "there is no publication");
    }
    let (published, mut missing): (Vec<&Table>, Vec<&Table>) = selected.iter().partition(|table| table.published);
    let counted = format!("{} of {} selected tables are published", published.len(), selected.len());
    // Unlogged tables cannot be published; they have an item of their own.
    missing.retain(|table| !table.unlogged);
    let named_by = |table: &Table, patterns: &dyn Fn(&Pattern) -> bool| {
        task.objects.include.iter().any(|pattern| patterns(pattern) && pattern.covers(&table.schema, &table.name))
    };
    let exact: Vec<&Table> = missing.iter().copied().filter(|t| named_by(t, &|p| p.exact().is_some())).collect();
    let meant: Vec<&Table> = missing.iter().copied().filter(|t| named_by(t, &|p| p.to_string() != "*.*")).collect();
    let publication = quote_ident(task.source.publication.as_str());
    let add = |tables: &[&Table]| {
        statements(tables, |table| format!("ALTER PUBLICATION {publication} ADD TABLE {};", table.qualified()))
    };
    if !exact.is_empty() {
        return Item::failed(id, format!("{counted}; not {}", listed(&exact)), add(&exact));
    }
    if !meant.is_empty() {
        return Item::alarm(id, format!("{counted}; not {}", listed(&meant)), add(&meant));
    }
    if published.is_empty() && !missing.is_empty() {
        return Item::alarm(id, counted, format!("ALTER PUBLICATION {publication} ADD TABLE ...;"));
    }
    Item::passed(id, counted)
}
