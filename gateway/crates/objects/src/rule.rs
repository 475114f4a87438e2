//! What a name may be, and which objects nobody selects.

/// The eleven characters that names of databases, schemas and tables may not hold.
pub const FORBIDDEN: [char; 11] = ['/', '<', '.', '>', '\\', '\'', '`', '|', ',', '?', '!'];

/// Schemas of the servers themselves, and of the packages that GaussDB and openGauss install; never selectable. `pg_temp` and
/// `pg_toast` stand for their numbered forms too.
pub const SYSTEM_SCHEMAS: [&str; 49] = [
    "blockchain",
    "cstore",
    "db4ai",
    "dbe_application_info",
    "dbe_compression",
    "dbe_file",
    "dbe_heat_map",
    "dbe_ilm",
    "dbe_ilm_admin",
    "dbe_lob",
    "dbe_match",
    "dbe_output",
    "dbe_perf",
    "dbe_pldebugger",
    "dbe_pldeveloper",
    "dbe_profiler",
    "dbe_random",
    "dbe_raw",
    "dbe_scheduler",
    "dbe_session",
    "dbe_sql",
    "dbe_sql_util",
    "dbe_stats",
    "dbe_task",
    "dbe_utility",
    "dbe_xml",
    "dbe_xmldom",
    "dbe_xmlparser",
    "dbms_job",
    "dbms_lob",
    "dbms_output",
    "dbms_perf",
    "dbms_random",
    "dbms_sql",
    "information_schema",
    "pg_catalog",
    "pg_temp",
    "pg_toast",
    "pkg_service",
    "pkg_util",
    "prvt_ilm",
    "rdsBackup",
    "rdsMetric",
    "rdsRepl",
    "snapshot",
    "sqladvisor",
    "sys",
    "utl_file",
    "utl_raw",
];

/// Tables that the servers' own tools leave in `public`; one of them also as the managed service spells it.
pub const HELPER_TABLES: [&str; 5] =
    ["pgxc_redsitb", "pgxc_redistb", "redis_progress", "redis_progress_detail", "redis_status"];

/// Whether a schema belongs to the server.
pub fn is_system_schema(schema: &str) -> bool {
    SYSTEM_SCHEMAS.contains(&schema) || schema.starts_with("pg_temp_") || schema.starts_with("pg_toast_temp_")
}

/// Whether a table belongs to the server or its tools.
pub fn is_system_table(schema: &str, table: &str) -> bool {
    is_system_schema(schema) || schema == "public" && HELPER_TABLES.contains(&table)
}

/// Whether a name of a database, schema or table can be selected; the rule it breaks where not.
pub fn object_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("a name is empty");
    }
    if name.contains(FORBIDDEN) {
        return Err("a name may hold none of / < . > \\ ' ` | , ? !");
    }
    if name.contains('"') {
        return Err("a name in an object file may not hold a double quote");
    }
    if name.contains(char::is_whitespace) {
        return Err("a name may hold no space");
    }
    if name.len() > 63 {
        return Err("a name has at most 63 bytes");
    }
    Ok(())
}

/// A name as lists show it: outer spaces left out, inner runs as one.
pub fn shown(name: &str) -> String {
    let mut words = name.split(' ').filter(|word| !word.is_empty());
    let mut shown = words.next().unwrap_or_default().to_owned();
    for word in words {
        shown.push(' ');
        shown.push_str(word);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_eleven_characters_is_refused_wherever_it_stands() {
        for bad in FORBIDDEN {
            for name in [format!("{bad}a"), format!("a{bad}b"), format!("a{bad}"), bad.to_string()] {
                assert!(object_name(&name).is_err(), "{name}");
            }
        }
        for good in ["a", "Ünïcode", "表", "with-dash", "x$1", "\u{63}"] {
            assert_eq!(object_name(good), Ok(()), "{good}");
        }
        for bad in ["", " a", "a ", "a b", "a\tb", "a\"b", &"x".repeat(64)] {
            assert!(object_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(object_name(&"x".repeat(63)), Ok(()));
    }

    #[test]
    fn system_objects_are_known_and_the_list_is_sorted() {
        assert!(SYSTEM_SCHEMAS.is_sorted());
        for (schema, table) in
            [("pg_catalog", "x"), ("pg_temp_3", "x"), ("dbe_scheduler", "j"), ("public", "redis_status")]
        {
            assert!(is_system_table(schema, table), "{schema}.{table}");
        }
        for (schema, table) in [("public", "orders"), ("shop", "redis_status"), ("pg_tempo", "x")] {
            assert!(!is_system_table(schema, table), "{schema}.{table}");
        }
    }

    #[test]
    fn names_are_shown_with_single_spaces() {
        assert_eq!(shown("  odd   name "), "odd name");
        assert_eq!(shown("plain"), "plain");
    }
}
