//! Instants.
//!
//! Owns `timestamptz` text in ISO style, backwards and forwards: `2024-02-05 14:46:35.203057+08`, zone `+05:30` or `-03:30:15` possible.
//! Must not know where it stood.

use std::fmt::Write;

const DAY: i64 = 86_400_000_000;

/// Microseconds since the Unix epoch of a commit time. None where the text is not well formed.
pub(super) fn micros(text: &[u8]) -> Option<i64> {
    instant(text, false)
}

/// Microseconds since the Unix epoch; `bc` tells that the year is one before Christ. None where the text is not well formed.
pub(super) fn instant(text: &[u8], bc: bool) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (date, rest) = text.split_once(' ')?;
    let mut parts = date.split('-');
    let (year, month, day) =
        (digits(parts.next()?, 4..=6)?, digits(parts.next()?, 2..=2)?, digits(parts.next()?, 2..=2)?);
    // There is no year 0: 1 BC stands before 1.
    let year = if bc { 1 - year } else { year };
    let sign_at = rest.find(['+', '-'])?;
    let (clock, zone) = rest.split_at(sign_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let fraction = digits(fraction, 1..=6)? * 10_i64.pow(6 - fraction.len() as u32);
    let (hour, minute, second) = sexagesimal(clock, true)?;
    let (zone_hour, zone_minute, zone_second) = sexagesimal(&zone[1..], false)?;
    let valid = parts.next().is_none() && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !valid || hour > 23 || zone_hour > 15 {
        return None;
    }
    let offset = zone_hour * 3600 + zone_minute * 60 + zone_second;
    let offset = if zone.starts_with('-') { -offset } else { offset };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    seconds.checked_mul(1_000_000)?.checked_add(fraction)
}

/// Appends an instant in UTC as `timestamptz_out` of style ISO does: trailing zeros of the fraction are cut.
pub(super) fn print(micros: i64, out: &mut String) {
    let (year, month, day) = date(micros.div_euclid(DAY));
    let (seconds, fraction) = (micros.rem_euclid(DAY) / 1_000_000, micros.rem_euclid(1_000_000));
    let (shown, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Writing to a String cannot fail.
    let _ = write!(out, "{shown:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if fraction > 0 {
        let _ = write!(out, ".{fraction:06}");
        out.truncate(out.trim_end_matches('0').len());
    }
    let _ = write!(out, "+00{era}");
}

/// Year, month and day of a number of days since 1970-01-01, the way back of [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn digits(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<i64> {
    (length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// `hh:mm:ss`, or the short forms of a zone.
fn sexagesimal(text: &str, whole: bool) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 2..=2)?;
    let mut next = || parts.next().map_or(if whole { None } else { Some(0) }, |part| digits(part, 2..=2));
    let (minute, second) = (next()?, next()?);
    (parts.next().is_none() && minute < 60 && second < 60).then_some((hour, minute, second))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn printed_instants_read_back(micros in -62_000_000_000_000_000..9_000_000_000_000_000_i64) {
            let mut text = String::new();
            print(micros, &mut text);
            let (ad, bc) = text.strip_suffix(" BC").map_or((text.as_str(), false), |text| (text, true));
            prop_assert_eq!(instant(ad.as_bytes(), bc), Some(micros), "{}", text);
        }
    }

    #[test]
    fn as_the_server_prints_them() {
        assert_eq!(micros(b"1970-01-01 00:00:00+00"), Some(0));
        assert_eq!(micros(b"2024-02-05 14:46:35.203057+08"), Some(1_707_115_595_203_057));
        assert_eq!(micros(b"2024-02-29 00:00:00.5-03:30"), Some(1_709_177_400_500_000));
        for bad in [
            "",
            "2024-02-05",
            "2024-02-05 14:46:35",
            "2024-02-30 00:00:00+00",
            "2023-02-29 00:00:00+00",
            "2024-13-01 00:00:00+00",
            "2024-01-01 24:00:00+00",
            "2024-01-01 00:60:00+00",
            "2024-01-01 00:00:00.1234567+00",
            "2024-01-01 00:00:00.+00",
            "2024-01-01 00:00:00+",
            "2024-01-01 00:00+00",
            "+024-01-01 00:00:00+00",
        ] {
            assert_eq!(micros(bad.as_bytes()), None, "{bad}");
        }
    }
}
