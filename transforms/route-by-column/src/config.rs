//! The module's options, checked. config.schema.json says the same to users.

use millrace_guest::Pattern;
use serde::Deserialize;

use crate::template::Template;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    rules: Vec<RuleOptions>,
    #[serde(default)]
    sanitize: bool,
    null: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleOptions {
    tables: Vec<Pattern<2>>,
    topic: String,
    key: Option<Vec<String>>,
}

/// The rules; the first that names a table decides.
pub(crate) struct Config {
    pub(crate) rules: Vec<Rule>,
    /// Whether a name that Kafka refuses is altered instead of refused.
    pub(crate) sanitize: bool,
    /// What stands in a topic's name for NULL.
    pub(crate) null: Option<String>,
}

/// Where the changes of some tables go.
pub(crate) struct Rule {
    pub(crate) tables: Vec<Pattern<2>>,
    pub(crate) topic: Template,
    /// Absent: the primary key.
    pub(crate) key: Option<Vec<String>>,
}

impl Config {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Options { rules, sanitize, null } = millrace_guest::config::parse(text)?;
        if rules.is_empty() {
            return Err("rules: an empty list routes no table".to_owned());
        }
        let check = |(i, RuleOptions { tables, topic, key }): (usize, RuleOptions)| {
            if tables.is_empty() {
                return Err(format!("rules[{i}].tables: an empty list names no table"));
            }
            if key.as_ref().is_some_and(Vec::is_empty) {
                return Err(format!("rules[{i}].key: an empty list names no column; leave it out for the primary key"));
            }
            let topic = Template::parse(&topic).map_err(|why| format!("rules[{i}].topic: {why}"))?;
            Ok(Rule { tables, topic, key })
        };
        Ok(Self { rules: rules.into_iter().enumerate().map(check).collect::<Result<_, _>>()?, sanitize, null })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_config_names_the_place() {
        for (config, start) in [
            (r#"{"rules":[]}"#, "rules: "),
            (r#"{"rules":[{"tables":[],"topic":"t"}]}"#, "rules[0].tables: "),
            (r#"{"rules":[{"tables":["a"],"topic":"t"}]}"#, "rules[0].tables[0]: "),
            (r#"{"rules":[{"tables":["*.*"],"topic":"${a"}]}"#, "rules[0].topic: "),
            (r#"{"rules":[{"tables":["*.*"],"topic":"t","key":[]}]}"#, "rules[0].key: "),
            (r#"{"rules":[{"tables":["*.*"],"topic":"t"}],"nul":""}"#, "nul: unknown field"),
        ] {
            let error = Config::parse(config).err().unwrap();
            assert!(error.starts_with(start), "{config}: {error}");
        }
    }
}
