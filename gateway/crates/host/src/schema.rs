//! Schemas as small numbers.
//!
//! Owns the table of schemas that the format modules of a process declare, and its bounds. Must not know registries, framing, or what
//! a schema's text means: the sink registers it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, RwLock};

/// Most bytes of a schema's full name.
const NAME_LIMIT: usize = 1000;
/// Most bytes of one schema: what registries take by default.
const TEXT_LIMIT: usize = 1 << 20;
/// Most bytes of all schemas together: bounds a module that makes schemas up (I7).
const TOTAL_LIMIT: usize = 64 << 20;

/// The language a schema is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaLanguage {
    /// Apache Avro, as JSON text.
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers, as a `.proto` file.
    Protobuf,
}

/// A schema of the bytes that a format module writes as key or value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schema {
    /// Its language.
    pub language: SchemaLanguage,
    /// Full name of the record or message.
    pub name: String,
    /// The schema itself, complete in itself.
    pub text: String,
}

/// Number of a schema in its [`SchemaTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(NonZeroU32);

impl SchemaId {
    /// Its place in the order the schemas came up, from 0: an index for whoever keeps something per schema.
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// What the key and the value of a record are written in; None where the module declares nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schemas {
    /// Schema of the key.
    pub key: Option<SchemaId>,
    /// Schema of the value.
    pub value: Option<SchemaId>,
}

/// The schemas of a process. Cloning gives another handle; schemas are only ever added, so what is kept per [`SchemaId`] (a
/// registry's number, a frame) stays right across module swaps.
#[derive(Clone, Debug, Default)]
pub struct SchemaTable(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    by_id: Vec<Arc<Schema>>,
    by_schema: HashMap<Arc<Schema>, SchemaId>,
    bytes: usize,
}

impl SchemaTable {
    /// The number of a schema, a new one if need be; an error text where a limit is passed.
    pub(crate) fn intern(&self, schema: Schema) -> Result<SchemaId, String> {
        if schema.name.is_empty() || schema.name.len() > NAME_LIMIT {
            return Err(format!("its name has {} bytes, 1 to {NAME_LIMIT} are allowed", schema.name.len()));
        }
        if schema.text.is_empty() || schema.text.len() > TEXT_LIMIT {
            return Err(format!("it has {} bytes, 1 to {TEXT_LIMIT} are allowed", schema.text.len()));
        }
        let mut known = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(id) = known.by_schema.get(&schema) {
            return Ok(*id);
        }
        let bytes = known.bytes + schema.text.len() + schema.name.len();
        if bytes > TOTAL_LIMIT {
            return Err(format!("the schemas of all modules together pass {TOTAL_LIMIT} bytes"));
        }
        let number = u32::try_from(known.by_id.len() + 1).ok().and_then(NonZeroU32::new);
        let id = SchemaId(number.ok_or("there are too many schemas")?);
        let schema = Arc::new(schema);
        known.bytes = bytes;
        known.by_id.push(schema.clone());
        known.by_schema.insert(schema, id);
        Ok(id)
    }

    /// The schema of a number.
    pub fn get(&self, id: SchemaId) -> Option<Arc<Schema>> {
        let known = self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.by_id.get(id.index()).cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).by_id.len()
    }

    /// True before the first schema.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(name: &str, text: &str) -> Schema {
        Schema { language: SchemaLanguage::Avro, name: name.into(), text: text.into() }
    }

    #[test]
    fn the_same_schema_keeps_its_number_and_any_difference_makes_another() {
        let table = SchemaTable::default();
        let first = table.intern(schema("a", "1")).unwrap();
        assert_eq!(table.clone().intern(schema("a", "1")), Ok(first));
        let others =
            [schema("b", "1"), schema("a", "2"), Schema { language: SchemaLanguage::Json, ..schema("a", "1") }];
        for (index, other) in (1..).zip(others) {
            let id = table.intern(other.clone()).unwrap();
            assert_eq!((id.index(), table.get(id).as_deref()), (index, Some(&other)));
        }
        assert_eq!(table.len(), 4);
    }

    #[test]
    fn what_passes_a_limit_is_refused_and_not_kept() {
        let table = SchemaTable::default();
        for bad in
            [schema("", "1"), schema("a", ""), schema(&"n".repeat(1001), "1"), schema("a", &"x".repeat((1 << 20) + 1))]
        {
            assert!(table.intern(bad).is_err());
        }
        let full = (0..100).position(|n| table.intern(schema(&n.to_string(), &"x".repeat(1 << 20))).is_err());
        assert_eq!(full, Some(63), "64 MiB hold 63 of them, with their names");
        assert_eq!(table.len(), 63);
    }
}
