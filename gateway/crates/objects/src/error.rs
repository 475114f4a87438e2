//! Why a file, or a row of it, is refused.

use millrace_batch::Failure;

/// A row that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line of the file, from 1; the head is line 1.
    pub line: u32,
    /// First cell, as it was.
    pub object: String,
    /// Second cell, as it was.
    pub target: String,
    /// The rule.
    pub rule: String,
}

/// Why a file cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Its name or ending.
    #[error("the name of the file {0}")]
    Name(&'static str),
    /// Its size, or what it unpacks to.
    #[error("the file {0}")]
    TooLarge(String),
    /// Its content is not what its ending says.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// Its head.
    #[error("the first line must be {expected}; it is {found}")]
    Head {
        /// What the head may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Nothing is selected.
    #[error("the file names no table")]
    Empty,
    /// Rows that break rules; nothing of the file is taken.
    #[error("{} rows are refused, the first in line {}: {}", .0.len(), .0.first().map_or(0, |fault| fault.line), .0.first().map_or("", |fault| &fault.rule))]
    Rows(Vec<Fault>),
}

impl ImportError {
    /// The error as a person sees it. `file`: the path, for people.
    pub fn failure(&self, file: &str) -> Failure {
        let mend = match self {
            ImportError::Name(_) => {
                "rename the file: letters, digits, spaces, '-', '_' and parentheses, ending in .xlsx, .xls or .csv"
            }
            ImportError::TooLarge(_) => "split the selection into tasks, or select with patterns",
            ImportError::Unreadable(_) => "start from `millrace objects template`",
            ImportError::Head { .. } => {
                "take the head from `millrace objects template`; it tells table from topic mapping"
            }
            ImportError::Empty => "name at least one table, one a line, as schema.table",
            ImportError::Rows(_) => {
                "mend the rows; `millrace objects check --detail FILE` writes all of them with their rules"
            }
        };
        Failure::definite("objects_import", format!("reading the tables of {file}"), self.to_string(), mend)
    }
}
