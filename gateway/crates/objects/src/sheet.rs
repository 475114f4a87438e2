//! Lines of two cells out of .xlsx and .csv, with bounds before anything is unpacked.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
};

use calamine::{Data, Reader};

use crate::ImportError;

/// What a workbook may unpack to, bytes.
const UNPACKED_LIMIT: u64 = 128 << 20;

/// Number of the line, from 1, and its first two cells.
pub(crate) type Line = (u32, String, String);

/// Reads a comma separated file, UTF-8 with or without a byte order mark.
pub(crate) fn comma_separated(bytes: &[u8]) -> Result<Vec<Line>, ImportError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let unreadable = |error: csv::Error| ImportError::Unreadable(error.to_string());
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |index| record.get(index).unwrap_or_default().to_owned();
        lines.push((u32::try_from(line).unwrap_or(u32::MAX), cell(0), cell(1)));
    }
    Ok(lines)
}

/// Reads the first sheet of an .xlsx workbook.
pub(crate) fn xlsx(bytes: &[u8]) -> Result<Vec<Line>, ImportError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
    let mut left = UNPACKED_LIMIT;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(unreadable)?;
        // What the head of an entry says may be a lie: it is unpacked and counted.
        left -= std::io::copy(&mut entry.take(left), &mut std::io::sink()).map_err(unreadable)?;
        if left == 0 {
            return Err(ImportError::TooLarge(format!("unpacks to more than {UNPACKED_LIMIT} bytes")));
        }
    }
    let mut book = calamine::Xlsx::new(Cursor::new(bytes)).map_err(unreadable)?;
    let sheet = book.sheet_names().first().cloned().ok_or_else(|| unreadable("it has no sheet"))?;
    // Cell by cell: a table of the whole sheet would take whatever the outermost cell asks for.
    let mut cells = book.worksheet_cells_reader(&sheet).map_err(unreadable)?;
    let mut lines: BTreeMap<u32, (String, String)> = BTreeMap::new();
    while let Some(cell) = cells.next_cell().map_err(unreadable)? {
        let (row, column) = cell.get_position();
        let line = match column {
            0 => &mut lines.entry(row).or_default().0,
            1 => &mut lines.entry(row).or_default().1,
            _ => continue,
        };
        *line = text(&Data::from(cell.get_value().clone()));
    }
    Ok(lines.into_iter().map(|(row, (first, second))| (row.saturating_add(1), first, second)).collect())
}

fn text(data: &Data) -> String {
    match data {
        Data::Empty => String::new(),
        other => other.to_string(),
    }
}

fn unreadable(error: impl std::fmt::Display) -> ImportError {
    ImportError::Unreadable(error.to_string())
}
