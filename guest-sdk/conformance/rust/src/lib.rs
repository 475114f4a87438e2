//! The reference module in Rust: what `guest-sdk/conformance/README.md` says, so that the golden files have an author.
//!
//! Written as a module author would write it, with the kit alone; the modules in the other languages say the same.

mod filter;
mod format;
mod map;
mod route;
mod settings;

use millrace_guest::Module;

/// All four stages.
pub enum Conformance {
    /// As a filter: rows of at least this amount.
    Filter {
        /// The least amount that goes on.
        min: i64,
    },
    /// As a map.
    Map(map::Rules),
    /// As a router: the topic, or what topics begin with.
    Route {
        /// Given by the config.
        topic: String,
    },
    /// As a format: the tables with a second record.
    Format {
        /// Names of tables.
        audit: Vec<String>,
        /// Whether values have a schema.
        schema: bool,
    },
}

impl Module for Conformance {
    const NAME: &'static str = "conformance";
    const VERSION: &'static str = "1.0.0";
    const CONFIG_SCHEMA: &'static str = r#"{"type":"object"}"#;
}

/// The text for an instance that is asked as another stage than it was started as: the host never does that.
pub(crate) fn other_stage() -> String {
    "this instance is of another stage".to_owned()
}

/// A cell of one column, or the text of its fault where the source did not send it.
pub(crate) fn not_sent(column: &str) -> String {
    format!("{column}: not sent by the source")
}

millrace_guest::export!(Conformance: transform);

#[cfg(test)]
mod tests {
    use super::Conformance;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/");

    #[test]
    fn filter() {
        millrace_guest::golden::filter::<Conformance>(&format!("{GOLDEN}filter"));
    }

    #[test]
    fn map() {
        millrace_guest::golden::map::<Conformance>(&format!("{GOLDEN}map"));
    }

    #[test]
    fn route() {
        millrace_guest::golden::route::<Conformance>(&format!("{GOLDEN}route"));
    }

    #[test]
    fn format() {
        millrace_guest::golden::format::<Conformance>(&format!("{GOLDEN}format"));
    }
}
