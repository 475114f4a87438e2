//! Intervals in the database's own style (`1 year 2 mons -3 days +04:05:06.7`) as microseconds or as ISO 8601 text.

use super::value::{digits, shown};
use crate::JsonWriter;

#[derive(Debug, Default, PartialEq)]
struct Parts {
    months: i64,
    days: i64,
    micros: i64,
}

const SECOND: i64 = 1_000_000;
/// A twelfth of 365.25 days.
const MONTH: i64 = 2_629_800 * SECOND;
const DAY: i64 = 86_400 * SECOND;

fn parse(text: &[u8]) -> Option<Parts> {
    let mut parts = Parts::default();
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let mut any = false;
    while let Some(word) = words.next() {
        any = true;
        if word.contains(':') {
            parts.micros = clock(word)?;
            continue;
        }
        let count: i64 = word.parse().ok()?;
        let (field, unit) = match words.next()? {
            "year" | "years" => (&mut parts.months, 12),
            "mon" | "mons" => (&mut parts.months, 1),
            "day" | "days" => (&mut parts.days, 1),
            _ => return None,
        };
        *field = field.checked_add(count.checked_mul(unit)?)?;
    }
    any.then_some(parts)
}

/// `-838:59:58.999999`: the sign is of the whole.
fn clock(word: &str) -> Option<i64> {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let (hours, rest) = unsigned.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let number = |text: &str| digits(text.as_bytes()).1.is_empty().then(|| text.parse::<i64>().ok()).flatten();
    if fraction.len() > 6 {
        return None;
    }
    let micros = if fraction.is_empty() { 0 } else { number(fraction)? * 10_i64.pow(6 - fraction.len() as u32) };
    let seconds = number(hours)?.checked_mul(3600)?.checked_add(number(minutes)? * 60 + number(whole)?)?;
    let value = seconds.checked_mul(SECOND)?.checked_add(micros)?;
    Some(if word.starts_with('-') { -value } else { value })
}

/// Writes microseconds.
///
/// # Errors
/// The text is no interval of that style, or too long for 64 bits.
pub(super) fn micros(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    let total = |parts: Parts| {
        let months = parts.months.checked_mul(MONTH)?;
        months.checked_add(parts.days.checked_mul(DAY)?)?.checked_add(parts.micros)
    };
    json.number(parse(text).and_then(total).ok_or_else(|| format!("{} is no interval", shown(text)))?);
    Ok(())
}

/// Writes `P1Y2M3DT4H5M6.78S`, every part named.
///
/// # Errors
/// The text is no interval of that style.
pub(super) fn iso(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    let Parts { months, days, micros } = parse(text).ok_or_else(|| format!("{} is no interval", shown(text)))?;
    let mut part = |before: &[u8], value: i64| {
        json.raw(before);
        json.number(value);
    };
    part(b"\"P", months / 12);
    part(b"Y", months % 12);
    part(b"M", days);
    part(b"DT", micros / SECOND / 3600);
    part(b"H", micros / SECOND / 60 % 60);
    json.raw(b"M");
    let rest = micros % (60 * SECOND);
    if rest < 0 {
        json.raw(b"-");
    }
    json.unsigned((rest.unsigned_abs()) / SECOND as u64);
    super::time::fraction((rest.unsigned_abs() % SECOND as u64) as u32, json);
    json.raw(b"S\"");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::value::tests::written, *};

    #[test]
    fn both_forms() {
        for (text, number, string) in [
            ("00:00:00", "0", "P0Y0M0DT0H0M0S"),
            ("1 year 2 mons 3 days 04:05:06.78", "37091106780000", "P1Y2M3DT4H5M6.78S"),
            ("-1 days +02:03:00", "-79020000000", "P0Y0M-1DT2H3M0S"),
            ("-00:00:00.5", "-500000", "P0Y0M0DT0H0M-0.5S"),
            ("838:59:59", "3020399000000", "P0Y0M0DT838H59M59S"),
            ("1 mon", "2629800000000", "P0Y1M0DT0H0M0S"),
        ] {
            assert_eq!(written(text, micros).unwrap(), number, "{text}");
            assert_eq!(written(text, iso).unwrap(), format!("\"{string}\""), "{text}");
        }
    }

    #[test]
    fn what_is_no_interval_is_refused() {
        for text in ["", "1", "1 week", "P1Y", "1:2", "00:00:00.1234567", "99999999999999 years", "a:b:c", "00:+1:00"] {
            assert!(written(text, micros).is_err(), "{text}");
        }
    }
}
