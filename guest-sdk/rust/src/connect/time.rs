//! Dates and times in the database's ISO style, proleptic Gregorian, `BC` behind years before 1.

use super::value::{digits, shown};
use crate::JsonWriter;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What pgjdbc and hence Debezium hold infinite timestamps to be, in microseconds.
const INFINITE: [(&[u8], i64); 2] =
    [(b"infinity", 9_223_372_036_825_200_000), (b"-infinity", -9_223_372_036_832_400_000)];
/// The same two with zone.
const INFINITE_ZONED: [(&[u8], &[u8]); 2] =
    [(b"infinity", b"\"+292278994-08-16T23:00:00Z\""), (b"-infinity", b"\"-292275055-05-16T23:00:00Z\"")];

/// Reads a text from its start; every step is `None` where the text is something else.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self, length: std::ops::RangeInclusive<usize>) -> Option<i64> {
        let (number, rest) = digits(self.0);
        if !length.contains(&number.len()) {
            return None;
        }
        self.0 = rest;
        Some(number.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// Year, month and day; the year as it stands.
    fn date(&mut self) -> Option<[i64; 3]> {
        // The last date of the database is in the year 5874897.
        let year = self.number(4..=7)?;
        self.skip(b'-')?;
        let month = self.number(2..=2)?;
        self.skip(b'-')?;
        let day = self.number(2..=2)?;
        (year > 0 && (1..=12).contains(&month) && (1..=31).contains(&day)).then_some([year, month, day])
    }

    /// Microseconds of the day, 24:00:00 included.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2..=2)?;
        self.skip(b':')?;
        let minute = self.number(2..=2)?;
        self.skip(b':')?;
        let second = self.number(2..=2)?;
        let mut micros = 0;
        if self.skip(b'.').is_some() {
            let before = self.0.len();
            micros = self.number(1..=6)?;
            micros *= 10_i64.pow(6 - (before - self.0.len()) as u32);
        }
        let value = ((hour * 60 + minute) * 60 + second) * SECOND + micros;
        (minute < 60 && second < 60 && value <= DAY).then_some(value)
    }

    /// Microseconds east of Greenwich.
    fn zone(&mut self) -> Option<i64> {
        let (&sign, rest) = self.0.split_first()?;
        self.0 = rest;
        let mut seconds = self.number(2..=2)? * 3600;
        for unit in [60, 1] {
            if self.skip(b':').is_some() {
                seconds += self.number(2..=2)? * unit;
            }
        }
        match sign {
            b'+' => Some(seconds * SECOND),
            b'-' => Some(-seconds * SECOND),
            _ => None,
        }
    }

    /// The end of the text, with the era in front of it; days since 1970.
    fn days(&self, [year, month, day]: [i64; 3]) -> Option<i64> {
        match self.0 {
            b"" => Some(days_of(year, month, day)),
            b" BC" => Some(days_of(1 - year, month, day)),
            _ => None,
        }
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date. The era arithmetic of Howard Hinnant's "chrono-compatible low-level
/// date algorithms".
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since 1970-01-01; the inverse.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

fn wrong(text: &[u8], what: &str) -> String {
    format!("{} is no {what}", shown(text))
}

/// Writes days since 1970; the infinities are the ends of 32 bits.
pub(super) fn date(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    let parse = || {
        let mut reader = Reader(text);
        let date = reader.date()?;
        reader.days(date)
    };
    json.number(match text {
        b"infinity" => i64::from(i32::MAX),
        b"-infinity" => i64::from(i32::MIN),
        _ => parse().ok_or_else(|| wrong(text, "date"))?,
    });
    Ok(())
}

/// Writes the time of day in microseconds, or milliseconds.
pub(super) fn time(text: &[u8], millis: bool, json: &mut JsonWriter<'_>) -> Result<(), String> {
    let mut reader = Reader(text);
    let micros = reader.time().filter(|_| reader.0.is_empty()).ok_or_else(|| wrong(text, "time"))?;
    json.number(if millis { micros / 1000 } else { micros });
    Ok(())
}

/// Writes a time with zone as text in UTC.
pub(super) fn zoned_time(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    let mut reader = Reader(text);
    let parse = |reader: &mut Reader<'_>| Some(reader.time()? - reader.zone()?);
    let micros = parse(&mut reader).filter(|_| reader.0.is_empty()).ok_or_else(|| wrong(text, "time with zone"))?;
    json.raw(b"\"");
    clock(micros.rem_euclid(DAY), json);
    json.raw(b"Z\"");
    Ok(())
}

/// Writes microseconds since 1970, or milliseconds.
pub(super) fn timestamp(text: &[u8], millis: bool, json: &mut JsonWriter<'_>) -> Result<(), String> {
    let micros = match INFINITE.iter().find(|(name, _)| *name == text) {
        Some((_, micros)) => *micros,
        None => instant(text, false).ok_or_else(|| wrong(text, "timestamp"))?,
    };
    json.number(if millis { micros.div_euclid(1000) } else { micros });
    Ok(())
}

/// Writes a timestamp with zone as text in UTC.
pub(super) fn zoned_timestamp(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    if let Some((_, infinite)) = INFINITE_ZONED.iter().find(|(name, _)| *name == text) {
        json.raw(infinite);
        return Ok(());
    }
    let micros = instant(text, true).ok_or_else(|| wrong(text, "timestamp with zone"))?;
    let (year, month, day) = date_of(micros.div_euclid(DAY));
    json.raw(b"\"");
    // Java writes a sign in front of years of more than four digits, and of those before 0.
    if year > 9999 {
        json.raw(b"+");
    } else if year < 0 {
        json.raw(b"-");
    }
    padded(year.unsigned_abs(), 4, json);
    json.raw(b"-");
    padded(month.unsigned_abs(), 2, json);
    json.raw(b"-");
    padded(day.unsigned_abs(), 2, json);
    json.raw(b"T");
    clock(micros.rem_euclid(DAY), json);
    json.raw(b"Z\"");
    Ok(())
}

/// Microseconds since 1970 UTC; without zone as if it were UTC.
fn instant(text: &[u8], zoned: bool) -> Option<i64> {
    let mut reader = Reader(text);
    let date = reader.date()?;
    reader.skip(b' ')?;
    let mut micros = reader.time()?;
    if zoned {
        micros -= reader.zone()?;
    }
    reader.days(date)?.checked_mul(DAY)?.checked_add(micros)
}

fn clock(micros: i64, json: &mut JsonWriter<'_>) {
    let seconds = (micros / SECOND).unsigned_abs();
    padded(seconds / 3600, 2, json);
    json.raw(b":");
    padded(seconds / 60 % 60, 2, json);
    json.raw(b":");
    padded(seconds % 60, 2, json);
    fraction((micros % SECOND).unsigned_abs() as u32, json);
}

/// The point and as many digits as say something; nothing for 0.
pub(super) fn fraction(micros: u32, json: &mut JsonWriter<'_>) {
    let (mut value, mut width) = (micros, 6);
    if value == 0 {
        return;
    }
    while value % 10 == 0 {
        value /= 10;
        width -= 1;
    }
    json.raw(b".");
    padded(u64::from(value), width, json);
}

fn padded(value: u64, width: usize, json: &mut JsonWriter<'_>) {
    let mut bound = 10_u64.pow(width as u32 - 1);
    while bound > 1 && value < bound {
        json.raw(b"0");
        bound /= 10;
    }
    json.unsigned(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::value::tests::written, *};

    #[test]
    fn known_instants() {
        for (text, expected) in [
            ("1970-01-01", "0"),
            ("2021-12-16", "18977"),
            ("1969-12-31", "-1"),
            ("0001-01-01", "-719162"),
            ("0001-12-31 BC", "-719163"),
            ("0044-03-15 BC", "-735160"),
            ("5874897-12-31", "2145042905"),
            ("infinity", "2147483647"),
        ] {
            assert_eq!(written(text, date).unwrap(), expected, "{text}");
        }
        for (text, expected) in [
            ("1970-01-01 00:00:00", "0"),
            ("2021-12-16 12:31:49.344365", "1639657909344365"),
            ("1969-12-31 23:59:59.9", "-100000"),
            ("290000-12-31 23:59:59.999999", "9089380483199999999"),
            ("-infinity", "-9223372036832400000"),
        ] {
            assert_eq!(written(text, |t, j| timestamp(t, false, j)).unwrap(), expected, "{text}");
        }
        assert_eq!(written("1969-12-31 23:59:59.9999", |t, j| timestamp(t, true, j)).unwrap(), "-1");
    }

    #[test]
    fn zones_become_utc() {
        for (text, expected) in [
            ("2021-12-16 12:31:49.344365+08", "2021-12-16T04:31:49.344365Z"),
            ("2021-12-16 12:31:49+05:30", "2021-12-16T07:01:49Z"),
            ("2021-12-31 23:00:00.50-03:30:15", "2022-01-01T02:30:15.5Z"),
            ("0044-03-15 12:00:00+00 BC", "-0043-03-15T12:00:00Z"),
            ("12021-01-01 00:00:00+00", "+12021-01-01T00:00:00Z"),
            ("0001-01-01 00:00:00+01", "0000-12-31T23:00:00Z"),
        ] {
            assert_eq!(written(text, zoned_timestamp).unwrap(), format!("\"{expected}\""), "{text}");
        }
        assert_eq!(written("01:02:03.5+08", zoned_time).unwrap(), "\"17:02:03.5Z\"");
        assert_eq!(written("24:00:00", |t, j| time(t, false, j)).unwrap(), "86400000000");
        assert_eq!(written("12:31:49.344365", |t, j| time(t, true, j)).unwrap(), "45109344");
    }

    /// The last one is the database's last timestamp, which 64 bits hold from 2000 on, but not from 1970 on.
    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2021",
            "2021-13-01 00:00:00",
            "2021-01-01",
            "2021-01-01 25:00:00",
            "2021-01-01 00:00:00+08",
            "21-01-01 00:00:00",
            "0000-01-01 00:00:00",
            "2021-01-01 00:00:00.1234567",
            "2021-01-01 00:00:00 AD",
            "294276-12-31 23:59:59.999999",
        ] {
            assert!(written(text, |t, j| timestamp(t, false, j)).is_err(), "{text}");
        }
        assert!(written("2021-01-01 00:00:00", zoned_timestamp).is_err());
        assert!(written("00:00", |t, j| time(t, false, j)).is_err());
    }

    proptest! {
        #[test]
        fn days_and_dates_are_inverse(days in -2_500_000_i64..110_000_000) {
            let (year, month, day) = date_of(days);
            prop_assert_eq!(days_of(year, month, day), days);
        }
    }
}
