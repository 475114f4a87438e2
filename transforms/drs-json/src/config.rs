//! The module's options. config.schema.json says the same to users.

use millrace_guest::{Binary, Escape, Money};
use serde::Deserialize;

/// Options; every one has a default.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) profile: Profile,
    /// Value of `dbType`.
    pub(crate) db_type: String,
    pub(crate) sql_type: SqlType,
    /// Whether `<` `>` `&` `=` `'` are written as escapes.
    pub(crate) html_escape: bool,
    pub(crate) binary: Binary,
    pub(crate) money: Money,
}

/// Which keys the envelope has.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// The sixteen recollected for GaussDB.
    Drs,
    /// The thirteen documented for MySQL, with `mysqlType` in place of `columnType`.
    MysqlLike,
}

/// What `sqlType` holds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SqlType {
    /// Codes of java.sql.Types.
    Jdbc,
    /// The key is left out.
    Omit,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Profile::Drs,
            db_type: "GaussDB".to_owned(),
            sql_type: SqlType::Jdbc,
            html_escape: true,
            binary: Binary::Hex,
            money: Money::Text,
        }
    }
}

impl Config {
    pub(crate) fn escape(&self) -> Escape {
        if self.html_escape { Escape::Html } else { Escape::Plain }
    }
}
