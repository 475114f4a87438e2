//! Names with rules: of the task, of what the task owns at the source, and of topics.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::quantity::text_form;

/// Declares a checked text newtype.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $pattern:expr, $rule:expr, $legal:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<$type, &'static str> {
                let legal: fn(&str) -> bool = $legal;
                if legal(text) { Ok($type(text.to_owned())) } else { Err($rule) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_form!($type, $pattern, $rule);
    };
}

name!(
    /// Name of the task: it names the slot, the transactional id and the key of its positions.
    TaskName,
    "^[A-Za-z][A-Za-z0-9_-]{3,49}$",
    "must have 4 to 50 characters, first a letter, then letters, digits, '-' and '_'",
    |text| (4..=50).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphabetic()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
);

name!(
    /// Free text about the task.
    Description,
    "^[^!=<>'&\"\\\\]{0,256}$",
    "must have at most 256 characters and none of ! = < > ' & \" \\",
    |text| text.chars().count() <= 256 && !text.contains(['!', '=', '<', '>', '\'', '&', '"', '\\'])
);

name!(
    /// Name of a replication slot. The rules are PostgreSQL's; the first character is the managed service's rule.
    SlotName,
    "^[a-z_][a-z0-9_]{0,62}$",
    "must have 1 to 63 characters, lower-case letters, digits and '_', first not a digit",
    |text| (1..=63).contains(&text.len())
        && !text.as_bytes()[0].is_ascii_digit()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
);

name!(
    /// An SQL name of the source: a database, a role, a publication. PostgreSQL cuts longer ones in silence.
    SqlName,
    "^.{1,63}$",
    "must have 1 to 63 bytes and no NUL",
    |text| (1..=63).contains(&text.len()) && !text.contains('\0')
);

name!(
    /// Name of a Kafka topic, by the broker's rules (`org.apache.kafka.common.internals.Topic`).
    TopicName,
    "^[A-Za-z0-9._-]{1,249}$",
    "must be a legal topic name: 1 to 249 letters, digits, '.', '_' and '-', not \".\" or \"..\"",
    is_legal_topic
);

/// Whether a broker would take this as the name of a topic.
pub fn is_legal_topic(text: &str) -> bool {
    (1..=249).contains(&text.len())
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Which tables: `schema.table`, where `*` stands for any run of characters inside one part and a part in double quotes is
/// taken as it is, `""` standing for a quote. Case counts, as in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    schema: Part,
    table: Part,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Exact(String),
    Stars(String),
}

const PATTERN_RULE: &str = "must have the form schema.table: '*' for any characters, a name with spaces or any of \
                            / < . > \\ ' ` | , ? ! in double quotes";

text_form!(
    Pattern,
    "^(\"([^\"]|\"\")+\"|[^./<>\\\\'`|,?! \"]+)\\.(\"([^\"]|\"\")+\"|[^./<>\\\\'`|,?! \"]+)$",
    PATTERN_RULE
);

/// Characters the managed service bars from names of databases, schemas and tables, and the space.
pub const ILLEGAL_IN_OBJECT: [char; 12] = ['/', '<', '.', '>', '\\', '\'', '`', '|', ',', '?', '!', ' '];

impl FromStr for Pattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Pattern, &'static str> {
        let read = || {
            let (schema, rest) = part(text)?;
            let (table, rest) = part(rest.strip_prefix('.')?)?;
            rest.is_empty().then(|| Pattern { text: text.to_owned(), schema, table })
        };
        read().ok_or(PATTERN_RULE)
    }
}

/// Reads one part of a pattern and gives the rest of the text.
fn part(text: &str) -> Option<(Part, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let legal = (1..=63).contains(&name.len()) && !name.contains(ILLEGAL_IN_OBJECT) && !name.contains(['"', '\0']);
        let part = if name.contains('*') { Part::Stars } else { Part::Exact };
        return legal.then(|| (part(name.to_owned()), rest));
    };
    let mut name = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        let Some(more) = after.strip_prefix('"') else {
            let legal = (1..=63).contains(&name.len()) && !name.contains('\0');
            return legal.then_some((Part::Exact(name), after));
        };
        name.push('"');
        rest = more;
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Part {
    fn covers(&self, name: &str) -> bool {
        match self {
            Part::Exact(exact) => exact == name,
            Part::Stars(pattern) => covers(pattern.as_bytes(), name.as_bytes()),
        }
    }
}

impl Pattern {
    /// The pattern of exactly one table; `None` where no pattern can say its name.
    pub fn of(schema: &str, table: &str) -> Option<Pattern> {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        format!("{}.{}", quoted(schema), quoted(table)).parse().ok()
    }

    /// Schema and table where the pattern names exactly one table.
    pub fn exact(&self) -> Option<(&str, &str)> {
        match (&self.schema, &self.table) {
            (Part::Exact(schema), Part::Exact(table)) => Some((schema, table)),
            _ => None,
        }
    }

    /// The pattern as `mppdb_decoding` writes it in its white list: raw names, `*` for a whole part. `None` where it cannot say it.
    pub fn white_list_entry(&self) -> Option<String> {
        let part = |part: &Part| match part {
            Part::Exact(name) | Part::Stars(name) if name == "*" => {
                matches!(part, Part::Stars(_)).then(|| "*".to_owned())
            }
            Part::Exact(name) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_$".contains(&b)) => {
                Some(name.clone())
            }
            _ => None,
        };
        Some(format!("{}.{}", part(&self.schema)?, part(&self.table)?))
    }

    /// Whether the pattern covers this table.
    pub fn covers(&self, schema: &str, table: &str) -> bool {
        self.schema.covers(schema) && self.table.covers(table)
    }
}

/// Matches text against a pattern with `*`; linear in time times the number of stars, no recursion.
fn covers(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            star = Some((star_p, star_t + 1));
            p = star_p + 1;
            t = star_t + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_cover_what_they_say() {
        for (pattern, schema, table, yes) in [
            ("*.*", "public", "orders", true),
            ("public.*", "public", "", true),
            ("public.*", "public2", "orders", false),
            ("public.o*s", "public", "orders", true),
            ("public.o*s", "public", "order", false),
            ("public.*a*b", "public", "xaxbxb", true),
            ("public.orders", "public", "Orders", false),
            ("p*c.ord*", "public", "ord", true),
            ("public.\"a.b *\"", "public", "a.b *", true),
            ("\"a\"\"b\".c", "a\"b", "c", true),
        ] {
            assert_eq!(
                pattern.parse::<Pattern>().map(|p| p.covers(schema, table)),
                Ok(yes),
                "{pattern} {schema}.{table}"
            );
        }
    }

    #[test]
    fn a_pattern_for_any_table() {
        let pattern = Pattern::of("a\"b", "c.d *").unwrap();
        assert_eq!(pattern.exact(), Some(("a\"b", "c.d *")));
        assert!(pattern.covers("a\"b", "c.d *") && !pattern.covers("a\"b", "c.d x"));
    }

    #[test]
    fn the_white_list_says_what_it_can() {
        let entry = |pattern: &str| pattern.parse::<Pattern>().unwrap().white_list_entry();
        assert_eq!(entry("public.Orders").as_deref(), Some("public.Orders"));
        assert_eq!((entry("s.*").as_deref(), entry("*.*").as_deref()), (Some("s.*"), Some("*.*")));
        for none in ["s.o*", "s.\"a b\"", "s.\"*\"", "s.\u{e4}"] {
            assert_eq!(entry(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_star_in_the_middle_means_prefix_and_suffix(a in "[ab]{0,4}", b in "[ab]{0,4}", text in "[ab]{0,10}") {
            let expected = text.len() >= a.len() + b.len() && text.starts_with(&a) && text.ends_with(&b);
            prop_assert_eq!(covers(format!("{a}*{b}").as_bytes(), text.as_bytes()), expected);
        }
    }
}
