//! Images straight from a message into a batch.
//!
//! Owns canonical cell text and what a replica identity lets an image hold. Reads the message once and allocates nothing: this
//! is the hot path. Must not know ids or transactions.

use super::{DecodeError, ErrorKind, cursor::Cursor, message::TupleColumn, tables::Table};
use millrace_batch::{Batch, ReplicaIdentity, TextForm, marks};

/// Appends the new image, or an old image under identity FULL.
#[inline]
pub(super) fn push_full(
    cursor: &mut Cursor<'_>,
    table: &Table,
    unchanged_allowed: bool,
    batch: &mut Batch,
) -> Result<u16, DecodeError> {
    let count = column_count(cursor, table)?;
    for (index, rule) in table.rules.iter().enumerate() {
        match TupleColumn::read(cursor)? {
            TupleColumn::Text(text) => push_text(cursor, table, index, rule.form, text, batch)?,
            TupleColumn::Null => batch.push_null(),
            TupleColumn::Unchanged if unchanged_allowed => batch.push_unsent(),
            TupleColumn::Unchanged => {
                return Err(bad_image(cursor, table, "an unchanged TOAST value in an insert came"));
            }
        }
    }
    Ok(count)
}

/// Appends an old image; gives its cells and marks.
pub(super) fn push_old(
    cursor: &mut Cursor<'_>,
    table: &Table,
    full: bool,
    batch: &mut Batch,
) -> Result<(u16, u8), DecodeError> {
    if full {
        return Ok((push_full(cursor, table, true, batch)?, marks::OLD));
    }
    Ok((push_key(cursor, table, batch)?, marks::OLD | marks::OLD_KEY_ONLY))
}

/// Appends a key-only old image: the wire fills columns outside the identity with NULL, which here means "not sent".
fn push_key(cursor: &mut Cursor<'_>, table: &Table, batch: &mut Batch) -> Result<u16, DecodeError> {
    let count = column_count(cursor, table)?;
    for (index, rule) in table.rules.iter().enumerate() {
        match TupleColumn::read(cursor)? {
            TupleColumn::Text(text) if rule.identity => push_text(cursor, table, index, rule.form, text, batch)?,
            TupleColumn::Text(_) => {
                return Err(bad_image(cursor, table, "a value outside the key of a key-only image came"));
            }
            TupleColumn::Null if rule.identity => batch.push_null(),
            TupleColumn::Null | TupleColumn::Unchanged => batch.push_unsent(),
        }
    }
    Ok(count)
}

/// Steps over an image without looking into it.
pub(super) fn skip(cursor: &mut Cursor<'_>, table: &Table) -> Result<(), DecodeError> {
    for _ in 0..column_count(cursor, table)? {
        TupleColumn::read(cursor)?;
    }
    Ok(())
}

/// Whether the old image that starts here is the whole row.
pub(super) fn old_is_full(cursor: &mut Cursor<'_>, table: &Table) -> Result<bool, DecodeError> {
    let full = match cursor.u8("the tuple's kind")? {
        b'K' => false,
        b'O' => true,
        other => return Err(cursor.bad_byte("the tuple's kind", other)),
    };
    if full != (table.relation.identity == ReplicaIdentity::Full) || !table.has_identity {
        return Err(bad_image(cursor, table, if full { "a full old image came" } else { "a key-only old image came" }));
    }
    Ok(full)
}

#[inline]
fn column_count(cursor: &mut Cursor<'_>, table: &Table) -> Result<u16, DecodeError> {
    let count = cursor.count16("the number of columns")?;
    if usize::from(count) == table.rules.len() { Ok(count) } else { Err(wrong_count(cursor, table, count)) }
}

#[inline]
fn push_text(
    cursor: &Cursor<'_>,
    table: &Table,
    index: usize,
    form: TextForm,
    text: &[u8],
    batch: &mut Batch,
) -> Result<(), DecodeError> {
    let text = match form {
        TextForm::Verbatim => text,
        TextForm::Boolean => match text {
            b"t" => &b"true"[..],
            b"f" => b"false",
            _ => return Err(bad_value(cursor, table, index, "t or f")),
        },
        TextForm::Bytea => match text.strip_prefix(b"\\x") {
            Some(hex) if is_hex(hex) => hex,
            _ => return Err(bad_value(cursor, table, index, "\\x and lower-case hex")),
        },
    };
    if batch.push_text(text) { Ok(()) } else { Err(no_room(cursor, batch)) }
}

/// Without short circuit, so that it is vectorised: values are large and nearly always right.
fn is_hex(text: &[u8]) -> bool {
    text.len().is_multiple_of(2)
        && text.iter().fold(true, |ok, byte| ok & (byte.is_ascii_digit() | (b'a'..=b'f').contains(byte)))
}

#[cold]
fn wrong_count(cursor: &Cursor<'_>, table: &Table, count: u16) -> DecodeError {
    let (table, expected) = (table.name(), table.rules.len());
    DecodeError::new(ErrorKind::ColumnCount { table, expected, got: usize::from(count) }, cursor.offset() - 2)
}

#[cold]
fn bad_image(cursor: &Cursor<'_>, table: &Table, what: &'static str) -> DecodeError {
    cursor.error(ErrorKind::BadImage { table: table.name(), what })
}

#[cold]
fn bad_value(cursor: &Cursor<'_>, table: &Table, index: usize, expected: &'static str) -> DecodeError {
    let column = &table.relation.columns[index];
    let type_name = column.type_name.clone();
    let column = format!("{}.{}", table.name(), column.name);
    cursor.error(ErrorKind::BadValue { column, type_name, expected })
}

#[cold]
fn no_room(cursor: &Cursor<'_>, batch: &Batch) -> DecodeError {
    cursor.error(if batch.is_empty() { ErrorKind::RowTooLarge } else { ErrorKind::BatchFull })
}

#[cfg(test)]
mod tests {
    use super::is_hex;

    #[test]
    fn hex_is_lower_case_and_even() {
        assert!(is_hex(b"") && is_hex(b"00ff"));
        assert!(!is_hex(b"0") && !is_hex(b"0G") && !is_hex(b"FF"));
    }
}
