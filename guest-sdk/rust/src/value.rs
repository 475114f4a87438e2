//! Typed reading of canonical cell text. Nothing is rounded: what a type cannot hold is `None`, and the text stays at hand.
//!
//! Knows how PostgreSQL and its kin print numbers and times (`binary` has binary values); knows nothing of columns.

/// A whole number that fits 64 bits with sign: an optional minus and digits.
#[must_use]
pub fn whole_number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether the text is a number as JSON writes one, of any length and precision, so that it can be copied. `NaN` and `Infinity`
/// are none.
#[must_use]
pub fn is_json_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let places = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = &fraction[places..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// A boolean.
#[must_use]
pub fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// A timestamp in microseconds since the Unix epoch: `2021-12-16 12:31:49.344365`, as UTC where no offset follows, else with one
/// like `+02`, `-03:30` or `+00:19:32`. `None` for years before 1 or after 9999, and for `infinity`.
#[must_use]
pub fn timestamp(text: &[u8]) -> Option<i64> {
    let (year, text) = number(text, 4)?;
    let (month, text) = number(text.strip_prefix(b"-")?, 2)?;
    let (day, text) = number(text.strip_prefix(b"-")?, 2)?;
    let (clock, mut text) = clock(text.strip_prefix(b" ")?)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => 31,
    };
    if year == 0 || !(1..=12).contains(&month) || !(1..=days_in_month).contains(&day) {
        return None;
    }
    let mut micros = clock * 1_000_000;
    if let Some(rest) = text.strip_prefix(b".") {
        let places = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if places == 0 || places > 6 {
            return None;
        }
        let (fraction, rest) = number(rest, places)?;
        micros += fraction * 10_i64.pow(6 - places as u32);
        text = rest;
    }
    if let [sign @ (b'+' | b'-'), offset @ ..] = text {
        let seconds = offset_seconds(offset)? * 1_000_000;
        micros -= if *sign == b'+' { seconds } else { -seconds };
    } else if !text.is_empty() {
        return None;
    }
    Some(days_since_epoch(year, month, day) * 86_400_000_000 + micros)
}

/// `HH:MM:SS` in seconds, and the rest.
fn clock(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hours, text) = number(text, 2)?;
    let (minutes, text) = number(text.strip_prefix(b":")?, 2)?;
    let (seconds, text) = number(text.strip_prefix(b":")?, 2)?;
    (hours < 24 && minutes < 60 && seconds < 60).then_some(((hours * 60 + minutes) * 60 + seconds, text))
}

/// `HH`, `HH:MM` or `HH:MM:SS` in seconds.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    match text.len() {
        2 => number(text, 2).map(|(hours, _)| hours * 3600),
        5 => clock(&[text, b":00"].concat()).map(|(seconds, _)| seconds),
        8 => clock(text).map(|(seconds, _)| seconds),
        _ => None,
    }
}

/// Exactly this many digits, and the rest.
fn number(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    Some((whole_number(number).filter(|_| number[0] != b'-')?, rest))
}

/// Days from 1970-01-01 in the Gregorian calendar, after Howard Hinnant's `days_from_civil`: years begin in March, so that the day
/// that comes and goes is the last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        assert_eq!(whole_number(b"-9223372036854775808"), Some(i64::MIN));
        for text in ["", "-", "+1", "1.0", "9223372036854775808", " 1", "1e3"] {
            assert_eq!(whole_number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn json_numbers_are_what_serde_json_takes() {
        let texts = [
            "0",
            "-0",
            "10",
            "01",
            "-",
            "",
            ".5",
            "5.",
            "0.50",
            "1e5",
            "1E-5",
            "1e",
            "1e+",
            "NaN",
            "Infinity",
            "1 ",
            "0x1",
            "-1.5e+07",
            "12345678901234567890.0123456789",
            "1.e5",
        ];
        for text in texts {
            let json = serde_json::from_str::<f64>(text).is_ok() && !text.ends_with(' ');
            assert_eq!(is_json_number(text.as_bytes()), json, "{text}");
        }
    }

    #[test]
    fn timestamps() {
        for (text, micros) in [
            ("1970-01-01 00:00:00", 0),
            ("2021-12-16 12:31:49.344365", 1_639_657_909_344_365),
            ("2021-12-16 14:31:49.3+02", 1_639_657_909_300_000),
            ("2021-12-16 09:01:49-03:30", 1_639_657_909_000_000),
            ("1900-01-01 00:19:32+00:19:32", -2_208_988_800_000_000),
            ("0001-01-01 00:00:00", -62_135_596_800_000_000),
            ("9999-12-31 23:59:59.999999", 253_402_300_799_999_999),
            ("2024-02-29 00:00:00", 1_709_164_800_000_000),
        ] {
            assert_eq!(timestamp(text.as_bytes()), Some(micros), "{text}");
        }
        for text in [
            "infinity",
            "-infinity",
            "",
            "2021-12-16",
            "0044-03-15 00:00:00 BC",
            "10000-01-01 00:00:00",
            "2023-02-29 00:00:00",
            "2021-13-01 00:00:00",
            "2021-12-16 24:00:00",
            "2021-12-16 12:31:49.",
            "2021-12-16 12:31:49.1234567",
            "2021-12-16 12:31:49+",
            "2021-12-16T12:31:49",
        ] {
            assert_eq!(timestamp(text.as_bytes()), None, "{text}");
        }
    }
}
