//! Durations, sizes and bounded numbers as a task file writes them.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration: a whole number and one of `ms`, `s`, `m`, `h`, as `250ms` or `10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

impl Span {
    /// A span of so many milliseconds.
    pub const fn millis(n: u64) -> Span {
        Span(Duration::from_millis(n))
    }

    /// A span of so many seconds.
    pub const fn secs(n: u64) -> Span {
        Span(Duration::from_secs(n))
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

/// Splits `10s` into the number and the unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim_start_matches(' ')))
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Span, &'static str> {
        let rule = "must be a duration: a whole number and ms, s, m or h, as \"10s\"";
        let (number, unit) = number_and_unit(text).ok_or(rule)?;
        let unit = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(rule),
        };
        number.checked_mul(unit).map(Span::millis).ok_or("is longer than a duration can be")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            0 => write!(f, "0s"),
            _ if ms.is_multiple_of(3_600_000) => write!(f, "{}h", ms / 3_600_000),
            _ if ms.is_multiple_of(60_000) => write!(f, "{}m", ms / 60_000),
            _ if ms.is_multiple_of(1000) => write!(f, "{}s", ms / 1000),
            _ => write!(f, "{ms}ms"),
        }
    }
}

/// A number of bytes: a whole number and one of `B`, `KiB`, `MiB`, `GiB`, as `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn bytes(n: u64) -> Size {
        Size(n)
    }

    /// So many KiB.
    pub const fn kib(n: u64) -> Size {
        Size(n << 10)
    }

    /// So many MiB.
    pub const fn mib(n: u64) -> Size {
        Size(n << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// One of so many equal parts; 1 MiB at least, below which nothing here works.
    pub fn part(self, parts: u64) -> Size {
        Size((self.0 / parts.max(1)).max(1 << 20).min(self.0))
    }
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Size, &'static str> {
        let rule = "must be a size: a whole number and B, KiB, MiB or GiB, as \"64MiB\"";
        let (number, unit) = number_and_unit(text).ok_or(rule)?;
        let unit: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(rule),
        };
        number.checked_mul(unit).map(Size).ok_or("is larger than a size can be")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => write!(f, "0B"),
            n if n.is_multiple_of(1 << 30) => write!(f, "{}GiB", n >> 30),
            n if n.is_multiple_of(1 << 20) => write!(f, "{}MiB", n >> 20),
            n if n.is_multiple_of(1 << 10) => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

/// Gives a type with `FromStr` and `Display` its text form in serde and a string schema.
macro_rules! text_form {
    ($type:ident, $pattern:expr, $about:expr) => {
        impl TryFrom<String> for $type {
            type Error = <$type as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<$type, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "description": $about })
            }
        }
    };
}
pub(super) use text_form;

text_form!(Span, "^[0-9]+ *(ms|s|m|h)$", "A duration, as 250ms or 10s.");
text_form!(Size, "^[0-9]+ *(B|KiB|MiB|GiB)$", "A size in bytes, as 64MiB.");

/// A whole number between `MIN` and `MAX`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Bounded<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Bounded<MIN, MAX> {
    /// The number; a constant outside the bounds does not compile when it is one.
    pub const fn new(n: i64) -> Self {
        assert!(MIN <= n && n <= MAX);
        Bounded(n)
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The number where a `usize` is wanted: bounds that allow a negative number must not use this.
    pub fn to_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// One of so many equal parts; the least legal number at least.
    pub fn part(self, parts: u64) -> Self {
        Bounded((self.0 / i64::try_from(parts).unwrap_or(i64::MAX).max(1)).max(MIN))
    }
}

impl<const MIN: i64, const MAX: i64> TryFrom<i64> for Bounded<MIN, MAX> {
    type Error = String;

    fn try_from(n: i64) -> Result<Self, String> {
        if MIN <= n && n <= MAX { Ok(Bounded(n)) } else { Err(format!("must be between {MIN} and {MAX}")) }
    }
}

impl<const MIN: i64, const MAX: i64> From<Bounded<MIN, MAX>> for i64 {
    fn from(n: Bounded<MIN, MAX>) -> i64 {
        n.0
    }
}

impl<const MIN: i64, const MAX: i64> JsonSchema for Bounded<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Between_{MIN}_and_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_round_trip() {
        for text in ["0s", "1ms", "1500ms", "1s", "90s", "2m", "1h", "25h"] {
            assert_eq!(text.parse::<Span>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("60s".parse::<Span>(), Ok(Span::secs(60)));
        assert_eq!("10 s".parse::<Span>(), Ok(Span::secs(10)));
        for text in ["0B", "1B", "1023B", "1KiB", "1025B", "3MiB", "1GiB"] {
            assert_eq!(text.parse::<Size>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "s", "10", "-1s", "1.5s", "10S", "10sec", "10s ", " 10s", "99999999999999999999s", "1m30s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
        for bad in ["", "1", "1KB", "1MB", "1kib", "-1B", "1.5MiB", "18446744073709551615KiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad:?}");
        }
        assert!("18446744073709551615h".parse::<Span>().is_err());
    }
}
