//! Item `sink.auto_create`: brokers make no topics by themselves.

use super::super::Facts;
use crate::check::Item;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let id = "sink.auto_create";
    match facts.broker.get("auto.create.topics.enable").map(String::as_str) {
        None => Item::skipped(id, "the brokers do not show their settings to this user"),
        Some("true") => Item::alarm(
            id,
            "the brokers create topics by themselves, with their own partition count, for whoever asks first",
            "auto.create.topics.enable=false  # in the brokers' server.properties",
        ),
        Some(_) => Item::passed(id, "off"),
    }
}
