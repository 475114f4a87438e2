//! Rows behind a map stage: what the host makes of copied and written cells.

use serde_json::{Map, Value, json};

use super::{
    answers::{fault, text},
    events::project,
};
use crate::{
    Batch, Interest, Relation, Rewrite,
    bindings::exports::millrace::transform::map::Mapped,
    change::{END, NOT_SENT, NULL},
};

/// Answers the changes of rewritten tables: their images afterwards, in the order of the batch.
pub(super) fn after(
    batch: &Batch,
    tables: &[(Relation, Rewrite)],
    process: impl FnOnce(&Batch) -> Mapped,
    out: &mut Vec<Value>,
) {
    let called = |rewrite: &Rewrite| rewrite.may_drop || rewrite.sources.contains(&-1);
    let interests: Vec<(Relation, Interest)> = tables
        .iter()
        .filter(|(_, rewrite)| called(rewrite))
        .map(|(table, rewrite)| (table.clone(), rewrite.reads.clone()))
        .collect();
    let asked = project(batch, &interests);
    let empty = Mapped { data: Vec::new(), ends: Vec::new(), dropped: Vec::new(), faults: Vec::new() };
    let answer = if asked.ops.is_empty() { empty } else { process(&asked) };
    let (mut index, mut written) = (0, 0..answer.ends.len());
    for (i, &id) in batch.ids.iter().enumerate() {
        let Some((_, rewrite)) = tables.iter().rev().find(|(table, _)| table.id == batch.relations[i]) else {
            continue;
        };
        if called(rewrite) {
            let at = index;
            index += 1;
            if let Some(line) = fault(id, at, &answer.faults) {
                out.push(line);
                continue;
            }
            if answer.dropped.contains(&(at as u32)) {
                out.push(json!({ "id": id, "dropped": true }));
                continue;
            }
        }
        let mut line = Map::new();
        line.insert("id".to_owned(), id.into());
        let (mut first, mark) = (batch.first_cells[i] as usize, batch.marks[i]);
        for (name, bit, cells) in [("new", 1, batch.new_cells[i]), ("old", 2, batch.old_cells[i])] {
            if mark & bit != 0 {
                let cells = rewrite.sources.iter().map(|&source| match usize::try_from(source) {
                    Ok(column) => cell(&batch.data, &batch.ends, first + column),
                    Err(_) => written.next().map_or(Value::Null, |at| cell(&answer.data, &answer.ends, at)),
                });
                line.insert(name.to_owned(), cells.collect());
            }
            first += usize::from(cells);
        }
        out.push(line.into());
    }
    assert!(written.next().is_none(), "the module wrote more cells than its plan has");
}

/// A cell as the events write it.
fn cell(data: &[u8], ends: &[u32], index: usize) -> Value {
    let start = if index == 0 { 0 } else { ends[index - 1] & END };
    match ends[index] {
        end if end & NULL != 0 => Value::Null,
        end if end & NOT_SENT != 0 => json!({ "unsent": true }),
        end => text(&data[start as usize..(end & END) as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, Selection, change::fixture};

    #[test]
    fn copied_and_written_cells_stand_where_the_plan_says() {
        let table = fixture::relation(1, &["a", "b"]);
        let reads = Interest { new: Selection::Listed(vec![0]), old: Selection::Nothing };
        let rewrite = Rewrite { after: table.clone(), sources: vec![-1, 0], reads, may_drop: true };
        let batch =
            fixture::inserts(1, &[["1", "x"], ["2", "y"], ["3", "z"], ["4", "w"]].map(|r| r.map(Some).to_vec()));
        let mut out = Vec::new();
        let process = |asked: &Batch| {
            assert_eq!(asked.data, b"1234");
            let faults = vec![Fault { index: 1, message: "no".to_owned() }];
            Mapped { data: b"A".to_vec(), ends: vec![1, 1 | NULL], dropped: vec![2], faults }
        };
        after(&batch, &[(table, rewrite)], process, &mut out);
        let ids = &batch.ids;
        let expected = [
            json!({ "id": ids[0], "new": ["A", "1"] }),
            json!({ "id": ids[1], "fault": "no" }),
            json!({ "id": ids[2], "dropped": true }),
            json!({ "id": ids[3], "new": [null, "4"] }),
        ];
        assert_eq!(out, expected);
    }
}
