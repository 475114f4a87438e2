//! Item `source.slot`: the slot and the stored position belong together; a first start finds the name free.

use super::super::Facts;
use crate::{check::Item, config::Task};

/// What the position store knows of the task.
pub(in crate::check) type Stored = crate::task::start::Stored;

/// `system` is empty where it could not be asked; `stored` is an error where the position could not be read:
/// then only the slot itself is judged.
pub(in crate::check) fn judge(task: &Task, facts: &Facts, system: &str, stored: Result<Option<&Stored>, &str>) -> Item {
    use crate::task::start::{Found, Start, Wanted, decide};
    let id = "source.slot";
    let name = task.source.slot.as_str();
    let found = facts.slot.as_ref().map(|slot| Found {
        plugin: slot.plugin.clone(),
        database: slot.database.clone(),
        wal_status: slot.wal_status.clone(),
        confirmed: slot.confirmed.parse().unwrap_or_default(),
        restart: None,
    });
    let known = stored.ok().flatten().map_or("", |stored| stored.system_identifier.as_str());
    let wanted = Wanted {
        slot: name,
        database: task.source.database.as_str(),
        plugin: task.source.decoding.plugin(),
        system_identifier: if system.is_empty() { known } else { system },
        log_end: Default::default(),
    };
    let start = match decide(wanted, stored.unwrap_or_default(), found.as_ref()) {
        Ok(start) => start,
        Err(failure) => match (stored, failure.code) {
            (Err(why), "slot_without_position") => {
                return Item::skipped(id, format!("the position is not known: {why}"));
            }
            // The words are ours, not the server's.
            _ => return Item { reason: failure.why.clone(), raw_error: None, ..Item::failure(id, &failure) },
        },
    };
    let Some(slot) = &facts.slot else { return Item::passed(id, format!("{name:?} is made at the first start")) };
    let retained = format!("{name:?} at {}, {} MiB of WAL retained", slot.confirmed, slot.retained >> 20);
    if let Some(pid) = slot.active_pid {
        let mend = format!("-- if no gateway of this task runs: SELECT pg_terminate_backend({pid});");
        return Item::alarm(id, format!("{retained}, in use by process {pid}"), mend);
    }
    if slot.wal_status.as_deref() == Some("unreserved") {
        let mend = "ALTER SYSTEM SET max_slot_wal_keep_size = -1;\nSELECT pg_reload_conf();";
        return Item::alarm(id, format!("{retained}; the server is about to remove WAL it needs"), mend);
    }
    let goes_on = if matches!(start, Start::Resume) { "goes on from the stored position" } else { "is taken over" };
    Item::passed(id, format!("{retained}, {goes_on}"))
}
