//! Item `source.version`: the server has pgoutput.

use super::super::Facts;
use crate::check::Item;

/// pgoutput came with version 10.
const OLDEST: i32 = 100_000;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let text = format!("PostgreSQL {}.{}", facts.version / 10_000, facts.version % 10_000);
    if facts.version < OLDEST {
        return Item::failed("source.version", format!("{text} has no pgoutput"), "upgrade to version 10 or later");
    }
    Item::passed("source.version", text)
}
