//! Updates of a primary key, and one as a delete and an insert.
//!
//! Owns both for the change that was finished last: once ids are given and others stand behind it, it is too late.

use super::{Batch, Cell, ChangeStamp, Op, marks};
use crate::{Commit, Lsn, Relation};

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Its key is the same, or its old key was not sent: it stays as it is.
    Same,
    /// It is two changes now: the delete of the old row, then the insert of the new one.
    Two,
    /// The batch has no room for both: the update is taken back.
    NoRoom,
}

impl Batch {
    /// Whether the change finished last is an update to another primary key. False where the source did not send the whole old key.
    #[inline]
    pub fn changes_key(&self, relation: &Relation) -> bool {
        let Some(last) = self.len().checked_sub(1) else { return false };
        if self.ops[last] != Op::Update as u8 || self.old_cells[last] == 0 {
            return false;
        }
        let mut differs = false;
        for (index, _) in relation.columns.iter().enumerate().filter(|(_, column)| column.key_position > 0) {
            match (self.old_cell(last, index), self.new_cell(last, index)) {
                (Cell::Unsent, _) => return false,
                // A value that is not sent with the new image has not changed.
                (_, Cell::Unsent) => {}
                (old, new) => differs |= old != new,
            }
        }
        differs
    }

    /// Makes two changes of the one finished last where that is an update to another primary key. The delete keeps its id and ordinal,
    /// the insert has `insert_id` and the ordinal behind. What the source did not send of the new row because it is unchanged is taken
    /// from the old one, as far as that was sent.
    pub fn split_key_change(&mut self, relation: &Relation, insert_id: u64) -> Split {
        if !self.changes_key(relation) {
            return Split::Same;
        }
        let last = self.len() - 1;
        let stamp = ChangeStamp {
            id: self.ids[last],
            commit_lsn: Lsn(self.commit_lsns[last]),
            xid: self.xids[last],
            commit_time: self.commit_times[last],
            ordinal: self.ordinals[last],
            relation: self.relations[last],
            op: Op::Delete,
        };
        let (csn, sent) = (self.csns[last], self.marks[last]);
        // Keys change seldom: a copy is what keeps this simple.
        let mut update = Batch::new(0);
        let commit = Commit { after: 0, commit_lsn: Lsn(0), end_lsn: Lsn(0), xid: 0, commit_time: 0, next_id: 0 };
        let copied = update.append_changes(self, last..last + 1, 0, 0, 0, &commit);
        self.truncate_changes(last);
        let Some(following) = stamp.ordinal.checked_add(1).filter(|_| copied) else { return Split::NoRoom };
        let (new, old) = (update.new_cells[0], update.old_cells[0]);

        self.begin_change(stamp);
        self.set_csn(csn);
        let mut fits = (0..usize::from(old)).all(|index| self.push(update.old_cell(0, index)));
        self.finish_change(if fits { old } else { 0 }, 0, 0);
        if fits {
            // The old image stands where a delete has it.
            self.new_cells[last] = 0;
            self.old_cells[last] = old;
            self.marks[last] = sent & !marks::NEW;
            self.begin_change(ChangeStamp { id: insert_id, ordinal: following, op: Op::Insert, ..stamp });
            self.set_csn(csn);
            fits = (0..usize::from(new)).all(|index| match update.new_cell(0, index) {
                Cell::Unsent => self.push(update.old_cell(0, index)),
                sent => self.push(sent),
            });
        }
        if !fits {
            self.truncate_changes(last);
            return Split::NoRoom;
        }
        self.finish_change(new, 0, marks::NEW);
        Split::Two
    }

    #[must_use]
    fn push(&mut self, cell: Cell<'_>) -> bool {
        match cell {
            Cell::Null => self.push_null(),
            Cell::Unsent => self.push_unsent(),
            Cell::Text(text) => return self.push_text(text),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, ReplicaIdentity};

    fn relation() -> Relation {
        let column = |name: &str, key_position| Column {
            name: name.into(),
            type_name: "text".into(),
            type_oid: 25,
            type_modifier: -1,
            jdbc_type: 12,
            key_position,
        };
        Relation {
            id: 3,
            source_oid: 1,
            database: "d".into(),
            schema: "s".into(),
            table: "t".into(),
            identity: ReplicaIdentity::Full,
            columns: vec![column("v", 0), column("b", 1), column("a", 2)],
        }
    }

    const TEXT: fn(&'static str) -> Cell<'static> = |text| Cell::Text(text.as_bytes());

    fn batch(op: Op, new: &[Cell<'_>], old: &[Cell<'_>]) -> Batch {
        let mut batch = Batch::new(0);
        // A neighbour in front, which must stay what it is.
        for op in [Op::Update, op] {
            let n = batch.len() as u64;
            let stamp = ChangeStamp {
                id: 7 + n,
                commit_lsn: Lsn(1),
                xid: 2,
                commit_time: 3,
                ordinal: n as u32,
                relation: 3,
                op,
            };
            batch.begin_change(stamp);
            batch.set_csn(9);
            for cell in new.iter().chain(old) {
                assert!(batch.push(*cell));
            }
            let sent = if new.is_empty() { 0 } else { marks::NEW } | if old.is_empty() { 0 } else { marks::OLD };
            batch.finish_change(new.len() as u16, old.len() as u16, sent);
        }
        batch
    }

    fn row(batch: &Batch, change: usize) -> (u64, u32, u8, u8, Vec<Cell<'_>>, Vec<Cell<'_>>) {
        let new = (0..usize::from(batch.new_cells()[change])).map(|n| batch.new_cell(change, n)).collect();
        let old = (0..usize::from(batch.old_cells()[change])).map(|n| batch.old_cell(change, n)).collect();
        (batch.ids()[change], batch.ordinals()[change], batch.ops()[change], batch.marks()[change], new, old)
    }

    #[test]
    fn an_update_of_the_key_becomes_a_delete_and_an_insert() {
        let new = [Cell::Unsent, TEXT("k"), TEXT("2")];
        let old = [TEXT("long"), TEXT("k"), TEXT("1")];
        let mut batch = batch(Op::Update, &new, &old);
        let neighbour = batch.clone();
        assert_eq!(batch.split_key_change(&relation(), 99), Split::Two);
        assert_eq!(row(&batch, 0), row(&neighbour, 0));
        assert_eq!(row(&batch, 1), (8, 1, 2, marks::OLD, vec![], old.to_vec()));
        let whole = vec![TEXT("long"), TEXT("k"), TEXT("2")];
        assert_eq!(row(&batch, 2), (99, 2, 0, marks::NEW, whole, vec![]), "what is unchanged comes from the old row");
        assert_eq!((batch.len(), batch.csns(), batch.xids()), (3, &[9, 9, 9][..], &[2, 2, 2][..]));
        // The insert that came of it is no update.
        assert_eq!(batch.split_key_change(&relation(), 100), Split::Same);
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let (k, one, two) = (TEXT("k"), TEXT("1"), TEXT("2"));
        for (op, new, old) in [
            (Op::Update, vec![two, k, one], vec![one, k, one]),
            (Op::Update, vec![two, k, Cell::Unsent], vec![one, k, one]),
            (Op::Update, vec![one, k, two], vec![]),
            (Op::Update, vec![one, k, two], vec![one, k, Cell::Unsent]),
            (Op::Insert, vec![one, k, two], vec![]),
            (Op::Delete, vec![], vec![one, k, two]),
        ] {
            let mut batch = batch(op, &new, &old);
            let before = batch.clone();
            assert_eq!(batch.split_key_change(&relation(), 99), Split::Same, "{new:?} {old:?}");
            assert_eq!(batch, before);
        }
        assert_eq!(Batch::new(0).split_key_change(&relation(), 1), Split::Same);
        let mut null = batch(Op::Update, &[one, k, Cell::Null], &[one, k, one]);
        assert_eq!(null.split_key_change(&relation(), 99), Split::Two, "NULL is another key");
    }
}
