//! An expression as its text has it, turned into one that can be evaluated without maps and within bounds.
//!
//! Every name becomes a slot, so that only the columns in the text are read and no row becomes a map. What could run long
//! (macros that loop) or has no meaning here is refused. Knows no table: slots are bound to columns in `binding`.

use cel::{
    IdedExpr, Program,
    common::ast::{CallExpr, Expr, ListExpr, operators},
    common::value::CelVal,
};

/// The longest text, in bytes.
const LENGTH: usize = 4096;
/// The deepest nesting: each level takes a few hundred bytes of the module's stack.
const DEPTH: usize = 64;

/// Functions of CEL that the library has, beside the operators.
const FUNCTIONS: [&str; 10] =
    ["contains", "startsWith", "endsWith", "size", "string", "double", "int", "uint", "min", "max"];

/// An expression and the slots in it: `Ident("3")` stands for slot 3.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) root: IdedExpr,
    pub(crate) slots: Vec<Slot>,
}

/// A name in an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Slot {
    Op,
    Database,
    Schema,
    Table,
    /// A column's value, or (test) whether the source sent it.
    Column {
        of: Of,
        name: String,
        test: bool,
    },
}

/// Whose column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Of {
    New,
    Old,
    /// The new row, or the old one on delete.
    Row,
}

impl Expression {
    /// # Errors
    /// The text is no expression, or one that is not taken here.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LENGTH {
            return Err(format!("it has {} bytes, at most {LENGTH} are taken", text.len()));
        }
        check_brackets(text)?;
        let program = Program::compile(text).map_err(|e| e.to_string())?;
        let mut slots = Vec::new();
        let root = lower(program.expression().clone(), &mut slots, 0)?;
        Ok(Self { root, slots })
    }

    /// Whether its value is the same for all changes of a table.
    pub(crate) fn is_constant(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot, Slot::Database | Slot::Schema | Slot::Table))
    }
}

/// The parser recurses before there is a tree to measure.
fn check_brackets(text: &str) -> Result<(), String> {
    let (mut open, mut signs) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'?' => open += 1,
            b')' | b']' | b'}' | b':' => open = open.saturating_sub(1),
            _ => {}
        }
        signs = if matches!(byte, b'!' | b'-') { signs + 1 } else { 0 };
        if open > DEPTH || signs > DEPTH {
            return Err(too_deep());
        }
    }
    Ok(())
}

fn too_deep() -> String {
    format!("it is nested more than {DEPTH} deep")
}

fn lower(mut expr: IdedExpr, slots: &mut Vec<Slot>, depth: usize) -> Result<IdedExpr, String> {
    // A chain like a && b && c nests by its length.
    if depth > DEPTH {
        return Err(too_deep());
    }
    expr.expr = match expr.expr {
        Expr::Literal(literal) => Expr::Literal(literal),
        Expr::Ident(name) => slot(plain(&name)?, slots),
        Expr::Select(select) => {
            let of = match &select.operand.expr {
                Expr::Ident(name) => row(name),
                _ => None,
            };
            let of = of.ok_or_else(|| format!(".{}: only new, old and row have members", select.field))?;
            slot(Slot::Column { of, name: select.field, test: select.test }, slots)
        }
        Expr::Call(call) => {
            if let Some((of, name)) = indexed(&call) {
                slot(Slot::Column { of, name, test: false }, slots)
            } else {
                self::call(call, slots, depth)?
            }
        }
        Expr::List(ListExpr { elements, optional_indices }) if optional_indices.is_empty() => {
            let elements = elements.into_iter().map(|e| lower(e, slots, depth + 1)).collect::<Result<_, _>>()?;
            Expr::List(ListExpr { elements, optional_indices })
        }
        Expr::Comprehension(_) => {
            return Err("all, exists, exists_one, map and filter are not taken: they loop".to_owned());
        }
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
            return Err("maps, messages and optional elements are not taken".to_owned());
        }
    };
    Ok(expr)
}

fn call(call: CallExpr, slots: &mut Vec<Slot>, depth: usize) -> Result<Expr, String> {
    let CallExpr { func_name, target, args } = call;
    let operator = func_name.starts_with(|c: char| !c.is_ascii_alphanumeric());
    let optional = matches!(func_name.as_str(), operators::OPT_INDEX | operators::OPT_SELECT);
    if optional || !(operator || FUNCTIONS.contains(&func_name.as_str())) {
        return Err(format!("{func_name}: no such function; there are {}", FUNCTIONS.join(", ")));
    }
    let target = target.map(|target| lower(*target, slots, depth + 1).map(Box::new)).transpose()?;
    let args = args.into_iter().map(|arg| lower(arg, slots, depth + 1)).collect::<Result<_, _>>()?;
    Ok(Expr::Call(CallExpr { func_name, target, args }))
}

/// `new["a name"]`, for columns whose names are no identifiers.
fn indexed(call: &CallExpr) -> Option<(Of, String)> {
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::INDEX, [operand, index]) => match (&operand.expr, &index.expr) {
            (Expr::Ident(of), Expr::Literal(CelVal::String(name))) => Some((row(of)?, name.clone())),
            _ => None,
        },
        _ => None,
    }
}

fn row(name: &str) -> Option<Of> {
    match name {
        "new" => Some(Of::New),
        "old" => Some(Of::Old),
        "row" => Some(Of::Row),
        _ => None,
    }
}

fn plain(name: &str) -> Result<Slot, String> {
    match name {
        "op" => Ok(Slot::Op),
        "database" => Ok(Slot::Database),
        "schema" => Ok(Slot::Schema),
        "table" => Ok(Slot::Table),
        _ if row(name).is_some() => Err(format!("{name} stands for a row; name a column, as in {name}.id")),
        _ => Err(format!(
            "{name}: no such name; there are op, database, schema, table, new.COLUMN, old.COLUMN and row.COLUMN"
        )),
    }
}

fn slot(slot: Slot, slots: &mut Vec<Slot>) -> Expr {
    let number = slots.iter().position(|s| *s == slot).unwrap_or_else(|| {
        slots.push(slot);
        slots.len() - 1
    });
    Expr::Ident(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_slots() {
        let parsed =
            Expression::parse("op != 'delete' && new.qty > old.qty && has(new.doc) && new['a b'] == new.qty").unwrap();
        let column = |of, name: &str, test| Slot::Column { of, name: name.to_owned(), test };
        assert_eq!(
            parsed.slots,
            [
                Slot::Op,
                column(Of::New, "qty", false),
                column(Of::Old, "qty", false),
                column(Of::New, "doc", true),
                column(Of::New, "a b", false),
            ]
        );
        assert!(!parsed.is_constant());
        assert!(Expression::parse("table.startsWith('tmp_')").unwrap().is_constant());
    }

    #[test]
    fn what_is_not_taken_is_named() {
        for (text, part) in [
            ("qty > 1", "qty: no such name"),
            ("new", "new stands for a row"),
            ("size(new) > 0", "new stands for a row"),
            ("new.a.b == 1", ".b: only new, old and row"),
            ("[1].exists(x, x == 1)", "they loop"),
            ("{'a': 1}['a'] == 1", "maps"),
            ("now() > 1", "now: no such function"),
            ("new.?a == 1", "unsupported syntax"),
            ("1 +", ""),
            ("", ""),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let deep = [
            format!("{}1{}", "(".repeat(65), ")".repeat(65)),
            format!("{}true", "!".repeat(100)),
            format!("1{}", "+1".repeat(100)),
            "a".repeat(LENGTH + 1),
        ];
        for text in deep {
            assert!(Expression::parse(&text).is_err(), "{}", &text[..20]);
        }
    }
}
