//! Values replaced by others of the same kind, so that a capture can leave the house.
//!
//! Owns what "the same kind" is for each type: a number stays a number of as many digits, a timestamp a timestamp, JSON stays JSON with
//! its field names, text keeps length, letter case, digits and punctuation. NULL and what was not sent stay what they are. The same value
//! gives the same replacement under the same key, whatever its column, so rows still join; with another key it gives another. Must not
//! know files.
//!
//! It hides values, not their shapes: lengths, NULLs, types, names of tables and columns, times of commits and the sequence of changes stay.
//! Short values have few replacements, so different ones may become equal.

mod scalar;
mod text;

use crate::events::Change;
use millrace_batch::{Column, Relation};
use millrace_host::Value;
use sha2::{Digest, Sha256};

/// Replaces values under one key.
#[derive(Clone)]
pub struct Masker {
    key: Vec<u8>,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masker")
    }
}

impl Masker {
    /// A masker with this key. Whoever knows the key can test guesses of a value against the capture: keep it as secret as the values.
    pub fn new(key: &[u8]) -> Masker {
        Masker { key: key.to_vec() }
    }

    /// Replaces the values of a change of this table.
    pub fn change(&self, relation: &Relation, change: &mut Change) {
        for image in [&mut change.new, &mut change.old].into_iter().flatten() {
            for (cell, column) in image.iter_mut().zip(&relation.columns) {
                if let Value::Text(text) = cell {
                    *text = self.value(column, text);
                }
            }
        }
    }

    /// The replacement of a value of a column.
    pub fn value(&self, column: &Column, text: &[u8]) -> Vec<u8> {
        let mut noise = Noise::new(&self.key, text);
        match std::str::from_utf8(text) {
            Ok(text) => scalar::replace(&column.type_name, text, &mut noise).into_bytes(),
            // Not text in any encoding known here: bytes of letters and digits only.
            Err(_) => text
                .iter()
                .map(|byte| if byte.is_ascii() { noise.like(char::from(*byte)) as u8 } else { *byte })
                .collect(),
        }
    }
}

/// An endless row of bytes that key and value decide.
pub(crate) struct Noise {
    seed: [u8; 32],
    block: [u8; 32],
    counter: u64,
    at: usize,
}

impl Noise {
    fn new(key: &[u8], value: &[u8]) -> Noise {
        let mut hash = Sha256::new();
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
        hash.update(value);
        Noise { seed: hash.finalize().into(), block: [0; 32], counter: 0, at: 32 }
    }

    fn byte(&mut self) -> u8 {
        if self.at == self.block.len() {
            let mut hash = Sha256::new();
            hash.update(self.seed);
            hash.update(self.counter.to_le_bytes());
            self.block = hash.finalize().into();
            self.counter += 1;
            self.at = 0;
        }
        self.at += 1;
        self.block[self.at - 1]
    }

    /// A number below `limit`, which is at most 2^32; the last ones are rarer by less than one in 2^30.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let mut number = 0u64;
        for _ in 0..8 {
            number = number << 8 | u64::from(self.byte());
        }
        number % limit
    }

    /// A character of the same kind and of as many bytes; punctuation and spaces are themselves.
    pub(crate) fn like(&mut self, character: char) -> char {
        let from = |start: u32, count: u64, noise: &mut Noise| {
            char::from_u32(start + noise.below(count) as u32).unwrap_or(character)
        };
        match character {
            '0'..='9' => from(u32::from(b'0'), 10, self),
            'a'..='z' => from(u32::from(b'a'), 26, self),
            'A'..='Z' => from(u32::from(b'A'), 26, self),
            _ if character.is_ascii() || !character.is_alphanumeric() => character,
            _ => match character.len_utf8() {
                // Greek, Chinese, and Chinese of the second plane: letters without a gap.
                2 => from(0x3b1, 17, self),
                3 => from(0x4e00, 20_000, self),
                _ => from(0x2_0000, 40_000, self),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(type_name: &str) -> Column {
        Column {
            name: "c".into(),
            type_name: type_name.into(),
            type_oid: 0,
            type_modifier: -1,
            jdbc_type: 0,
            key_position: 0,
        }
    }

    fn mask(key: &str, type_name: &str, text: &str) -> String {
        String::from_utf8(Masker::new(key.as_bytes()).value(&column(type_name), text.as_bytes())).unwrap()
    }

    /// Every letter and digit as its kind.
    fn shape(text: &str) -> String {
        let kind = |c: char| match c {
            '0'..='9' => '9',
            'a'..='z' => 'a',
            'A'..='Z' => 'A',
            c if c.is_ascii() || !c.is_alphanumeric() => c,
            c => ['?', '2', '3', '4'][c.len_utf8() - 1],
        };
        text.chars().map(kind).collect()
    }

    #[test]
    fn values_keep_their_type() {
        for (type_name, text) in [
            ("bigint", "9223372036854775807"),
            ("integer", "-2147483648"),
            ("smallint", "32767"),
            ("numeric", "-12345.6700"),
            ("double precision", "1.5e-07"),
            ("character varying", "Ann O'Hara, Köln 北京 😀 x1"),
            ("uuid", "7b1c9a5e-3f0d-4c56-9d4e-2f8a1b6c0d3e"),
            ("timestamp with time zone", "2026-11-24 09:58:07.123456+00"),
            ("date", "2026-02-28"),
            ("time without time zone", "23:59:59"),
            ("bytea", "00ff7a"),
            ("bit varying", "1011001011110000"),
        ] {
            let masked = mask("k", type_name, text);
            assert_ne!(masked, text, "{type_name}");
            if !matches!(type_name, "uuid" | "bytea") {
                assert_eq!(shape(&masked), shape(text), "{type_name}");
            }
            assert_eq!(masked.len(), text.len(), "{type_name}");
            assert_eq!(masked, mask("k", type_name, text), "the same again");
            assert_ne!(masked, mask("another", type_name, text), "{type_name}: the key counts");
        }
        assert!(mask("k", "bigint", "9223372036854775807").parse::<i64>().is_ok());
        assert!(mask("k", "integer", "-2147483648").parse::<i32>().is_ok());
        for text in ["NaN", "Infinity", "infinity", "-infinity"] {
            assert_eq!(mask("k", "numeric", text), text);
            assert_eq!(mask("k", "date", text), text);
        }
        assert!(["true", "false"].contains(&mask("k", "boolean", "true").as_str()));
    }

    #[test]
    fn json_and_arrays_stay_what_they_are() {
        let text = r#"{"name": "Ann \"A\" \u00e9\n", "n": [1, 20.5, -3e2, true, null], "name2": {"deep": "x"}}"#;
        let masked: serde_json::Value = serde_json::from_str(&mask("k", "jsonb", text)).unwrap();
        let keys: Vec<&String> = masked.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "n", "name2"]);
        assert_eq!((&masked["n"][3], &masked["n"][4]), (&true.into(), &serde_json::Value::Null));
        assert!(masked["n"][1].is_number() && masked["name"] != "Ann \"A\" é\n");
        assert!(!mask("k", "json", text).contains("Ann"));

        let masked = mask("k", "integer[]", "{2147483647,NULL,-5}");
        let items: Vec<&str> = masked.trim_matches(['{', '}']).split(',').collect();
        assert!(items[0].parse::<i32>().is_ok() && items[1] == "NULL" && items[2].starts_with('-'), "{masked}");
        assert_eq!(
            shape(&mask("k", "text[]", r#"{ab,"c d\"",NULL}"#)),
            r#"{aa,"a a\"",AAAA}"#.replace("AAAA", &shape("NULL"))
        );
        assert!(mask("k", "text[]", "{ab,NULL}").ends_with(",NULL}"));
    }

    proptest! {
        #[test]
        fn numbers_stay_in_their_range(n: i64, m: i32, s: i16) {
            prop_assert!(mask("k", "bigint", &n.to_string()).parse::<i64>().is_ok());
            prop_assert!(mask("k", "integer", &m.to_string()).parse::<i32>().is_ok());
            prop_assert!(mask("k", "smallint", &s.to_string()).parse::<i16>().is_ok());
        }

        #[test]
        fn any_text_of_any_type_gives_text(text in ".{0,40}", which in 0usize..9) {
            let types = ["text", "jsonb", "numeric", "timestamp with time zone", "date", "bigint", "integer[]", "interval", "inet"];
            prop_assert!(!mask("k", types[which], &text).is_empty() || text.is_empty());
        }

        #[test]
        fn json_stays_json(text in r#"[a-z"\\{}éß ]{0,12}"#, n: f64) {
            prop_assume!(n.is_finite());
            let value = serde_json::json!({ "a": text, "b": [n, null, text], text.clone(): false });
            let masked: serde_json::Value = serde_json::from_str(&mask("k", "jsonb", &value.to_string())).unwrap();
            prop_assert_eq!(masked.as_object().unwrap().len(), value.as_object().unwrap().len());
        }

        #[test]
        fn times_stay_times(month in 1u32..13, day in 1u32..29, hour in 0u32..24, minute in 0u32..60) {
            let masked = mask("k", "timestamp without time zone", &format!("2024-{month:02}-{day:02} {hour:02}:{minute:02}:00"));
            let number = |range: std::ops::Range<usize>| masked[range].parse::<u32>().unwrap();
            prop_assert!((1..13).contains(&number(5..7)) && (1..29).contains(&number(8..10)), "{}", masked);
            prop_assert!(number(11..13) < 24 && number(14..16) < 60 && number(17..19) < 60, "{}", masked);
        }
    }
}
