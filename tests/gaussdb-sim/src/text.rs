//! Texts the server prints: positions, times, quoted names.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds from 1970-01-01 to 2000-01-01, where the server's clock begins.
pub const EPOCH_2000: i64 = 946_684_800_000_000;

/// A position in a node's log, printed as the server does: `0/2FB6160`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl Lsn {
    /// Reads `X/X`; upper and lower case, as the server accepts both.
    pub fn parse(text: &str) -> Option<Lsn> {
        let (high, low) = text.split_once('/')?;
        let half = |text: &str| {
            let digits = !text.is_empty() && text.len() <= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        Some(Lsn(half(high)? << 32 | half(low)?))
    }
}

/// Microseconds since 1970-01-01 UTC.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as i64)
}

/// A moment in ISO style in UTC, as `timestamptz_to_str` prints it: trailing zeros of the fraction are cut.
pub fn timestamp(micros: i64, out: &mut Vec<u8>) {
    use std::io::Write;
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    // Writing to memory does not fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if fraction > 0 {
        let _ = write!(out, ".{fraction:06}");
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.extend_from_slice(b"+00");
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Key words that `quote_identifier` quotes (the reserved and column-name classes of the recorded server; those that appear as names in
/// practice).
const QUOTED_WORDS: &[&str] = &[
    "all",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "column",
    "constraint",
    "create",
    "cross",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "date",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "leading",
    "left",
    "like",
    "limit",
    "minus",
    "national",
    "natural",
    "nchar",
    "none",
    "not",
    "null",
    "nullif",
    "number",
    "numeric",
    "nvarchar2",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "rownum",
    "select",
    "session_user",
    "similar",
    "smallint",
    "some",
    "substring",
    "sysdate",
    "table",
    "then",
    "time",
    "timestamp",
    "tinyint",
    "to",
    "trailing",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "varchar2",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];

/// A name as `quote_identifier` prints it.
pub fn quote_identifier(name: &str, out: &mut Vec<u8>) {
    let plain = |byte: u8| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first = name.bytes().next().is_some_and(|byte| byte == b'_' || byte.is_ascii_lowercase());
    if first && name.bytes().all(plain) && QUOTED_WORDS.binary_search(&name).is_err() {
        out.extend_from_slice(name.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in name.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        assert_eq!(Lsn(0x2fb_6160).to_string(), "0/2FB6160");
        assert_eq!(Lsn::parse("1/2fb6160"), Some(Lsn(0x1_02fb_6160)));
        for bad in ["", "0", "0/", "XYZ", "0/123456789", "-1/0", "0/+1"] {
            assert_eq!(Lsn::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_as_recorded() {
        let print = |micros| {
            let mut out = Vec::new();
            timestamp(micros, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(print(0), "1970-01-01 00:00:00+00");
        assert_eq!(print(1_707_115_595_203_057), "2024-02-05 06:46:35.203057+00");
        assert_eq!(print(1_709_164_800_500_000), "2024-02-29 00:00:00.5+00");
    }

    #[test]
    fn words_are_sorted() {
        assert!(QUOTED_WORDS.is_sorted());
        let quote = |name| {
            let mut out = Vec::new();
            quote_identifier(name, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            [quote("oQ"), quote("user"), quote("o_1"), quote("1a"), quote("a\"b")],
            ["\"oQ\"", "\"user\"", "o_1", "\"1a\"", "\"a\"\"b\""]
        );
    }
}
