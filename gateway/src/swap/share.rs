//! Which changes a canary gets: some tables, some keys.
//!
//! Owns the choice. Every change of one row is on the same side, because only the table and the row's primary key are looked at: of
//! the new image, of the old one on delete. A change without such a key, where keys are chosen by hash, stays with the version at
//! work. Must not know what makes records.

use millrace_batch::{Batch, Cell, Op, RelationLog};
use millrace_host::positive_murmur2;
use serde::{Deserialize, Serialize};

/// The part of the changes that a canary gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wanted")]
pub struct Share {
    /// Tables, `schema.table`; empty: all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Keys of these tables out of a hundred, by hash.
    pub percent: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    tables: Vec<String>,
    percent: Option<u8>,
}

impl TryFrom<Wanted> for Share {
    type Error = &'static str;

    fn try_from(Wanted { tables, percent }: Wanted) -> Result<Share, &'static str> {
        if tables.is_empty() && percent.is_none() {
            return Err("a share names tables, or percent, or both");
        }
        if tables.iter().any(|table| !table.contains('.')) {
            return Err("a table is named schema.table");
        }
        match percent.unwrap_or(100) {
            percent @ 1..=100 => Ok(Share { tables, percent }),
            _ => Err("percent is a whole number from 1 to 100"),
        }
    }
}

/// What the choice needs of a table version.
#[derive(Debug)]
struct Table {
    named: bool,
    key: Vec<u16>,
}

/// Picks the changes of a share; one for each worker, as it remembers the tables.
#[derive(Debug, Default)]
pub struct Picker {
    /// By relation id.
    tables: Vec<Option<Table>>,
    bytes: Vec<u8>,
}

impl Picker {
    /// Lists the changes of the batch that are in the share, by rising index.
    pub fn pick(&mut self, share: &Share, batch: &Batch, relations: &RelationLog, picked: &mut Vec<u32>) {
        picked.clear();
        for (change, &relation) in batch.relations().iter().enumerate() {
            let at = relation as usize;
            if at >= self.tables.len() {
                self.tables.resize_with(at + 1, || None);
            }
            let table = self.tables[at].get_or_insert_with(|| match relations.get(relation) {
                Some(found) => {
                    let name = format!("{}.{}", found.schema, found.table);
                    let named = share.tables.is_empty() || share.tables.contains(&name);
                    Table { named, key: found.key_columns() }
                }
                None => Table { named: false, key: Vec::new() },
            });
            if table.named
                && (share.percent == 100 || in_percent(share.percent, batch, change, &table.key, &mut self.bytes))
            {
                picked.push(change as u32);
            }
        }
    }
}

/// Whether the key of a change is among so many out of a hundred.
fn in_percent(percent: u8, batch: &Batch, change: usize, key: &[u16], bytes: &mut Vec<u8>) -> bool {
    let op = batch.ops()[change];
    if key.is_empty() || op == Op::Truncate as u8 {
        return false;
    }
    bytes.clear();
    for &column in key {
        let (new, old) = (batch.new_cell(change, column.into()), batch.old_cell(change, column.into()));
        let cell = match new {
            _ if op == Op::Delete as u8 => old,
            // An unchanged TOAST value: the old image has the same one, where it has it.
            Cell::Unsent => old,
            new => new,
        };
        let Cell::Text(text) = cell else { return false };
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text);
    }
    // Partitions are the hash's remainder; multiplying by an odd number and taking the high bits has nothing to do with them, so that
    // a share is one of every partition.
    let mixed = u64::from(positive_murmur2(bytes).wrapping_mul(0x9e37_79b1));
    (mixed * 100) >> 32 < u64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_batch::{ChangeStamp, Column, Lsn, Relation, ReplicaIdentity, marks};

    fn share(text: &str) -> Result<Share, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    fn log() -> RelationLog {
        let column = |name: &str, key_position| Column {
            name: name.into(),
            type_name: "text".into(),
            type_oid: 25,
            type_modifier: -1,
            jdbc_type: 12,
            key_position,
        };
        let log = RelationLog::new();
        for (table, key) in [("keyed", 1), ("other", 1), ("keyless", 0)] {
            log.append(Relation {
                id: 0,
                source_oid: 1,
                database: "d".into(),
                schema: "s".into(),
                table: table.into(),
                identity: ReplicaIdentity::Default,
                columns: vec![column("id", key), column("v", 0)],
            });
        }
        log
    }

    fn push(batch: &mut Batch, relation: u32, op: Op, new: &[Cell<'_>], old: &[Cell<'_>]) {
        let (id, ordinal) = (batch.len() as u64, batch.len() as u32);
        batch.begin_change(ChangeStamp { id, commit_lsn: Lsn(1), xid: 1, commit_time: 0, ordinal, relation, op });
        for cell in new.iter().chain(old) {
            match cell {
                Cell::Null => batch.push_null(),
                Cell::Unsent => batch.push_unsent(),
                Cell::Text(text) => assert!(batch.push_text(text)),
            }
        }
        let mark = |cells: &[Cell<'_>], mark| if cells.is_empty() { 0 } else { mark };
        batch.finish_change(new.len() as u16, old.len() as u16, mark(new, marks::NEW) | mark(old, marks::OLD));
    }

    fn picked(share: &Share, batch: &Batch) -> Vec<u32> {
        let mut picked = Vec::new();
        Picker::default().pick(share, batch, &log(), &mut picked);
        picked
    }

    #[test]
    fn what_a_share_may_say() {
        assert_eq!(share(r#"{"percent":5}"#), Ok(Share { tables: vec![], percent: 5 }));
        assert_eq!(share(r#"{"tables":["s.t"]}"#), Ok(Share { tables: vec!["s.t".into()], percent: 100 }));
        for bad in
            ["{}", r#"{"tables":[]}"#, r#"{"percent":0}"#, r#"{"percent":101}"#, r#"{"tables":["t"]}"#, r#"{"x":1}"#]
        {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_changes_of_a_row_are_on_one_side_and_what_has_no_key_stays() {
        let mut batch = Batch::new(0);
        let keys: Vec<String> = (0..200).map(|key| key.to_string()).collect();
        for key in &keys {
            let key = Cell::Text(key.as_bytes());
            push(&mut batch, 0, Op::Insert, &[key, Cell::Null], &[]);
            push(&mut batch, 0, Op::Update, &[key, Cell::Text(b"x")], &[]);
            push(&mut batch, 0, Op::Update, &[Cell::Unsent, Cell::Null], &[key, Cell::Unsent]);
            push(&mut batch, 0, Op::Delete, &[], &[key, Cell::Unsent]);
        }
        let rows = batch.len() as u32;
        push(&mut batch, 0, Op::Truncate, &[], &[]);
        push(&mut batch, 0, Op::Delete, &[], &[Cell::Unsent, Cell::Unsent]);
        push(&mut batch, 2, Op::Insert, &[Cell::Text(b"1"), Cell::Null], &[]);
        for percent in [1, 30, 99] {
            let picked = picked(&Share { tables: vec![], percent }, &batch);
            assert!(picked.iter().all(|change| *change < rows), "without a key it stays");
            assert!(picked.chunks(4).all(|row| row[0] % 4 == 0 && row[3] == row[0] + 3), "whole rows: {picked:?}");
            let found = picked.len() as f64 / f64::from(rows) * 100.0;
            assert!((found - f64::from(percent)).abs() < 12.0, "{found} of {percent}");
        }
        // Keys are of a table, so all of a named table is more than all its keys.
        assert_eq!(picked(&Share { tables: vec![], percent: 100 }, &batch).len(), batch.len());
        assert_eq!(picked(&Share { tables: vec!["s.keyless".into()], percent: 100 }, &batch), [rows + 2]);
        assert_eq!(picked(&Share { tables: vec!["s.keyless".into()], percent: 99 }, &batch), [0; 0]);
    }

    #[test]
    fn a_share_is_one_of_every_partition() {
        let mut batch = Batch::new(0);
        let keys: Vec<String> = (0..4000).map(|key| key.to_string()).collect();
        for key in &keys {
            push(&mut batch, 0, Op::Insert, &[Cell::Text(key.as_bytes()), Cell::Null], &[]);
        }
        let mut by_partition = [0; 4];
        for change in picked(&Share { tables: vec![], percent: 25 }, &batch) {
            by_partition[positive_murmur2(keys[change as usize].as_bytes()) as usize % 4] += 1;
        }
        assert!(by_partition.iter().all(|count| (150..350).contains(count)), "{by_partition:?}");
    }
}
