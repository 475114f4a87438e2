//! Topic names as small numbers.
//!
//! Owns the table all chains of a task share, and which names Kafka takes. Must not know brokers or partition counts.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// Most characters of a topic name (`org.apache.kafka.common.internals.Topic`).
const NAME_LIMIT: usize = 249;
/// Topics one task may name unless the caller says otherwise: far above what a cluster carries, and it bounds a module that
/// makes names up (I7).
const DEFAULT_CAPACITY: usize = 100_000;

/// Number of a topic in its [`TopicTable`], from 0 in the order the names came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub u32);

/// Why a name gets no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Kafka would refuse it.
    #[error("{0:?} is no topic name: 1 to 249 of A-Z a-z 0-9 . _ -, and not . or ..")]
    Illegal(String),
    /// More topics than the task may have.
    #[error("it names more than {0} different topics")]
    Full(usize),
}

/// Names and numbers of a task's topics. Cloning gives another handle; names are only ever added.
#[derive(Clone, Debug)]
pub struct TopicTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    names: RwLock<Names>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Names {
    by_id: Vec<Arc<str>>,
    by_name: HashMap<Arc<str>, TopicId>,
}

impl Default for TopicTable {
    fn default() -> TopicTable {
        TopicTable::with_capacity(DEFAULT_CAPACITY)
    }
}

impl TopicTable {
    /// An empty table that takes 100 000 names.
    pub fn new() -> TopicTable {
        TopicTable::default()
    }

    /// An empty table that takes at most `capacity` names.
    pub fn with_capacity(capacity: usize) -> TopicTable {
        TopicTable(Arc::new(Inner { names: RwLock::default(), capacity }))
    }

    /// The number of a name, a new one if need be.
    ///
    /// # Errors
    /// The name is illegal, or the table is full.
    pub fn intern(&self, name: &str) -> Result<TopicId, TopicError> {
        if let Some(id) = self.names().by_name.get(name) {
            return Ok(*id);
        }
        if !is_legal(name) {
            return Err(TopicError::Illegal(name.chars().take(NAME_LIMIT).collect()));
        }
        let mut names = self.0.names.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Another worker may have been faster.
        if let Some(id) = names.by_name.get(name) {
            return Ok(*id);
        }
        if names.by_id.len() >= self.0.capacity {
            return Err(TopicError::Full(self.0.capacity));
        }
        let id = TopicId(names.by_id.len() as u32);
        let name: Arc<str> = name.into();
        names.by_id.push(name.clone());
        names.by_name.insert(name, id);
        Ok(id)
    }

    /// The name of a number.
    pub fn name(&self, id: TopicId) -> Option<Arc<str>> {
        self.names().by_id.get(id.0 as usize).cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names().by_id.len()
    }

    /// True before the first name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn names(&self) -> std::sync::RwLockReadGuard<'_, Names> {
        self.0.names.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn is_legal(name: &str) -> bool {
    let character = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=NAME_LIMIT).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let table = TopicTable::with_capacity(2);
        let shared = table.clone();
        let a = table.intern("a").unwrap();
        assert_eq!(shared.intern("b"), Ok(TopicId(1)));
        assert_eq!(table.intern("a"), Ok(a));
        assert_eq!(table.name(a).as_deref(), Some("a"));
        assert_eq!(table.intern("c"), Err(TopicError::Full(2)));
        assert_eq!((table.len(), table.name(TopicId(2))), (2, None));
    }

    #[test]
    fn what_kafka_refuses_is_refused_here() {
        let table = TopicTable::new();
        for bad in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(250)] {
            assert!(matches!(table.intern(bad), Err(TopicError::Illegal(_))), "{bad}");
        }
        for good in ["...", "A-b_c.9", &"x".repeat(249)] {
            assert!(table.intern(good).is_ok(), "{good}");
        }
        assert_eq!(table.len(), 3);
    }
}
