//! Answers to queries: columns, rows as text, and their binary form.

use crate::wire::Field;

/// OIDs of result types.
pub(super) mod oid {
    pub const BOOL: u32 = 16;
    pub const CHAR: u32 = 18;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const INT2_VECTOR: u32 = 22;
    pub const NUMERIC: u32 = 1700;
}

/// A row as text.
pub(super) type Row = Vec<Option<String>>;

/// What a statement gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Columns; none for a statement without a result.
    pub(super) fields: Vec<Field>,
    pub(super) rows: Vec<Row>,
    /// Command tag.
    pub(super) tag: String,
}

impl Answer {
    /// Rows of a SELECT. Fields are `name:type` pairs.
    pub(super) fn rows(fields: &[(&str, u32)], rows: Vec<Row>) -> Answer {
        let fields = fields.iter().map(|(name, oid)| Field { name: (*name).to_owned(), oid: *oid }).collect();
        let tag = format!("SELECT {}", rows.len());
        Answer { fields, rows, tag }
    }

    /// One row of one value.
    pub(super) fn value(name: &str, oid: u32, value: impl Into<String>) -> Answer {
        Answer::rows(&[(name, oid)], vec![vec![Some(value.into())]])
    }

    /// A statement without rows.
    pub(super) fn done(tag: &str) -> Answer {
        Answer { tag: tag.to_owned(), ..Answer::default() }
    }
}

/// `t` or `f`.
pub(super) fn flag(is: bool) -> Option<String> {
    Some(if is { "t" } else { "f" }.to_owned())
}

/// Text.
pub(super) fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

/// The binary form of a value, `None` where the type has no simple one; such results are described as text.
pub(super) fn binary(oid: u32, text: &str) -> Option<Vec<u8>> {
    Some(match oid {
        oid::BOOL => vec![u8::from(text == "t")],
        oid::INT2 => text.parse::<i16>().ok()?.to_be_bytes().to_vec(),
        oid::INT4 => text.parse::<i32>().ok()?.to_be_bytes().to_vec(),
        oid::OID => text.parse::<u32>().ok()?.to_be_bytes().to_vec(),
        oid::INT8 => text.parse::<i64>().ok()?.to_be_bytes().to_vec(),
        oid::CHAR | oid::NAME | oid::TEXT | 1043 => text.as_bytes().to_vec(),
        _ => return None,
    })
}

/// A parameter as text.
pub(super) fn parameter(oid: u32, binary: bool, bytes: &[u8]) -> Option<String> {
    if !binary || matches!(oid, 0 | oid::NAME | oid::TEXT | 1043 | 705) {
        return String::from_utf8(bytes.to_vec()).ok();
    }
    Some(match oid {
        oid::BOOL => if bytes == [1] { "t" } else { "f" }.to_owned(),
        oid::INT2 => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        oid::INT4 => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        oid::OID => u32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        oid::INT8 => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        _ => return None,
    })
}
