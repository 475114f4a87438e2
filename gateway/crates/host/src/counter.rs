//! The `counter` import.
//!
//! Owns the counters of every module of a process, by the name the configuration gives the module: they outlive its instances and a
//! swap of its code. Must not know how they are shown.

use crate::contract::counter;
use crate::instance::State;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Most names of one module: each is a series of a metric for ever.
const NAMES: usize = 64;
/// Most characters of a name.
const NAME_LIMIT: usize = 64;
/// Where everything goes that has no counter of its own.
const OTHER: &str = "other";

/// One counter of a module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleCount {
    /// What the configuration calls the module.
    pub module: Arc<str>,
    /// The counter's name.
    pub name: String,
    /// What was added to it since the process began.
    pub value: u64,
}

type Names = BTreeMap<String, Arc<AtomicU64>>;

/// All counters of a process.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BTreeMap<Arc<str>, Names>>);

impl Counters {
    /// The counter of this name, or `other` where the name is not legal or there are too many.
    fn cell(&self, module: &Arc<str>, name: &str) -> Arc<AtomicU64> {
        let mut modules = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let names = modules.entry(module.clone()).or_default();
        if let Some(cell) = names.get(name) {
            return cell.clone();
        }
        let own = names.keys().filter(|name| *name != OTHER).count();
        let name = if is_legal(name) && own < NAMES { name } else { OTHER };
        names.entry(name.to_owned()).or_default().clone()
    }

    /// All counters, by module and name.
    pub(crate) fn snapshot(&self) -> Vec<ModuleCount> {
        let modules = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let count = |module: &Arc<str>, (name, cell): (&String, &Arc<AtomicU64>)| ModuleCount {
            module: module.clone(),
            name: name.clone(),
            value: cell.load(Ordering::Relaxed),
        };
        modules.iter().flat_map(|(module, names)| names.iter().map(move |name| count(module, name))).collect()
    }
}

fn is_legal(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(legal)
}

/// What one instance has added and what of it is not taken yet.
pub(crate) struct Tally {
    counters: Arc<Counters>,
    module: Arc<str>,
    /// Names this instance has used; as many as a module may have, so a search is cheaper than a hash.
    used: Vec<Used>,
}

struct Used {
    name: String,
    cell: Arc<AtomicU64>,
    pending: u64,
}

impl Tally {
    pub(crate) fn new(counters: Arc<Counters>, module: Arc<str>) -> Tally {
        Tally { counters, module, used: Vec::new() }
    }

    fn add(&mut self, name: &str, by: u64) {
        let at = self.used.iter().position(|used| used.name == name).or_else(|| {
            // Further names would all be `other`, and a list of them must not grow for ever.
            let name = if self.used.len() <= NAMES { name } else { OTHER };
            if let Some(at) = self.used.iter().position(|used| used.name == name) {
                return Some(at);
            }
            let cell = self.counters.cell(&self.module, name);
            self.used.push(Used { name: name.chars().take(NAME_LIMIT + 1).collect(), cell, pending: 0 });
            Some(self.used.len() - 1)
        });
        if let Some(used) = at.and_then(|at| self.used.get_mut(at)) {
            used.pending = used.pending.saturating_add(by);
        }
    }

    /// The call's answer was taken: what it added counts.
    #[inline]
    pub(crate) fn take(&mut self) {
        for used in &mut self.used {
            used.cell.fetch_add(std::mem::take(&mut used.pending), Ordering::Relaxed);
        }
    }

    /// The call's answer was not taken, and the instance goes on.
    pub(crate) fn forget(&mut self) {
        self.used.iter_mut().for_each(|used| used.pending = 0);
    }
}

impl counter::Host for State {
    fn add(&mut self, name: String, by: u64) -> wasmtime::Result<()> {
        self.handed(name.len())?;
        self.tally.add(&name, by);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(counters: &Arc<Counters>) -> Tally {
        Tally::new(counters.clone(), "m".into())
    }

    fn values(counters: &Counters) -> Vec<(String, u64)> {
        counters.snapshot().into_iter().map(|count| (count.name, count.value)).collect()
    }

    #[test]
    fn what_is_added_counts_when_the_answer_is_taken() {
        let counters = Arc::<Counters>::default();
        let (mut first, mut second) = (tally(&counters), tally(&counters));
        first.add("rows", 2);
        first.add("rows", 3);
        assert_eq!(values(&counters), [("rows".into(), 0)]);
        first.take();
        first.take();
        second.add("rows", 10);
        second.forget();
        second.take();
        second.add("rows", 1);
        second.take();
        assert_eq!(values(&counters), [("rows".into(), 6)]);
    }

    #[test]
    fn names_have_a_bound_and_what_is_beyond_it_is_counted_together() {
        let counters = Arc::<Counters>::default();
        let mut tally = tally(&counters);
        for bad in ["", "Rows", "a-b", &"x".repeat(65)] {
            tally.add(bad, 1);
        }
        for n in 0..1000 {
            tally.add(&format!("n{n}"), 1);
        }
        tally.take();
        let values = values(&counters);
        assert!(values.len() <= NAMES + 1, "{}", values.len());
        assert_eq!(values.iter().map(|(_, value)| value).sum::<u64>(), 1004);
        assert!(values.iter().any(|(name, value)| name == OTHER && *value >= 940), "{values:?}");
        assert!(tally.used.len() <= NAMES + 2);
    }
}
