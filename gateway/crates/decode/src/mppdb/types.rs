//! Types of columns, by the record's word and the catalogue's.
//!
//! Owns what the catalogue can say of a table and when its word and the record's mean the same type. Must not know rows.

use millrace_batch::{
    Column, ReplicaIdentity, TypeInfo, jdbc_code_of_array, jdbc_code_of_unknown, type_by_name, type_by_oid,
};

/// `atttypmod` of a type whose declaration adds nothing to it.
const NO_MODIFIER: i32 = -1;

/// What the catalogue knows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueTable {
    /// OID; 0 where the table is gone (rows written before a DROP TABLE come later under its old name).
    pub oid: u32,
    /// Replica identity.
    pub identity: ReplicaIdentity,
    /// Columns in table order.
    pub columns: Vec<CatalogueColumn>,
    /// Columns of the primary key, in key order; empty without one.
    pub key_columns: Vec<String>,
}

impl CatalogueTable {
    /// The answer for a table that is gone: it has the key and identity of its last version, if this decoder has met one.
    pub fn gone() -> CatalogueTable {
        let (columns, key_columns) = (Vec::new(), Vec::new());
        CatalogueTable { oid: 0, identity: ReplicaIdentity::Nothing, columns, key_columns }
    }
}

/// A column in the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogueColumn {
    /// Name, unquoted.
    pub name: String,
    /// Type as `format_type(atttypid, NULL)` prints it.
    pub type_name: String,
    /// OID of the type, `atttypid`.
    pub type_oid: u32,
    /// What the declaration adds to the type, `atttypmod`; none for -1, which adds nothing.
    pub type_modifier: Option<i32>,
    /// Of a domain, the type under it (and under further domains) as `format_type` prints it: values are its values.
    pub base_type: Option<String>,
}

impl CatalogueColumn {
    /// The column of a relation that it is, without its place in the key.
    pub fn describe(&self) -> Column {
        let type_name = self.base_type.as_ref().unwrap_or(&self.type_name).clone();
        let column = column(self.name.clone(), type_name, self.type_oid);
        Column { type_modifier: self.type_modifier.unwrap_or(NO_MODIFIER), ..column }
    }

    /// Whether the record means this type: by OID, or by a name that may lack or have its schema and quotes. The server prints clob as
    /// text in the text styles.
    fn is(&self, said: &str, oid: u32) -> bool {
        match oid {
            0 => bare(&self.type_name) == bare(said) || (said == "text" && self.type_name == "clob"),
            oid => self.type_oid == oid,
        }
    }
}

/// A name without schema and quotes.
fn bare(name: &str) -> String {
    let mut quoted = false;
    let dot = name.char_indices().filter(|(_, letter)| {
        quoted ^= *letter == '"';
        *letter == '.' && !quoted
    });
    let start = dot.last().map_or(0, |(dot, _)| dot + 1);
    name[start..].replace('"', "")
}

/// A column of a row. The catalogue's type wins where it means what the record says; another type was changed since the row was
/// written, so the record is right.
pub(super) fn describe(name: String, said: String, oid: u32, answer: &CatalogueTable) -> Column {
    if let Some(known) = answer.columns.iter().find(|known| known.name == name && known.is(&said, oid)) {
        return known.describe();
    }
    match (oid, type_by_oid(oid)) {
        (0, _) => {
            let oid = type_by_name(&said).map_or(0, |info| info.oid);
            column(name, said, oid)
        }
        (_, Some(info)) => column(name, info.name.to_owned(), oid),
        (_, None) => column(name, format!("oid:{oid}"), oid),
    }
}

fn column(name: String, type_name: String, type_oid: u32) -> Column {
    let jdbc = |info: &TypeInfo| info.jdbc;
    let jdbc_type = match type_by_oid(type_oid).or_else(|| type_by_name(&type_name)).map(jdbc) {
        Some(code) => code,
        None if type_name.ends_with("[]") => jdbc_code_of_array(),
        None => jdbc_code_of_unknown(),
    };
    Column { name, type_name, type_oid, type_modifier: NO_MODIFIER, jdbc_type, key_position: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(type_name: &str, type_oid: u32, base_type: Option<&str>) -> CatalogueTable {
        let base_type = base_type.map(str::to_owned);
        let (name, type_name) = ("c".to_owned(), type_name.to_owned());
        let column = CatalogueColumn { name, type_name, type_oid, base_type, ..CatalogueColumn::default() };
        CatalogueTable { oid: 1, columns: vec![column], ..CatalogueTable::gone() }
    }

    fn described(said: &str, oid: u32, answer: &CatalogueTable) -> (String, u32, i32) {
        let column = describe("c".to_owned(), said.to_owned(), oid, answer);
        (column.type_name, column.type_oid, column.jdbc_type)
    }

    #[test]
    fn the_catalogue_wins_where_both_mean_the_same_type() {
        let own = |name: &str, oid, jdbc| (name.to_owned(), oid, jdbc);
        assert_eq!(described("text", 0, &catalogue("clob", 90, None)), own("clob", 90, 2005));
        assert_eq!(described("", 90, &catalogue("clob", 90, None)), own("clob", 90, 2005));
        let mood = catalogue("app.\"Mood\"", 16_400, None);
        for said in ["\"Mood\"", "app.\"Mood\""] {
            assert_eq!(described(said, 0, &mood), own("app.\"Mood\"", 16_400, 1111));
        }
        let price = catalogue("price", 16_401, Some("numeric"));
        assert_eq!(described("price", 0, &price), own("numeric", 16_401, 3));
        assert_eq!(described("", 16_401, &price), own("numeric", 16_401, 3));
    }

    #[test]
    fn a_type_that_was_changed_since_is_the_record_s() {
        let now = catalogue("text", 25, None);
        assert_eq!(described("integer", 0, &now), ("integer".to_owned(), 23, 4));
        assert_eq!(described("", 23, &now), ("integer".to_owned(), 23, 4));
        assert_eq!(described("", 70_000, &now), ("oid:70000".to_owned(), 70_000, 1111));
        assert_eq!(described("mood[]", 0, &now), ("mood[]".to_owned(), 0, 2003));
    }
}
