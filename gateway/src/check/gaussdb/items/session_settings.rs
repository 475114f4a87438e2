//! Item `source.session_settings`: values come in their usual form.

use millrace_replication::quote_literal;

use super::super::Facts;
use crate::{
    check::Item,
    config::{Decoding, Task},
    task::family,
};

/// Parallel decoding obeys the database, whatever the session says; serial decoding obeys the session.
pub(in crate::check) fn judge(task: &Task, facts: &Facts) -> Item {
    let id = "source.session_settings";
    let database = millrace_replication::quote_ident(task.source.database.as_str());
    let options = super::setting(facts, family::COMPATIBILITY);
    if family::hides_zeros(options) {
        let kept: Vec<&str> = options.split(',').map(str::trim).filter(|option| !family::hides_zeros(option)).collect();
        let (name, kept) = (family::COMPATIBILITY, quote_literal(&kept.join(",")));
        return Item::failed(
            id,
            format!("{name} = {options}: numerics would come without the zeros at their end"),
            format!("ALTER DATABASE {database} SET {name} = {kept};"),
        );
    }
    if task.source.decoding != Decoding::Parallel {
        return Item::passed(id, "set for each session");
    }
    let bad = family::unfit_setting(&facts.database);
    match bad {
        None => Item::passed(id, "the database changes no form of values"),
        Some((name, value)) => Item::failed(
            id,
            format!("the database sets {name} = {value}, which parallel decoding obeys"),
            format!("ALTER DATABASE {database} RESET {name};"),
        ),
    }
}
