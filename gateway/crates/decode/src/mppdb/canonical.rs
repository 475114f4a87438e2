//! Canonical cell text of GaussDB and openGauss values.
//!
//! Owns what this family prints otherwise than PostgreSQL: `t` in one style and `true` in others, numbers without their leading
//! zero, floats with 18 digits where 0.1 is meant. What comes out is what PostgreSQL prints for the same value, in every style.
//! Must not know tables.

use super::date;
use std::fmt::Write;

/// Text of `numeric`, `real` and `double precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// As PostgreSQL prints the same value: `0.1`.
    #[default]
    Canonical,
    /// As the source sends it: `.1`, or `.100000000000000006` for a `double precision`. It depends on the settings of the server.
    AsSent,
}

/// Space for text that is not as the record has it, kept from cell to cell.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) canonical: String,
    pub(super) utf8: Vec<u8>,
}

/// How a type's text becomes canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Verbatim,
    Boolean,
    Bytea,
    Numeric,
    Float4,
    Float8,
    NumericArray,
    Float4Array,
    Float8Array,
    Date,
    Timestamp,
    TimestampTz,
    TimestampTzArray,
    Interval,
}

impl Form {
    /// By the type's name.
    pub(super) fn of(type_name: &str, numbers: Numbers) -> Form {
        let number = |form| if numbers == Numbers::Canonical { form } else { Form::Verbatim };
        match type_name {
            "boolean" => Form::Boolean,
            "bytea" => Form::Bytea,
            "numeric" => number(Form::Numeric),
            "real" => number(Form::Float4),
            "double precision" => number(Form::Float8),
            "numeric[]" => number(Form::NumericArray),
            "real[]" => number(Form::Float4Array),
            "double precision[]" => number(Form::Float8Array),
            "date" => Form::Date,
            "timestamp without time zone" | "smalldatetime" => Form::Timestamp,
            "timestamp with time zone" => Form::TimestampTz,
            "timestamp with time zone[]" => Form::TimestampTzArray,
            "interval" => Form::Interval,
            _ => Form::Verbatim,
        }
    }

    /// What [`Form::text`] refuses to take for a value.
    pub(super) fn expectation(self) -> &'static str {
        match self {
            Form::Boolean => "t, f, true or false",
            Form::Bytea => "\\x and lower-case hex",
            Form::Date | Form::Timestamp | Form::TimestampTz | Form::TimestampTzArray => "of DateStyle ISO",
            Form::Interval => "of IntervalStyle postgres",
            _ => "a number as the type prints it",
        }
    }

    /// The canonical text; `scratch` is overwritten. None where the text is not one of the type.
    #[inline]
    pub(super) fn text<'a>(self, text: &'a [u8], scratch: &'a mut String) -> Option<&'a [u8]> {
        match self {
            Form::Verbatim => Some(text),
            Form::Boolean => match text {
                b"t" | b"true" => Some(b"true"),
                b"f" | b"false" => Some(b"false"),
                _ => None,
            },
            Form::Bytea => {
                let hex = text.strip_prefix(b"\\x")?;
                let digits = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
                (hex.len().is_multiple_of(2) && hex.iter().all(digits)).then_some(hex)
            }
            Form::Numeric | Form::Float4 | Form::Float8 if self.is_canonical(text) => Some(text),
            Form::Date => (date::is_date(text) || date::is_infinite(text)).then_some(text),
            Form::Timestamp => (date::is_timestamp(text) || date::is_infinite(text)).then_some(text),
            Form::TimestampTz if date::is_utc(text) || date::is_infinite(text) => Some(text),
            Form::Interval => date::is_interval(text).then_some(text),
            _ => {
                scratch.clear();
                let text = std::str::from_utf8(text).ok()?;
                match self {
                    Form::NumericArray | Form::Float4Array | Form::Float8Array => array(self, text, scratch)?,
                    Form::TimestampTz => date::to_utc(text, scratch)?,
                    Form::TimestampTzArray => date::array_to_utc(text, scratch)?,
                    _ => number(self, text, scratch)?,
                }
                Some(scratch.as_bytes())
            }
        }
    }

    /// Whether a number stands as it should already: digits with a leading one and no exponent, and of a float so few that they are
    /// the shortest (15 digits of a `double precision`, 6 of a `real` always come back, so no shorter text gives the same value).
    #[inline]
    fn is_canonical(self, text: &[u8]) -> bool {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let most = match self {
            Form::Float4 => 7,
            Form::Float8 => 16,
            _ => usize::MAX,
        };
        let mut dots = 0;
        let plain = |byte: &u8| {
            dots += u32::from(*byte == b'.');
            byte.is_ascii_digit() || *byte == b'.'
        };
        // The dot has its room where there is one; without, one digit fewer.
        digits.first().is_some_and(u8::is_ascii_digit)
            && digits.last().is_some_and(u8::is_ascii_digit)
            && digits.iter().all(plain)
            && digits.len() < most + dots as usize
            && dots < 2
    }
}

/// Numbers of an array of any dimension, in place of the old ones; bounds and braces stay.
fn array(form: Form, text: &str, out: &mut String) -> Option<()> {
    let element = match form {
        Form::NumericArray => Form::Numeric,
        Form::Float4Array => Form::Float4,
        _ => Form::Float8,
    };
    // `[2:3]={1,2}`: bounds that do not start at 1.
    let body = text.find('{')?;
    out.push_str(&text[..body]);
    for part in text[body..].split_inclusive(['{', '}', ',']) {
        let end = part.len() - usize::from(part.ends_with(['{', '}', ',']));
        match &part[..end] {
            "" => {}
            "NULL" => out.push_str("NULL"),
            value => number(element, value, out)?,
        }
        out.push_str(&part[end..]);
    }
    Some(())
}

fn number(form: Form, text: &str, out: &mut String) -> Option<()> {
    // Oracle spelling, where the database is set to it.
    let special = match text {
        "Infinity" | "Inf" => Some("Infinity"),
        "-Infinity" | "-Inf" => Some("-Infinity"),
        "NaN" | "Nan" => Some("NaN"),
        _ => None,
    };
    if let Some(special) = special {
        out.push_str(special);
        return Some(());
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') || digits.ends_with('.') {
        return None;
    }
    match form {
        Form::Float4 => {
            float(&format_args!("{:e}", text.parse::<f32>().ok().filter(|value| value.is_finite())?), 6, out)
        }
        Form::Float8 => {
            float(&format_args!("{:e}", text.parse::<f64>().ok().filter(|value| value.is_finite())?), 15, out)
        }
        _ => {
            let mut dots = 0;
            let plain = |byte: u8| {
                dots += u32::from(byte == b'.');
                byte.is_ascii_digit() || byte == b'.'
            };
            if !digits.bytes().all(plain) || dots > 1 {
                return None;
            }
            out.push_str(sign);
            if digits.starts_with('.') {
                out.push('0');
            }
            out.push_str(digits);
            Some(())
        }
    }
}

/// Shortest digits laid out as `float8out` of PostgreSQL 12 and newer does: fixed while the exponent is from -4 to below
/// `fixed`, else `d.ddde+XX` (`src/common/d2s.c`, `f2s.c`).
fn float(shortest: &std::fmt::Arguments<'_>, fixed: i32, out: &mut String) -> Option<()> {
    let start = out.len();
    out.write_fmt(*shortest).ok()?;
    let at = start + out[start..].find('e')?;
    let exponent: i32 = out[at + 1..].parse().ok()?;
    out.truncate(at);
    if !(-4..fixed).contains(&exponent) {
        return write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()).ok();
    }
    let first = start + usize::from(out[start..].starts_with('-'));
    if let Some(dot) = out[first..].find('.') {
        out.remove(first + dot);
    }
    let digits = out.len() - first;
    if exponent < 0 {
        // `0.` and a zero less than the exponent says; the exponent is -4 at least.
        let zeros = &"0.000"[..1 + exponent.unsigned_abs() as usize];
        out.insert_str(first, zeros);
    } else if digits <= exponent as usize + 1 {
        out.extend(std::iter::repeat_n('0', exponent as usize + 1 - digits));
    } else {
        out.insert(first + exponent as usize + 1, '.');
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(type_name: &str, text: &str) -> Option<String> {
        let mut scratch = String::new();
        let text = Form::of(type_name, Numbers::Canonical).text(text.as_bytes(), &mut scratch)?;
        Some(String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn as_postgresql_prints_them() {
        for (type_name, text, expected) in [
            ("boolean", "t", "true"),
            ("boolean", "false", "false"),
            ("bytea", "\\x00ff", "00ff"),
            ("numeric", ".5", "0.5"),
            ("numeric", "-.50", "-0.50"),
            ("numeric", "10.10", "10.10"),
            ("numeric", "NaN", "NaN"),
            ("double precision", ".100000000000000006", "0.1"),
            ("double precision", "1.10000000000000009", "1.1"),
            ("double precision", "1.00000000000000002e+30", "1e+30"),
            ("double precision", "4.94065645841246544e-324", "5e-324"),
            ("double precision", "-0", "-0"),
            ("double precision", "100", "100"),
            ("double precision", "123456789012345", "123456789012345"),
            ("double precision", "1000000000000000", "1e+15"),
            ("double precision", ".0001", "0.0001"),
            ("double precision", ".00012", "0.00012"),
            ("double precision", "-.012", "-0.012"),
            ("double precision", ".00001", "1e-05"),
            ("double precision", "-Inf", "-Infinity"),
            ("real", ".100000001", "0.1"),
            ("real", "1000000", "1e+06"),
            ("real", "999999", "999999"),
            ("numeric[]", "{.5,-1.50,NaN,NULL}", "{0.5,-1.50,NaN,NULL}"),
            ("numeric[]", "[2:3]={{.5},{1}}", "[2:3]={{0.5},{1}}"),
            ("double precision[]", "{}", "{}"),
            ("text", ".5", ".5"),
            ("double precision", "12.25", "12.25"),
            ("double precision", "123456789012345.5", "123456789012345.5"),
            ("double precision", "10.5000000000000000", "10.5"),
            ("real", "123456", "123456"),
            ("real", "1234567", "1.234567e+06"),
            ("date", "2024-02-05", "2024-02-05"),
            ("date", "0044-03-15 BC", "0044-03-15 BC"),
            ("date", "infinity", "infinity"),
            ("timestamp without time zone", "2024-02-05 14:46:35.2", "2024-02-05 14:46:35.2"),
            ("smalldatetime", "2003-04-12 04:05:00", "2003-04-12 04:05:00"),
            ("timestamp with time zone", "2024-02-05 14:46:35.203057+08", "2024-02-05 06:46:35.203057+00"),
            ("timestamp with time zone", "2024-02-05 06:46:35.5+00", "2024-02-05 06:46:35.5+00"),
            ("timestamp with time zone", "2024-01-01 00:00:00+05:30", "2023-12-31 18:30:00+00"),
            ("timestamp with time zone", "0001-01-01 00:00:00+01", "0001-12-31 23:00:00+00 BC"),
            ("timestamp with time zone", "0044-03-15 12:00:00.25-03:30 BC", "0044-03-15 15:30:00.25+00 BC"),
            ("timestamp with time zone", "-infinity", "-infinity"),
            (
                "timestamp with time zone[]",
                "{\"2024-02-05 14:00:00+08\",NULL,infinity}",
                "{\"2024-02-05 06:00:00+00\",NULL,infinity}",
            ),
            ("interval", "1 year 2 mons -3 days +04:05:06.7", "1 year 2 mons -3 days +04:05:06.7"),
            ("interval", "-1 years -2 mons +3 days", "-1 years -2 mons +3 days"),
            ("interval", "00:00:00", "00:00:00"),
        ] {
            assert_eq!(canonical(type_name, text).as_deref(), Some(expected), "{type_name} {text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (type_name, text) in [
            ("boolean", "1"),
            ("bytea", "\\xF"),
            ("bytea", "abc"),
            ("numeric", ""),
            ("numeric", "1.2.3"),
            ("numeric", "1e5"),
            ("double precision", "1e999"),
            ("double precision", "inf"),
            ("double precision", "+1"),
            ("numeric[]", "1,2"),
            ("numeric[]", "{a}"),
            ("date", "05.02.2024"),
            ("date", "02-05-2024"),
            ("date", "2024-02-05 00:00:00"),
            ("timestamp without time zone", "05.02.2024 14:46:35"),
            ("timestamp without time zone", "Mon Feb 05 14:46:35 2024"),
            ("timestamp without time zone", "2024-02-05"),
            ("timestamp with time zone", "05.02.2024 14:46:35 CET"),
            ("timestamp with time zone", "2024-02-05 14:46:35"),
            ("timestamp with time zone[]", "{\"05.02.2024 14:46:35 CET\"}"),
            ("interval", "@ 1 day"),
            ("interval", "P1DT2H"),
            ("interval", "1-2 3 4:05:06"),
            ("interval", "3 4:05:06"),
            ("interval", ""),
        ] {
            assert_eq!(canonical(type_name, text), None, "{type_name} {text}");
        }
    }

    proptest! {
        #[test]
        fn floats_keep_their_value(value: f64, single: f32) {
            prop_assume!(value.is_finite() && single.is_finite());
            let text = canonical("double precision", &format!("{value:e}")).unwrap();
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
            let text = canonical("real", &format!("{single:e}")).unwrap();
            prop_assert_eq!(text.parse::<f32>().unwrap().to_bits(), single.to_bits());
        }
    }
}
