//! When a new task starts.
//!
//! Owns the form of a point in time: RFC 3339, with an offset, as TOML spells it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::quantity::text_form;

/// When a task that has no position yet starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StartAt {
    /// With the process.
    Now,
    /// When a person says so.
    Manual,
    /// At a time.
    At(Moment),
}

const RULE: &str = "must be \"now\", \"manual\" or a time with its offset, as \"2026-12-24T18:00:00+01:00\"";

impl FromStr for StartAt {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<StartAt, &'static str> {
        match text {
            "now" => Ok(StartAt::Now),
            "manual" => Ok(StartAt::Manual),
            _ => text.parse().map(StartAt::At).map_err(|_| RULE),
        }
    }
}

impl fmt::Display for StartAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartAt::Now => f.write_str("now"),
            StartAt::Manual => f.write_str("manual"),
            StartAt::At(moment) => moment.fmt(f),
        }
    }
}

text_form!(StartAt, "^(now|manual|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2}))$", RULE);

/// A point in time: milliseconds since the Unix epoch, read and written as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Moment, &'static str> {
        const RULE: &str = "must be a time with its offset, as \"2026-12-24T18:00:00+01:00\"";
        // TOML's date-times are those of RFC 3339; it checks the days of each month.
        let read: toml::value::Datetime = text.parse().map_err(|_| RULE)?;
        let (Some(date), Some(time), Some(offset)) = (read.date, read.time, read.offset) else { return Err(RULE) };
        let minutes = match offset {
            toml::value::Offset::Z => 0,
            toml::value::Offset::Custom { minutes } => i64::from(minutes),
        };
        let (hour, minute) = (i64::from(time.hour), i64::from(time.minute));
        let second = i64::from(time.second.unwrap_or(0));
        let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
        let seconds = ((days * 24 + hour) * 60 + minute - minutes) * 60 + second;
        Ok(Moment(seconds * 1000 + i64::from(time.nanosecond.unwrap_or(0) / 1_000_000)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.div_euclid(1000), self.0.rem_euclid(1000));
        let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = date(day);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Days from the Unix epoch to a day of the Gregorian calendar: years begin in March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + of_year - 719_468
}

/// The day of the Gregorian calendar so many days after the Unix epoch.
fn date(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366);
    while self::days(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && self::days(year, month + 1, 1) <= days {
        month += 1;
    }
    (year, month, days - self::days(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_there_and_back() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2024-12-31T23:59:59.250Z", 1_735_689_599_250),
            ("2100-03-01T00:00:00-00:30", 4_107_544_200_000),
        ] {
            assert_eq!(text.parse(), Ok(Moment(millis)), "{text}");
            assert_eq!(Moment(millis).to_string().parse(), Ok(Moment(millis)), "{text}");
        }
        assert_eq!(Moment(1_735_689_599_250).to_string(), "2024-12-31T23:59:59.250Z");
        for day in (-800..60_000).step_by(17) {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }

    #[test]
    fn what_is_no_start() {
        for text in ["", "soon", "2026-12-24", "2026-12-24T18:00:00", "2026-02-30T00:00:00Z", "18:00:00"] {
            assert!(text.parse::<StartAt>().is_err(), "{text}");
        }
        for text in ["now", "manual", "2026-12-24T18:00:00.000Z"] {
            assert_eq!(text.parse::<StartAt>().map(|start| start.to_string()).as_deref(), Ok(text));
        }
    }
}
