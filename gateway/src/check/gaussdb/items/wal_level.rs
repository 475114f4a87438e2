//! Item `source.wal_level`: the write-ahead log holds what logical decoding needs.

use super::super::Facts;
use crate::check::Item;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let (id, level) = ("source.wal_level", super::setting(facts, "wal_level"));
    if level == "logical" {
        return Item::passed(id, "logical");
    }
    let mend = "gs_guc set -I all -N all -c \"wal_level=logical\"   -- then restart the server";
    Item::failed(id, format!("is {level}"), mend)
}
