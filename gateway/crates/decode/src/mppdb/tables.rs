//! The tables a stream's rows belong to.
//!
//! Owns how rows, which carry their column names each time, and the catalogue's answer make a table version. What the row says
//! about its columns wins (it is of its time, the catalogue of now); the catalogue gives key, identity and exact types.
//! Must not know how the catalogue is asked.

use super::{Reason, canonical::Form, row::ColumnSpans, row::Row};
use millrace_batch::{
    Column, Relation, RelationLog, ReplicaIdentity, jdbc_code_of_array, jdbc_code_of_unknown, type_by_oid,
};
use std::{collections::HashMap, sync::Arc};

/// What the catalogue knows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueTable {
    /// OID; 0 where the table is gone (rows written before a DROP TABLE come later under its old name).
    pub oid: u32,
    /// Replica identity.
    pub identity: ReplicaIdentity,
    /// Columns in table order.
    pub columns: Vec<CatalogueColumn>,
    /// Columns of the primary key, in key order; empty without one.
    pub key_columns: Vec<String>,
}

/// A column in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueColumn {
    /// Name, unquoted.
    pub name: String,
    /// Type as `format_type` prints it without modifier.
    pub type_name: String,
    /// OID of the type.
    pub type_oid: u32,
}

/// Columns of a row in the record's words, and the version they make.
#[derive(Debug)]
pub(super) struct Shape {
    columns: Vec<ShapeColumn>,
    pub(super) relation: Arc<Relation>,
    pub(super) forms: Vec<Form>,
}

#[derive(Debug)]
struct ShapeColumn {
    name: Vec<u8>,
    type_name: Vec<u8>,
    type_oid: u32,
}

impl Shape {
    #[inline]
    fn fits(&self, row: &Row) -> bool {
        let same = |(spans, known): (&ColumnSpans, &ShapeColumn)| {
            spans.type_oid == known.type_oid
                && equal(row.get(spans.name), &known.name)
                && equal(row.get(spans.type_name), &known.type_name)
        };
        row.new.len() == self.columns.len() && row.new.iter().zip(&self.columns).all(same)
    }

    /// Index of a column, tried from `from` on: images keep table order.
    #[inline]
    pub(super) fn index_of(&self, name: &[u8], from: usize) -> Option<usize> {
        let named = |column: &ShapeColumn| column.name == name;
        let later = self.columns.get(from..)?.iter().position(named);
        later.map(|index| from + index).or_else(|| self.columns.iter().position(named))
    }
}

/// Equality that never compares nothing: a comparison of no bytes at the dangling address of an empty vector costs the
/// processor a suppressed fault, several times what all real comparisons of a row cost.
#[inline]
fn equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && (left.is_empty() || left == right)
}

#[derive(Debug, Default)]
struct Entry {
    schema: Vec<u8>,
    table: Vec<u8>,
    shape: Option<Shape>,
    /// An answer no shape was made with yet.
    answer: Option<CatalogueTable>,
}

#[derive(Debug)]
pub(super) struct Tables {
    database: String,
    log: RelationLog,
    latest: HashMap<(String, String), Arc<Relation>>,
    entries: Vec<Entry>,
    /// Indexes of entries, by schema and table.
    index: HashMap<Vec<u8>, HashMap<Vec<u8>, usize>>,
    /// Entry of the last row: rows of one table mostly come together.
    last: usize,
    /// Table the catalogue must be asked for.
    pub(super) needed: Option<(String, String)>,
}

fn utf8(bytes: &[u8]) -> Result<String, Reason> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Reason::NotUtf8)
}

impl Tables {
    pub(super) fn new(database: String, log: RelationLog) -> Tables {
        let known = (0..log.len() as u32).filter_map(|id| log.get(id));
        let latest = known.map(|known| ((known.schema.clone(), known.table.clone()), known)).collect();
        let (entries, index) = (Vec::new(), HashMap::new());
        Tables { database, log, latest, entries, index, last: 0, needed: None }
    }

    /// Index of a table, made where it is new.
    fn entry(&mut self, schema: &[u8], table: &[u8]) -> usize {
        let is = |entry: &Entry| entry.table == table && entry.schema == schema;
        if self.entries.get(self.last).is_some_and(is) {
            return self.last;
        }
        let found = self.index.get(schema).and_then(|tables| tables.get(table)).copied();
        self.last = found.unwrap_or_else(|| {
            let (schema, table) = (schema.to_vec(), table.to_vec());
            self.index.entry(schema.clone()).or_default().insert(table.clone(), self.entries.len());
            self.entries.push(Entry { schema, table, ..Entry::default() });
            self.entries.len() - 1
        });
        self.last
    }

    /// Takes the catalogue's answer for the table that was needed.
    pub(super) fn answer(&mut self, schema: &str, table: &str, answer: CatalogueTable) {
        let index = self.entry(schema.as_bytes(), table.as_bytes());
        self.entries[index].answer = Some(answer);
        self.needed = None;
    }

    /// The shape of a row's table; none where the catalogue must be asked first.
    #[inline]
    pub(super) fn of_row(&mut self, row: &Row) -> Result<Option<&Shape>, Reason> {
        let index = self.entry(row.schema(), row.table());
        let known = |shape: &Shape| match row.new.is_empty() {
            false => shape.fits(row),
            true => row.old.iter().all(|column| shape.index_of(row.get(column.name), 0).is_some()),
        };
        if !self.entries[index].shape.as_ref().is_some_and(known) {
            let columns = row.new.iter().map(|column| ShapeColumn {
                name: row.get(column.name).to_vec(),
                type_name: row.get(column.type_name).to_vec(),
                type_oid: column.type_oid,
            });
            if !self.make(index, columns.collect())? {
                return Ok(None);
            }
        }
        Ok(self.entries[index].shape.as_ref())
    }

    /// The shape of a table by name; none where the catalogue must be asked first.
    pub(super) fn of_name(&mut self, schema: &[u8], table: &[u8]) -> Result<Option<&Shape>, Reason> {
        let index = self.entry(schema, table);
        if self.entries[index].shape.is_none() && !self.make(index, Vec::new())? {
            return Ok(None);
        }
        Ok(self.entries[index].shape.as_ref())
    }

    /// Makes a shape of a row's columns (the catalogue's where there are none) with the answer that lies ready.
    fn make(&mut self, index: usize, mut columns: Vec<ShapeColumn>) -> Result<bool, Reason> {
        let entry = &mut self.entries[index];
        let (schema, table) = (utf8(&entry.schema)?, utf8(&entry.table)?);
        let Some(answer) = entry.answer.take() else {
            self.needed = Some((schema, table));
            return Ok(false);
        };
        if columns.is_empty() {
            columns.extend(answer.columns.iter().map(|column| ShapeColumn {
                name: column.name.clone().into_bytes(),
                type_name: column.type_name.clone().into_bytes(),
                type_oid: column.type_oid,
            }));
        }
        let described = columns.iter().map(|column| describe(column, &answer)).collect::<Result<Vec<_>, _>>()?;
        let forms = described.iter().map(|column| Form::of(&column.type_name)).collect();
        let mut relation = Relation {
            id: 0,
            source_oid: answer.oid,
            database: self.database.clone(),
            schema,
            table,
            identity: answer.identity,
            columns: described,
        };
        for (position, key) in answer.key_columns.iter().enumerate() {
            let Some(column) = relation.columns.iter_mut().find(|column| column.name == *key) else {
                let table = format!("{}.{}", relation.schema, relation.table);
                return Err(Reason::KeyDisagreement { table, catalogue: answer.key_columns.clone() });
            };
            column.key_position = position as u16 + 1;
        }
        let name = (relation.schema.clone(), relation.table.clone());
        let relation = match self.latest.get(&name) {
            Some(known) if **known == (Relation { id: known.id, ..relation.clone() }) => known.clone(),
            _ => self.log.append(relation),
        };
        self.latest.insert(name, relation.clone());
        entry.shape = Some(Shape { columns, relation, forms });
        Ok(true)
    }
}

/// A column by the row's word, with the catalogue's type where both mean the same one.
fn describe(column: &ShapeColumn, answer: &CatalogueTable) -> Result<Column, Reason> {
    let (name, said) = (utf8(&column.name)?, utf8(&column.type_name)?);
    let same = |known: &&CatalogueColumn| {
        known.name == name
            && match column.type_oid {
                // The server prints clob as text in the text styles.
                0 => known.type_name == said || (said == "text" && known.type_name == "clob"),
                oid => known.type_oid == oid,
            }
    };
    let (type_name, type_oid) = match answer.columns.iter().find(same) {
        Some(known) => (known.type_name.clone(), known.type_oid),
        None if column.type_oid == 0 => (said, 0),
        None => {
            let known = type_by_oid(column.type_oid).map(|info| info.name.to_owned());
            (known.unwrap_or_else(|| format!("oid:{}", column.type_oid)), column.type_oid)
        }
    };
    let jdbc_type = match type_by_oid(type_oid) {
        Some(info) => info.jdbc,
        None if type_name.ends_with("[]") => jdbc_code_of_array(),
        None => jdbc_code_of_unknown(),
    };
    Ok(Column { name, type_name, type_oid, type_modifier: -1, jdbc_type, key_position: 0 })
}
