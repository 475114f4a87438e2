//! Item `source.publication`: the publication exists, or will be made.

use millrace_replication::quote_ident;

use super::super::Facts;
use crate::{
    check::Item,
    config::{Decoding, Task},
};

pub(in crate::check) fn judge(task: &Task, facts: &Facts) -> Item {
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
