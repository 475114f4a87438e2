//! A file that was filled in, as a selection.

use std::collections::HashMap;

use crate::{Fault, ImportError, object_name, sheet, xls};

/// Largest file, bytes.
pub const FILE_LIMIT: usize = 8 << 20;
/// Most lines with a table.
pub const ROW_LIMIT: usize = 100_000;

/// What the second column means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mapping {
    /// The name that messages give the table, as `schema.table`; empty: its own.
    Table,
    /// The topic its changes go to; empty: as the topic policy says.
    Topic,
}

impl Mapping {
    /// Its name in the head of the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Mapping::Table => "table_mapping",
            Mapping::Topic => "topic_mapping",
        }
    }
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Line of the file, from 1.
    pub line: u32,
    /// Schema, as the catalogue has it.
    pub schema: String,
    /// Table, as the catalogue has it.
    pub table: String,
    /// What it is mapped to: `schema.table` or a topic. `None`: nothing, or the table's own name.
    pub target: Option<String>,
}

/// What a file selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// What the targets mean.
    pub mapping: Mapping,
    /// The tables, in the file's order, none twice.
    pub rows: Vec<Row>,
}

/// Reads a file whole: either every row is good, or nothing of it is taken and each bad row is told.
pub fn read(name: &str, bytes: &[u8]) -> Result<Import, ImportError> {
    let (stem, ending) = name.rsplit_once('.').ok_or(ImportError::Name("has no ending"))?;
    if stem.is_empty() || !stem.chars().all(|c| c.is_alphanumeric() || " -_()".contains(c)) {
        return Err(ImportError::Name("may have letters, digits, spaces, '-', '_' and parentheses"));
    }
    if bytes.len() > FILE_LIMIT {
        return Err(ImportError::TooLarge(format!("has {} bytes, at most {FILE_LIMIT} are taken", bytes.len())));
    }
    let mut lines = match ending.to_ascii_lowercase().as_str() {
        "xlsx" => sheet::xlsx(bytes)?,
        "xls" => xls::read(bytes)?,
        "csv" => sheet::comma_separated(bytes)?,
        _ => return Err(ImportError::Name("must end in .xlsx, .xls or .csv")),
    }
    .into_iter();
    let mapping = head(lines.next())?;
    let mut rows: Vec<Row> = Vec::new();
    let mut faults = Vec::new();
    let mut seen = HashMap::new();
    for (line, object, target) in lines {
        if object.is_empty() && target.is_empty() {
            continue;
        }
        match row(line, &object, &target, mapping) {
            Ok(row) => {
                if let Some(first) = seen.insert((row.schema.clone(), row.table.clone()), line) {
                    faults.push(Fault {
                        line,
                        object,
                        target,
                        rule: format!("the table is named in line {first} already"),
                    });
                } else {
                    rows.push(row);
                }
            }
            Err(rule) => faults.push(Fault { line, object, target, rule: rule.to_owned() }),
        }
        if rows.len() > ROW_LIMIT {
            return Err(ImportError::TooLarge(format!("names more than {ROW_LIMIT} tables")));
        }
    }
    if !faults.is_empty() {
        return Err(ImportError::Rows(faults));
    }
    if rows.is_empty() {
        return Err(ImportError::Empty);
    }
    Ok(Import { mapping, rows })
}

fn head(line: Option<sheet::Line>) -> Result<Mapping, ImportError> {
    let (_, first, second) = line.ok_or(ImportError::Empty)?;
    match (first.trim(), second.trim()) {
        ("object", "table_mapping") => Ok(Mapping::Table),
        ("object", "topic_mapping") => Ok(Mapping::Topic),
        _ => Err(ImportError::Head {
            expected: "\"object\" and \"table_mapping\" or \"topic_mapping\"",
            found: format!("{first:?} and {second:?}"),
        }),
    }
}

fn row(line: u32, object: &str, target: &str, mapping: Mapping) -> Result<Row, &'static str> {
    let (schema, table) = pair(object)?;
    let target = match mapping {
        _ if target.is_empty() || target == object => None,
        Mapping::Table => {
            pair(target)?;
            Some(target.to_owned())
        }
        Mapping::Topic if is_topic(target) => Some(target.to_owned()),
        Mapping::Topic => {
            return Err("a topic has 1 to 249 letters, digits, '.', '_' and '-' and is not \".\" or \"..\"");
        }
    };
    Ok(Row { line, schema: schema.to_owned(), table: table.to_owned(), target })
}

fn pair(text: &str) -> Result<(&str, &str), &'static str> {
    let (schema, table) = text.split_once('.').ok_or("must be schema.table")?;
    object_name(schema)?;
    object_name(table)?;
    Ok((schema, table))
}

fn is_topic(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=249).contains(&text.len()) && text != "." && text != ".." && text.bytes().all(legal)
}
