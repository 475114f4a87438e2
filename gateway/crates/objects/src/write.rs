//! Templates, lists and failure details, as workbooks or comma separated.

use rust_xlsxwriter::{Format, Workbook, XlsxError};

use crate::{Fault, Import, ImportError, Mapping};

/// Form of a written file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Excel 2007 and later.
    Xlsx,
    /// Comma separated, UTF-8.
    Csv,
}

/// An empty list to fill in, with one row that shows how.
pub fn template(mapping: Mapping, form: Form) -> Result<Vec<u8>, ImportError> {
    let example = match mapping {
        Mapping::Table => ["public.orders", "shop.orders"],
        Mapping::Topic => ["public.orders", "orders"],
    };
    write(form, &["object", mapping.as_str()], [example.map(str::to_owned).to_vec()])
}

/// A selection as a file that can be imported again.
pub fn list(import: &Import, form: Form) -> Result<Vec<u8>, ImportError> {
    let rows = import
        .rows
        .iter()
        .map(|row| vec![format!("{}.{}", row.schema, row.table), row.target.clone().unwrap_or_default()]);
    write(form, &["object", import.mapping.as_str()], rows)
}

/// The refused rows with their lines and rules.
pub fn failure_detail(faults: &[Fault], form: Form) -> Result<Vec<u8>, ImportError> {
    let rows = faults
        .iter()
        .map(|fault| vec![fault.line.to_string(), fault.object.clone(), fault.target.clone(), fault.rule.clone()]);
    write(form, &["line", "object", "target", "rule"], rows)
}

fn write(form: Form, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, ImportError> {
    match form {
        Form::Csv => {
            let failed = |error: csv::Error| ImportError::Unreadable(error.to_string());
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(head).map_err(failed)?;
            for row in rows {
                writer.write_record(&row).map_err(failed)?;
            }
            writer.into_inner().map_err(|error| ImportError::Unreadable(error.to_string()))
        }
        Form::Xlsx => workbook(head, rows).map_err(|error| ImportError::Unreadable(error.to_string())),
    }
}

fn workbook(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    sheet.set_name("objects")?;
    let bold = Format::new().set_bold();
    for (column, title) in (0u16..).zip(head) {
        sheet.write_string_with_format(0, column, *title, &bold)?;
        sheet.set_column_width(column, 40)?;
    }
    for (line, row) in (1u32..).zip(rows) {
        for (column, cell) in (0u16..).zip(row) {
            if !cell.is_empty() {
                sheet.write_string(line, column, cell)?;
            }
        }
    }
    book.save_to_buffer()
}
