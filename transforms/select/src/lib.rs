//! Default filter: replicates the tables that match `include` and not `exclude`.
//!
//! Decides by table name alone, in `announce`: a change costs nothing here. Knows no column and no row.

use millrace_guest::{Filter, FilterPlan, Module, Pattern, Relation};
use serde::Deserialize;

/// The module.
pub struct Select {
    config: Config,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Absent: every table.
    include: Option<Vec<Pattern<2>>>,
    #[serde(default)]
    exclude: Vec<Pattern<2>>,
}

impl Module for Select {
    const NAME: &'static str = "select";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Filter for Select {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        let config: Config = millrace_guest::config::parse(config)?;
        if config.include.as_ref().is_some_and(Vec::is_empty) {
            return Err("include: an empty list selects no table; leave it out to select every table".to_owned());
        }
        Ok(Self { config })
    }

    fn announce(&mut self, table: &Relation) -> Result<(FilterPlan, ()), String> {
        let named = |patterns: &[Pattern<2>]| patterns.iter().any(|p| p.matches([&table.schema, &table.table]));
        let Config { include, exclude } = &self.config;
        let keep = include.as_deref().is_none_or(named) && !named(exclude);
        Ok((if keep { FilterPlan::Keep } else { FilterPlan::Drop }, ()))
    }
}

millrace_guest::export!(Select: filter);

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &str) -> String {
        Select::init(config).err().unwrap()
    }

    #[test]
    fn a_bad_config_names_the_place() {
        let text = refused(r#"{"include":["public.*","orders"]}"#);
        assert_eq!(text, "include[1]: \"orders\" is not of the form schema.table");
        assert!(refused(r#"{"exclude":[7]}"#).starts_with("exclude[0]: invalid type"));
        assert!(refused(r#"{"includes":["a.b"]}"#).starts_with("includes: unknown field"));
        assert!(refused(r#"{"include":[]}"#).starts_with("include: an empty list"));
    }

    #[test]
    fn golden() {
        millrace_guest::golden::filter::<Select>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }
}
