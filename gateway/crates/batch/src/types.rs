//! Types of the source: names without modifier, JDBC codes, and how their text becomes canonical.
//!
//! Owns the table for built-in types of PostgreSQL, openGauss and GaussDB. Must not know how a value is printed by a
//! transform. OIDs: `pg_type.dat` of PostgreSQL 15; 86 to 90, 3201, 3202, 3968, 3969, 4401 to 4407, 5545, 5546, 9003
//! and 9005 are openGauss's own.
//! Codes: `java.sql.Types`, as the open JDBC drivers map these types.

/// How a source's text of a type becomes the canonical cell text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// As it stands.
    Verbatim,
    /// `t`/`f` become `true`/`false`.
    Boolean,
    /// `\x` and lower-case hex becomes bare lower-case hex.
    Bytea,
}

/// What the gateway knows of a built-in type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeInfo {
    /// Catalogue OID.
    pub oid: u32,
    /// Name as `format_type` prints it, without modifier.
    pub name: &'static str,
    /// `java.sql.Types` code.
    pub jdbc: i32,
    /// How its text becomes canonical.
    pub text: TextForm,
}

/// `java.sql.Types.ARRAY`.
pub fn jdbc_code_of_array() -> i32 {
    2003
}

/// `java.sql.Types.OTHER`, for types outside the table (enums, domains, composites, extensions).
pub fn jdbc_code_of_unknown() -> i32 {
    1111
}

/// The built-in type with this OID.
pub fn type_by_oid(oid: u32) -> Option<&'static TypeInfo> {
    TYPES.binary_search_by_key(&oid, |info| info.oid).ok().map(|index| &TYPES[index])
}

/// The built-in type with this name, as `format_type` prints it without modifier.
pub fn type_by_name(name: &str) -> Option<&'static TypeInfo> {
    TYPES.iter().find(|info| info.name == name)
}

const fn t(oid: u32, name: &'static str, jdbc: i32) -> TypeInfo {
    TypeInfo { oid, name, jdbc, text: TextForm::Verbatim }
}

/// Sorted by OID.
const TYPES: &[TypeInfo] = &[
    TypeInfo { oid: 16, name: "boolean", jdbc: 16, text: TextForm::Boolean },
    TypeInfo { oid: 17, name: "bytea", jdbc: -2, text: TextForm::Bytea },
    t(18, "\"char\"", 1),
    t(19, "name", 12),
    t(20, "bigint", -5),
    t(21, "smallint", 5),
    t(22, "int2vector", 1111),
    t(23, "integer", 4),
    t(24, "regproc", 1111),
    t(25, "text", 12),
    t(26, "oid", -5),
    t(27, "tid", 1111),
    t(28, "xid", 1111),
    t(29, "cid", 1111),
    t(30, "oidvector", 1111),
    t(86, "raw", 1111),
    t(87, "raw[]", 2003),
    t(88, "blob", 2004),
    t(90, "clob", 2005),
    t(114, "json", 12),
    t(142, "xml", 2009),
    t(143, "xml[]", 2003),
    t(199, "json[]", 2003),
    t(600, "point", 1111),
    t(601, "lseg", 1111),
    t(602, "path", 1111),
    t(603, "box", 1111),
    t(604, "polygon", 1111),
    t(628, "line", 1111),
    t(629, "line[]", 2003),
    t(650, "cidr", 1111),
    t(651, "cidr[]", 2003),
    t(700, "real", 7),
    t(701, "double precision", 8),
    t(718, "circle", 1111),
    t(719, "circle[]", 2003),
    t(774, "macaddr8", 1111),
    t(775, "macaddr8[]", 2003),
    t(790, "money", 8),
    t(791, "money[]", 2003),
    t(829, "macaddr", 1111),
    t(869, "inet", 1111),
    t(1000, "boolean[]", 2003),
    t(1001, "bytea[]", 2003),
    t(1002, "\"char\"[]", 2003),
    t(1003, "name[]", 2003),
    t(1005, "smallint[]", 2003),
    t(1007, "integer[]", 2003),
    t(1009, "text[]", 2003),
    t(1014, "character[]", 2003),
    t(1015, "character varying[]", 2003),
    t(1016, "bigint[]", 2003),
    t(1017, "point[]", 2003),
    t(1018, "lseg[]", 2003),
    t(1019, "path[]", 2003),
    t(1020, "box[]", 2003),
    t(1021, "real[]", 2003),
    t(1022, "double precision[]", 2003),
    t(1027, "polygon[]", 2003),
    t(1028, "oid[]", 2003),
    t(1040, "macaddr[]", 2003),
    t(1041, "inet[]", 2003),
    t(1042, "character", 1),
    t(1043, "character varying", 12),
    t(1082, "date", 91),
    t(1083, "time without time zone", 92),
    t(1114, "timestamp without time zone", 93),
    t(1115, "timestamp without time zone[]", 2003),
    t(1182, "date[]", 2003),
    t(1183, "time without time zone[]", 2003),
    t(1184, "timestamp with time zone", 93),
    t(1185, "timestamp with time zone[]", 2003),
    t(1186, "interval", 1111),
    t(1187, "interval[]", 2003),
    t(1231, "numeric[]", 2003),
    t(1266, "time with time zone", 92),
    t(1270, "time with time zone[]", 2003),
    t(1560, "bit", -7),
    t(1561, "bit[]", 2003),
    t(1562, "bit varying", 1111),
    t(1563, "bit varying[]", 2003),
    t(1700, "numeric", 3),
    t(1790, "refcursor", 2012),
    t(2201, "refcursor[]", 2003),
    t(2950, "uuid", 1111),
    t(2951, "uuid[]", 2003),
    t(3201, "blob[]", 2003),
    t(3202, "clob[]", 2003),
    t(3220, "pg_lsn", 1111),
    t(3614, "tsvector", 1111),
    t(3615, "tsquery", 1111),
    t(3643, "tsvector[]", 2003),
    t(3645, "tsquery[]", 2003),
    t(3802, "jsonb", 1111),
    t(3807, "jsonb[]", 2003),
    t(3904, "int4range", 1111),
    t(3905, "int4range[]", 2003),
    t(3906, "numrange", 1111),
    t(3907, "numrange[]", 2003),
    t(3908, "tsrange", 1111),
    t(3909, "tsrange[]", 2003),
    t(3910, "tstzrange", 1111),
    t(3911, "tstzrange[]", 2003),
    t(3912, "daterange", 1111),
    t(3913, "daterange[]", 2003),
    t(3926, "int8range", 1111),
    t(3927, "int8range[]", 2003),
    t(3968, "nvarchar2[]", 2003),
    t(3969, "nvarchar2", 12),
    t(4072, "jsonpath", 1111),
    t(4401, "uint1", -6),
    t(4403, "uint2", 5),
    t(4405, "uint4", 4),
    t(4407, "uint8", -5),
    t(5545, "tinyint", -6),
    t(5546, "tinyint[]", 2003),
    t(9003, "smalldatetime", 93),
    t(9005, "smalldatetime[]", 2003),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_found() {
        assert!(TYPES.windows(2).all(|pair| pair[0].oid < pair[1].oid));
        assert!(TYPES.iter().all(|info| type_by_oid(info.oid) == Some(info)));
        assert_eq!(type_by_oid(0), None);
        assert!(TYPES.iter().all(|info| type_by_name(info.name) == Some(info)));
    }

    #[test]
    fn every_array_has_the_array_code() {
        assert!(TYPES.iter().all(|info| info.name.ends_with("[]") == (info.jdbc == jdbc_code_of_array())));
    }
}
