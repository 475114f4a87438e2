//! The selected tables.

use millrace_replication::quote_ident;

use super::{Facts, Table, listed, statements};
use crate::{
    check::Item,
    config::{ILLEGAL_IN_OBJECT, Task},
};

/// The tables the task selects, under the names the stream uses: partitions by their own name, unless the publication says
/// that they come under their root's.
pub(super) fn selected<'a>(task: &Task, facts: &'a Facts) -> Vec<&'a Table> {
    let via_root = facts.publication.as_ref().is_some_and(|publication| publication.via_root);
    let named = |table: &&Table| if via_root { !table.is_partition } else { !table.partitioned };
    facts.tables.iter().filter(named).filter(|table| task.selects(&table.schema, &table.name)).collect()
}

pub(super) fn exist(task: &Task, facts: &Facts) -> Item {
    let id = "source.tables";
    let found =
        |pattern: &&crate::config::Pattern| facts.tables.iter().any(|table| pattern.covers(&table.schema, &table.name));
    let (empty, _): (Vec<_>, Vec<_>) = task.objects.include.iter().partition(|pattern| !found(pattern));
    let (exact, wild): (Vec<_>, Vec<_>) = empty.into_iter().partition(|pattern| pattern.exact().is_some());
    let names =
        |patterns: &[&crate::config::Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !exact.is_empty() {
        let mend = "-- create it, grant USAGE on its schema, or take it out of objects.include (case counts)";
        return Item::failed(id, format!("no such table: {}", names(&exact)), mend);
    }
    if !wild.is_empty() {
        return Item::alarm(id, format!("no table yet for {}", names(&wild)), "-- nothing to do if they are to come");
    }
    Item::passed(id, format!("{} selected", selected(task, facts).len()))
}

/// What the old image of an update or delete holds. Without a key and without FULL the server refuses updates and deletes of
/// a published table.
pub(super) fn replica_identity(selected: &[&Table]) -> Item {
    let id = "source.replica_identity";
    let full = |table: &&&Table| table.identity == "f";
    let keyless = |table: &&&Table| table.identity == "n" || (table.identity == "d" && !table.primary_key);
    let without: Vec<&Table> = selected.iter().filter(keyless).copied().collect();
    let partial: Vec<&Table> = selected.iter().filter(|t| !full(t) && !keyless(t)).copied().collect();
    let alter = |tables: &[&Table]| {
        statements(tables, |table| format!("ALTER TABLE {} REPLICA IDENTITY FULL;", table.qualified()))
    };
    if !without.is_empty() {
        let reason = format!("updates and deletes of {} fail at the source: no key and not FULL", listed(&without));
        return Item::failed(id, reason, alter(&without));
    }
    if !partial.is_empty() {
        let reason = format!("old values beside the key are missing for {}", listed(&partial));
        return Item::alarm(id, reason, alter(&partial));
    }
    Item::passed(id, "FULL on every selected table")
}

pub(super) fn unlogged(selected: &[&Table]) -> Item {
    let unlogged: Vec<&Table> = selected.iter().copied().filter(|table| table.unlogged).collect();
    if unlogged.is_empty() {
        return Item::passed("source.unlogged_tables", "none selected");
    }
    let mend = statements(&unlogged, |table| format!("ALTER TABLE {} SET LOGGED;", table.qualified()));
    Item::alarm("source.unlogged_tables", format!("never sent: {}", listed(&unlogged)), mend)
}

pub(super) fn names(selected: &[&Table]) -> Item {
    let id = "source.object_names";
    let odd: Vec<&Table> = selected
        .iter()
        .copied()
        .filter(|table| table.schema.contains(ILLEGAL_IN_OBJECT) || table.name.contains(ILLEGAL_IN_OBJECT))
        .collect();
    if odd.is_empty() {
        return Item::passed(id, "no character that the managed service refuses");
    }
    let reason = format!("the managed service refuses the names of {}; consumers may not expect them", listed(&odd));
    Item::alarm(id, reason, "-- rename them, exclude them, or set route.sanitize = true for their topics")
}

pub(super) fn generated_columns(selected: &[&Table]) -> Item {
    let id = "source.generated_columns";
    let with: Vec<&Table> = selected.iter().copied().filter(|table| table.generated_columns > 0).collect();
    if with.is_empty() {
        return Item::passed(id, "none in the selected tables");
    }
    Item::alarm(
        id,
        format!("not sent by the source: those of {}", listed(&with)),
        "-- nothing to do if consumers can do without",
    )
}

pub(super) fn select_privilege(task: &Task, selected: &[&Table]) -> Item {
    let id = "source.select_privilege";
    let without: Vec<&Table> = selected.iter().copied().filter(|table| !table.may_select).collect();
    if without.is_empty() {
        return Item::passed(id, "on every selected table");
    }
    let user = quote_ident(task.source.user.as_str());
    let mend = statements(&without, |table| {
        format!(
            "GRANT USAGE ON SCHEMA {} TO {user}; GRANT SELECT ON {} TO {user};",
            quote_ident(&table.schema),
            table.qualified()
        )
    });
    Item::alarm(
        id,
        format!("missing on {}; the stream does not need it, the documented rights have it", listed(&without)),
        mend,
    )
}
