//! Type names of columns.
//!
//! Owns what `Type` messages said and how a type OID becomes a name, a JDBC code and a text form. The server sends a `Type`
//! message for every type outside the built-in range; for a domain it carries the domain's OID and the base type's name
//! (`logicalrep_write_typ` in `proto.c`). Must not know tables.

use millrace_batch::{TextForm, TypeInfo, jdbc_code_of_array, jdbc_code_of_unknown, type_by_oid};
use std::{borrow::Cow, collections::HashMap};

/// What a column says of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnType {
    pub(super) name: Cow<'static, str>,
    pub(super) jdbc: i32,
    pub(super) text: TextForm,
}

/// Types outside the built-in range, by OID.
#[derive(Debug, Default)]
pub(super) struct Types(HashMap<u32, ColumnType>);

impl Types {
    /// Takes a `Type` message.
    pub(super) fn describe(&mut self, oid: u32, namespace: &str, name: &str) {
        let described = if namespace.is_empty() { builtin(name) } else { unknown(format!("{namespace}.{name}")) };
        self.0.insert(oid, described);
    }

    /// The type with this OID; `oid:N` where neither the table of built-in types nor the stream has a name for it.
    pub(super) fn get(&self, oid: u32) -> ColumnType {
        match (self.0.get(&oid), type_by_oid(oid)) {
            (Some(described), _) => described.clone(),
            (None, Some(info)) => known(info),
            (None, None) => unknown(format!("oid:{oid}")),
        }
    }
}

fn known(info: &'static TypeInfo) -> ColumnType {
    ColumnType { name: Cow::Borrowed(info.name), jdbc: info.jdbc, text: info.text }
}

fn unknown(name: String) -> ColumnType {
    ColumnType { name: Cow::Owned(name), jdbc: jdbc_code_of_unknown(), text: TextForm::Verbatim }
}

/// A type of `pg_catalog` by `typname`; every array type there is named `_` and its element.
fn builtin(typname: &str) -> ColumnType {
    if let Some(element) = typname.strip_prefix('_') {
        let name = Cow::Owned(format!("{}[]", builtin(element).name));
        return ColumnType { name, jdbc: jdbc_code_of_array(), text: TextForm::Verbatim };
    }
    let oid = TYPNAMES.iter().find(|(name, _)| *name == typname).map(|(_, oid)| *oid);
    oid.and_then(type_by_oid).map_or_else(|| unknown(typname.to_owned()), known)
}

/// `typname` and OID (`pg_type.dat` of PostgreSQL 15) where the name differs from what `format_type` prints, or where code or
/// text form is not the one of unknown types.
const TYPNAMES: &[(&str, u32)] = &[
    ("bool", 16),
    ("bytea", 17),
    ("char", 18),
    ("name", 19),
    ("int8", 20),
    ("int2", 21),
    ("int4", 23),
    ("text", 25),
    ("oid", 26),
    ("json", 114),
    ("xml", 142),
    ("float4", 700),
    ("float8", 701),
    ("money", 790),
    ("bpchar", 1042),
    ("varchar", 1043),
    ("date", 1082),
    ("time", 1083),
    ("timestamp", 1114),
    ("timestamptz", 1184),
    ("interval", 1186),
    ("timetz", 1266),
    ("bit", 1560),
    ("varbit", 1562),
    ("numeric", 1700),
    ("refcursor", 1790),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_codes_and_forms() {
        let mut types = Types::default();
        types.describe(16500, "", "bool");
        types.describe(16501, "app", "mood");
        types.describe(16502, "", "_int4");
        types.describe(16503, "", "tsvector");
        let of = |oid| {
            let found = types.get(oid);
            (found.name.into_owned(), found.jdbc, found.text)
        };
        assert_eq!(of(17), ("bytea".to_owned(), -2, TextForm::Bytea));
        assert_eq!(of(16500), ("boolean".to_owned(), 16, TextForm::Boolean));
        assert_eq!(of(16501), ("app.mood".to_owned(), 1111, TextForm::Verbatim));
        assert_eq!(of(16502), ("integer[]".to_owned(), 2003, TextForm::Verbatim));
        assert_eq!(of(16503), ("tsvector".to_owned(), 1111, TextForm::Verbatim));
        assert_eq!(of(2205), ("oid:2205".to_owned(), 1111, TextForm::Verbatim));
    }

    #[test]
    fn every_listed_name_is_in_the_table() {
        assert!(TYPNAMES.iter().all(|(_, oid)| type_by_oid(*oid).is_some()));
    }
}
