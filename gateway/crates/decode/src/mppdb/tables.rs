//! The tables a stream's rows belong to.
//!
//! Owns how rows, which carry their column names each time, and the catalogue's answer make a table version. Which columns there are
//! the row says (it is of its time, the catalogue of now); the catalogue gives key, identity and the type, whose name the record may
//! print otherwise. Must not know how the catalogue is asked.

use super::{
    Reason,
    canonical::Form,
    decoder::Options,
    row::{ColumnSpans, Row},
    types::{CatalogueTable, describe},
};
use crate::Encoding;
use millrace_batch::{Relation, RelationLog, ReplicaIdentity};
use std::{collections::HashMap, sync::Arc};

/// Columns of a row in the record's words, and the version they make.
#[derive(Debug)]
pub(super) struct Shape {
    columns: Vec<ShapeColumn>,
    pub(super) relation: Arc<Relation>,
    pub(super) forms: Vec<Form>,
    /// Places of the columns of the last old image, rising.
    pub(super) old: Vec<usize>,
}

/// A column in the record's words, in the encoding of the database.
#[derive(Clone, Debug)]
pub(super) struct ShapeColumn {
    pub(super) name: Vec<u8>,
    /// Empty in style b.
    pub(super) type_name: Vec<u8>,
    /// 0 outside style b.
    pub(super) type_oid: u32,
}

impl Shape {
    /// Whether a row has these columns.
    #[inline]
    fn fits_new(&self, row: &Row) -> bool {
        let same = |(spans, known): (&ColumnSpans, &ShapeColumn)| {
            spans.type_oid == known.type_oid
                && equal(row.get(spans.name), &known.name)
                && equal(row.get(spans.type_name), &known.type_name)
        };
        row.new.is_empty() || (row.new.len() == self.columns.len() && row.new.iter().zip(&self.columns).all(same))
    }

    /// Whether its old image has the columns of the last old image.
    #[inline]
    fn fits_old(&self, row: &Row) -> bool {
        let same = |(spans, place): (&ColumnSpans, &usize)| equal(row.get(spans.name), &self.columns[*place].name);
        row.old.is_empty() || (row.old.len() == self.old.len() && row.old.iter().zip(&self.old).all(same))
    }

    /// Places of a row's old image. None where a column is not of the table, or they do not keep the table's order.
    fn places(&self, row: &Row) -> Option<Vec<usize>> {
        let mut next = 0;
        let place = |column: &ColumnSpans| {
            let name = row.get(column.name);
            let place = next + self.columns.get(next..)?.iter().position(|known| known.name == name)?;
            next = place + 1;
            Some(place)
        };
        row.old.iter().map(place).collect()
    }

    /// Whether the version's identity sends an old image of these columns. If not, key or identity changed since the catalogue was
    /// asked, which the columns of new images do not show.
    fn sends(&self, old: &[usize]) -> bool {
        match self.relation.identity {
            ReplicaIdentity::Full => old.len() == self.columns.len(),
            ReplicaIdentity::Default => {
                let keys = self.relation.columns.iter().filter(|column| column.key_position > 0).count();
                old.len() == keys && old.iter().all(|place| self.relation.columns[*place].key_position > 0)
            }
            ReplicaIdentity::Index => true,
            ReplicaIdentity::Nothing => old.is_empty(),
        }
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
    /// Names in the encoding of the database.
    schema: Vec<u8>,
    table: Vec<u8>,
    shape: Option<Shape>,
    /// An answer no shape was made with yet.
    answer: Option<CatalogueTable>,
}

/// A table the catalogue must be asked for.
#[derive(Debug)]
pub(super) struct Needed {
    entry: usize,
    pub(super) schema: String,
    pub(super) table: String,
}

#[derive(Debug)]
pub(super) struct Tables {
    database: String,
    options: Options,
    log: RelationLog,
    latest: HashMap<(String, String), Arc<Relation>>,
    entries: Vec<Entry>,
    /// Indexes of entries, by schema and table.
    index: HashMap<Vec<u8>, HashMap<Vec<u8>, usize>>,
    /// Entry of the last row: rows of one table mostly come together.
    last: usize,
    /// Whether the last row that was read had the shape of the last entry, so that a row with the same columns has it too.
    fitted: bool,
    /// Whether the row that was read last is such a row.
    repeats: bool,
    pub(super) needed: Option<Needed>,
}

impl Tables {
    pub(super) fn new(database: String, options: Options, log: RelationLog) -> Tables {
        let known = (0..log.len() as u32).filter_map(|id| log.get(id));
        let latest = known.map(|known| ((known.schema.clone(), known.table.clone()), known)).collect();
        let (entries, index) = (Vec::new(), HashMap::new());
        Tables { database, options, log, latest, entries, index, last: 0, fitted: false, repeats: false, needed: None }
    }

    /// Index of a table, made where it is new.
    #[inline]
    fn entry(&mut self, schema: &[u8], table: &[u8]) -> usize {
        let is = |entry: &Entry| equal(&entry.table, table) && equal(&entry.schema, schema);
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
    pub(super) fn answer(&mut self, answer: CatalogueTable) {
        if let Some(needed) = self.needed.take() {
            self.entries[needed.entry].answer = Some(answer);
        }
    }

    /// `schema.table` of a row, for people.
    #[cold]
    pub(super) fn name_of(&self, row: &Row) -> String {
        let name = |name: &[u8]| {
            self.options.encoding.name_to_utf8(name).unwrap_or_else(|| String::from_utf8_lossy(name).into_owned())
        };
        format!("{}.{}", name(row.schema()), name(row.table()))
    }

    /// The shape of a row's table; none where the catalogue must be asked first.
    #[inline]
    pub(super) fn of_row(&mut self, row: &Row) -> Result<Option<&Shape>, Reason> {
        let repeats = self.repeats;
        let index = if repeats { self.last } else { self.entry(row.schema(), row.table()) };
        let fits = |shape: &Shape| (repeats || shape.fits_new(row)) && shape.fits_old(row);
        if !self.entries[index].shape.as_ref().is_some_and(fits) && !self.adapt(index, row)? {
            return Ok(None);
        }
        self.fitted = true;
        Ok(self.entries[index].shape.as_ref())
    }

    /// A record was read, or could not be: whether it is a row with the columns of the row before.
    #[inline]
    pub(super) fn read(&mut self, repeats: bool) {
        self.repeats = repeats && self.fitted;
        self.fitted = false;
    }

    /// Makes the entry's shape fit a row; false where the catalogue must be asked first.
    #[cold]
    fn adapt(&mut self, index: usize, row: &Row) -> Result<bool, Reason> {
        let entry = &mut self.entries[index];
        let known = entry.shape.as_mut().filter(|shape| shape.fits_new(row));
        let places = known.as_ref().and_then(|shape| shape.places(row));
        if let (None, Some(shape), Some(places)) = (&entry.answer, known, &places)
            && shape.sends(places)
        {
            shape.old.clone_from(places);
            return Ok(true);
        }
        let columns = if !row.new.is_empty() {
            let own = |column: &ColumnSpans| ShapeColumn {
                name: row.get(column.name).to_vec(),
                type_name: row.get(column.type_name).to_vec(),
                type_oid: column.type_oid,
            };
            row.new.iter().map(own).collect()
        } else {
            // A delete, which does not tell all columns: the known ones if its own are among them, else the catalogue's.
            let known = entry.shape.as_ref().filter(|_| places.is_some());
            known.map(|shape| shape.columns.clone()).unwrap_or_default()
        };
        if !self.make(index, columns)? {
            return Ok(false);
        }
        let entry = &mut self.entries[index];
        let places = entry.shape.as_ref().and_then(|shape| shape.places(row));
        match (&mut entry.shape, places) {
            (Some(shape), Some(places)) => shape.old = places,
            _ => {
                entry.shape = None;
                return Err(Reason::UnknownColumn { table: self.name_of(row) });
            }
        }
        Ok(true)
    }

    /// The shape of a table by name; none where the catalogue must be asked first.
    pub(super) fn of_name(&mut self, schema: &[u8], table: &[u8]) -> Result<Option<&Shape>, Reason> {
        let index = self.entry(schema, table);
        self.fitted = false;
        if self.entries[index].shape.is_none() && !self.make(index, Vec::new())? {
            return Ok(None);
        }
        Ok(self.entries[index].shape.as_ref())
    }

    /// Makes a shape of a row's columns (the catalogue's where there are none) with the answer that lies ready.
    fn make(&mut self, index: usize, mut columns: Vec<ShapeColumn>) -> Result<bool, Reason> {
        let Options { encoding, numbers, .. } = self.options;
        let entry = &mut self.entries[index];
        let schema = utf8(encoding, &entry.schema, "the name of a schema")?;
        let table = utf8(encoding, &entry.table, "the name of a table")?;
        let Some(answer) = entry.answer.take() else {
            self.needed = Some(Needed { entry: index, schema, table });
            return Ok(false);
        };
        let name = (schema, table);
        let latest = self.latest.get(&name);
        let described = if columns.is_empty() {
            // In the catalogue's words, as text styles would have them; what cannot be written in the encoding never comes.
            columns.extend(answer.columns.iter().map(|column| ShapeColumn {
                name: encoding.of_utf8(&column.name),
                type_name: encoding.of_utf8(&column.type_name),
                type_oid: column.type_oid,
            }));
            answer.columns.iter().map(|column| column.describe()).collect()
        } else {
            let mut described = Vec::with_capacity(columns.len());
            for column in &columns {
                let name = utf8(encoding, &column.name, "the name of a column")?;
                let said = utf8(encoding, &column.type_name, "the name of a type")?;
                described.push(describe(name, said, column.type_oid, &answer));
            }
            described
        };
        let twice = |(at, column): (usize, &ShapeColumn)| columns[..at].iter().any(|before| before.name == column.name);
        if columns.iter().enumerate().any(twice) {
            return Err(Reason::Malformed("a row with a column twice"));
        }
        let mut relation = Relation {
            id: 0,
            source_oid: answer.oid,
            database: self.database.clone(),
            schema: name.0.clone(),
            table: name.1.clone(),
            identity: answer.identity,
            columns: described,
        };
        let mut keys = answer.key_columns;
        // A dropped table has the key it had, as long as it has those columns.
        if let (0, Some(known)) = (answer.oid, latest) {
            (relation.source_oid, relation.identity) = (known.source_oid, known.identity);
            keys = known.key_columns().iter().map(|key| known.columns[usize::from(*key)].name.clone()).collect();
        }
        for (position, key) in keys.iter().enumerate() {
            let Some(column) = relation.columns.iter_mut().find(|column| column.name == *key) else {
                let table = format!("{}.{}", relation.schema, relation.table);
                return Err(Reason::KeyDisagreement { table, catalogue: keys });
            };
            column.key_position = position as u16 + 1;
        }
        let relation = match latest {
            Some(known) if **known == (Relation { id: known.id, ..relation.clone() }) => known.clone(),
            _ => self.log.append(relation),
        };
        self.latest.insert(name, relation.clone());
        let forms = relation.columns.iter().map(|column| Form::of(&column.type_name, numbers)).collect();
        entry.shape = Some(Shape { columns, relation, forms, old: Vec::new() });
        Ok(true)
    }
}

fn utf8(encoding: Encoding, bytes: &[u8], what: &str) -> Result<String, Reason> {
    let bad = || Reason::BadEncoding { what: what.to_owned(), encoding: encoding.name() };
    encoding.name_to_utf8(bytes).ok_or_else(bad)
}
