//! `millrace objects`: choosing tables from a live source, lists of them as files, and changing the selection of a task that runs.
//!
//! Owns paging, search and the forms of the answers. The rules of lists are `millrace-objects`', those of the source `check`'s.

use std::path::{Path, PathBuf};

use axum::{body::Bytes, http::Method};
use clap::{Args, Subcommand, ValueEnum};
use millrace_batch::Failure;
use millrace_objects::{Fault, Form, Import, ImportError, Mapping, Row};
use serde_json::{Value, json};

use super::{Exit, Json, TaskFile, answer, block_on, live, quiet, secrets};
use crate::{
    check::{self, Listed},
    config::{self, Objects, Task},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Writes an empty list to fill in
    Template(Template),
    /// Lists the tables of the source, with what is selected and what cannot be
    List(Paged),
    /// Lists the tables whose name holds a text
    Search(Search),
    /// Compares the selection with the source: tables that are missing or cannot be read
    Check(Check),
    /// Writes the tables that are selected now as a list
    Export(Export),
    /// Has the gateway that runs the task take another selection, at a durable position and without a restart
    Set(Set),
}

/// What the second column of a list means.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Column {
    /// The name that messages give the table
    Table,
    /// The topic its changes go to
    Topic,
}

#[derive(Debug, Args)]
pub(super) struct Template {
    /// File to write: .xlsx or .csv
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What the second column means
    #[arg(long, value_enum, default_value = "table")]
    mapping: Column,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
pub(super) struct Paged {
    #[command(flatten)]
    task: TaskFile,
    /// Only this schema
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// Page, from 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    page: u32,
    /// Tables on a page
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    page_size: u32,
}

#[derive(Debug, Args)]
pub(super) struct Search {
    #[command(flatten)]
    paged: Paged,
    /// Part of the table's name, in any case
    text: String,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    task: TaskFile,
    /// A list in place of what the task file selects
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Writes what is refused, with lines and rules, to this file: .xlsx or .csv
    #[arg(long, value_name = "FILE")]
    detail: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    task: TaskFile,
    /// File to write: .xlsx or .csv
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    task: TaskFile,
    /// A whole new list, which replaces that of objects.import; without it, what the task file selects now is taken
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Address of the gateway's HTTP endpoints; MILLRACE_ADMIN_TOKEN holds the token where it wants one  [default: what
    /// admin.status_file or admin.listen says]
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
}

pub(super) fn run(command: &Command) -> Exit {
    quiet();
    let (json, done) = match command {
        Command::Template(template) => (template.json.json, write_template(template)),
        Command::List(paged) => (paged.task.json.json, list(paged, None)),
        Command::Search(search) => (search.paged.task.json.json, list(&search.paged, Some(&search.text))),
        Command::Check(check) => (check.task.json.json, compare(check)),
        Command::Export(export) => (export.task.json.json, write_selected(export)),
        Command::Set(set) => (set.task.json.json, change(set)),
    };
    match done {
        Ok(exit) => exit,
        Err(Refused::File(problems)) => answer::problems(&problems, json),
        Err(Refused::Failed(failure)) => answer::failure(&failure, json),
        Err(Refused::Exit(exit)) => exit,
    }
}

/// Why a command comes to nothing.
enum Refused {
    File(config::Problems),
    Failed(Failure),
    Exit(Exit),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused::Failed(failure)
    }
}

fn loaded(file: &TaskFile) -> Result<Task, Refused> {
    secrets::load(&file.file).map_err(Refused::File)
}

fn catalogue(task: &Task) -> Result<Vec<Listed>, Refused> {
    Ok(block_on(check::catalogue(task)).map_err(Refused::Exit)??)
}

/// The form that a file's ending says.
fn form(path: &Path) -> Result<Form, Failure> {
    match path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("xlsx") => Ok(Form::Xlsx),
        Some("csv") => Ok(Form::Csv),
        _ => Err(unwritable(path, "its name must end in .xlsx or .csv".to_owned())),
    }
}

fn unwritable(path: &Path, why: String) -> Failure {
    Failure::definite("output_unwritable", format!("writing {}", path.display()), why, "name another file with -o")
}

fn write(path: &Path, content: impl FnOnce(Form) -> Result<Vec<u8>, ImportError>) -> Result<(), Failure> {
    let bytes = content(form(path)?).map_err(|error| error.failure(&path.display().to_string()))?;
    std::fs::write(path, bytes).map_err(|error| unwritable(path, error.to_string()))
}

fn write_template(template: &Template) -> Result<Exit, Refused> {
    let mapping = match template.mapping {
        Column::Table => Mapping::Table,
        Column::Topic => Mapping::Topic,
    };
    write(&template.output, |form| millrace_objects::template(mapping, form))?;
    said(
        template.json.json,
        json!({ "written": template.output, "mapping": mapping.as_str() }),
        &format!("{} is there: one table a line, then objects.import in the task file", template.output.display()),
    );
    Ok(Exit::Done)
}

fn said(json: bool, value: Value, text: &str) {
    if json { answer::object(&value) } else { answer::text(text) }
}

fn list(paged: &Paged, text: Option<&str>) -> Result<Exit, Refused> {
    let task = loaded(&paged.task)?;
    let mut tables = catalogue(&task)?;
    let text = text.map(str::to_lowercase);
    tables.retain(|table| {
        paged.schema.as_ref().is_none_or(|schema| table.schema == *schema)
            && text.as_ref().is_none_or(|text| table.table.to_lowercase().contains(text))
    });
    let page = Page::of(&tables, paged.page, paged.page_size);
    if paged.task.json.json {
        let rows: Vec<Value> = page.rows.iter().map(|table| described(&task, table)).collect();
        answer::object(&json!({
            "database": task.source.database.as_str(), "total": tables.len(), "page": page.number,
            "page_size": paged.page_size, "pages": page.pages, "tables": rows,
        }));
        return Ok(Exit::Done);
    }
    for table in page.rows {
        let mark = if table.selected { "selected" } else { "" };
        let why =
            if table.refused.is_empty() { String::new() } else { format!("  cannot be: {}", table.refused.join("; ")) };
        answer::text(&format!("{mark:8}  {}{why}", table.shown()));
    }
    answer::text(&format!("page {} of {}, {} tables", page.number, page.pages, tables.len()));
    Ok(Exit::Done)
}

fn described(task: &Task, table: &Listed) -> Value {
    let rows = task.objects.imported.iter().flat_map(|import| &import.rows);
    let target =
        rows.filter(|row| row.schema == table.schema && row.table == table.table).find_map(|row| row.target.clone());
    json!({
        "schema": table.schema, "table": table.table, "shown": table.shown(), "selected": table.selected,
        "selectable": table.refused.is_empty(), "refused": table.refused, "mapped_to": target,
    })
}

/// One page of a list.
struct Page<'a, T> {
    rows: &'a [T],
    number: u32,
    pages: usize,
}

impl<T> Page<'_, T> {
    /// A page behind the last one is empty.
    fn of(rows: &[T], number: u32, size: u32) -> Page<'_, T> {
        let size = size as usize;
        let start = (number as usize - 1).saturating_mul(size).min(rows.len());
        let end = (start + size).min(rows.len());
        Page { rows: &rows[start..end], number, pages: rows.len().div_ceil(size).max(1) }
    }
}

fn compare(options: &Check) -> Result<Exit, Refused> {
    let refused = match &options.import {
        // A list that the task file names is refused with the whole file: here every row of it is wanted.
        None => named_list(&options.task.file).map(|path| config::list(&path).map(|import| (import, path))),
        Some(path) => Some(config::list(path).map(|import| (import, path.clone()))),
    };
    let (mut faults, mut task) = (Vec::new(), None);
    match refused {
        Some(Err(ImportError::Rows(rows))) => faults = rows,
        Some(Err(error)) => return Err(error.failure(&options.task.file.display().to_string()).into()),
        Some(Ok((import, path))) => {
            let mut named = loaded(&options.task)?;
            named.objects = Objects::of(import, path);
            task = Some(named);
        }
        None => task = Some(loaded(&options.task)?),
    }
    if let Some(task) = &task {
        let found = check::unfit(task, &catalogue(task)?).into_iter();
        faults.extend(found.map(|u| Fault { line: u.line, object: u.object, target: u.target, rule: u.rule }));
    }
    if let Some(detail) = &options.detail {
        write(detail, |form| millrace_objects::failure_detail(&faults, form))?;
    }
    if options.task.json.json {
        let rows: Vec<Value> = faults
            .iter()
            .map(|f| json!({ "line": f.line, "object": f.object, "target": f.target, "rule": f.rule }))
            .collect();
        answer::object(&json!({ "refused": rows, "detail": options.detail }));
    } else {
        for fault in &faults {
            let line = if fault.line == 0 { String::new() } else { format!("line {}: ", fault.line) };
            answer::text(&format!("{line}{}: {}", fault.object, fault.rule));
        }
        answer::text(&format!("{} refused", faults.len()));
    }
    Ok(if faults.is_empty() { Exit::Done } else { Exit::Definite })
}

/// The list that a task file names, whatever else is wrong with the file or the list.
fn named_list(file: &Path) -> Option<PathBuf> {
    let table: toml::Table = toml::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    let named = table.get("objects")?.get("import")?.as_str()?;
    Some(file.parent()?.join(named))
}

fn write_selected(options: &Export) -> Result<Exit, Refused> {
    let task = loaded(&options.task)?;
    let targets = |schema: &str, table: &str| {
        let mut rows = task.objects.imported.iter().flat_map(|import| &import.rows);
        rows.find(|row| row.schema == schema && row.table == table).and_then(|row| row.target.clone())
    };
    let selected = catalogue(&task)?.into_iter().filter(|table| table.selected && table.refused.is_empty());
    let rows: Vec<Row> = selected
        .zip(2..)
        .map(|(t, line)| Row { line, target: targets(&t.schema, &t.table), schema: t.schema, table: t.table })
        .collect();
    let mapping = task.objects.imported.as_ref().map_or(Mapping::Table, |import| import.mapping);
    let (count, import) = (rows.len(), Import { mapping, rows });
    write(&options.output, |form| millrace_objects::list(&import, form))?;
    let text = format!("{count} tables in {}", options.output.display());
    said(options.task.json.json, json!({ "written": options.output, "tables": count }), &text);
    Ok(Exit::Done)
}

fn change(options: &Set) -> Result<Exit, Refused> {
    let task = loaded(&options.task)?;
    let mut path = "/v1/objects".to_owned();
    let body = match &options.import {
        None => Bytes::new(),
        Some(file) => {
            // Judged here first: what is wrong with it can be told row by row.
            config::list(file).map_err(|error| error.failure(&file.display().to_string()))?;
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            path += &format!("?name={}", escaped(&name));
            let unreadable = |error: std::io::Error| {
                let tried = format!("reading {}", file.display());
                Failure::definite("input_unreadable", tried, error.to_string(), "correct the path, or the file")
            };
            std::fs::read(file).map_err(unreadable)?.into()
        }
    };
    let admin = options.admin.clone().unwrap_or_else(|| address(&task));
    let told = block_on(live::ask(&admin, Method::PUT, &path, &[], body)).map_err(Refused::Exit)??;
    let names = |key: &str| {
        let names: Vec<&str> = told[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let text = if told["changed"] == true {
        format!("added: {}; removed: {}; read from a durable position on", names("added"), names("removed"))
    } else {
        "the task reads these tables already".to_owned()
    };
    said(options.task.json.json, told, &text);
    Ok(Exit::Done)
}

/// Only what a file name may have beside letters and digits: a space and parentheses.
fn escaped(name: &str) -> String {
    let escape = |b: u8| {
        if b.is_ascii_alphanumeric() || b"-_.".contains(&b) { (b as char).to_string() } else { format!("%{b:02X}") }
    };
    name.bytes().map(escape).collect()
}

/// Where the gateway of a task listens.
fn address(task: &Task) -> String {
    let told = task.admin.status_file.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
    let told: Option<Value> = told.and_then(|text| serde_json::from_str(&text).ok());
    let told = told.and_then(|told| told["admin"].as_str().map(str::to_owned));
    told.unwrap_or_else(|| task.admin.listen.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_everything_once() {
        let rows: Vec<u32> = (0..7).collect();
        let page = |number, size| Page::of(&rows, number, size);
        assert_eq!((page(1, 3).rows, page(1, 3).pages), (&rows[..3], 3));
        assert_eq!((page(3, 3).rows, page(4, 3).rows.len()), (&rows[6..], 0));
        assert_eq!((page(1, 7).pages, page(1, 10_000).rows.len(), page(u32::MAX, 10_000).rows.len()), (1, 7, 0));
        assert_eq!(Page::<u32>::of(&[], 1, 5).pages, 1);
    }

    #[test]
    fn names_travel_in_a_query() {
        assert_eq!(escaped("my list (2).xlsx"), "my%20list%20%282%29.xlsx");
    }
}
