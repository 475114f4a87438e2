//! Item `source.wal_level`: the write-ahead log holds what logical decoding needs.

use super::super::Facts;
use crate::check::Item;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let level = facts.settings.get("wal_level").map_or("unknown", String::as_str);
    if level == "logical" {
        return Item::passed("source.wal_level", "logical");
    }
    let mend = "ALTER SYSTEM SET wal_level = logical;\n-- then restart the server";
    Item { code: Some("wal_level"), ..Item::failed("source.wal_level", format!("is {level}, must be logical"), mend) }
}
