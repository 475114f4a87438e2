//! Item `source.decoding`: what the chosen decoding loses.

use super::super::Facts;
use crate::{
    check::Item,
    config::{Decoding, Task},
};

pub(in crate::check) fn judge(task: &Task, facts: &Facts) -> Item {
    let id = "source.decoding";
    let preset = super::setting(facts, "logical_decode_options_default");
    if task.source.decoding == Decoding::Parallel {
        return Item::alarm(
            id,
            "parallel: the server leaves out, in silence, every row that follows a catalogue change in its transaction (CREATE \
             TABLE, ALTER TABLE, CREATE INDEX, TRUNCATE, COMMENT, GRANT, a temporary table), whole CREATE TABLE AS and SELECT INTO, \
             and an INSERT that creates an interval partition",
            "-- keep schema changes in transactions of their own, or set source.decoding = \"serial\"",
        );
    }
    let preset =
        if preset.is_empty() { String::new() } else { format!(" (the server's preset {preset:?} is overridden)") };
    Item::passed(id, format!("serial{preset}"))
}
