//! The selected tables of a GaussDB or openGauss. Pure.

use millrace_replication::{
    catalog::{ReplicaIdentity, gauss::CheckedTable},
    quote_ident, quote_qualified,
};

use crate::{
    check::{Item, source::Table},
    config::{Decoding, ILLEGAL_IN_OBJECT, Pattern, Task},
};

fn qualified(table: &CheckedTable) -> String {
    quote_qualified(&table.schema, &table.name)
}

fn listed(tables: &[&CheckedTable]) -> String {
    let names: Vec<String> = tables.iter().take(5).map(|table| qualified(table)).collect();
    let more = tables.len().saturating_sub(5);
    if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
}

fn statements(tables: &[&CheckedTable], statement: impl Fn(&CheckedTable) -> String) -> String {
    tables.iter().take(100).map(|table| statement(table)).collect::<Vec<_>>().join("\n")
}

/// The tables the task selects.
pub(super) fn selected<'a>(task: &Task, tables: &'a [CheckedTable]) -> Vec<&'a CheckedTable> {
    tables.iter().filter(|table| task.selects(&table.schema, &table.name)).collect()
}

/// The selected tables whose changes come, for the items about topics.
pub(super) fn sent(task: &Task, tables: &[CheckedTable]) -> Vec<Table> {
    let sent = selected(task, tables).into_iter().filter(|table| table.is_decoded());
    sent.map(|table| Table { schema: table.schema.clone(), name: table.name.clone(), ..Table::default() }).collect()
}

pub(super) fn exist(task: &Task, tables: &[CheckedTable]) -> Item {
    let id = "source.tables";
    let covers = |pattern: &&Pattern| tables.iter().any(|table| pattern.covers(&table.schema, &table.name));
    let missing: Vec<&Pattern> = task.objects.include.iter().filter(|pattern| !covers(pattern)).collect();
    let names = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if missing.iter().any(|pattern| pattern.exact().is_some()) {
        let mend = "-- create it, grant USAGE on its schema, or take it out of objects.include (case counts)";
        return Item::failed(id, format!("no such table: {names}"), mend);
    }
    if !missing.is_empty() {
        return Item::alarm(id, format!("no table yet for {names}"), "-- nothing to do if they are to come");
    }
    Item::passed(id, format!("{} selected", selected(task, tables).len()))
}

/// Kinds of tables whose changes are not decoded.
pub(super) fn kinds(selected: &[&CheckedTable]) -> Item {
    let id = "source.table_kinds";
    let of = |kind: fn(&CheckedTable) -> bool| -> Vec<&CheckedTable> {
        selected.iter().copied().filter(|table| kind(table)).collect()
    };
    let never = of(|table| table.columnar || table.temporary);
    if !never.is_empty() {
        let reason = format!("not decoded, being stored by column or temporary: {}", listed(&never));
        return Item::failed(id, reason, "-- take them out with objects.exclude");
    }
    let unlogged = of(|table| table.unlogged);
    if !unlogged.is_empty() {
        let mend = statements(&unlogged, |table| format!("ALTER TABLE {} SET LOGGED;", qualified(table)));
        return Item::alarm(id, format!("unlogged, so nothing comes: {}", listed(&unlogged)), mend);
    }
    let compressed = of(|table| table.compressed);
    if !compressed.is_empty() {
        let reason = format!(
            "compressed; some versions send their rows without columns, which stops the task: {}",
            listed(&compressed)
        );
        return Item::alarm(id, reason, "-- take them out with objects.exclude, or watch the first changes");
    }
    Item::passed(id, "rows of all selected tables are decoded")
}

pub(super) fn interval_partitions(task: &Task, selected: &[&CheckedTable]) -> Item {
    let id = "source.interval_partitions";
    let found: Vec<&CheckedTable> = selected.iter().copied().filter(|table| table.interval_partitioned).collect();
    if found.is_empty() {
        return Item::passed(id, "none");
    }
    let reason = format!("partitioned by intervals: {}", listed(&found));
    if task.source.decoding == Decoding::Parallel {
        let reason = format!("{reason}; an insert that creates a partition is lost");
        return Item::failed(id, reason, "-- take them out with objects.exclude, or set source.decoding = \"serial\"");
    }
    Item::alarm(
        id,
        format!("{reason}; the managed service does not replicate them"),
        "-- compare before relying on them",
    )
}

pub(super) fn replica_identity(selected: &[&CheckedTable]) -> Item {
    let id = "source.replica_identity";
    let keyless = |table: &&&CheckedTable| {
        table.replica_identity == ReplicaIdentity::Nothing
            || (table.replica_identity == ReplicaIdentity::Default && !table.primary_key)
    };
    let without: Vec<&CheckedTable> = selected.iter().filter(keyless).copied().collect();
    let full = |table: &&&CheckedTable| table.replica_identity == ReplicaIdentity::Full;
    let partial: Vec<&CheckedTable> =
        selected.iter().filter(|table| !full(table) && !keyless(table)).copied().collect();
    let alter = |tables: &[&CheckedTable]| {
        statements(tables, |table| format!("ALTER TABLE {} REPLICA IDENTITY FULL;", qualified(table)))
    };
    if !without.is_empty() {
        let reason = format!(
            "deletes of {} come without their row, which stops the task: no key and not FULL",
            listed(&without)
        );
        return Item::failed(id, reason, alter(&without));
    }
    if !partial.is_empty() {
        let reason = format!("old values beside the key are missing for {}", listed(&partial));
        return Item::alarm(id, reason, alter(&partial));
    }
    Item::passed(id, "FULL on every selected table")
}

pub(super) fn names(selected: &[&CheckedTable]) -> Item {
    let id = "source.object_names";
    let odd = |name: &str| name.contains(ILLEGAL_IN_OBJECT);
    let found: Vec<&CheckedTable> =
        selected.iter().copied().filter(|table| odd(&table.schema) || odd(&table.name)).collect();
    if found.is_empty() {
        return Item::passed(id, "every name can stand in a topic and in the managed service's task");
    }
    let reason = format!("the managed service would refuse {}", listed(&found));
    Item::alarm(id, reason, "-- rename them, or choose topic names that do not hold them")
}

pub(super) fn select_privilege(task: &Task, selected: &[&CheckedTable]) -> Item {
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
        + &statements(&without, |table| format!("GRANT SELECT ON {} TO {user};", qualified(table)));
    Item::failed(id, format!("missing on {}", listed(&without)), mend)
}
