//! The module's options, checked. config.schema.json says the same to users.

use millrace_guest::Pattern;
use serde::Deserialize;

use crate::expression::Expression;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    rules: Vec<RuleOptions>,
    #[serde(default)]
    otherwise: Otherwise,
    #[serde(default)]
    on_error: OnError,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleOptions {
    tables: Vec<Pattern<2>>,
    keep: String,
}

/// What becomes of tables that no rule names.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Otherwise {
    #[default]
    Keep,
    Drop,
}

/// What becomes of a change for which the expression has no value.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnError {
    #[default]
    Fault,
    Keep,
    Drop,
}

/// The options, checked. The first rule that names a table decides.
pub(crate) struct Config {
    pub(crate) rules: Vec<Rule>,
    pub(crate) otherwise: Otherwise,
    pub(crate) on_error: OnError,
}

/// Tables, and which of their changes go on.
pub(crate) struct Rule {
    pub(crate) tables: Vec<Pattern<2>>,
    pub(crate) keep: Expression,
}

impl Config {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Options { rules, otherwise, on_error } = millrace_guest::config::parse(text)?;
        if rules.is_empty() {
            return Err("rules: an empty list filters no table; leave the module out".to_owned());
        }
        let check = |(i, RuleOptions { tables, keep }): (usize, RuleOptions)| {
            if tables.is_empty() {
                return Err(format!("rules[{i}].tables: an empty list names no table"));
            }
            let keep = Expression::parse(&keep).map_err(|why| format!("rules[{i}].keep: {why}"))?;
            Ok(Rule { tables, keep })
        };
        Ok(Self { rules: rules.into_iter().enumerate().map(check).collect::<Result<_, _>>()?, otherwise, on_error })
    }
}
