//! Numerics as unscaled values: big-endian two's complement in base64, with the scale beside it where no column declares one.

use super::value::{digits, shown};
use crate::{JsonWriter, binary::append_base64};

/// Writes an exact numeric with its own scale: `{"scale":2,"value":"..."}`.
///
/// # Errors
/// The text is no decimal number; NaN and the infinities have no such form.
pub(super) fn precise(text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
    let number = Number::parse(text)?;
    json.raw(b"{\"scale\":");
    json.unsigned(number.fraction.len() as u64);
    json.raw(b",\"value\":");
    number.write(number.fraction.len(), json);
    json.raw(b"}");
    Ok(())
}

/// Writes an exact numeric of a declared scale: `"..."`.
///
/// # Errors
/// As [`precise`], or the number has more digits behind the point.
pub(super) fn scaled(text: &[u8], scale: usize, json: &mut JsonWriter<'_>) -> Result<(), String> {
    let number = Number::parse(text)?;
    if number.fraction.len() > scale {
        return Err(format!("{} has more than the {scale} decimals its column declares", shown(text)));
    }
    number.write(scale, json);
    Ok(())
}

struct Number<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Number<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, String> {
        let unsigned = text.strip_prefix(b"-").unwrap_or(text);
        let (whole, rest) = digits(unsigned);
        let fraction = match rest.strip_prefix(b".") {
            Some(fraction) if digits(fraction).1.is_empty() => Some(fraction),
            None if rest.is_empty() => Some(&b""[..]),
            _ => None,
        };
        match fraction {
            Some(fraction) if whole.len() + fraction.len() > 0 => {
                Ok(Self { negative: unsigned.len() < text.len(), whole, fraction })
            }
            _ => Err(match text {
                b"NaN" | b"Infinity" | b"-Infinity" => {
                    format!("{} has no precise form; decimal mode double or string has one", shown(text))
                }
                _ => format!("{} is no decimal number", shown(text)),
            }),
        }
    }

    /// Writes the unscaled value at a scale that is no less than the number's own.
    fn write(&self, scale: usize, json: &mut JsonWriter<'_>) {
        let Self { negative, whole, fraction } = *self;
        let zeros = scale - fraction.len();
        let digits = whole.iter().chain(fraction).copied().chain(std::iter::repeat_n(b'0', zeros));
        json.raw(b"\"");
        if whole.len() + scale <= 18 {
            let value = digits.fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
            append_base64(minimal(&if negative { -value } else { value }.to_be_bytes()), json.buffer());
        } else {
            append_base64(minimal(&big(digits, negative)), json.buffer());
        }
        json.raw(b"\"");
    }
}

/// Two's complement without the leading bytes that only repeat the sign.
fn minimal(mut bytes: &[u8]) -> &[u8] {
    while let [first, second, ..] = bytes {
        let repeated = (*first == 0 && second >> 7 == 0) || (*first == 0xff && second >> 7 == 1);
        if !repeated {
            break;
        }
        bytes = &bytes[1..];
    }
    bytes
}

/// Digits of any number as two's complement, nine at a time.
fn big(digits: impl Iterator<Item = u8>, negative: bool) -> Vec<u8> {
    let mut limbs: Vec<u32> = Vec::new();
    let (mut group, mut scale) = (0_u32, 1_u32);
    let mut add = |group: u32, scale: u32| {
        let mut carry = u64::from(group);
        for limb in &mut limbs {
            let value = u64::from(*limb) * u64::from(scale) + carry;
            *limb = value as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            limbs.push(carry as u32);
        }
    };
    for digit in digits {
        group = group * 10 + u32::from(digit - b'0');
        scale *= 10;
        if scale == 1_000_000_000 {
            add(group, scale);
            (group, scale) = (0, 1);
        }
    }
    add(group, scale);
    // A limb more holds the sign.
    limbs.push(0);
    if negative {
        let mut carry = true;
        for limb in &mut limbs {
            let (value, over) = (!*limb).overflowing_add(u32::from(carry));
            (*limb, carry) = (value, over);
        }
    }
    limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::value::tests::written, *};

    fn value_of(text: &str) -> (u64, Vec<u8>) {
        let json: serde_json::Value = serde_json::from_str(&written(text, precise).unwrap()).unwrap();
        (json["scale"].as_u64().unwrap(), unbase64(json["value"].as_str().unwrap()))
    }

    fn unbase64(text: &str) -> Vec<u8> {
        let place =
            |c: u8| "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".bytes().position(|a| a == c);
        let bits: Vec<_> = text.bytes().filter_map(place).flat_map(|v| (0..6).rev().map(move |b| v >> b & 1)).collect();
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |value, bit| value << 1 | *bit as u8)).collect()
    }

    #[test]
    fn scale_and_value_are_those_of_java() {
        // BigInteger.toByteArray of 123400, -1, 0, 128, -128, 255.
        for (text, scale, bytes) in [
            ("12.3400", 4, &[0x01, 0xe2, 0x08][..]),
            ("-0.01", 2, &[0xff]),
            ("0.00", 2, &[0]),
            ("128", 0, &[0, 0x80]),
            ("-128", 0, &[0x80]),
            (".255", 3, &[0, 0xff]),
        ] {
            assert_eq!(value_of(text), (scale, bytes.to_vec()), "{text}");
        }
        // The same value at a declared scale, with zeros where the number has fewer decimals.
        for (text, expected) in [("12.34", "\"AeII\""), ("12.3400", "\"AeII\""), ("-1", "\"2PA=\"")] {
            assert_eq!(written(text, |t, j| scaled(t, 4, j)).unwrap(), expected, "{text}");
        }
        assert!(written("1.00001", |t, j| scaled(t, 4, j)).is_err());
        for text in ["", "-", ".", "1.2.3", "1e5", "NaN"] {
            assert!(written(text, precise).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn many_digits_are_exact(value: i128, scale in 0..5_usize) {
            let text = value.to_string();
            let (sign, digits) = text.split_at(usize::from(value < 0));
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let text = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
            let (found_scale, bytes) = value_of(&text);
            let mut wide = [if bytes[0] >> 7 == 1 { 0xff } else { 0 }; 16];
            prop_assert!(bytes.len() <= 16);
            wide[16 - bytes.len()..].copy_from_slice(&bytes);
            prop_assert_eq!((found_scale as usize, i128::from_be_bytes(wide)), (scale, value));
            prop_assert_eq!(minimal(&bytes), &bytes[..]);
        }
    }
}
