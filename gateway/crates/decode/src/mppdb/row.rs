//! A row as a record has it.
//!
//! Owns the scratch space rows are read into: a copy of the record, behind it what had to be unescaped, and spans over both; kept
//! from row to row so that reading allocates nothing once warm. Must not know layouts or tables.

use super::{RecordError, scan::Scan};
use millrace_batch::Op;

/// A range of a row's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// One column of an image, as spans.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ColumnSpans {
    pub(super) name: Span,
    pub(super) type_name: Span,
    pub(super) type_oid: u32,
    pub(super) value: Option<Span>,
}

/// Scratch space for one row record.
#[derive(Clone, Debug)]
pub struct Row {
    pub(super) op: Op,
    pub(super) bytes: Vec<u8>,
    pub(super) schema: Span,
    pub(super) table: Span,
    pub(super) new: Vec<ColumnSpans>,
    pub(super) old: Vec<ColumnSpans>,
    pub(super) header: Header,
    pub(super) pieces: Pieces,
    /// Whether operation, table and new columns are those of the row read before this one.
    pub(super) repeats: bool,
}

/// What the last row of style b said between its values, piece by piece: a column's name and type stand in front of each value. It
/// says the same for row after row, so that comparing it saves reading it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Ends of the pieces in `bytes`.
    ends: Vec<usize>,
    /// Columns, new ones first; their names as places behind the start of their piece.
    columns: Vec<ColumnSpans>,
    /// Number of new ones.
    new: usize,
    op: Option<Op>,
    schema: Span,
    table: Span,
    /// Of the row being read: where each piece ends and each value ends.
    places: Vec<Span>,
}

/// What a row's JSON says before its values. It says the same for row after row, so that comparing it saves reading it.
#[derive(Clone, Debug)]
pub(super) struct Header {
    bytes: Vec<u8>,
    op: Op,
    schema: Span,
    table: Span,
    columns: Vec<ColumnSpans>,
}

/// One column of an image. Names are unquoted; nobody has checked that anything is UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowColumn<'a> {
    /// Name.
    pub name: &'a [u8],
    /// Type as the record names it; empty in style b.
    pub type_name: &'a [u8],
    /// Type's OID; 0 outside style b.
    pub type_oid: u32,
    /// Text of the value without the quotes of a literal; none for NULL.
    pub value: Option<&'a [u8]>,
}

impl Default for Row {
    fn default() -> Row {
        let (new, old) = (Vec::new(), Vec::new());
        let (schema, table) = (Span::default(), Span::default());
        let header = Header { bytes: Vec::new(), op: Op::Insert, schema, table, columns: Vec::new() };
        let pieces = Pieces::default();
        Row { op: Op::Insert, bytes: Vec::new(), schema, table, new, old, header, pieces, repeats: false }
    }
}

impl Row {
    /// What the row did: insert, update or delete.
    pub fn op(&self) -> Op {
        self.op
    }

    /// Schema, unquoted.
    pub fn schema(&self) -> &[u8] {
        self.get(self.schema)
    }

    /// Table, unquoted.
    pub fn table(&self) -> &[u8] {
        self.get(self.table)
    }

    /// The new image; empty where there is none.
    pub fn new_image(&self) -> impl ExactSizeIterator<Item = RowColumn<'_>> {
        self.new.iter().map(|column| self.column(column))
    }

    /// The old image, whole or of the identity's columns only; empty where there is none.
    pub fn old_image(&self) -> impl ExactSizeIterator<Item = RowColumn<'_>> {
        self.old.iter().map(|column| self.column(column))
    }

    fn column(&self, spans: &ColumnSpans) -> RowColumn<'_> {
        RowColumn {
            name: self.get(spans.name),
            type_name: self.get(spans.type_name),
            type_oid: spans.type_oid,
            value: spans.value.map(|value| self.get(value)),
        }
    }

    #[inline]
    pub(super) fn get(&self, span: Span) -> &[u8] {
        &self.bytes[span.start..span.end]
    }

    /// Empties the row and copies the record, so that places in the record are places in the row's bytes.
    pub(super) fn start(&mut self, record: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(record);
        self.new.clear();
        self.old.clear();
        (self.schema, self.table) = (Span::default(), Span::default());
        self.repeats = false;
    }

    /// Takes over the last row's header where this record starts with the same; gives its length.
    #[inline]
    pub(super) fn same_header(&mut self, record: &[u8]) -> Option<usize> {
        let Header { bytes, op, schema, table, columns } = &self.header;
        if bytes.is_empty() || !record.starts_with(bytes) {
            return None;
        }
        (self.op, self.schema, self.table) = (*op, *schema, *table);
        self.new.clear();
        self.new.extend_from_slice(columns);
        self.repeats = true;
        Some(bytes.len())
    }

    /// Reads a record that has the pieces of the last row and other values; `value` reads one. False, and nothing read, where the
    /// record is another one.
    #[inline]
    pub(super) fn same_pieces<'a>(
        &mut self,
        scan: &mut Scan<'a>,
        value: impl Fn(&mut Scan<'a>) -> Result<Option<Span>, RecordError>,
    ) -> Result<bool, RecordError> {
        let Row { pieces, new, old, .. } = self;
        let Some(op) = pieces.op else { return Ok(false) };
        let start = scan.clone();
        let mut from = 0;
        for (n, (end, column)) in pieces.ends.iter().zip(&pieces.columns).enumerate() {
            let at = scan.at();
            if !scan.eat_bytes(&pieces.bytes[from..*end]) {
                break;
            }
            from = *end;
            let name = Span { start: at + column.name.start, end: at + column.name.end };
            let column = ColumnSpans { name, value: value(scan)?, ..*column };
            if n < pieces.new { new.push(column) } else { old.push(column) }
        }
        if new.len() + old.len() < pieces.columns.len() || !scan.rest().is_empty() {
            *scan = start;
            new.clear();
            old.clear();
            return Ok(false);
        }
        (self.op, self.schema, self.table) = (op, pieces.schema, pieces.table);
        self.repeats = true;
        Ok(true)
    }

    /// Notes where a value's piece and the value end.
    #[inline]
    pub(super) fn note_piece(&mut self, piece: usize, value: usize) {
        self.pieces.places.push(Span { start: piece, end: value });
    }

    /// Begins to read a row that is another one than the last.
    #[inline]
    pub(super) fn forget_pieces(&mut self) {
        self.pieces.op = None;
        self.pieces.places.clear();
    }

    /// Keeps the pieces of a row that was read. One with a name that had to be unquoted is not kept: it stands behind the record.
    pub(super) fn keep_pieces(&mut self, record: usize) {
        let Row { pieces, bytes, new, old, op, schema, table, .. } = self;
        if bytes.len() != record || pieces.places.len() != new.len() + old.len() {
            return;
        }
        pieces.bytes.clear();
        pieces.ends.clear();
        pieces.columns.clear();
        let mut from = 0;
        for (place, column) in pieces.places.iter().zip(new.iter().chain(&*old)) {
            pieces.bytes.extend_from_slice(&bytes[from..place.start]);
            pieces.ends.push(pieces.bytes.len());
            let name = Span { start: column.name.start - from, end: column.name.end - from };
            pieces.columns.push(ColumnSpans { name, value: None, ..*column });
            from = place.end;
        }
        (pieces.op, pieces.new, pieces.schema, pieces.table) = (Some(*op), new.len(), *schema, *table);
    }

    /// Keeps the header, which ends at this place of the record. One with escapes is not kept: its names stand behind the
    /// record, whose length changes.
    pub(super) fn keep_header(&mut self, end: usize, record: usize) {
        self.header.bytes.clear();
        if self.bytes.len() == record {
            self.header.bytes.extend_from_slice(&self.bytes[..end]);
            self.header.columns.clone_from(&self.new);
            (self.header.op, self.header.schema, self.header.table) = (self.op, self.schema, self.table);
        }
    }
}
