//! Replication slots of a node: positions that move with the client's word and come back after a crash.
//!
//! What is durable of a slot lags behind what was confirmed, as on the real server: a slot is written when it is made, and at
//! checkpoints. Pure state; who holds a slot and when checkpoints happen is decided elsewhere.

use crate::text::Lsn;
use std::collections::BTreeMap;

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Output plugin.
    pub plugin: String,
    /// Its database.
    pub database: String,
    /// From here on the log is kept.
    pub restart: Lsn,
    /// Everything before this is confirmed; `None` while the slot is being made.
    pub confirmed: Option<Lsn>,
    /// Somebody streams from it, or makes it.
    pub active: bool,
}

/// The slots of one instance.
#[derive(Debug, Default)]
pub struct Slots {
    live: BTreeMap<String, Slot>,
    durable: BTreeMap<String, Slot>,
}

impl Slots {
    /// All of them by name.
    pub fn all(&self) -> &BTreeMap<String, Slot> {
        &self.live
    }

    /// One by name.
    pub fn get(&self, name: &str) -> Option<&Slot> {
        self.live.get(name)
    }

    /// One by name, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Slot> {
        self.live.get_mut(name)
    }

    /// Puts in a slot that is being made: not durable yet.
    pub fn begin(&mut self, name: &str, plugin: &str, database: &str, restart: Lsn) {
        let (plugin, database) = (plugin.to_owned(), database.to_owned());
        self.live.insert(name.to_owned(), Slot { plugin, database, restart, confirmed: None, active: true });
    }

    /// A slot is made: durable from now on.
    pub fn finish(&mut self, name: &str, restart: Lsn, confirmed: Lsn) {
        if let Some(slot) = self.live.get_mut(name) {
            (slot.restart, slot.confirmed, slot.active) = (restart, Some(confirmed), false);
            self.durable.insert(name.to_owned(), slot.clone());
        }
    }

    /// Drops a slot, durably.
    pub fn remove(&mut self, name: &str) -> Option<Slot> {
        self.durable.remove(name);
        self.live.remove(name)
    }

    /// Moves the confirmed position forward; never back. `restart` is where the log must be kept from then on.
    pub fn confirm(&mut self, name: &str, flush: Lsn, restart: Lsn) {
        if let Some(slot) = self.live.get_mut(name)
            && flush > slot.confirmed.unwrap_or_default()
        {
            slot.confirmed = Some(flush);
            slot.restart = slot.restart.max(restart.min(flush));
        }
    }

    /// Writes positions down.
    pub fn checkpoint(&mut self) {
        for (name, slot) in self.live.iter().filter(|(_, slot)| slot.confirmed.is_some()) {
            self.durable.insert(name.clone(), slot.clone());
        }
    }

    /// What a crash leaves: the state of the last checkpoint, nobody connected.
    pub fn crash(&mut self) {
        self.live = self.durable.clone();
        self.live.values_mut().for_each(|slot| slot.active = false);
    }

    /// The durable state, to be written to a file.
    pub fn durable(&self) -> &BTreeMap<String, Slot> {
        &self.durable
    }

    /// Starts from a durable state.
    pub fn restore(durable: BTreeMap<String, Slot>) -> Slots {
        let mut slots = Slots { live: BTreeMap::new(), durable };
        slots.crash();
        slots
    }

    /// The least position any slot needs.
    pub fn restart(&self) -> Option<Lsn> {
        self.live.values().map(|slot| slot.restart).min()
    }
}

/// Whether a name is one the server takes; upper case and blanks are not.
pub fn is_slot_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_?.-".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_moves_the_confirmed_position_back() {
        let mut slots = Slots::default();
        slots.begin("s", "mppdb_decoding", "db", Lsn(10));
        slots.finish("s", Lsn(10), Lsn(20));
        slots.confirm("s", Lsn(90), Lsn(80));
        slots.confirm("s", Lsn(50), Lsn(40));
        let at = |slots: &Slots| slots.get("s").map(|slot| (slot.restart, slot.confirmed));
        assert_eq!(at(&slots), Some((Lsn(80), Some(Lsn(90)))), "never back by a client's word");
        slots.crash();
        assert_eq!(at(&slots), Some((Lsn(10), Some(Lsn(20)))));
        slots.confirm("s", Lsn(60), Lsn(60));
        slots.checkpoint();
        slots.crash();
        assert_eq!(at(&slots), Some((Lsn(60), Some(Lsn(60)))));
    }

    #[test]
    fn a_slot_that_is_being_made_does_not_survive() {
        let mut slots = Slots::default();
        slots.begin("s", "mppdb_decoding", "db", Lsn(10));
        slots.checkpoint();
        slots.crash();
        assert_eq!(slots.get("s"), None);
    }

    #[test]
    fn names() {
        assert!(is_slot_name("c-dash") && is_slot_name("1c") && is_slot_name("a_b.c?"));
        assert!(!is_slot_name("cUPPER") && !is_slot_name("c space") && !is_slot_name("..") && !is_slot_name(""));
    }
}
