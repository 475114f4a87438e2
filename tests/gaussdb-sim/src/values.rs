//! Values of every type, as the type's output function prints them in an A-compatible database.

use fastrand::Rng;

/// A value of a type; never NULL. Text holds what breaks careless readers: quotes, backslashes, control characters, letters of
/// several scripts.
pub fn value(type_name: &str, rng: &mut Rng) -> String {
    match type_name {
        "tinyint" => rng.u8(..).to_string(),
        "smallint" => rng.i16(..).to_string(),
        "integer" => rng.i32(..).to_string(),
        "bigint" => rng.i64(..).to_string(),
        "oid" => rng.u32(..).to_string(),
        "numeric" => numeric(rng),
        "real" => pick(rng, &["0", "1.5", "-2.25", ".100000001", "1e+10", "NaN", "Infinity", "-Infinity"]),
        "double precision" => pick(
            rng,
            &[
                "0",
                "1.5",
                ".100000000000000006",
                "1.10000000000000009",
                "1.00000000000000002e+30",
                "-7",
                "NaN",
                "Infinity",
            ],
        ),
        "character" => format!("{:<10}", word(rng)),
        "character varying" | "nvarchar2" | "text" | "clob" => text(rng),
        "name" | "refcursor" => word(rng),
        "bit" => pick(rng, &["101", "000", "111"]),
        "bit varying" => pick(rng, &["1", "10101010", "0"]),
        "blob" | "raw" => bytes(rng).to_uppercase(),
        "bytea" => format!("\\x{}", bytes(rng)),
        "json" => format!("{{\"a\": {}, \"b\": [\"{}\", null]}}", rng.u8(..), word(rng)),
        "jsonb" => format!("{{\"a\": {}}}", rng.u8(..)),
        "xml" => format!("<a>{}</a>", word(rng)),
        "boolean" => pick(rng, &["t", "f"]),
        "date" => date(rng),
        "smalldatetime" => format!("{} {}:00", date(rng), clock(rng)),
        "timestamp without time zone" => {
            let fraction = pick(rng, &["", ".5", ".123456", ".000001"]);
            format!("{} {}:{:02}{fraction}", date(rng), clock(rng), rng.u8(..60))
        }
        "timestamp with time zone" => format!("{} {}:{:02}.25+00", date(rng), clock(rng), rng.u8(..60)),
        "time without time zone" => format!("{}:{:02}.5", clock(rng), rng.u8(..60)),
        "time with time zone" => format!("{}:{:02}+08", clock(rng), rng.u8(..60)),
        "interval" => pick(rng, &["1 year 2 mons 3 days 04:05:06", "-1 days", "00:00:00.5", "3 days"]),
        "box" => pick(rng, &["(2,2),(1,1)", "(0.5,0.5),(-0.5,-0.5)"]),
        "lseg" => pick(rng, &["[(0,0),(1,1)]", "[(0.5,-0.5),(2,3)]"]),
        "path" => pick(rng, &["((0,0),(1,1),(2,0))", "[(0,0),(1,1)]"]),
        "point" => pick(rng, &["(1,2)", "(0.5,-0.5)"]),
        "polygon" => "((0,0),(1,1),(2,0))".to_owned(),
        "circle" => pick(rng, &["<(0,0),1>", "<(0.5,0.5),0.25>"]),
        "cidr" => pick(rng, &["192.168.0.0/24", "2001:db8::/32"]),
        "inet" => pick(rng, &["192.168.0.1", "::1", "10.0.0.1/8"]),
        "macaddr" => pick(rng, &["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"]),
        "money" => pick(rng, &["$1.08", "-$0.05", "$12,345.67"]),
        "tsquery" => pick(rng, &["'fff' | 'aaa'", "'a' & 'b'"]),
        "tsvector" => pick(rng, &["'a':1 'b':2", "'it''s':1"]),
        "uuid" => {
            let digits = format!("{:032x}", rng.u128(..));
            [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
        }
        "integer[]" => pick(rng, &["{1,2,NULL}", "{}", "{{1,2},{3,4}}"]),
        "text[]" => pick(rng, &["{a,\"b c\",NULL,\"NULL\"}", "{\"it's\",\"\\\"\"}"]),
        "numeric[]" => pick(rng, &["{.5,-1.50,NaN}", "{10.10}"]),
        other => panic!("no values for type {other}"),
    }
}

fn pick(rng: &mut Rng, all: &[&str]) -> String {
    all[rng.usize(..all.len())].to_owned()
}

fn word(rng: &mut Rng) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    (0..rng.usize(1..=8)).map(|_| char::from(LETTERS[rng.usize(..LETTERS.len())])).collect()
}

fn text(rng: &mut Rng) -> String {
    match rng.u8(..10) {
        0 => "it's \\ a \"test\"".to_owned(),
        1 => "line1\nline2\r\n\ttab".to_owned(),
        2 => "\u{1}\u{1f}\u{7f}\u{8}\u{c}".to_owned(),
        3 => "héllo 中文 日本語 😀".to_owned(),
        4 => "null".to_owned(),
        5 => " ".to_owned(),
        6 => word(rng).repeat(200),
        _ => format!("{} {}", word(rng), word(rng)),
    }
}

fn bytes(rng: &mut Rng) -> String {
    (0..rng.usize(1..=12)).map(|_| format!("{:02x}", rng.u8(..))).collect()
}

/// Without a leading zero, as the server prints it.
fn numeric(rng: &mut Rng) -> String {
    match rng.u8(..8) {
        0 => "NaN".to_owned(),
        1 => format!(".{:02}", rng.u8(1..100)),
        2 => format!("-.{:02}", rng.u8(1..100)),
        3 => format!("{}", rng.u128(..)),
        _ => format!("{}.{:02}", rng.i32(1..1_000_000), rng.u8(..100)),
    }
}

fn date(rng: &mut Rng) -> String {
    format!("{:04}-{:02}-{:02}", rng.u16(1970..2040), rng.u8(1..=12), rng.u8(1..=28))
}

fn clock(rng: &mut Rng) -> String {
    format!("{:02}:{:02}", rng.u8(..24), rng.u8(..60))
}
