//! One value by its type.

use super::Noise;
use super::text::{array, json, text};

/// The replacement of a value of the type with this catalogue name.
pub(super) fn replace(type_name: &str, value: &str, noise: &mut Noise) -> String {
    if let Some(element) = type_name.strip_suffix("[]") {
        return array(element, value, noise);
    }
    match type_name {
        "boolean" => if noise.below(2) == 0 { "false" } else { "true" }.to_owned(),
        "tinyint" => integer(value, 3, noise),
        "smallint" => integer(value, 5, noise),
        "integer" | "oid" => integer(value, 10, noise),
        "bigint" => integer(value, 19, noise),
        "numeric" | "real" | "double precision" | "money" => decimal(value, noise),
        "bytea" | "raw" | "blob" | "uuid" => hexadecimal(value, noise),
        "bit" | "bit varying" => value
            .chars()
            .map(|c| if matches!(c, '0' | '1') { ['0', '1'][noise.below(2) as usize] } else { c })
            .collect(),
        "json" | "jsonb" => json(value, noise),
        "inet" | "cidr" | "macaddr" | "macaddr8" => address(value, noise),
        _ if type_name.starts_with("timestamp") || matches!(type_name, "date" | "smalldatetime") => {
            moment(value, noise)
        }
        _ if type_name.starts_with("time ") => clock(value, noise),
        // Words in these are keywords.
        "interval" | "tsvector" | "tsquery" | "point" | "line" | "lseg" | "box" | "path" | "polygon" | "circle" => {
            digits(value, noise)
        }
        _ => text(value, noise),
    }
}

/// Digits replaced, everything else kept; a number does not begin to have leading zeros, or cease to.
pub(super) fn digits(value: &str, noise: &mut Noise) -> String {
    let mut within = false;
    let digit = |c: char| {
        let first = c.is_ascii_digit() && !within;
        within = c.is_ascii_digit() || (within && c == '.');
        match c {
            '1'..='9' if first => leading(noise),
            '0' if first => '0',
            '0'..='9' => noise.like(c),
            other => other,
        }
    };
    value.chars().map(digit).collect()
}

fn leading(noise: &mut Noise) -> char {
    char::from(b'1' + noise.below(9) as u8)
}

/// As many digits; one that has as many as its type can have begins with 1, which the type always takes.
fn integer(value: &str, most: usize, noise: &mut Noise) -> String {
    let masked = digits(value, noise);
    let start = masked.find(|c: char| c.is_ascii_digit()).unwrap_or(masked.len());
    if masked.len() - start < most {
        return masked;
    }
    let (sign, rest) = masked.split_at(start);
    format!("{sign}1{}", &rest[1..])
}

/// Sign, point and exponent are kept.
fn decimal(value: &str, noise: &mut Noise) -> String {
    match value.find(['e', 'E']) {
        Some(exponent) => digits(&value[..exponent], noise) + &value[exponent..],
        None => digits(value, noise),
    }
}

fn hexadecimal(value: &str, noise: &mut Noise) -> String {
    let digit =
        |c: char| if c.is_ascii_hexdigit() { char::from_digit(noise.below(16) as u32, 16).unwrap_or(c) } else { c };
    value.chars().map(digit).collect()
}

/// Numbers of an address stay below 200, the prefix length stays.
fn address(value: &str, noise: &mut Noise) -> String {
    let (host, prefix) = value.split_at(value.find('/').unwrap_or(value.len()));
    if host.contains(':') {
        return hexadecimal(host, noise) + prefix;
    }
    let part = |part: &str| match part.len() {
        3 => format!("1{:02}", noise.below(100)),
        _ => digits(part, noise),
    };
    host.split('.').map(part).collect::<Vec<_>>().join(".") + prefix
}

/// `YYYY-MM-DD HH:MM:SS.ffffff+zz`: the century and the zone stay, the day is one that every month has.
fn moment(value: &str, noise: &mut Noise) -> String {
    let dated = value.as_bytes();
    let plain =
        |range: std::ops::Range<usize>| dated.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    if !(plain(0..4) && plain(5..7) && plain(8..10) && value.as_bytes()[4] == b'-' && value.is_char_boundary(10)) {
        // Infinity, or a year of another length.
        return digits_of_words(value, noise);
    }
    let date = format!("{}{:02}-{:02}-{:02}", &value[..2], noise.below(100), 1 + noise.below(12), 1 + noise.below(28));
    // Year 0 does not exist.
    let date = date.strip_prefix("0000").map(|rest| format!("0001{rest}")).unwrap_or(date);
    date + &clock(&value[10..], noise)
}

fn digits_of_words(value: &str, noise: &mut Noise) -> String {
    if value.contains(|c: char| c.is_ascii_digit()) { digits(value, noise) } else { value.to_owned() }
}

/// `HH:MM:SS.ffffff+zz`, with anything before it; the zone stays.
fn clock(value: &str, noise: &mut Noise) -> String {
    let Some(start) = value.find(|c: char| c.is_ascii_digit()) else { return value.to_owned() };
    let (lead, rest) = value.split_at(start);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let (whole, fraction) = time.split_at(time.find('.').unwrap_or(time.len()));
    let part = |(at, part): (usize, &str)| match (at, part.len()) {
        (0, 2) => format!("{:02}", noise.below(24)),
        (_, 2) => format!("{:02}", noise.below(60)),
        _ => part.to_owned(),
    };
    let whole = whole.split(':').enumerate().map(part).collect::<Vec<_>>().join(":");
    let fraction: String = fraction.chars().map(|c| noise.like(c)).collect();
    format!("{lead}{whole}{fraction}{zone}")
}
