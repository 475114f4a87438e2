//! A small shop: its tables, its day, and the exact list of what was committed in it.
//!
//! Owns the truth the demo checks against: every statement is made from a model in memory, so the new and the old row of each
//! change are known without asking the database. Knows nothing of replication, modules or Kafka.

use std::collections::BTreeMap;
use std::rc::Rc;

/// A table of the shop.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Name, in schema `public`.
    pub name: &'static str,
    /// Column names in order.
    pub columns: &'static [&'static str],
    /// How many of the first columns are the primary key.
    pub key: usize,
    /// Whether the table's replica identity is FULL, so that old images hold every column.
    pub full: bool,
}

/// The tables, in an order in which their foreign keys allow them to be made.
pub static TABLES: [Table; 4] = [
    Table { name: "customers", columns: &["id", "name", "email", "note"], key: 1, full: false },
    Table { name: "orders", columns: &["id", "customer", "status", "total", "placed"], key: 1, full: false },
    Table { name: "items", columns: &["order_id", "line", "sku", "quantity", "gift"], key: 2, full: false },
    Table { name: "payments", columns: &["id", "order_id", "amount", "details"], key: 1, full: true },
];

/// Makes the tables.
pub const SCHEMA: &str = "
CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, email varchar(120), note text);
CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint NOT NULL REFERENCES customers, status text NOT NULL,
                     total numeric(12,2), placed timestamp NOT NULL);
CREATE TABLE items (order_id bigint NOT NULL REFERENCES orders, line integer NOT NULL, sku text NOT NULL,
                    quantity integer NOT NULL, gift boolean NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE payments (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, amount numeric(12,2) NOT NULL,
                       details jsonb);
ALTER TABLE payments REPLICA IDENTITY FULL;
";

/// Index of a table in [`TABLES`].
pub const CUSTOMERS: usize = 0;
/// Index of a table in [`TABLES`].
pub const ORDERS: usize = 1;
/// Index of a table in [`TABLES`].
pub const ITEMS: usize = 2;
/// Index of a table in [`TABLES`].
pub const PAYMENTS: usize = 3;

/// The cells of a row as PostgreSQL prints them; `None` is NULL.
pub type Row = Vec<Option<String>>;
type Key = Vec<Option<String>>;

/// One row change of a committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which table, an index into [`TABLES`].
    pub table: usize,
    /// The row before; `None` for an insert.
    pub old: Option<Rc<Row>>,
    /// The row after; `None` for a delete.
    pub new: Option<Rc<Row>>,
}

impl Change {
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub fn op(&self) -> &'static str {
        match (&self.old, &self.new) {
            (None, _) => "INSERT",
            (_, None) => "DELETE",
            _ => "UPDATE",
        }
    }

    /// The record key it must have: the key of the new image, of the old one for a delete; one column's text, or a JSON array.
    pub fn key(&self) -> String {
        let row = self.new.as_ref().or(self.old.as_ref()).map(|row| &row[..TABLES[self.table].key]);
        match row.unwrap_or_default() {
            [Some(only)] => only.clone(),
            several => serde_json::json!(several).to_string(),
        }
    }
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// COMMIT.
    Commit,
    /// ROLLBACK: none of its changes may be seen.
    Rollback,
}

/// A transaction to run: its statements without BEGIN, and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The statements.
    pub statements: String,
    /// Its end.
    pub end: End,
    /// What it changes when it commits, in order.
    pub changes: Vec<Change>,
}

/// The model: the rows as they are, and the transaction that is being written.
#[derive(Debug, Default)]
pub struct Shop {
    rows: [BTreeMap<Key, Rc<Row>>; 4],
    statements: String,
    changes: Vec<Change>,
}

impl Shop {
    /// Adds a row.
    pub fn insert(&mut self, table: usize, row: Row) {
        let values: Vec<String> = row.iter().map(|cell| literal(cell.as_deref())).collect();
        self.statement(format!("INSERT INTO {} VALUES ({})", TABLES[table].name, values.join(", ")));
        self.apply(Change { table, old: None, new: Some(Rc::new(row)) });
    }

    /// Changes a row: `set` is given a copy of it. Does nothing where there is no row of that key.
    pub fn update(&mut self, table: usize, key: &[Option<String>], set: impl FnOnce(&mut Row)) {
        let Some(old) = self.rows[table].get(key).cloned() else { return };
        let mut new = Row::clone(&old);
        set(&mut new);
        let columns = TABLES[table].columns;
        let changed = (0..columns.len()).filter(|i| old[*i] != new[*i]);
        let mut set: Vec<String> =
            changed.map(|i| format!("{} = {}", columns[i], literal(new[i].as_deref()))).collect();
        if set.is_empty() {
            // An update that changes nothing is still a change in the log.
            set.push(format!("{0} = {0}", columns[0]));
        }
        self.statement(format!("UPDATE {} SET {} WHERE {}", TABLES[table].name, set.join(", "), condition(table, key)));
        self.apply(Change { table, old: Some(old), new: Some(Rc::new(new)) });
    }

    /// Removes a row. Does nothing where there is no row of that key.
    pub fn delete(&mut self, table: usize, key: &[Option<String>]) {
        let Some(old) = self.rows[table].get(key).cloned() else { return };
        self.statement(format!("DELETE FROM {} WHERE {}", TABLES[table].name, condition(table, key)));
        self.apply(Change { table, old: Some(old), new: None });
    }

    /// Sets a savepoint, to be given to [`Self::rollback_to`].
    pub fn savepoint(&mut self) -> usize {
        self.statement(format!("SAVEPOINT s{}", self.changes.len()));
        self.changes.len()
    }

    /// Undoes what happened since the savepoint.
    pub fn rollback_to(&mut self, savepoint: usize) {
        self.statement(format!("ROLLBACK TO s{savepoint}"));
        self.undo(savepoint);
    }

    /// Ends the transaction; one that is rolled back leaves the model as it was before and has no changes.
    pub fn end(&mut self, end: End) -> Transaction {
        if end == End::Rollback {
            self.undo(0);
        }
        let (statements, changes) = (std::mem::take(&mut self.statements), std::mem::take(&mut self.changes));
        Transaction { statements, end, changes }
    }

    /// The rows of a table by key, the changes of the unfinished transaction among them.
    pub fn rows(&self, table: usize) -> &BTreeMap<Key, Rc<Row>> {
        &self.rows[table]
    }

    fn statement(&mut self, text: String) {
        self.statements.push_str(&text);
        self.statements.push_str(";\n");
    }

    fn apply(&mut self, change: Change) {
        self.replace(change.table, change.old.as_ref(), change.new.as_ref());
        self.changes.push(change);
    }

    fn undo(&mut self, from: usize) {
        for change in self.changes.split_off(from).into_iter().rev() {
            self.replace(change.table, change.new.as_ref(), change.old.as_ref());
        }
    }

    fn replace(&mut self, table: usize, gone: Option<&Rc<Row>>, come: Option<&Rc<Row>>) {
        let key = |row: &Rc<Row>| row[..TABLES[table].key].to_vec();
        if let Some(row) = gone {
            self.rows[table].remove(&key(row));
        }
        if let Some(row) = come {
            self.rows[table].insert(key(row), Rc::clone(row));
        }
    }
}

fn condition(table: usize, key: &[Option<String>]) -> String {
    let columns = TABLES[table].columns.iter().zip(key);
    let parts: Vec<String> = columns.map(|(name, cell)| format!("{name} = {}", literal(cell.as_deref()))).collect();
    parts.join(" AND ")
}

/// A string literal with standard_conforming_strings, which PostgreSQL has on by default; NULL for `None`.
fn literal(cell: Option<&str>) -> String {
    cell.map_or_else(|| "NULL".to_owned(), |text| format!("'{}'", text.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(id: &str, name: &str) -> Row {
        vec![Some(id.into()), Some(name.into()), None, Some(String::new())]
    }

    #[test]
    fn literals_keep_quotes_null_and_the_empty_string_apart() {
        let mut shop = Shop::default();
        shop.insert(CUSTOMERS, customer("1", "O'Neill"));
        let transaction = shop.end(End::Commit);
        assert_eq!(transaction.statements, "INSERT INTO customers VALUES ('1', 'O''Neill', NULL, '');\n");
        assert_eq!(transaction.changes[0].op(), "INSERT");
        assert_eq!(transaction.changes[0].key(), "1");
    }

    #[test]
    fn a_rolled_back_part_leaves_the_model_and_the_list_as_they_were() {
        let mut shop = Shop::default();
        shop.insert(CUSTOMERS, customer("1", "a"));
        shop.end(End::Commit);
        let before = shop.rows(CUSTOMERS).clone();
        shop.update(CUSTOMERS, &[Some("1".into())], |row| row[0] = Some("2".into()));
        shop.insert(CUSTOMERS, customer("3", "c"));
        assert_ne!(*shop.rows(CUSTOMERS), before);
        assert_eq!(shop.end(End::Rollback).changes, []);
        assert_eq!(*shop.rows(CUSTOMERS), before);

        shop.update(CUSTOMERS, &[Some("1".into())], |row| row[1] = Some("b".into()));
        let mark = shop.savepoint();
        shop.delete(CUSTOMERS, &[Some("1".into())]);
        shop.rollback_to(mark);
        let transaction = shop.end(End::Commit);
        assert_eq!(transaction.changes.len(), 1);
        assert_eq!(transaction.changes[0].op(), "UPDATE");
        assert!(
            transaction.statements.contains("SAVEPOINT s1;\nDELETE")
                && transaction.statements.contains("ROLLBACK TO s1")
        );
    }

    #[test]
    fn a_composite_key_is_a_json_array_and_a_changed_key_is_the_new_one() {
        let row = |line: &str| Some(Rc::new(vec![Some("7".into()), Some(line.into()), None, None, None]));
        assert_eq!(Change { table: ITEMS, old: None, new: row("1") }.key(), r#"["7","1"]"#);
        let moved = Change { table: ITEMS, old: row("1"), new: row("2") };
        assert_eq!((moved.op(), moved.key().as_str()), ("UPDATE", r#"["7","2"]"#));
        assert_eq!(Change { table: ITEMS, old: row("1"), new: None }.key(), r#"["7","1"]"#);
    }
}
