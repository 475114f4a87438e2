//! The publication: what the source sends at all.

use millrace_replication::quote_ident;

use super::{Facts, Table, listed, statements};
use crate::{
    check::Item,
    config::{Decoding, Pattern, Task},
};

pub(super) fn exists(task: &Task, facts: &Facts) -> Item {
    let (id, name) = ("source.publication", task.source.publication.as_str());
    if task.source.decoding != Decoding::Pgoutput {
        return Item::passed(id, format!("{} needs none", task.source.decoding.plugin()));
    }
    if let Some(publication) = &facts.publication {
        let of = if publication.all_tables { "all tables" } else { "chosen tables" };
        return Item::passed(id, format!("{name:?} exists, for {of}"));
    }
    let sql = create(task);
    if task.source.create_publication {
        let exact = task.objects.include.iter().all(|pattern| pattern.exact().is_some());
        if !exact && !facts.superuser {
            let reason = "is missing; patterns with * need FOR ALL TABLES, which only a superuser may create";
            return Item { code: Some("publication_missing"), ..Item::failed(id, reason, sql) };
        }
        if !facts.may_create {
            let reason = format!("is missing, and {} may not create one", task.source.user);
            let mend = format!(
                "GRANT CREATE ON DATABASE {} TO {};",
                quote_ident(task.source.database.as_str()),
                quote_ident(task.source.user.as_str())
            );
            return Item { code: Some("publication_missing"), ..Item::failed(id, reason, mend) };
        }
        return Item::passed(id, format!("{name:?} is missing and will be created"));
    }
    Item { code: Some("publication_missing"), ..Item::failed(id, format!("{name:?} does not exist"), sql) }
}

/// The statement that makes what the task asks for.
fn create(task: &Task) -> String {
    let exact: Option<Vec<String>> = task
        .objects
        .include
        .iter()
        .map(|pattern| pattern.exact().map(|(schema, table)| millrace_replication::quote_qualified(schema, table)))
        .collect();
    let of = exact.map_or("ALL TABLES".to_owned(), |tables| format!("TABLE {}", tables.join(", ")));
    format!("CREATE PUBLICATION {} FOR {of};", quote_ident(task.source.publication.as_str()))
}

pub(super) fn operations(task: &Task, facts: &Facts) -> Item {
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

/// Selected tables the publication leaves out. A table named exactly must be there; under `*.*` alone the publication is the
/// selection.
pub(super) fn coverage(task: &Task, facts: &Facts, selected: &[&Table]) -> Item {
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

pub(super) fn filters(selected: &[&Table]) -> Item {
    let filtered: Vec<&Table> =
        selected.iter().copied().filter(|table| table.row_filter || table.column_list).collect();
    if filtered.is_empty() {
        return Item::passed("source.filters", "no row filters and no column lists");
    }
    let reason = format!("the publication sends only some rows or columns of {}", listed(&filtered));
    Item::alarm(
        "source.filters",
        reason,
        "-- if this is not meant: ALTER PUBLICATION ... SET TABLE without WHERE and columns",
    )
}
