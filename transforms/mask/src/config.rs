//! The module's options, checked. config.schema.json says the same to users.

use hmac::{Hmac, Mac};
use millrace_guest::Pattern;
use serde::Deserialize;

use crate::action::Action;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    rules: Vec<RuleOptions>,
}

// No Debug: `key` is a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleOptions {
    columns: Vec<Pattern<3>>,
    r#do: Verb,
    key: Option<String>,
    with: Option<String>,
    keep_first: Option<usize>,
    keep_last: Option<usize>,
    length: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Verb {
    Hash,
    Redact,
    Truncate,
    Null,
}

/// The shortest key of a hash, in bytes: a shorter one is guessed sooner than the values.
const KEY: usize = 16;

/// The rules; the first that names a column decides.
pub(crate) struct Config {
    pub(crate) rules: Vec<Rule>,
}

/// Columns and what is done to them.
pub(crate) struct Rule {
    pub(crate) columns: Vec<Pattern<3>>,
    pub(crate) action: Action,
}

impl Config {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let options: Options =
            millrace_guest::config::parse(text).map_err(|e| match e.strip_prefix("config: missing field `rules`") {
                Some(_) => "rules: at least one is needed".to_owned(),
                None => e,
            })?;
        if options.rules.is_empty() {
            return Err("rules: at least one is needed".to_owned());
        }
        let rules = options.rules.into_iter().enumerate();
        let rules = rules.map(|(i, rule)| rule.check().map_err(|why| format!("rules[{i}].{why}")));
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }
}

impl RuleOptions {
    fn check(self) -> Result<Rule, String> {
        let Self { columns, r#do: verb, key, with, keep_first, keep_last, length } = self;
        if columns.is_empty() {
            return Err("columns: an empty list names no column".to_owned());
        }
        // What belongs to one action is a mistake beside another.
        for (name, given, belongs) in [
            ("key", key.is_some(), verb == Verb::Hash),
            ("with", with.is_some(), verb == Verb::Redact),
            ("keep_first", keep_first.is_some(), verb == Verb::Redact),
            ("keep_last", keep_last.is_some(), verb == Verb::Redact),
            ("length", length.is_some(), verb == Verb::Truncate),
        ] {
            if given && !belongs {
                return Err(format!("{name}: it means nothing to this action"));
            }
        }
        let action = match verb {
            Verb::Hash => {
                let key = key.filter(|key| key.len() >= KEY);
                let key = key.ok_or_else(|| format!("key: a hash needs a secret of at least {KEY} bytes"))?;
                Action::Hash(Box::new(Hmac::new_from_slice(key.as_bytes()).map_err(|e| format!("key: {e}"))?))
            }
            Verb::Redact => Action::Redact {
                with: with.unwrap_or_else(|| "***".to_owned()),
                first: keep_first.unwrap_or(0),
                last: keep_last.unwrap_or(0),
            },
            Verb::Truncate => Action::Truncate(length.ok_or("length: how many characters stay")?),
            Verb::Null => Action::Null,
        };
        Ok(Rule { columns, action })
    }
}
