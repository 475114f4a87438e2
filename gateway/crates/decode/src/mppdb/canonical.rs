//! Canonical cell text of GaussDB and openGauss values.
//!
//! Owns what this family prints otherwise than PostgreSQL: `t` in one style and `true` in others, numbers without their leading
//! zero, floats with 18 digits where 0.1 is meant. What comes out is what PostgreSQL prints for the same value, in every style.
//! Must not know tables.

use std::fmt::Write;

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
}

impl Form {
    /// By the type's name.
    pub(super) fn of(type_name: &str) -> Form {
        match type_name {
            "boolean" => Form::Boolean,
            "bytea" => Form::Bytea,
            "numeric" => Form::Numeric,
            "real" => Form::Float4,
            "double precision" => Form::Float8,
            "numeric[]" => Form::NumericArray,
            "real[]" => Form::Float4Array,
            "double precision[]" => Form::Float8Array,
            _ => Form::Verbatim,
        }
    }

    /// What [`Form::text`] refuses to take for a value.
    pub(super) fn expectation(self) -> &'static str {
        match self {
            Form::Boolean => "t, f, true or false",
            Form::Bytea => "\\x and lower-case hex",
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
            _ => {
                scratch.clear();
                let text = std::str::from_utf8(text).ok()?;
                match self {
                    Form::NumericArray | Form::Float4Array | Form::Float8Array => array(self, text, scratch)?,
                    _ => number(self, text, scratch)?,
                }
                Some(scratch.as_bytes())
            }
        }
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
            if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || digits.matches('.').count() > 1 {
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
        let text = Form::of(type_name).text(text.as_bytes(), &mut scratch)?;
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
