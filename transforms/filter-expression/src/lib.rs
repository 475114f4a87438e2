//! Filter: keeps the changes for which an expression of the Common Expression Language (CEL) is true.
//!
//! Reads the columns that the expression names and no others. An expression over names of tables alone is settled in the plan.

mod binding;
mod config;
mod expression;

use binding::Binding;
use cel::Context;
use config::{Config, OnError, Otherwise};
use millrace_guest::{Change, Filter, FilterPlan, Module, Relation};

/// The module.
pub struct FilterExpression {
    config: Config,
    /// What expressions may call.
    functions: Context<'static>,
}

impl Module for FilterExpression {
    const NAME: &'static str = "filter-expression";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Filter for FilterExpression {
    /// `None`: the plan says all.
    type Table = Option<Binding>;

    fn init(config: &str) -> Result<Self, String> {
        Ok(Self { config: Config::parse(config)?, functions: Context::default() })
    }

    fn announce(&mut self, table: &Relation) -> Result<(FilterPlan, Self::Table), String> {
        let Config { rules, otherwise, .. } = &self.config;
        let names = [table.schema.as_str(), &table.table];
        let Some(number) = rules.iter().position(|rule| rule.tables.iter().any(|p| p.matches(names))) else {
            let plan = if *otherwise == Otherwise::Keep { FilterPlan::Keep } else { FilterPlan::Drop };
            return Ok((plan, None));
        };
        let expression = &rules[number].keep;
        let (binding, reads) = Binding::new(number, expression, table)?;
        if expression.is_constant() {
            let keep = binding
                .evaluate(expression, &self.functions, None)
                .map_err(|why| format!("rules[{number}].keep on table {}.{}: {why}", table.schema, table.table))?;
            return Ok((if keep { FilterPlan::Keep } else { FilterPlan::Drop }, None));
        }
        Ok((FilterPlan::PerChange(reads), Some(binding)))
    }

    fn keep(&mut self, table: &Self::Table, change: &Change<'_>) -> Result<bool, String> {
        let binding = table.as_ref().ok_or("this table is settled by its plan")?;
        let verdict = binding.evaluate(&self.config.rules[binding.rule].keep, &self.functions, Some(change));
        match (verdict, self.config.on_error) {
            (Ok(keep), _) => Ok(keep),
            (Err(why), OnError::Fault) => Err(format!("rules[{}].keep: {why}", binding.rule)),
            (Err(_), OnError::Keep) => Ok(true),
            (Err(_), OnError::Drop) => Ok(false),
        }
    }
}

millrace_guest::export!(FilterExpression: filter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        millrace_guest::golden::filter::<FilterExpression>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }

    #[test]
    fn a_bad_config_names_the_place() {
        for (config, start) in [
            (r#"{"rules":[]}"#, "rules: "),
            (r#"{"rules":[{"tables":[],"keep":"true"}]}"#, "rules[0].tables: "),
            (r#"{"rules":[{"tables":["*.*"],"keep":"quantity > 1"}]}"#, "rules[0].keep: quantity: no such name"),
            (r#"{"rules":[{"tables":["*.*"],"keep":"1 +"}]}"#, "rules[0].keep: "),
            (r#"{"rules":[{"tables":["*.*"],"keep":"true"}],"on_error":"skip"}"#, "on_error: "),
        ] {
            let error = FilterExpression::init(config).err().unwrap();
            assert!(error.starts_with(start), "{config}: {error}");
        }
    }
}
