//! A row as a record has it.
//!
//! Owns the scratch space rows are read into: bytes back to back and spans over them, kept from row to row so that reading
//! allocates nothing once warm. Must not know layouts or tables.

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
        Row { op: Op::Insert, bytes: Vec::new(), schema: Span::default(), table: Span::default(), new, old }
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

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.new.clear();
        self.old.clear();
        (self.schema, self.table) = (Span::default(), Span::default());
    }

    /// Appends bytes.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span { start, end: self.bytes.len() }
    }
}
