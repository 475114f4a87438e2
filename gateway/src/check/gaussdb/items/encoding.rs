//! Item `source.encoding`: the encoding of the database can be read.

use millrace_decode::Encoding;

use super::super::Facts;
use crate::check::Item;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let id = "source.encoding";
    match Encoding::by_name(&facts.server.encoding) {
        Ok(known) => Item::passed(id, format!("{}, compatibility {}", known.name(), facts.server.compatibility)),
        Err(failure) => Item::failure(id, &failure),
    }
}
