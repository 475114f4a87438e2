//! Batches as text people can review.

use millrace_batch::{Batch, Cell, RelationLog, marks};
use std::fmt::Write;

/// Everything in the batch, transaction ends in their places.
pub fn render(batch: &Batch, log: &RelationLog, out: &mut String) {
    let mut commits = batch.commits().iter().peekable();
    for n in 0..=batch.len() {
        while let Some(commit) = commits.next_if(|commit| commit.after as usize == n) {
            let (lsn, end, next) = (commit.commit_lsn, commit.end_lsn, commit.next_id);
            writeln!(out, "commit {lsn} end {end} xid {} time {} next {next}", commit.xid, commit.commit_time).unwrap();
        }
        if n == batch.len() {
            break;
        }
        let relation = log.get(batch.relations()[n]).unwrap();
        let op = ["insert", "update", "delete", "truncate"][usize::from(batch.ops()[n])];
        write!(out, "#{}.{} {op} {}@{}", batch.ids()[n], batch.ordinals()[n], relation.table, relation.id).unwrap();
        assert_eq!(batch.marks()[n] & marks::NEW != 0, batch.new_cells()[n] > 0);
        assert_eq!(batch.marks()[n] & marks::OLD != 0, batch.old_cells()[n] > 0);
        if batch.marks()[n] & marks::NEW != 0 {
            image(out, "new", &relation, |column| batch.new_cell(n, column));
        }
        if batch.marks()[n] & marks::OLD != 0 {
            let name = if batch.marks()[n] & marks::OLD_KEY_ONLY != 0 { "key" } else { "old" };
            image(out, name, &relation, |column| batch.old_cell(n, column));
        }
        out.push('\n');
    }
}

fn image<'a>(out: &mut String, name: &str, relation: &millrace_batch::Relation, cell: impl Fn(usize) -> Cell<'a>) {
    write!(out, " {name}(").unwrap();
    for (index, column) in relation.columns.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        match cell(index) {
            Cell::Null => write!(out, "{comma}{}=NULL", column.name).unwrap(),
            Cell::Unsent => write!(out, "{comma}{}=?", column.name).unwrap(),
            Cell::Text(text) if text.len() > 100 => write!(out, "{comma}{}={} bytes", column.name, text.len()).unwrap(),
            Cell::Text(text) => {
                write!(out, "{comma}{}={:?}", column.name, std::str::from_utf8(text).unwrap()).unwrap();
            }
        }
    }
    out.push(')');
}

/// One table version.
pub fn relation(relation: &millrace_batch::Relation, out: &mut String) {
    let (schema, table, identity) = (&relation.schema, &relation.table, relation.identity);
    write!(out, "table {} {schema}.{table} {identity:?}:", relation.id).unwrap();
    for column in &relation.columns {
        write!(out, " {} {:?} {}", column.name, column.type_name, column.jdbc_type).unwrap();
        match column.key_position {
            0 => out.push(','),
            position => write!(out, " key {position},").unwrap(),
        }
    }
    out.pop();
    out.push('\n');
}
