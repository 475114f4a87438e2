//! Dates, times and intervals as the settings pinned by the gateway print them.
//!
//! Owns what tells DateStyle ISO and IntervalStyle postgres from other styles, and the way of a `timestamptz` to UTC: parallel decoding
//! prints it in the zone of the server, whatever the session asks. Must not know columns.

use super::time;
use std::fmt::Write;

/// `2024-02-05`, also behind year 9999 and ` BC`. Day and month have two digits in every style, so four in front are a year.
pub(super) fn is_date(text: &[u8]) -> bool {
    let text = text.strip_suffix(b" BC").unwrap_or(text);
    date_length(text) == Some(text.len())
}

/// `2024-02-05 14:46:35` with or without a fraction.
pub(super) fn is_timestamp(text: &[u8]) -> bool {
    let text = text.strip_suffix(b" BC").unwrap_or(text);
    let Some([b' ', clock @ ..]) = date_length(text).map(|length| &text[length..]) else { return false };
    clock_length(clock) == Some(clock.len())
}

/// A `timestamptz` in UTC, as it should be.
#[inline]
pub(super) fn is_utc(text: &[u8]) -> bool {
    text.strip_suffix(b"+00").is_some_and(is_timestamp) || text.strip_suffix(b"+00 BC").is_some_and(is_timestamp)
}

pub(super) fn is_infinite(text: &[u8]) -> bool {
    matches!(text, b"infinity" | b"-infinity")
}

fn date_length(text: &[u8]) -> Option<usize> {
    let year = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let [b'-', m, n, b'-', d, e] = text.get(year..year + 6)? else { return None };
    ((4..=6).contains(&year) && [m, n, d, e].iter().all(|digit| digit.is_ascii_digit())).then_some(year + 6)
}

/// `14:46:35.203057`.
fn clock_length(text: &[u8]) -> Option<usize> {
    let [h, i, b':', m, n, b':', s, t, rest @ ..] = text else { return None };
    if ![h, i, m, n, s, t].iter().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (digits > 0).then_some(9 + digits)
        }
        _ => Some(8),
    }
}

/// `1 year 2 mons -3 days +04:05:06.7`: numbers with their unit, then a clock; each part may be absent, not all.
pub(super) fn is_interval(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let mut parts = text.split(' ').peekable();
    while let Some(part) = parts.next() {
        let unsigned = part.strip_prefix(['-', '+']).unwrap_or(part);
        if unsigned.is_empty() || !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
            return false;
        }
        if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            if !matches!(parts.next(), Some("year" | "years" | "mon" | "mons" | "day" | "days")) {
                return false;
            }
            continue;
        }
        // Hours may pass two digits.
        let Some(hours) = unsigned.find(':') else { return false };
        let clock = &unsigned.as_bytes()[hours.saturating_sub(2)..];
        return hours >= 2
            && unsigned[..hours].bytes().all(|byte| byte.is_ascii_digit())
            && clock_length(clock) == Some(clock.len())
            && parts.peek().is_none();
    }
    true
}

/// The same instant in UTC.
pub(super) fn to_utc(text: &str, out: &mut String) -> Option<()> {
    let (ad, bc) = text.strip_suffix(" BC").map_or((text, false), |text| (text, true));
    let micros = time::instant(ad.as_bytes(), bc)?;
    time::print(micros, out);
    Some(())
}

/// Elements of an array of any dimension.
pub(super) fn array_to_utc(text: &str, out: &mut String) -> Option<()> {
    let body = text.find('{')?;
    out.write_str(&text[..body]).ok()?;
    for part in text[body..].split_inclusive(['{', '}', ',']) {
        let end = part.len() - usize::from(part.ends_with(['{', '}', ',']));
        match &part[..end] {
            plain @ ("" | "NULL" | "infinity" | "-infinity") => out.push_str(plain),
            quoted => {
                out.push('"');
                to_utc(quoted.strip_prefix('"')?.strip_suffix('"')?, out)?;
                out.push('"');
            }
        }
        out.push_str(&part[end..]);
    }
    Some(())
}
