//! The tables a stream has described.
//!
//! Owns when a Relation message makes a new table version and whether the stream's identity flags agree with the catalogue's
//! primary key. Must not know how the catalogue is asked.

use super::{ErrorKind, message::RelationColumn, types::Types};
use millrace_batch::{Column, Relation, RelationLog, ReplicaIdentity, TextForm};
use std::{collections::HashMap, sync::Arc};

/// A table version rows can be read with.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) relation: Arc<Relation>,
    pub(super) rules: Vec<Rule>,
    /// Whether old images can come at all.
    pub(super) has_identity: bool,
}

impl Table {
    /// `schema.table`.
    pub(super) fn name(&self) -> String {
        full_name(&self.relation)
    }
}

/// How a column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) form: TextForm,
    /// Part of the replica identity.
    pub(super) identity: bool,
}

/// A table as the stream describes it (the relation without id and keys), and as rows are read once its keys are known.
#[derive(Debug)]
struct Slot {
    oid: u32,
    described: Relation,
    rules: Vec<Rule>,
    table: Option<Table>,
}

#[derive(Debug)]
pub(super) struct Tables {
    database: String,
    log: RelationLog,
    /// Newest version of each table in the log, by OID: a reconnect finds its versions again instead of making them anew.
    latest: HashMap<u32, Arc<Relation>>,
    pub(super) types: Types,
    slots: Vec<Slot>,
    index: HashMap<u32, usize>,
    /// Slot of the last row: rows of one table mostly come together.
    last: usize,
}

impl Tables {
    pub(super) fn new(database: String, log: RelationLog) -> Tables {
        let latest =
            (0..log.len() as u32).filter_map(|id| log.get(id)).map(|known| (known.source_oid, known)).collect();
        let (types, slots, index) = (Types::default(), Vec::new(), HashMap::new());
        Tables { database, log, latest, types, slots, index, last: 0 }
    }

    /// The table of a row.
    #[inline]
    pub(super) fn get(&mut self, oid: u32) -> Result<&Table, ErrorKind> {
        if self.slots.get(self.last).is_none_or(|slot| slot.oid != oid) {
            self.last = *self.index.get(&oid).ok_or(ErrorKind::UnknownRelation(oid))?;
        }
        self.slots[self.last].table.as_ref().ok_or(ErrorKind::KeysPending(oid))
    }

    /// Takes a Relation message. True where the keys must be looked up before rows can be read.
    pub(super) fn describe(
        &mut self,
        oid: u32,
        namespace: &str,
        table: &str,
        identity: u8,
        columns: &[RelationColumn<'_>],
    ) -> bool {
        let (described, rules) = self.relation(oid, namespace, table, identity, columns);
        let Some(&at) = self.index.get(&oid) else {
            self.index.insert(oid, self.slots.len());
            self.slots.push(Slot { oid, described, rules, table: None });
            return true;
        };
        let slot = &mut self.slots[at];
        let same = slot.described == described && slot.rules == rules;
        if same && slot.table.is_some() && flags_tell_key(&described, &rules) {
            return false;
        }
        *slot = Slot { oid, described, rules, table: None };
        true
    }

    fn relation(
        &self,
        oid: u32,
        namespace: &str,
        table: &str,
        identity: u8,
        columns: &[RelationColumn<'_>],
    ) -> (Relation, Vec<Rule>) {
        let mut rules = Vec::with_capacity(columns.len());
        let columns = columns.iter().map(|column| {
            let found = self.types.get(column.type_oid);
            rules.push(Rule { form: found.text, identity: column.identity });
            Column {
                name: column.name.to_owned(),
                type_name: found.name.into_owned(),
                type_oid: column.type_oid,
                type_modifier: column.type_modifier,
                jdbc_type: found.jdbc,
                key_position: 0,
            }
        });
        let relation = Relation {
            id: 0,
            source_oid: oid,
            database: self.database.clone(),
            schema: if namespace.is_empty() { "pg_catalog".to_owned() } else { namespace.to_owned() },
            table: table.to_owned(),
            identity: match identity {
                b'f' => ReplicaIdentity::Full,
                b'i' => ReplicaIdentity::Index,
                b'n' => ReplicaIdentity::Nothing,
                // `d`: the parser lets nothing else through.
                _ => ReplicaIdentity::Default,
            },
            columns: columns.collect(),
        };
        (relation, rules)
    }

    /// Takes the catalogue's primary key and makes the version, or finds it in the log.
    pub(super) fn set_keys(&mut self, oid: u32, keys: &[String]) -> Result<(), ErrorKind> {
        let at = *self.index.get(&oid).ok_or(ErrorKind::UnknownRelation(oid))?;
        let slot = &mut self.slots[at];
        let mut relation = slot.described.clone();
        let flagged = |(column, rule): (&Column, &Rule)| rule.identity.then(|| column.name.clone());
        let disagree = |problem| {
            let stream = slot.described.columns.iter().zip(&slot.rules).filter_map(flagged).collect();
            let table = full_name(&slot.described);
            Err(ErrorKind::KeyDisagreement { table, problem, stream, catalogue: keys.to_vec() })
        };
        for (position, key) in keys.iter().enumerate() {
            match relation.columns.iter_mut().find(|column| column.name == *key) {
                None => return disagree("the stream lacks a column of the primary key"),
                Some(column) if column.key_position > 0 => return disagree("the primary key names a column twice"),
                Some(column) => column.key_position = position as u16 + 1,
            }
        }
        let same = |(column, rule): (&Column, &Rule)| (column.key_position > 0) == rule.identity;
        if relation.identity == ReplicaIdentity::Default && !relation.columns.iter().zip(&slot.rules).all(same) {
            return disagree("the replica identity of the stream is not the primary key of the catalogue");
        }
        let relation = match self.latest.get(&oid) {
            Some(known) if same_version(known, &relation) => known.clone(),
            _ => self.log.append(relation),
        };
        self.latest.insert(oid, relation.clone());
        let has_identity = relation.identity == ReplicaIdentity::Full || slot.rules.iter().any(|rule| rule.identity);
        slot.table = Some(Table { relation, rules: slot.rules.clone(), has_identity });
        Ok(())
    }
}

/// Whether an equal Relation message proves an equal primary key. A Relation message comes again after anything that touched
/// the table; under identity DEFAULT its flags are the key's columns. They do not show the order of two columns, and under
/// the other identities they show nothing of the primary key, so then the catalogue is asked again.
fn flags_tell_key(relation: &Relation, rules: &[Rule]) -> bool {
    relation.identity == ReplicaIdentity::Default && rules.iter().filter(|rule| rule.identity).count() < 2
}

fn same_version(known: &Relation, new: &Relation) -> bool {
    *known == Relation { id: known.id, ..new.clone() }
}

fn full_name(relation: &Relation) -> String {
    format!("{}.{}", relation.schema, relation.table)
}
