//! Item `source.slot`: the slot and the stored position belong together; a first start finds the name free.

use super::super::Facts;
use crate::{
    check::{Item, source::Stored},
    config::Task,
    task::start::{Found, Start, Wanted, decide},
};

pub(in crate::check) fn judge(task: &Task, facts: &Facts, stored: Result<Option<Stored>, String>) -> Item {
    let (id, name) = ("source.slot", task.source.slot.as_str());
    let found = facts.slot.as_ref().map(|slot| Found {
        plugin: slot.plugin.clone().unwrap_or_default(),
        database: slot.database.clone().unwrap_or_default(),
        wal_status: slot.wal_status.clone(),
        confirmed: slot.confirmed_flush_lsn.unwrap_or_default(),
        restart: slot.restart_lsn,
    });
    let wanted = Wanted {
        slot: name,
        database: task.source.database.as_str(),
        plugin: task.source.decoding.plugin(),
        system_identifier: &facts.system.system_id,
        log_end: facts.system.wal_flush,
    };
    let known = stored.as_ref().ok().and_then(Option::as_ref);
    let start = match decide(wanted, known, found.as_ref()) {
        Ok(start) => start,
        Err(failure) => match (&stored, failure.code) {
            (Err(why), "slot_without_position") => {
                return Item::skipped(id, format!("the position is not known: {why}"));
            }
            // The words are ours, not the server's.
            _ => return Item { reason: failure.why.clone(), raw_error: None, ..Item::failure(id, &failure) },
        },
    };
    let Some(slot) = &facts.slot else { return Item::passed(id, format!("{name:?} is made at the first start")) };
    let at = slot.confirmed_flush_lsn.unwrap_or_default();
    let retained = format!("{name:?} at {at}, {} MiB of WAL retained", slot.retained_bytes.unwrap_or(0) >> 20);
    if slot.active {
        let mend = "-- nothing to do if a gateway of this task runs";
        return Item::alarm(id, format!("{retained}, in use"), mend);
    }
    let goes_on = if matches!(start, Start::Resume) { "goes on from the stored position" } else { "is taken over" };
    Item::passed(id, format!("{retained}, {goes_on}"))
}
