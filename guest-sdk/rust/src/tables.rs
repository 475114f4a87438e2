//! What a stage keeps per announced table, found by relation id. Owned by the stage drivers.

use crate::{Batch, Change, Fault, Interest, Relation};

/// A table as announced, with what the module made of it.
pub(crate) struct Announced<T> {
    pub(crate) relation: Relation,
    pub(crate) new_columns: Vec<u16>,
    pub(crate) old_columns: Vec<u16>,
    pub(crate) table: T,
}

/// Announced tables, sorted by id: ids only grow, so announcing appends.
pub(crate) struct Tables<T>(Vec<Announced<T>>);

impl<T> Tables<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Remembers a table, in place of an earlier one of the same id.
    pub(crate) fn announce(&mut self, relation: Relation, interest: &Interest, table: T) {
        let announced = Announced {
            new_columns: interest.new.columns(&relation),
            old_columns: interest.old.columns(&relation),
            relation,
            table,
        };
        match self.0.binary_search_by_key(&announced.relation.id, |a| a.relation.id) {
            Ok(at) => self.0[at] = announced,
            Err(at) => self.0.insert(at, announced),
        }
    }

    /// Calls `each` with every change of the batch; what it returns as an error becomes the fault of that change.
    #[inline]
    pub(crate) fn each_change(
        &self,
        batch: &Batch,
        faults: &mut Vec<Fault>,
        mut each: impl FnMut(usize, &T, &Change<'_>) -> Result<(), String>,
    ) {
        // Changes of one table come in runs.
        let mut last: Option<&Announced<T>> = None;
        for (index, &id) in batch.relations.iter().enumerate() {
            if last.is_none_or(|a| a.relation.id != id) {
                last = self.0.binary_search_by_key(&id, |a| a.relation.id).ok().map(|at| &self.0[at]);
            }
            let result = match last {
                Some(announced) => each(index, &announced.table, &Change::new(batch, index, announced)),
                None => Err(format!("relation {id} was not announced to this stage")),
            };
            if let Err(message) = result {
                // A batch has at most as many changes as a u32 counts: its lists are 32-bit in the guest.
                faults.push(Fault { index: index as u32, message });
            }
        }
    }
}
