//! What happens in the shop on one day: transactions drawn from a seed.
//!
//! Owns the mix: sign-ups, orders, payments, cancellations, changed keys, abandoned transactions, savepoints and two sessions
//! whose transactions overlap. The same seed gives the same day.

use super::shop::{CUSTOMERS, End, ITEMS, ORDERS, PAYMENTS, Row, Shop, Transaction};
use fastrand::Rng;

/// What to run next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// One transaction by itself.
    Alone(Transaction),
    /// `outer` begins and changes rows, `inner` begins and commits in another session, then `outer` commits: the order of the
    /// log is not the order of the commits.
    Overlapping {
        /// Begins first, commits last.
        outer: Transaction,
        /// Begins last, commits first.
        inner: Transaction,
    },
}

const NAMES: [&str; 8] =
    ["Ada Lovelace", "Grace O'Hopper", "李小龍", "Łukasz Żółć", "Zoë <admin>", "مريم", "Σωκράτης", "😀 Emoji & Sons"];
const SKUS: [&str; 6] = ["tea-green", "tea-black", "kettle/steel", "cup=blue", "honey\"raw\"", "spoon\\wood"];

/// A day of the shop.
#[derive(Debug)]
pub struct Day {
    shop: Shop,
    rng: Rng,
    last_id: u64,
    committed: usize,
    wanted: usize,
    number: usize,
}

impl Day {
    /// A day with at least `wanted` committed row changes.
    pub fn new(seed: u64, wanted: usize) -> Day {
        Day { shop: Shop::default(), rng: Rng::with_seed(seed), last_id: 0, committed: 0, wanted, number: 0 }
    }

    fn next_id(&mut self) -> Option<String> {
        self.last_id += 1;
        Some(self.last_id.to_string())
    }

    /// The key of any row of a table that `fits`.
    fn any(&mut self, table: usize, fits: impl Fn(&Row) -> bool) -> Option<Vec<Option<String>>> {
        let rows = self.shop.rows(table);
        let start = self.rng.usize(..rows.len().max(1));
        let around = rows.iter().skip(start).chain(rows.iter().take(start));
        around.into_iter().find(|(_, row)| fits(row)).map(|(key, _)| key.clone())
    }

    fn sign_up(&mut self) {
        let id = self.next_id();
        let name = self.rng.choice(NAMES).map(str::to_owned);
        // NULL, the empty string and the word are three different things.
        let note =
            self.rng.choice([None, Some(""), Some("null"), Some("prefers <b>tea</b> & 'milk'\n\tno sugar")]).flatten();
        let email = id.as_ref().filter(|_| self.rng.u8(..4) > 0).map(|id| format!("c{id}@example.org"));
        self.shop.insert(CUSTOMERS, vec![id, name, email, note.map(str::to_owned)]);
    }

    fn place_order(&mut self) {
        let Some(customer) = self.any(CUSTOMERS, |_| true) else { return self.sign_up() };
        let id = self.next_id();
        let placed = format!(
            "2026-{:02}-{:02} {:02}:{:02}:{:02}.5",
            self.rng.u8(1..=12),
            self.rng.u8(1..=28),
            self.rng.u8(..24),
            self.rng.u8(..60),
            self.rng.u8(..60)
        );
        self.shop.insert(ORDERS, vec![id.clone(), customer[0].clone(), Some("new".into()), None, Some(placed)]);
        for line in 1..=self.rng.u8(1..=4) {
            let sku = self.rng.choice(SKUS).map(str::to_owned);
            let quantity = Some(self.rng.u8(1..10).to_string());
            let gift = Some(if self.rng.bool() { "true" } else { "false" }.to_owned());
            self.shop.insert(ITEMS, vec![id.clone(), Some(line.to_string()), sku, quantity, gift]);
        }
        let total = format!("{}.{:02}", self.rng.u32(1..500), self.rng.u8(..100));
        self.shop.update(ORDERS, &[id], |row| row[3] = Some(total));
    }

    fn pay(&mut self) {
        let Some(order) = self.any(ORDERS, |row| row[2].as_deref() == Some("new")) else { return self.place_order() };
        let id = self.next_id();
        let amount = self.shop.rows(ORDERS)[&order][3].clone();
        // As jsonb prints it: shorter keys first, a space after colon and comma.
        let details =
            self.rng.bool().then(|| format!("{{\"card\": \"{:04}\", \"check\": true}}", self.rng.u16(..10_000)));
        self.shop.insert(PAYMENTS, vec![id, order[0].clone(), amount, details]);
        self.shop.update(ORDERS, &order, |row| row[2] = Some("paid".into()));
    }

    fn ship(&mut self) {
        let Some(order) = self.any(ORDERS, |row| row[2].as_deref() == Some("paid")) else { return self.pay() };
        self.shop.update(ORDERS, &order, |row| row[2] = Some("shipped".into()));
        if let Some(payment) = self.any(PAYMENTS, |row| row[1] == order[0]) {
            self.shop.update(PAYMENTS, &payment, |row| row[3] = None);
        }
    }

    fn cancel(&mut self) {
        let Some(order) = self.any(ORDERS, |_| true) else { return self.place_order() };
        for table in [ITEMS, PAYMENTS] {
            let parent = if table == ITEMS { 0 } else { 1 };
            let rows = self.shop.rows(table).iter().filter(|(_, row)| row[parent] == order[0]);
            let keys: Vec<_> = rows.map(|(key, _)| key.clone()).collect();
            keys.iter().for_each(|key| self.shop.delete(table, key));
        }
        self.shop.delete(ORDERS, &order);
    }

    /// Another primary key for a customer who has no order: the old key ends, the new one begins.
    fn renumber(&mut self) {
        let Some(customer) = self.any(CUSTOMERS, |_| true) else { return self.sign_up() };
        if self.shop.rows(ORDERS).values().any(|row| row[1] == customer[0]) {
            return self.edit(&customer);
        }
        let id = self.next_id();
        self.shop.update(CUSTOMERS, &customer, |row| row[0] = id);
    }

    fn edit(&mut self, customer: &[Option<String>]) {
        let note = self.rng.choice([None, Some(String::new()), Some("naïve café ☕".to_owned())]).flatten();
        self.shop.update(CUSTOMERS, customer, |row| row[3] = note);
    }

    fn transaction(&mut self, kind: usize) -> Transaction {
        let mut end = End::Commit;
        match kind {
            0..=2 => self.sign_up(),
            3..=7 => self.place_order(),
            8..=10 => self.pay(),
            11..=12 => self.ship(),
            13 => self.cancel(),
            14 => self.renumber(),
            15 => {
                if let Some(customer) = self.any(CUSTOMERS, |_| true) {
                    self.edit(&customer);
                }
                let savepoint = self.shop.savepoint();
                self.cancel();
                self.shop.rollback_to(savepoint);
                self.sign_up();
            }
            _ => {
                self.place_order();
                self.cancel();
                end = End::Rollback;
            }
        }
        let transaction = self.shop.end(end);
        self.committed += transaction.changes.len();
        transaction
    }
}

impl Iterator for Day {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        /// Kinds [`Day::transaction`] knows.
        const KINDS: usize = 17;
        // Every kind once, whatever the seed, before chance decides and before the day may end.
        self.number += 1;
        let kind = if self.number <= KINDS { self.number - 1 } else { self.rng.usize(..=KINDS) };
        if self.number > KINDS + 1 && self.committed >= self.wanted {
            return None;
        }
        if kind < KINDS && self.number != KINDS + 1 {
            return Some(Step::Alone(self.transaction(kind)));
        }
        // The inner one only adds rows that nobody else can know, so the two never wait for each other.
        let outer = self.transaction(8);
        let inner = self.transaction(0);
        Some(Step::Overlapping { outer, inner })
    }
}

#[cfg(test)]
mod tests {
    use super::super::shop::TABLES;
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_day_and_has_everything_in_it() {
        for seed in [1, 2, 3, fastrand::u64(..)] {
            println!("seed {seed}");
            let steps: Vec<Step> = Day::new(seed, 3_000).collect();
            assert!(steps == Day::new(seed, 3_000).collect::<Vec<_>>());
            let mut ops = std::collections::BTreeSet::new();
            let (mut changes, mut rolled_back, mut overlapping, mut moved) = (0, 0, 0, 0);
            for step in steps {
                let transactions = match step {
                    Step::Alone(one) => vec![one],
                    Step::Overlapping { outer, inner } => {
                        overlapping += 1;
                        vec![inner, outer]
                    }
                };
                for transaction in transactions {
                    changes += transaction.changes.len();
                    rolled_back += usize::from(transaction.end == End::Rollback && !transaction.statements.is_empty());
                    for change in transaction.changes {
                        ops.insert((change.table, change.op()));
                        let key = |row: &Option<std::rc::Rc<Row>>| {
                            row.as_ref().map(|row| row[..TABLES[change.table].key].to_vec())
                        };
                        moved += usize::from(change.op() == "UPDATE" && key(&change.old) != key(&change.new));
                    }
                }
            }
            assert!(changes >= 3_000, "{changes}");
            assert!(rolled_back > 0 && overlapping > 0 && moved > 0, "{rolled_back} {overlapping} {moved}");
            for table in [CUSTOMERS, ORDERS, ITEMS, PAYMENTS] {
                assert!(ops.contains(&(table, "INSERT")));
            }
            assert!(ops.contains(&(ITEMS, "DELETE")) && ops.contains(&(PAYMENTS, "UPDATE")), "{ops:?}");
        }
    }
}
