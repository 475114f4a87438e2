//! Rows that keep coming: the same for the same seed.
//!
//! Each data node has a generator of its own with keys of its own, and remembers the rows it made, so that updates and deletes are of
//! rows that exist. Tables that every node has are changed by the cluster, the same on each.

use crate::catalogue::{Catalogue, Identity, Locator, TYPES, Table};
use crate::log::{Cell, Op, RowChange};
use crate::values::value;
use fastrand::Rng;
use std::sync::Arc;

/// How much is generated.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Changes per second and node; as fast as it goes where `None`.
    pub rate: Option<f64>,
    /// Transactions of each node, then it is idle; for ever where `None`.
    pub transactions: Option<u64>,
    /// Changes of a transaction, at most.
    pub changes: u64,
    /// One transaction in so many is a large one; 0 for none.
    pub large_every: u64,
    /// Changes of a large one.
    pub large_changes: u64,
}

impl Workload {
    /// 100 changes a second on each node, up to 8 in a transaction, no large ones.
    pub fn new() -> Workload {
        Workload { rate: Some(100.0), transactions: None, changes: 8, large_every: 0, large_changes: 10_000 }
    }
}

impl Default for Workload {
    fn default() -> Self {
        Workload::new()
    }
}

/// Names of the 42 types that a table of all types has, in the words of the catalogue.
fn all_types() -> Vec<(String, &'static str)> {
    let wanted = TYPES.iter().filter(|kind| !matches!(kind.name, "oid" | "name" | "jsonb" | "xml"));
    wanted.map(|kind| (format!("c_{}", kind.name.replace([' ', '['], "_").replace(']', "")), kind.name)).collect()
}

/// The database of the examples: orders of a shop, a table of all types, one without a key, one on every node, names that need quotes.
pub fn example_catalogue() -> Catalogue {
    let mut catalogue = Catalogue::new("shop");
    let orders = [
        ("id", "bigint"),
        ("customer", "bigint"),
        ("status", "character varying"),
        ("amount", "numeric"),
        ("note", "text"),
        ("placed_at", "timestamp without time zone"),
    ];
    catalogue.add(Table::new("sales", "orders", &orders, 1).identity(Identity::Full));
    let lines = [("order_id", "bigint"), ("line", "integer"), ("item", "text"), ("price", "numeric")];
    catalogue.add(Table::new("sales", "order_lines", &lines, 2));
    let types = all_types();
    let mut columns = vec![("id", "bigint")];
    columns.extend(types.iter().map(|(name, kind)| (name.as_str(), *kind)));
    catalogue.add(Table::new("sales", "all_types", &columns, 1).identity(Identity::Full));
    let audit = [("at", "timestamp with time zone"), ("what", "text"), ("detail", "json")];
    catalogue.add(Table::new("sales", "audit", &audit, 0).identity(Identity::Full));
    catalogue.add(Table::new("sales", "Order Notes", &[("ID", "bigint"), ("user", "text"), ("a b", "text")], 1));
    catalogue.add(Table::new("sales", "countries", &[("code", "character varying"), ("name", "text")], 1).replicated());
    catalogue
}

/// Rows of a table a generator remembers; older ones stay as they are.
const REMEMBERED: usize = 500;

#[derive(Debug)]
struct Live {
    table: Arc<Table>,
    rows: Vec<Vec<Cell>>,
}

/// Makes the transactions of one node.
#[derive(Debug)]
pub struct Generator {
    rng: Rng,
    tables: Vec<Live>,
    workload: Workload,
    /// Keys of this node: `number * nodes + node`.
    node: u64,
    nodes: u64,
    next_key: u64,
    made: u64,
}

impl Generator {
    /// A generator for a node, counted from 0. Replicated tables are left out.
    pub fn new(catalogue: &Catalogue, workload: &Workload, seed: u64, node: usize, nodes: usize) -> Generator {
        let hashed = catalogue.tables.iter().filter(|table| table.locator == Locator::Hash);
        let tables = hashed.map(|table| Live { table: Arc::clone(table), rows: Vec::new() }).collect();
        let rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(node as u64));
        let (node, nodes) = (node as u64, nodes as u64);
        Generator { rng, tables, workload: workload.clone(), node, nodes, next_key: 1, made: 0 }
    }

    /// The changes of the next transaction; `None` when all were made.
    pub fn next_transaction(&mut self) -> Option<Vec<RowChange>> {
        if self.workload.transactions.is_some_and(|most| self.made >= most) || self.tables.is_empty() {
            return None;
        }
        self.made += 1;
        let large = self.workload.large_every > 0 && self.made.is_multiple_of(self.workload.large_every);
        let count = if large { self.workload.large_changes } else { self.rng.u64(1..=self.workload.changes.max(1)) };
        Some((0..count).map(|_| self.change()).collect())
    }

    fn change(&mut self) -> RowChange {
        let at = self.rng.usize(..self.tables.len());
        let choice = self.rng.u8(..100);
        let live = &mut self.tables[at];
        let table = Arc::clone(&live.table);
        // Without a key or a full identity nobody can say which row changed: only inserts there.
        let identified = !table.identity_columns().is_empty();
        if live.rows.is_empty() || choice < 55 || !identified {
            let row = self.row(&table);
            let live = &mut self.tables[at];
            if live.rows.len() < REMEMBERED {
                live.rows.push(row.clone());
            } else {
                let place = self.rng.usize(..REMEMBERED);
                live.rows[place].clone_from(&row);
            }
            return RowChange { table, op: Op::Insert, new: row, old: Vec::new() };
        }
        let place = self.rng.usize(..live.rows.len());
        if choice < 70 {
            let old = live.rows.swap_remove(place);
            return RowChange { table, op: Op::Delete, new: Vec::new(), old };
        }
        let old = live.rows[place].clone();
        let fresh = self.row(&table);
        let mut new = old.clone();
        // One update in ten gives the row another key; the others leave long values as they are.
        let moves = choice >= 97 && !table.key.is_empty();
        for (column, cell) in fresh.into_iter().enumerate() {
            if if table.key.contains(&column) { moves } else { self.rng.bool() } {
                new[column] = cell;
            }
        }
        self.tables[at].rows[place].clone_from(&new);
        RowChange { table, op: Op::Update, new, old }
    }

    fn row(&mut self, table: &Table) -> Vec<Cell> {
        let key = self.next_key * self.nodes + self.node;
        self.next_key += 1;
        let cell = |(at, column): (usize, &crate::catalogue::Column)| {
            if table.key.contains(&at) {
                // Letters and numbers alike: unique on the node, and the node's own.
                return Some(if at == table.key[0] { key.to_string().into() } else { "1".into() });
            }
            if !column.not_null && self.rng.u8(..12) == 0 {
                return None;
            }
            Some(value(&column.type_name, &mut self.rng).into())
        };
        table.columns.iter().enumerate().map(cell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(seed: u64, node: usize) -> Vec<Vec<RowChange>> {
        let workload = Workload { transactions: Some(200), large_every: 50, large_changes: 100, ..Workload::new() };
        let mut generator = Generator::new(&example_catalogue(), &workload, seed, node, 3);
        std::iter::from_fn(|| generator.next_transaction()).collect()
    }

    #[test]
    fn a_seed_says_everything() {
        assert_eq!(generated(7, 0), generated(7, 0));
        assert_ne!(generated(7, 0), generated(8, 0));
        assert_ne!(generated(7, 0), generated(7, 1));
    }

    #[test]
    fn all_that_can_happen_happens_to_rows_that_exist() {
        let mut ops = std::collections::BTreeMap::new();
        let mut moved = 0;
        for change in generated(7, 2).into_iter().flatten() {
            *ops.entry(change.op.name()).or_insert(0) += 1;
            let key = |row: &[Cell]| change.table.key.iter().map(|&at| row[at].clone()).collect::<Vec<_>>();
            if change.op == Op::Update && key(&change.new) != key(&change.old) {
                moved += 1;
            }
            let first = change.table.key.first().and_then(|&at| change.new.get(at)).cloned().flatten();
            if let Some(first) = first {
                assert_eq!(first.parse::<u64>().unwrap() % 3, 2, "keys of another node");
            }
        }
        assert_eq!(ops.keys().copied().collect::<Vec<_>>(), ["DELETE", "INSERT", "UPDATE"]);
        assert!(moved > 5, "{moved} keys moved");
    }

    #[test]
    fn every_listed_type_has_a_column_and_values() {
        let types = all_types();
        // 42 names of the vendor: number and numeric are one here, arrays are three.
        assert_eq!(types.len(), 43);
        let mut rng = Rng::with_seed(1);
        for (_, kind) in types {
            (0..50).for_each(|_| assert!(!value(kind, &mut rng).is_empty(), "{kind}: '' is NULL in an A database"));
        }
    }
}
