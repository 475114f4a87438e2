//! Tables as the stream describes them.
//!
//! Owns one version of a table and the append-only log of all versions a shard has met. Must not know how keys were found
//! (the catalogue) nor what modules plan for a table.

use std::sync::{Arc, RwLock};

/// What the source sends as the old image of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaIdentity {
    /// The primary key's columns, and only where they changed or the row went.
    Default,
    /// The whole row.
    Full,
    /// The columns of a chosen unique index.
    Index,
    /// Nothing.
    Nothing,
}

impl ReplicaIdentity {
    /// Code in the transform contract: 0 default, 1 full, 2 index, 3 nothing.
    pub fn code(self) -> u8 {
        match self {
            ReplicaIdentity::Default => 0,
            ReplicaIdentity::Full => 1,
            ReplicaIdentity::Index => 2,
            ReplicaIdentity::Nothing => 3,
        }
    }
}

/// One column of a relation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Column {
    /// Name as the catalogue has it, unquoted.
    pub name: String,
    /// Name as `format_type` prints it, without modifier: `character varying`.
    pub type_name: String,
    /// Catalogue OID; 0 where the source does not tell.
    pub type_oid: u32,
    /// What the declaration adds to the type, as `pg_attribute.atttypmod` keeps it (`numeric(p,s)`: ((p << 16) | s) + 4,
    /// `varchar(n)`: n + 4); -1 where there is nothing, or the source does not tell.
    #[serde(default = "no_modifier", skip_serializing_if = "is_no_modifier")]
    pub type_modifier: i32,
    /// `java.sql.Types` code.
    pub jdbc_type: i32,
    /// 1-based position in the primary key, 0 outside it.
    pub key_position: u16,
}

fn no_modifier() -> i32 {
    -1
}

fn is_no_modifier(modifier: &i32) -> bool {
    *modifier == no_modifier()
}

/// One version of a table. Any change of name, columns, key or identity makes a new version with a new id.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Relation {
    /// Millrace's number of this version: its index in the [`RelationLog`].
    pub id: u32,
    /// OID of the table at the source.
    pub source_oid: u32,
    /// Database name.
    pub database: String,
    /// Schema name.
    pub schema: String,
    /// Table name.
    pub table: String,
    /// What the source sends as the old image.
    pub identity: ReplicaIdentity,
    /// Columns in stream order.
    pub columns: Vec<Column>,
}

impl Relation {
    /// Indexes of the primary key's columns, in key order; empty without a primary key.
    pub fn key_columns(&self) -> Vec<u16> {
        let mut keys: Vec<(u16, u16)> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.key_position > 0)
            .map(|(index, column)| (column.key_position, index as u16))
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, index)| index).collect()
    }
}

/// All table versions of one shard in the order they were met; shared by reader and workers, which announce what is new to them.
#[derive(Clone, Debug, Default)]
pub struct RelationLog(Arc<RwLock<Vec<Arc<Relation>>>>);

impl RelationLog {
    /// An empty log.
    pub fn new() -> RelationLog {
        RelationLog::default()
    }

    /// Appends a version; sets and returns its id.
    pub fn append(&self, mut relation: Relation) -> Arc<Relation> {
        let mut log = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        relation.id = log.len() as u32;
        let relation = Arc::new(relation);
        log.push(relation.clone());
        relation
    }

    /// The version with this id.
    pub fn get(&self, id: u32) -> Option<Arc<Relation>> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(id as usize).cloned()
    }

    /// How many versions there are.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).len()
    }

    /// True before the first version.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
