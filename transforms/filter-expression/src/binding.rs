//! The slots of an expression bound to a table's columns, and their values for one change.

use std::sync::{Arc, OnceLock};

use cel::{Context, ExecutionError, Value, context::VariableResolver};
use millrace_guest::{Cell, Change, Interest, Op, Relation, Selection};

use crate::expression::{Expression, Of, Slot};

/// What one table's expression reads.
pub struct Binding {
    /// Index of the rule.
    pub(crate) rule: usize,
    /// By slot.
    bound: Vec<Bound>,
}

enum Bound {
    Op,
    Text(Arc<String>),
    Column { of: Of, name: String, position: usize, kind: Kind, test: bool },
}

/// What the value of a column is.
#[derive(Clone, Copy)]
enum Kind {
    Boolean,
    Integer,
    Float,
    Text,
}

impl Binding {
    /// Finds the columns; also says what the expression reads.
    ///
    /// # Errors
    /// The table has no such column.
    pub(crate) fn new(rule: usize, expression: &Expression, table: &Relation) -> Result<(Self, Interest), String> {
        let mut listed: Vec<u16> = Vec::new();
        let (mut reads_new, mut reads_old) = (false, false);
        let mut bound = Vec::new();
        for slot in &expression.slots {
            let text = |text: &str| Bound::Text(Arc::new(text.to_owned()));
            bound.push(match slot {
                Slot::Op => Bound::Op,
                Slot::Database => text(&table.database),
                Slot::Schema => text(&table.schema),
                Slot::Table => text(&table.table),
                Slot::Column { of, name, test } => {
                    let found = (0..).zip(&table.columns).find(|(_, column)| column.name == *name);
                    let (index, column) = found.ok_or_else(|| {
                        format!("rules[{rule}].keep: table {}.{} has no column {name:?}", table.schema, table.table)
                    })?;
                    reads_new |= *of != Of::Old;
                    reads_old |= *of != Of::New;
                    let position = listed.iter().position(|&i| i == index).unwrap_or_else(|| {
                        listed.push(index);
                        listed.len() - 1
                    });
                    let kind = Kind::of(&column.type_name);
                    Bound::Column { of: *of, name: name.clone(), position, kind, test: *test }
                }
            });
        }
        let reads = |any: bool| if any { Selection::Listed(listed.clone()) } else { Selection::Nothing };
        let interest = Interest { new: reads(reads_new), old: reads(reads_old) };
        Ok((Self { rule, bound }, interest))
    }

    /// Evaluates the expression for a change; without one only what is constant has a value.
    ///
    /// # Errors
    /// Why it has no value.
    pub(crate) fn evaluate(
        &self,
        expression: &Expression,
        functions: &Context<'static>,
        change: Option<&Change<'_>>,
    ) -> Result<bool, String> {
        let names = Names { binding: self, change, error: OnceLock::new() };
        let mut context = functions.new_inner_scope();
        context.set_variable_resolver(&names);
        let value = context.resolve(&expression.root);
        match (names.error.get(), value) {
            // The library's own message would name a slot.
            (Some(error), Err(ExecutionError::UndeclaredReference(_))) => Err(error.clone()),
            (_, Ok(Value::Bool(value))) => Ok(value),
            (_, Ok(other)) => Err(format!("the expression is no boolean but {}", other.type_of())),
            (_, Err(error)) => Err(error.to_string()),
        }
    }
}

impl Kind {
    fn of(type_name: &str) -> Self {
        match type_name {
            "boolean" => Self::Boolean,
            "smallint" | "tinyint" | "integer" | "bigint" | "oid" => Self::Integer,
            "real" | "double precision" | "numeric" => Self::Float,
            _ => Self::Text,
        }
    }

    fn value(self, text: &[u8]) -> Result<Value, String> {
        let text = std::str::from_utf8(text).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
        let wrong = |what: &str| format!("{text:?} is no {what}");
        Ok(match self {
            Self::Boolean => Value::Bool(text.parse().map_err(|_| wrong("boolean"))?),
            Self::Integer => Value::Int(text.parse().map_err(|_| wrong("whole number"))?),
            Self::Float => Value::Float(text.parse().map_err(|_| wrong("number"))?),
            Self::Text => Value::String(Arc::new(text.to_owned())),
        })
    }
}

/// The values of slots for one change.
struct Names<'a> {
    binding: &'a Binding,
    change: Option<&'a Change<'a>>,
    /// Why a slot had no value.
    error: OnceLock<String>,
}

impl VariableResolver for Names<'_> {
    fn resolve(&self, variable: &str) -> Option<Value> {
        let value = match self.binding.bound.get(variable.parse::<usize>().ok()?)? {
            Bound::Text(text) => Ok(Value::String(Arc::clone(text))),
            Bound::Op => self.change.map(|change| Value::from(name_of(change.op()))).ok_or_else(String::new),
            Bound::Column { of, name, position, kind, test } => {
                self.column(*of, *position, *kind, *test).map_err(|why| format!("column {name:?}: {why}"))
            }
        };
        value.map_err(|why| self.error.set(why)).ok()
    }
}

impl Names<'_> {
    fn column(&self, of: Of, position: usize, kind: Kind, test: bool) -> Result<Value, String> {
        let image = self.change.and_then(|change| match of {
            Of::New => change.new_image(),
            Of::Old => change.old_image(),
            Of::Row => change.row(),
        });
        let cell = image.and_then(|image| image.get(position));
        match cell {
            _ if test => Ok(Value::Bool(!matches!(cell, None | Some(Cell::Unchanged)))),
            Some(Cell::Text(text)) => kind.value(text),
            Some(Cell::Null) => Ok(Value::Null),
            None => Err("the change has no such row".to_owned()),
            Some(Cell::Unchanged) => Err("the source did not send it; has() asks whether it did".to_owned()),
        }
    }
}

fn name_of(op: Op) -> &'static str {
    match op {
        Op::Insert => "insert",
        Op::Update => "update",
        Op::Delete => "delete",
        Op::Truncate => "truncate",
    }
}
