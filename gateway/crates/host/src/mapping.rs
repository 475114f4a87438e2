//! What the task says of single tables beside its modules: another name in messages, or another topic.
//!
//! Owns the list and where it applies: behind the filters, which see the source's names, and before every other stage. Must not
//! know where the list comes from.

use std::{collections::BTreeMap, sync::Arc};

/// What one table is mapped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappedTo {
    /// The schema and name that maps, router and format see in place of its own.
    Table {
        /// Schema.
        schema: String,
        /// Name.
        table: String,
    },
    /// The topic its records go to, whatever topic the router names; the router's partition stays.
    Topic(String),
}

/// The mapped tables by schema and name at the source. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub struct Mapping(Arc<BTreeMap<(String, String), MappedTo>>);

impl Mapping {
    /// What a table is mapped to, by its names at the source.
    pub fn of(&self, schema: &str, table: &str) -> Option<&MappedTo> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(schema.to_owned(), table.to_owned()))
    }
}

impl FromIterator<((String, String), MappedTo)> for Mapping {
    fn from_iter<I: IntoIterator<Item = ((String, String), MappedTo)>>(tables: I) -> Mapping {
        Mapping(Arc::new(tables.into_iter().collect()))
    }
}
