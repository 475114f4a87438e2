//! The truth for an oracle: what each node committed, as JSON lines.

use crate::catalogue::Catalogue;
use crate::log::{Cell, Change, Op, Transaction};
use crate::text::Lsn;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::Arc;

/// What a node committed, in commit order.
#[derive(Debug, Clone)]
pub struct Truth {
    /// Name of the node.
    pub node: String,
    /// Its transactions.
    pub transactions: Vec<Arc<Transaction>>,
}

/// Writes one line for each transaction: node, numbers, positions, rows.
///
/// # Errors
/// What the output says.
pub fn write_truth(truth: &[Truth], out: &mut impl Write) -> io::Result<()> {
    for node in truth {
        for transaction in &node.transactions {
            let mut line = to_json(transaction);
            line["node"] = Value::from(node.node.as_str());
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

fn cells(cells: &[Cell]) -> Value {
    cells.iter().map(|cell| cell.as_deref().map_or(Value::Null, Value::from)).collect()
}

pub(crate) fn to_json(transaction: &Transaction) -> Value {
    let change = |change: &Change| {
        json!({
            "schema": change.table.schema, "table": change.table.name, "op": change.op.name(),
            "lsn": change.lsn.to_string(), "new": cells(&change.new), "old": cells(&change.old),
        })
    };
    json!({
        "xid": transaction.xid, "csn": transaction.csn, "time": transaction.time, "origin": transaction.origin,
        "first_lsn": transaction.first_lsn.to_string(), "commit_lsn": transaction.commit_lsn.to_string(),
        "end_lsn": transaction.end_lsn.to_string(), "changes": transaction.changes.iter().map(change).collect::<Value>(),
    })
}

/// Reads what [`to_json`] wrote; `None` where it is something else, or of a table that is not there any more.
pub(crate) fn from_json(value: &Value, catalogue: &Catalogue) -> Option<Transaction> {
    let lsn = |value: &Value, name: &str| Lsn::parse(value[name].as_str()?);
    let cells = |value: &Value| -> Option<Vec<Cell>> {
        let cell = |cell: &Value| match cell {
            Value::Null => Some(None),
            Value::String(text) => Some(Some(text.as_str().into())),
            _ => None,
        };
        value.as_array()?.iter().map(cell).collect()
    };
    let change = |value: &Value| {
        let ops = [Op::Insert, Op::Update, Op::Delete, Op::Truncate];
        Some(Change {
            table: Arc::clone(catalogue.table(value["schema"].as_str()?, value["table"].as_str()?)?),
            op: ops.into_iter().find(|op| value["op"] == op.name())?,
            lsn: lsn(value, "lsn")?,
            new: cells(&value["new"])?,
            old: cells(&value["old"])?,
        })
    };
    Some(Transaction {
        xid: value["xid"].as_u64()?,
        csn: value["csn"].as_u64()?,
        time: value["time"].as_i64()?,
        first_lsn: lsn(value, "first_lsn")?,
        commit_lsn: lsn(value, "commit_lsn")?,
        end_lsn: lsn(value, "end_lsn")?,
        origin: u32::try_from(value["origin"].as_u64()?).ok()?,
        changes: value["changes"].as_array()?.iter().map(change).collect::<Option<_>>()?,
    })
}
