//! Every type a table can have arrives as the text people expect, with its name and its JDBC code.

use crate::stage::{SOON, Stage};
use millrace_tests::gateway::Gateway;
use millrace_tests::topics::Record;
use serde_json::{Value, json};

/// SQL type, its name in `columnType`, its code in `sqlType` (java.sql.Types), and values: SQL literal and expected text.
type Case = (&'static str, &'static str, i64, &'static [(&'static str, &'static str)]);

/// The types of the contract that PostgreSQL has, each with its extremes, and some more that PostgreSQL users have.
const CASES: &[Case] = &[
    ("integer", "integer", 4, &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")]),
    ("smallint", "smallint", 5, &[("-32768", "-32768"), ("32767", "32767")]),
    (
        "bigint",
        "bigint",
        -5,
        &[("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")],
    ),
    (
        "numeric",
        "numeric",
        3,
        &[
            ("12.3400", "12.3400"),
            ("'NaN'", "NaN"),
            ("-0.00000000000000000001", "-0.00000000000000000001"),
            ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
        ],
    ),
    ("numeric(10,2)", "numeric", 3, &[("1", "1.00"), ("-99999999.99", "-99999999.99")]),
    (
        "real",
        "real",
        7,
        &[
            ("1.5", "1.5"),
            ("0.1", "0.1"),
            ("'NaN'", "NaN"),
            ("'-Infinity'", "-Infinity"),
            ("3.4028235e38", "3.4028235e+38"),
        ],
    ),
    (
        "double precision",
        "double precision",
        8,
        &[
            ("1.25", "1.25"),
            ("0.1", "0.1"),
            ("'Infinity'", "Infinity"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("'-0'", "-0"),
        ],
    ),
    ("character(5)", "character", 1, &[("'ab'", "ab   "), ("''", "     ")]),
    ("character varying(20)", "character varying", 12, &[("'cloud'", "cloud"), ("''", ""), ("'null'", "null")]),
    ("bit(1)", "bit", -7, &[("B'1'", "1"), ("B'0'", "0")]),
    ("bit(8)", "bit", -7, &[("B'01010101'", "01010101")]),
    ("bit varying", "bit varying", 1111, &[("B'0101'", "0101"), ("B''", "")]),
    ("bytea", "bytea", -2, &[("'\\x62797465'", "62797465"), ("''", ""), ("'\\x00ff5c27'", "00ff5c27")]),
    (
        "text",
        "text",
        12,
        &[
            ("'NULL'", "NULL"),
            ("''", ""),
            ("'null'", "null"),
            ("'数据库 🦀 e\u{301}'", "数据库 🦀 e\u{301}"),
            (
                "E'<a href=\"x\">&''\\t\\n\\r\\b\\f\\x01\\x1f\\x7f\\\\'",
                "<a href=\"x\">&'\t\n\r\u{8}\u{c}\u{1}\u{1f}\u{7f}\\",
            ),
            ("'\u{2028}\u{2029}\u{feff}\u{10ffff}'", "\u{2028}\u{2029}\u{feff}\u{10ffff}"),
        ],
    ),
    ("json", "json", 12, &[("'{\"a\": [1,  null]}'", "{\"a\": [1,  null]}"), ("'null'", "null")]),
    ("boolean", "boolean", 16, &[("true", "true"), ("false", "false")]),
    (
        "date",
        "date",
        91,
        &[
            ("'2021-12-16'", "2021-12-16"),
            ("'infinity'", "infinity"),
            ("'4713-01-01 BC'", "4713-01-01 BC"),
            ("'5874897-12-31'", "5874897-12-31"),
        ],
    ),
    ("time with time zone", "time with time zone", 92, &[("'12:31:49.344365+08'", "12:31:49.344365+08")]),
    ("time", "time without time zone", 92, &[("'12:31:49.344365'", "12:31:49.344365"), ("'24:00:00'", "24:00:00")]),
    (
        "timestamp with time zone",
        "timestamp with time zone",
        93,
        &[("'2021-12-16 12:31:49.344365+08'", "2021-12-16 04:31:49.344365+00"), ("'-infinity'", "-infinity")],
    ),
    (
        "timestamp",
        "timestamp without time zone",
        93,
        &[
            ("'2021-12-16 12:31:49.344365'", "2021-12-16 12:31:49.344365"),
            ("'294276-12-31 23:59:59.999999'", "294276-12-31 23:59:59.999999"),
        ],
    ),
    (
        "interval",
        "interval",
        1111,
        &[("'1 year 2 mons 3 days 04:05:06.7'", "1 year 2 mons 3 days 04:05:06.7"), ("'-1 day'", "-1 days")],
    ),
    ("box", "box", 1111, &[("'(0,0),(2,2)'", "(2,2),(0,0)")]),
    ("circle", "circle", 1111, &[("'<(1,2),3>'", "<(1,2),3>")]),
    ("lseg", "lseg", 1111, &[("'[(0,0),(1,1)]'", "[(0,0),(1,1)]")]),
    ("path", "path", 1111, &[("'[(0,0),(1,1)]'", "[(0,0),(1,1)]"), ("'((0,0),(1,1))'", "((0,0),(1,1))")]),
    ("point", "point", 1111, &[("'(1.5,-2)'", "(1.5,-2)")]),
    ("polygon", "polygon", 1111, &[("'((0,0),(1,1),(1,0))'", "((0,0),(1,1),(1,0))")]),
    ("cidr", "cidr", 1111, &[("'192.168.0.0/24'", "192.168.0.0/24"), ("'2001:db8::/32'", "2001:db8::/32")]),
    ("inet", "inet", 1111, &[("'192.168.0.1'", "192.168.0.1"), ("'::1'", "::1")]),
    ("macaddr", "macaddr", 1111, &[("'08:00:2b:01:02:03'", "08:00:2b:01:02:03")]),
    ("money", "money", 8, &[("12.34", "$12.34"), ("-1234567.8", "-$1,234,567.80")]),
    ("tsquery", "tsquery", 1111, &[("'a & b'", "'a' & 'b'")]),
    ("tsvector", "tsvector", 1111, &[("'a:1'", "'a':1")]),
    ("refcursor", "refcursor", 2012, &[("'my cursor'", "my cursor")]),
    ("uuid", "uuid", 1111, &[("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")]),
    (
        "integer[]",
        "integer[]",
        2003,
        &[("'{1,2,NULL}'", "{1,2,NULL}"), ("'{}'", "{}"), ("'{{1,2},{3,4}}'", "{{1,2},{3,4}}")],
    ),
    (
        "text[]",
        "text[]",
        2003,
        &[("ARRAY['a','','null',NULL,'x,y','q\"q']", "{a,\"\",\"null\",NULL,\"x,y\",\"q\\\"q\"}")],
    ),
    ("boolean[]", "boolean[]", 2003, &[("'{t,f}'", "{t,f}")]),
    ("jsonb", "jsonb", 1111, &[("'{\"b\":1, \"a\":null}'", "{\"a\": null, \"b\": 1}")]),
    ("int4range", "int4range", 1111, &[("'[11,19]'", "[11,20)"), ("'empty'", "empty")]),
    ("mood", "public.mood", 1111, &[("'so-so'", "so-so")]),
];

const KEYS: [&str; 16] = [
    "columnType",
    "dbType",
    "schema",
    "opType",
    "id",
    "es",
    "ts",
    "database",
    "table",
    "type",
    "isDdl",
    "sql",
    "sqlType",
    "data",
    "old",
    "pkNames",
];

/// A table with a column of every type, whole old images included.
pub fn schema() -> String {
    let columns: Vec<String> = CASES.iter().enumerate().map(|(n, (sql, ..))| format!("c{n} {sql}")).collect();
    format!(
        "CREATE TYPE mood AS ENUM ('fine', 'so-so'); CREATE TABLE every_type(row int PRIMARY KEY, {}); \
         ALTER TABLE every_type REPLICA IDENTITY FULL",
        columns.join(", ")
    )
}

/// Inserts every value of every type and a row of NULLs, updates and deletes them all; gives the number of rows.
pub fn fill(stage: &Stage) -> usize {
    let rows = CASES.iter().map(|case| case.3.len()).max().expect("cases");
    // One row more than there are values: all NULL.
    for row in 0..=rows {
        let literals = CASES.iter().map(|case| case.3.get(row).map_or("NULL", |value| value.0));
        stage
            .database
            .exec(&format!("INSERT INTO every_type VALUES ({row},{})", literals.collect::<Vec<_>>().join(",")));
    }
    stage.database.exec("UPDATE every_type SET row = row + 100; DELETE FROM every_type");
    rows + 1
}

#[test]
fn every_type_round_trips_in_insert_update_and_delete() {
    let stage = Stage::new("types", &schema());
    let mut gateway = Gateway::ready(&stage.task);
    let rows = fill(&stage);

    let mut reader = stage.reader(&["every_type"]);
    let records = reader.exactly(3 * rows, SOON);
    for (row, record) in records[..rows].iter().enumerate() {
        let envelope = record.json();
        check_envelope(record, &envelope, "INSERT");
        assert_eq!(envelope["old"], Value::Null);
        check_row(&envelope["data"], row, row);
    }
    for (row, record) in records[rows..2 * rows].iter().enumerate() {
        let envelope = record.json();
        check_envelope(record, &envelope, "UPDATE");
        check_row(&envelope["old"], row, row);
        check_row(&envelope["data"], row, row + 100);
    }
    for (row, record) in records[2 * rows..].iter().enumerate() {
        let envelope = record.json();
        check_envelope(record, &envelope, "DELETE");
        assert_eq!(envelope["data"], Value::Null);
        check_row(&envelope["old"], row, row + 100);
    }
    gateway.stop_cleanly();
}

fn check_envelope(record: &Record, envelope: &Value, op: &str) {
    let keys: Vec<&String> = envelope.as_object().expect("an object").keys().collect();
    assert_eq!(keys, KEYS, "the sixteen keys in their order");
    let text = String::from_utf8(record.value.clone().expect("a value")).expect("UTF-8");
    assert!(!text.contains(['<', '>', '&', '\'']), "HTML-safe by default: {text}");
    for (key, want) in [
        ("dbType", json!("PostgreSQL")),
        ("schema", json!("public")),
        ("opType", json!(op)),
        ("type", json!(op)),
        ("table", json!("every_type")),
        ("isDdl", json!(false)),
        ("sql", json!("")),
        ("pkNames", json!(["row"])),
    ] {
        assert_eq!(envelope[key], want, "{key}");
    }
    let number = |key: &str| envelope[key].as_i64().unwrap_or_else(|| panic!("{key} is no number: {envelope}"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    let now = i64::try_from(now).expect("before the year 292 million");
    assert!((now - 60_000..=number("ts")).contains(&number("es")) && number("ts") <= now, "times: {envelope}");
    for (n, (sql, name, code, _)) in CASES.iter().enumerate() {
        let column = format!("c{n}");
        assert_eq!(envelope["columnType"][&column], json!(name), "columnType of {sql}");
        assert_eq!(envelope["sqlType"][&column], json!(code), "sqlType of {sql}");
    }
}

fn check_row(image: &Value, row: usize, key: usize) {
    let image = &image[0];
    assert_eq!(image["row"], json!(key.to_string()));
    for (n, (sql, _, _, values)) in CASES.iter().enumerate() {
        let want = values.get(row).map_or(Value::Null, |value| json!(value.1));
        assert_eq!(image.get(format!("c{n}")), Some(&want), "{sql}, value {row}");
    }
}

#[test]
fn options_of_the_task_file_reach_the_messages() {
    let stage = Stage::new("options", "CREATE TABLE t(id int PRIMARY KEY, b bytea, m money, s text)");
    let thirteen: Vec<&str> =
        KEYS.into_iter().filter(|key| !["columnType", "dbType", "schema", "opType"].contains(key)).collect();
    for (n, (options, b, m, text)) in [
        (vec![("db_type", "\"other\"")], "00ff", "$1,234.50", "\\u003ca\\u003e \\u0026 \\u0027\\u003d"),
        (vec![("profile", "\"mysql-like\""), ("binary", "\"hex_upper\"")], "00FF", "$1,234.50", "\\u003ca"),
        (vec![("html_escape", "false"), ("binary", "\"pg\"")], "\\x00ff", "$1,234.50", "<a> & '="),
        (vec![("binary", "\"byte_list\""), ("money", "\"decimal\"")], "[0, 255]", "1234.50", "\\u003ca"),
        (vec![("binary", "\"base64\""), ("sql_type", "\"omit\"")], "AP8=", "$1,234.50", "\\u003ca"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut task = stage.task.clone();
        let topic = format!("{}-options-{n}", stage.database.name());
        task.text("route.topic_name_format", &format!("{topic}$tablename$"));
        for (key, value) in &options {
            task.set(&format!("format.{key}"), value);
        }
        let mut gateway = Gateway::ready(&task);
        stage.database.exec(&format!("INSERT INTO t VALUES ({n}, '\\x00ff', 1234.5, '<a> & ''=')"));
        let record = stage.kafka.reader(&[&format!("{topic}t")]).exactly(1, SOON)[0].clone();
        let envelope = record.json();
        let row = json!({"id": n.to_string(), "b": b, "m": m, "s": "<a> & '="});
        assert_eq!(envelope["data"], json!([row]), "{options:?}");
        let raw = String::from_utf8(record.value.expect("a value")).expect("UTF-8");
        assert!(raw.contains(text), "{options:?}: {raw}");
        let has = |key: &str| options.iter().any(|(name, _)| *name == key);
        let mut keys: Vec<&str> = if has("profile") { thirteen.clone() } else { KEYS.to_vec() };
        if has("profile") {
            keys.insert(0, "mysqlType");
        }
        keys.retain(|key| *key != "sqlType" || !has("sql_type"));
        assert_eq!(envelope.as_object().expect("an object").keys().collect::<Vec<_>>(), keys, "{options:?}");
        if has("db_type") {
            assert_eq!(envelope["dbType"], "other");
        }
        gateway.stop_cleanly();
    }
}

#[test]
fn a_server_of_another_session_setting_changes_no_text() {
    // Settings of the role would change the text of half the types, were they not pinned.
    let stage = Stage::new(
        "pinned",
        "CREATE TABLE t(id int PRIMARY KEY, at timestamptz, d date, i interval, f float8, b bytea, m money)",
    );
    let role = format!("{}_role", stage.database.name());
    stage.database.exec(&format!(
        "CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'x'; GRANT pg_read_all_data TO {role}; \
         ALTER ROLE {role} SET datestyle='German'; ALTER ROLE {role} SET timezone='Asia/Tokyo'; \
         ALTER ROLE {role} SET intervalstyle='iso_8601'; ALTER ROLE {role} SET extra_float_digits='-5'; \
         ALTER ROLE {role} SET bytea_output='escape'; ALTER ROLE {role} SET client_encoding='LATIN1'"
    ));
    let mut task = stage.task.clone();
    task.text("source.user", &role).text("source.password", "x");
    let mut gateway = Gateway::ready(&task);
    stage.database.exec(
        "SET timezone='UTC'; INSERT INTO t VALUES (1,'2021-12-16 12:31:49+00','2021-12-16','1 day 02:00:00',0.1,'\\x00ff',1.5)",
    );
    let mut reader = stage.reader(&["t"]);
    let records = reader.exactly(1, SOON);
    assert_eq!(
        records[0].json()["data"][0],
        json!({"id":"1","at":"2021-12-16 12:31:49+00","d":"2021-12-16","i":"1 day 02:00:00","f":"0.1","b":"00ff","m":"$1.50"})
    );
    gateway.stop_cleanly();
}
