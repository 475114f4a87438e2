//! `[objects]`: which tables a task reads, by patterns or by a file that lists them.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use millrace_objects::{FILE_LIMIT, Import, ImportError, Mapping};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Modules, Pattern, Problems, SourceKind};

/// Most refused rows of a list that a task file's problems name one by one.
const ROWS_TOLD: usize = 20;

/// `[objects]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objects {
    /// File that lists the tables, in place of include and exclude: .xlsx, .xls or .csv, begun with millrace objects template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<PathBuf>,
    /// Tables to read, as schema.table with * for any characters.
    #[serde(default = "everything")]
    pub include: Vec<Pattern>,
    /// Tables to leave out of these.
    #[serde(default)]
    pub exclude: Vec<Pattern>,
    /// What the file says, once it is read; `include` then names its tables.
    #[serde(skip)]
    #[schemars(skip)]
    pub imported: Option<Arc<Import>>,
}

fn everything() -> Vec<Pattern> {
    vec![super::derive::parsed("*.*")]
}

impl Default for Objects {
    fn default() -> Objects {
        Objects { import: None, include: everything(), exclude: Vec::new(), imported: None }
    }
}

impl Objects {
    /// Whether a table is selected.
    pub fn selects(&self, schema: &str, table: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.covers(schema, table));
        any(&self.include) && !any(&self.exclude)
    }

    /// Whether two selections read the same tables under the same names.
    pub fn same(&self, other: &Objects) -> bool {
        (&self.include, &self.exclude, &self.imported) == (&other.include, &other.exclude, &other.imported)
    }

    /// The selection of a list.
    pub fn of(import: Import, path: PathBuf) -> Objects {
        let include = import.rows.iter().filter_map(|row| Pattern::of(&row.schema, &row.table)).collect();
        Objects { import: Some(path), include, exclude: Vec::new(), imported: Some(Arc::new(import)) }
    }

    /// What the file maps tables to, where it maps any.
    pub fn mapped(&self) -> Option<Mapping> {
        let import = self.imported.as_ref()?;
        import.rows.iter().any(|row| row.target.is_some()).then_some(import.mapping)
    }

    pub(super) fn check(&self, kind: SourceKind, problems: &mut Problems) {
        if self.import.is_some() {
            let own = self.include.len() == 1 && self.include[0].to_string() == "*.*";
            if !own || !self.exclude.is_empty() {
                let path = if own { "objects.exclude" } else { "objects.include" };
                problems.refuse(
                    &[path, "objects.import"],
                    "has no effect beside objects.import: the file is the whole selection; keep one of the two",
                );
            }
            return;
        }
        if self.include.is_empty() {
            problems.refuse(&["objects.include"], "must have at least one pattern; leave the key out for all tables");
        }
        for (number, pattern) in self.include.iter().enumerate() {
            if pattern.exact().is_some_and(|(schema, table)| is_system(kind, schema, table)) {
                problems.add(
                    format!("objects.include[{number}]"),
                    "names a table of the server itself, which is never selected",
                    Some(format!("{:?}", pattern.to_string())),
                );
            }
        }
    }

    /// Reads the file and takes its tables. Paths are taken from `folder`.
    pub(super) fn read(&mut self, kind: SourceKind, modules: &Modules, folder: &Path, problems: &mut Problems) {
        let Some(path) = &self.import else { return };
        let (at, path) = ("objects.import", folder.join(path));
        if problems.touch("objects") {
            return;
        }
        let import = match list(&path) {
            Ok(import) => import,
            Err(ImportError::Rows(faults)) => {
                for fault in faults.iter().take(ROWS_TOLD) {
                    let cells = format!("{:?}, {:?}", fault.object, fault.target);
                    problems.add(format!("{at} line {}", fault.line), fault.rule.clone(), Some(cells));
                }
                if let Some(more) = faults.len().checked_sub(ROWS_TOLD).filter(|more| *more > 0) {
                    let rule = format!("{more} more rows are refused; millrace objects check --detail FILE writes all");
                    problems.add(at, rule, None);
                }
                return;
            }
            Err(error) => {
                return problems.add(at, error.to_string(), Some(format!("{:?}", path.display().to_string())));
            }
        };
        for row in &import.rows {
            if is_system(kind, &row.schema, &row.table) {
                let shown = format!("{:?}", format!("{}.{}", row.schema, row.table));
                let rule = "names a table of the server itself, which is never selected";
                problems.add(format!("{at} line {}", row.line), rule, Some(shown));
            }
        }
        let objects = Objects::of(import, path);
        if objects.mapped() == Some(Mapping::Topic) && modules.route.is_some() {
            let rule = "maps tables to topics, which a router of your own decides: take its second column or modules.route out";
            problems.refuse(&[at, "modules.route"], rule);
        }
        *self = objects;
    }
}

/// Whether a table belongs to the server. The packages' schemas are GaussDB's and openGauss's alone: elsewhere their names are free.
pub(crate) fn is_system(kind: SourceKind, schema: &str, table: &str) -> bool {
    match kind {
        SourceKind::Gaussdb => millrace_objects::is_system_table(schema, table),
        SourceKind::Postgresql => {
            ["pg_catalog", "information_schema"].contains(&schema)
                || schema.starts_with("pg_t") && millrace_objects::is_system_schema(schema)
        }
    }
}

/// Reads a list of tables, at most [`FILE_LIMIT`] bytes of it.
///
/// # Errors
/// Whatever is wrong with the file.
pub fn list(path: &Path) -> Result<Import, ImportError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(FILE_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error: std::io::Error| ImportError::Unreadable(error.to_string()))?;
    millrace_objects::read(&name, &bytes)
}
