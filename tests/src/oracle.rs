//! The truth about what was committed, and the comparison of topics with it.
//!
//! A trigger writes every row change into a history table of the same transaction, so what was rolled back is not in it. Two
//! transactions cannot change the same row at once, hence the history's numbers follow commit order for every key, which is
//! exactly what invariant I3 promises; over all keys the commit LSN in the record header decides.

use crate::sql::Database;
use crate::topics::{HeaderPosition, Record};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// Columns and their values as text; `Value::Null` is SQL NULL.
pub type Image = Map<String, Value>;

/// A table under observation.
#[derive(Debug, Clone)]
struct Table {
    /// Columns that tell rows apart.
    key: Vec<String>,
    /// REPLICA IDENTITY FULL: old images are whole.
    full: bool,
    /// Columns of the primary key.
    primary_key: Vec<String>,
}

/// The observer of a database.
#[derive(Debug)]
pub struct Oracle {
    tables: BTreeMap<String, Table>,
    old_keys: bool,
}

/// A committed change.
#[derive(Debug, Clone)]
struct Committed {
    xid: u64,
    op: String,
    new: Option<Image>,
    old: Option<Image>,
}

/// A change as a consumer sees it.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// `id` of the envelope.
    pub id: u64,
    /// Table it belongs to.
    pub table: String,
    /// INSERT, UPDATE or DELETE.
    pub op: String,
    /// New image.
    pub data: Option<Image>,
    /// Old image, as far as it was sent.
    pub old: Option<Image>,
    /// From the record header.
    pub position: Option<HeaderPosition>,
}

/// What a comparison found besides agreement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Agreement {
    /// Changes committed and delivered.
    pub changes: usize,
    /// Records that were sent again.
    pub repeats: usize,
}

impl Oracle {
    /// Starts to observe `tables` (of schema public, with the columns that tell their rows apart).
    pub fn observe(database: &Database, tables: &[(&str, &[&str])]) -> Self {
        database.exec(
            "CREATE SCHEMA truth; CREATE TABLE truth.history(seq bigint GENERATED ALWAYS AS IDENTITY, \
             xid xid8 DEFAULT pg_current_xact_id(), tab text, op text, new json, old json)",
        );
        let mut observed = BTreeMap::new();
        for (table, key) in tables {
            let columns = database.rows(&format!(
                "SELECT attname FROM pg_attribute WHERE attrelid='public.{table}'::regclass AND attnum>0 AND NOT attisdropped"
            ));
            let image = |row: &str| {
                let pair = |c: &Vec<Option<String>>| {
                    let name = c[0].as_deref().expect("a column has a name");
                    format!("'{name}',{row}.\"{name}\"::text")
                };
                format!("json_build_object({})", columns.iter().map(pair).collect::<Vec<_>>().join(","))
            };
            database.exec(&format!(
                "CREATE FUNCTION truth.{table}() RETURNS trigger LANGUAGE plpgsql \
                 SET timezone='UTC' SET datestyle='ISO' SET intervalstyle='postgres' SET extra_float_digits=1 AS $$ BEGIN \
                 INSERT INTO truth.history(tab,op,new,old) VALUES ('{table}', TG_OP, \
                   CASE WHEN TG_OP<>'DELETE' THEN {} END, CASE WHEN TG_OP<>'INSERT' THEN {} END); RETURN NULL; END $$; \
                 CREATE TRIGGER truth AFTER INSERT OR UPDATE OR DELETE ON public.{table} \
                 FOR EACH ROW EXECUTE FUNCTION truth.{table}()",
                image("NEW"),
                image("OLD"),
            ));
            let full =
                database.one(&format!("SELECT relreplident='f' FROM pg_class WHERE oid='public.{table}'::regclass"));
            let primary_key = database.rows(&format!(
                "SELECT attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(n,o), pg_attribute a WHERE i.indisprimary \
                 AND i.indrelid='public.{table}'::regclass AND a.attrelid=i.indrelid AND a.attnum=k.n ORDER BY k.o"
            ));
            observed.insert(
                (*table).to_owned(),
                Table {
                    key: key.iter().map(|&column| column.to_owned()).collect(),
                    full: full.as_deref() == Some("t"),
                    primary_key: primary_key.into_iter().filter_map(|row| row[0].clone()).collect(),
                },
            );
        }
        Self { tables: observed, old_keys: false }
    }

    /// How many changes are committed.
    pub fn count(&self, database: &Database) -> usize {
        database.number("SELECT count(*) FROM truth.history").try_into().expect("a count")
    }

    /// The same for a source whose updates always carry the old key, as those of GaussDB and openGauss do.
    pub fn with_old_keys(mut self) -> Self {
        self.old_keys = true;
        self
    }

    /// The default topics of the observed tables: database-schema-table.
    pub fn topics(&self, database: &Database) -> Vec<String> {
        self.tables.keys().map(|table| format!("{}-public-{table}", database.name())).collect()
    }

    /// Compares records with what was committed; panics at the first difference. The tables must be quiet.
    pub fn compare(&self, database: &Database, records: &[Record]) -> Agreement {
        let committed = self.history(database);
        let (delivered, repeats) = first_occurrences(records);
        self.check_positions(&delivered);
        let mut by_key: BTreeMap<(String, String), Vec<&Delivered>> = BTreeMap::new();
        for change in &delivered {
            let table =
                self.tables.get(&change.table).unwrap_or_else(|| panic!("a record of no observed table: {change:?}"));
            let image = change.data.as_ref().or(change.old.as_ref());
            let key = key_of(image.unwrap_or_else(|| panic!("no image at all: {change:?}")), &table.key);
            by_key.entry((change.table.clone(), key)).or_default().push(change);
        }
        let mut transactions = Transactions::default();
        for (key, wanted) in &committed {
            let got = by_key.remove(key).unwrap_or_default();
            for (n, want) in wanted.iter().enumerate() {
                let Some(got) = got.get(n) else {
                    panic!(
                        "{key:?}: change {n} of {} is missing on the topic: {want:?}; last delivered: {:?}",
                        wanted.len(),
                        got.last()
                    )
                };
                self.check(&key.0, want, got).unwrap_or_else(|why| {
                    panic!("{key:?}, change {n} of {}: {why}\ncommitted {want:?}\ndelivered {got:?}", wanted.len())
                });
                transactions.pair(want, got);
            }
            assert!(got.len() == wanted.len(), "{key:?}: delivered, never committed: {:?}", got[wanted.len()]);
        }
        assert!(by_key.is_empty(), "delivered, never committed: {:?}", by_key.iter().next());
        Agreement { changes: delivered.len(), repeats }
    }

    fn history(&self, database: &Database) -> BTreeMap<(String, String), Vec<Committed>> {
        let mut history: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in database.rows("SELECT xid, tab, op, new, old FROM truth.history ORDER BY seq") {
            let text = |column: usize| row[column].as_deref().expect("not null");
            let image = |column: usize| row[column].as_deref().map(|json| serde_json::from_str(json).expect("JSON"));
            let change = Committed {
                xid: text(0).parse().expect("an xid"),
                op: text(2).to_owned(),
                new: image(3),
                old: image(4),
            };
            let image = change.new.as_ref().or(change.old.as_ref()).expect("one image");
            let key = key_of(image, &self.tables[text(1)].key);
            history.entry((text(1).to_owned(), key)).or_default().push(change);
        }
        history
    }

    fn check(&self, table: &str, want: &Committed, got: &Delivered) -> Result<(), String> {
        let table = &self.tables[table];
        if want.op != got.op {
            return Err(format!("{} became {}", want.op, got.op));
        }
        match (&want.new, &got.data) {
            (None, None) => {}
            (Some(want_new), Some(data)) => same_new(want_new, data, want.old.as_ref(), table.full)?,
            (want, _) => return Err(format!("data is there: {}, should be: {}", got.data.is_some(), want.is_some())),
        }
        let Some(old) = &want.old else {
            return if got.old.is_none() { Ok(()) } else { Err("an insert with an old image".into()) };
        };
        if table.full {
            return if got.old.as_ref() == Some(old) { Ok(()) } else { Err("another old image".into()) };
        }
        // Without FULL the source sends the old key; PostgreSQL's own plugin for an update only where the key changed.
        let key: Image = table.primary_key.iter().map(|column| (column.clone(), old[column].clone())).collect();
        let key_changed = want.new.as_ref().is_none_or(|new| table.primary_key.iter().any(|c| new[c] != old[c]));
        match &got.old {
            Some(old) if (key_changed || self.old_keys) && *old == key => Ok(()),
            Some(old) if !key_changed && old.is_empty() => Ok(()),
            None if !key_changed && !self.old_keys => Ok(()),
            other => Err(format!("old is {other:?}, should be {:?}", key_changed.then_some(key))),
        }
    }

    /// Headers must rise with the ids: one order, told twice.
    fn check_positions(&self, delivered: &[Delivered]) {
        let mut sorted: Vec<&Delivered> = delivered.iter().collect();
        sorted.sort_by_key(|change| change.id);
        for pair in sorted.windows(2) {
            assert!(pair[0].id < pair[1].id, "one id, two changes: {pair:?}");
            if let (Some(before), Some(after)) = (pair[0].position, pair[1].position) {
                let order = |p: HeaderPosition| (p.shard, p.commit_lsn, p.ordinal);
                assert!(order(before) < order(after), "ids rise and positions do not: {pair:?}");
            }
        }
    }
}

/// Which commit LSN belongs to which transaction; one to one.
#[derive(Default)]
struct Transactions {
    lsn_of: HashMap<u64, u64>,
    xid_of: HashMap<u64, u64>,
}

impl Transactions {
    fn pair(&mut self, committed: &Committed, delivered: &Delivered) {
        let Some(position) = delivered.position else { return };
        let lsn = *self.lsn_of.entry(committed.xid).or_insert(position.commit_lsn);
        let xid = *self.xid_of.entry(position.commit_lsn).or_insert(committed.xid);
        assert!(
            lsn == position.commit_lsn && xid == committed.xid,
            "transaction mixed up: {committed:?} {delivered:?}"
        );
    }
}

fn same_new(want: &Image, data: &Image, old: Option<&Image>, full: bool) -> Result<(), String> {
    /// Values shorter than this always lie in the row (TOAST_TUPLE_THRESHOLD), so the source always sends them.
    const ALWAYS_SENT: usize = 1900;
    for (column, value) in want {
        match data.get(column) {
            Some(got) if got == value => {}
            Some(got) => return Err(format!("column {column} is {got}, should be {value}")),
            None => {
                let unchanged = old.is_some_and(|old| old.get(column) == Some(value));
                let large = value.as_str().is_some_and(|text| text.len() >= ALWAYS_SENT);
                if full || !unchanged || !large {
                    return Err(format!("column {column} is missing"));
                }
            }
        }
    }
    match data.keys().find(|column| !want.contains_key(*column)) {
        Some(column) => Err(format!("there is no column {column}")),
        None => Ok(()),
    }
}

fn key_of(image: &Image, columns: &[String]) -> String {
    let part = |column: &String| image.get(column).map(Value::to_string).unwrap_or_default();
    columns.iter().map(part).collect::<Vec<_>>().join("|")
}

/// Reads the envelopes; gives the first occurrence of every id, and how many came again. Within a partition first occurrences
/// must rise, and what comes again must say the same.
pub fn first_occurrences(records: &[Record]) -> (Vec<Delivered>, usize) {
    let mut seen: HashMap<u64, Value> = HashMap::new();
    let mut last: HashMap<(&str, i32), u64> = HashMap::new();
    let (mut first, mut repeats) = (Vec::new(), 0);
    for record in records {
        let mut envelope = record.json();
        let fields = envelope.as_object_mut().unwrap_or_else(|| panic!("no JSON object: {record:?}"));
        // The only field that tells when it was produced.
        fields.remove("ts");
        let id = fields.get("id").and_then(Value::as_u64).unwrap_or_else(|| panic!("no id: {record:?}"));
        if let Some(before) = seen.get(&id) {
            assert!(*before == envelope, "id {id} came again with another content:\n{before}\n{envelope}");
            repeats += 1;
            continue;
        }
        let place = (record.topic.as_str(), record.partition);
        let before = last.insert(place, id);
        assert!(before.is_none_or(|before| before < id), "{place:?}: id {id} first came after {before:?}");
        let text = |name: &str| envelope[name].as_str().unwrap_or_else(|| panic!("no {name}: {envelope}")).to_owned();
        let image = |name: &str| match &envelope[name] {
            Value::Null => None,
            Value::Array(rows) if rows.len() == 1 => {
                Some(rows[0].as_object().unwrap_or_else(|| panic!("{name} holds no object: {envelope}")).clone())
            }
            _ => panic!("{name} is neither null nor an array of one: {envelope}"),
        };
        let change = Delivered {
            id,
            table: text("table"),
            op: text("type"),
            data: image("data"),
            old: image("old"),
            position: record.position(),
        };
        first.push(change);
        seen.insert(id, envelope);
    }
    (first, repeats)
}
