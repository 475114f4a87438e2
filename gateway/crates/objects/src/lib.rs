//! The list of tables as a file that people fill in: reading, rules, template, failure detail.
//!
//! Owns the form of the file and the rules of its cells. Must not know the task file, a database or a clock: bytes come in, rows or
//! failures go out. Whether a named table exists is asked of the catalogue by `check`.

mod error;
mod import;
mod rule;
mod sheet;
mod write;
mod xls;

pub use error::{Fault, ImportError};
pub use import::{FILE_LIMIT, Import, Mapping, ROW_LIMIT, Row, read};
pub use rule::{FORBIDDEN, HELPER_TABLES, SYSTEM_SCHEMAS, is_system_schema, is_system_table, object_name, shown};
pub use write::{Form, failure_detail, list, template};
