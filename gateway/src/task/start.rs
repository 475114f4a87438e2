//! Where a task starts: the decision from what the position store and the source say.
//!
//! Owns the rules of the slot's life (I1, I2): only a first start makes a slot, after the intent is durable; a slot without a
//! position, a position without a slot, a slot that was confirmed past the position, or another system are refused. Pure: no
//! IO, so every case is a row of a test.

use millrace_batch::{Failure, Lsn};

/// What the position store knows of this task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// System identifier of the source at the time.
    pub system_identifier: String,
    /// Slot the position belongs to.
    pub slot: String,
    /// End of the last durable transaction; zero while only the intent to make the slot is recorded.
    pub end_lsn: Lsn,
    /// False while only the intent is recorded.
    pub slot_created: bool,
}

/// What the source knows of the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Output plugin.
    pub plugin: String,
    /// Database the slot belongs to.
    pub database: String,
    /// `pg_replication_slots.wal_status`, where the server has it.
    pub wal_status: Option<String>,
    /// What was confirmed.
    pub confirmed: Lsn,
    /// Oldest WAL the server keeps for it, where the server says.
    pub restart: Option<Lsn>,
}

/// What the task is configured to read.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Slot name.
    pub slot: &'a str,
    /// Database name.
    pub database: &'a str,
    /// Output plugin.
    pub plugin: &'a str,
    /// System identifier the source gave now.
    pub system_identifier: &'a str,
    /// End of the WAL at the source now; zero where it is not known.
    pub log_end: Lsn,
}

/// How to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Record the intent, make the slot, record where it begins.
    First,
    /// The intent was recorded and the slot made, then the gateway died: go on from where the slot begins.
    Adopt(Lsn),
    /// Go on from the stored position.
    Resume,
}

/// Decides; an error is definite and says what mends it.
pub fn decide(wanted: Wanted<'_>, stored: Option<&Stored>, found: Option<&Found>) -> Result<Start, Failure> {
    const TRIED: &str = "comparing the stored position with the source";
    let slot = wanted.slot;
    let refuse = |code, why: String, mend: String| Err(Failure::definite(code, TRIED, why, mend));

    if let Some(stored) = stored {
        if stored.system_identifier != wanted.system_identifier {
            return refuse(
                "system_identifier_changed",
                format!(
                    "the position was taken on system {}, the source is system {}",
                    stored.system_identifier, wanted.system_identifier
                ),
                "point the task at the server it was reading, or give the task a new name to start anew".into(),
            );
        }
        if stored.slot != slot {
            return refuse(
                "slot_changed",
                format!("the position belongs to slot {:?}, the task names {slot:?}", stored.slot),
                format!("set source.slot = {:?}, or give the task a new name to start anew", stored.slot),
            );
        }
    }
    if let Some(found) = found {
        check_slot(wanted, found)?;
    }
    match (stored, found) {
        (None, None) => Ok(Start::First),
        (Some(stored), None) if !stored.slot_created => Ok(Start::First),
        (Some(stored), Some(found)) if !stored.slot_created => Ok(Start::Adopt(found.confirmed)),
        (Some(stored), None) => refuse(
            "position_without_slot",
            format!("the task stands at {} but the source has no slot {slot:?}: changes since are gone", stored.end_lsn),
            format!("restore the server with the slot, or run `millrace slot drop` (it forgets the position) and start anew from now: the changes since {} are lost", stored.end_lsn),
        ),
        (None, Some(found)) => refuse(
            "slot_without_position",
            format!("the source has a slot {slot:?} (confirmed {}) that this task has no position for", found.confirmed),
            format!("name another slot, restore the position, or drop the slot: SELECT pg_drop_replication_slot('{slot}')"),
        ),
        (Some(stored), Some(found)) if found.confirmed > stored.end_lsn => refuse(
            "confirmed_past_position",
            format!("slot {slot:?} was confirmed up to {}, the durable position is {}: somebody else read it, or the position is old", found.confirmed, stored.end_lsn),
            "restore the newest position, or run `millrace slot drop` and start anew; do not share a slot between readers".into(),
        ),
        (Some(stored), Some(found)) if found.restart.is_some_and(|restart| restart > stored.end_lsn) => refuse(
            "slot_lost",
            format!("slot {slot:?} keeps WAL from {} on, the durable position is {}", found.restart.unwrap_or_default(), stored.end_lsn),
            "run `millrace slot drop` and start anew: changes since the position are lost".into(),
        ),
        // A standby that took over without the newest WAL writes other changes at the same LSNs: they would be taken for known.
        (Some(stored), Some(_)) if wanted.log_end > Lsn(0) && wanted.log_end < stored.end_lsn => refuse(
            "position_ahead_of_source",
            format!("the WAL of the source ends at {}, the durable position is {}: a failover lost what was already delivered", wanted.log_end, stored.end_lsn),
            "compare source and target since the failover, then run `millrace slot drop` and start anew".into(),
        ),
        (Some(_), Some(_)) => Ok(Start::Resume),
    }
}

fn check_slot(wanted: Wanted<'_>, found: &Found) -> Result<(), Failure> {
    let slot = wanted.slot;
    let tried = format!("looking at slot {slot:?}");
    if found.plugin != wanted.plugin || found.database != wanted.database {
        return Err(Failure::definite(
            "slot_mismatch",
            tried,
            format!(
                "the slot decodes database {:?} with {:?}, the task reads {:?} with {:?}",
                found.database, found.plugin, wanted.database, wanted.plugin
            ),
            "name another slot in source.slot",
        ));
    }
    if found.wal_status.as_deref() == Some("lost") {
        return Err(Failure::definite(
            "slot_lost",
            tried,
            "the server removed WAL the slot needed (wal_status = lost)",
            "raise max_slot_wal_keep_size, then run `millrace slot drop` and start anew: changes since the position are lost",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted<'static> =
        Wanted { slot: "s", database: "d", plugin: "pgoutput", system_identifier: "7", log_end: Lsn(9) };

    fn stored(end: u64, created: bool) -> Stored {
        Stored { system_identifier: "7".into(), slot: "s".into(), end_lsn: Lsn(end), slot_created: created }
    }

    fn found(confirmed: u64) -> Found {
        Found {
            plugin: "pgoutput".into(),
            database: "d".into(),
            wal_status: None,
            confirmed: Lsn(confirmed),
            restart: Some(Lsn(1)),
        }
    }

    fn code(stored: Option<&Stored>, found: Option<&Found>) -> &'static str {
        let failure = decide(WANTED, stored, found).expect_err("refused");
        assert!(failure.is_definite() && !failure.mend.is_empty());
        failure.code
    }

    #[test]
    fn every_start_that_goes_on() {
        assert_eq!(decide(WANTED, None, None), Ok(Start::First));
        assert_eq!(decide(WANTED, Some(&stored(0, false)), None), Ok(Start::First));
        assert_eq!(decide(WANTED, Some(&stored(0, false)), Some(&found(9))), Ok(Start::Adopt(Lsn(9))));
        assert_eq!(decide(WANTED, Some(&stored(9, true)), Some(&found(9))), Ok(Start::Resume));
        assert_eq!(decide(WANTED, Some(&stored(9, true)), Some(&found(8))), Ok(Start::Resume));
    }

    #[test]
    fn every_start_that_is_refused() {
        assert_eq!(code(Some(&stored(9, true)), None), "position_without_slot");
        assert_eq!(code(None, Some(&found(1))), "slot_without_position");
        assert_eq!(code(Some(&stored(9, true)), Some(&found(10))), "confirmed_past_position");
        let gone = Found { restart: Some(Lsn(10)), ..found(9) };
        assert_eq!(code(Some(&stored(9, true)), Some(&gone)), "slot_lost");
        assert_eq!(code(Some(&stored(10, true)), Some(&found(9))), "position_ahead_of_source");
        let other = Stored { system_identifier: "8".into(), ..stored(9, true) };
        assert_eq!(code(Some(&other), Some(&found(9))), "system_identifier_changed");
        let other = Stored { slot: "t".into(), ..stored(9, true) };
        assert_eq!(code(Some(&other), Some(&found(9))), "slot_changed");
        let lost = Found { wal_status: Some("lost".into()), ..found(9) };
        assert_eq!(code(Some(&stored(9, true)), Some(&lost)), "slot_lost");
        let plugin = Found { plugin: "test_decoding".into(), ..found(9) };
        assert_eq!(code(Some(&stored(9, true)), Some(&plugin)), "slot_mismatch");
        let database = Found { database: "e".into(), ..found(9) };
        assert_eq!(code(Some(&stored(9, true)), Some(&database)), "slot_mismatch");
    }
}
