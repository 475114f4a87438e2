//! Which product a server is, by what it says of itself. Pure: parameters and texts in, names out.
//!
//! Evidence, weakest first: the parameters reported at log-in tell the family without a query, `version()` the product and
//! its version, `gs_deployment()` (newer builds) or the data nodes in `pgxc_node` the deployment.

use crate::options::Dialect;
use std::collections::BTreeMap;

/// A product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Product {
    /// PostgreSQL and what calls itself so.
    PostgreSql,
    /// openGauss.
    OpenGauss,
    /// GaussDB, centralized or distributed.
    GaussDb,
    /// A relative of openGauss under another name.
    GaussRelative,
}

impl Product {
    /// How to talk to it.
    pub fn dialect(self) -> Dialect {
        match self {
            Product::PostgreSql => Dialect::PostgreSql,
            Product::OpenGauss | Product::GaussDb | Product::GaussRelative => Dialect::GaussDb,
        }
    }
}

/// A product and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductVersion {
    /// The product.
    pub product: Product,
    /// Its own version as it writes it (`15.20`, `6.0.2`, `505.2.1.SPC0800`), empty where it does not say. The parameter
    /// `server_version` is no substitute: openGauss and GaussDB say `9.2.4` there, whatever they are.
    pub version: String,
}

impl ProductVersion {
    /// Identifies a server by the parameters it reported at log-in and by the text of `version()`, where it was asked. `None`
    /// when they name no product we know.
    pub fn identify(parameters: &BTreeMap<String, String>, version: Option<&str>) -> Option<Self> {
        let text = version.unwrap_or_default();
        // Never reported by PostgreSQL. Its value says nothing: it is `off` for administrators too.
        let family = parameters.contains_key("is_sysadmin");
        let named = |name: &str| text.find(name).map(|at| word(&text[at + name.len()..]));
        // In this order: GaussDB's text may hold the other names too.
        let (product, version) = if let Some(version) = named("GaussDB Kernel ") {
            (Product::GaussDb, version)
        } else if let Some(version) = named("openGauss ") {
            (Product::OpenGauss, version)
        } else if family {
            // `(NAME VERSION build ...`
            let inside = text.split_once('(').and_then(|(_, inside)| inside.split_once(' '));
            (Product::GaussRelative, inside.map_or("", |(_, rest)| word(rest)))
        } else if let Some(version) = text.strip_prefix("PostgreSQL ") {
            (Product::PostgreSql, word(version))
        } else if version.is_none() && parameters.contains_key("is_superuser") {
            (Product::PostgreSql, word(parameters.get("server_version").map_or("", String::as_str)))
        } else {
            return None;
        };
        Some(Self { product, version: version.to_owned() })
    }
}

/// Up to the blank or parenthesis that ends it.
fn word(text: &str) -> &str {
    text.split([' ', ')', ',']).next().unwrap_or_default()
}

/// Whether the rows live in one node or in many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    /// One primary.
    Centralized,
    /// Coordinators and several primary data nodes, each with a log of its own.
    Distributed,
}

impl Deployment {
    /// By the answer of `gs_deployment()`, `None` where the server has no such function (42883), and by the number of data
    /// nodes (`node_type = 'D'`) in `pgxc_node`, `None` where it was not asked or is missing. `None` when neither tells.
    pub fn identify(gs_deployment: Option<&str>, data_nodes: Option<u64>) -> Option<Self> {
        match (gs_deployment, data_nodes) {
            (Some("Distribute"), _) => Some(Deployment::Distributed),
            (Some("BusinessCentralized" | "OpenSourceCentralized"), _) => Some(Deployment::Centralized),
            (None, Some(0)) => Some(Deployment::Centralized),
            (None, Some(_)) => Some(Deployment::Distributed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identify(reported: &[(&str, &str)], version: Option<&str>) -> Option<(Product, String)> {
        let parameters = reported.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ProductVersion::identify(&parameters, version).map(|found| (found.product, found.version))
    }

    const GAUSS: &[(&str, &str)] = &[("is_sysadmin", "off"), ("server_version", "9.2.4")];
    const POSTGRESQL: &[(&str, &str)] = &[("is_superuser", "on"), ("server_version", "15.20 (Debian 15.20-1)")];

    #[test]
    fn each_product_is_known_by_its_text() {
        let recorded = "(openGauss 6.0.2 build 585be54d) compiled at 2026-11-23 00:30:26 commit 0 last mr  release";
        let is = |product, version: &str| Some((product, version.to_owned()));
        assert_eq!(identify(GAUSS, Some(recorded)), is(Product::OpenGauss, "6.0.2"));
        let gaussdb = "gaussdb (GaussDB Kernel 505.2.1.SPC0800 build 4e3ab3b1) compiled at 2025-01-01 00:00:00";
        assert_eq!(identify(GAUSS, Some(gaussdb)), is(Product::GaussDb, "505.2.1.SPC0800"));
        let inside = "PostgreSQL 9.2.4 (GaussDB Kernel V500R002C10) on x86_64-unknown-linux-gnu, 64-bit";
        assert_eq!(identify(GAUSS, Some(inside)), is(Product::GaussDb, "V500R002C10"));
        assert_eq!(identify(GAUSS, Some("(SomeDB 5.0.1 build a7b) compiled")), is(Product::GaussRelative, "5.0.1"));
        let postgresql = "PostgreSQL 15.20 (Debian 15.20-1) on x86_64-pc-linux-gnu, compiled by gcc";
        assert_eq!(identify(POSTGRESQL, Some(postgresql)), is(Product::PostgreSql, "15.20"));
    }

    #[test]
    fn the_family_shows_before_any_query() {
        assert_eq!(identify(GAUSS, None).map(|found| found.0.dialect()), Some(Dialect::GaussDb));
        assert_eq!(identify(POSTGRESQL, None), Some((Product::PostgreSql, "15.20".to_owned())));
        // Their word against their parameters: PostgreSQL reports no is_sysadmin.
        assert_eq!(identify(GAUSS, Some("PostgreSQL 9.2.4 on x")).map(|found| found.0), Some(Product::GaussRelative));
    }

    #[test]
    fn nothing_is_guessed() {
        assert_eq!(identify(&[], None), None);
        assert_eq!(identify(POSTGRESQL, Some("CockroachDB CCL v23")), None);
        assert_eq!(identify(GAUSS, Some("(")).map(|found| found.1), Some(String::new()));
        assert_eq!(Deployment::identify(None, None), None);
        assert_eq!(Deployment::identify(Some("Something"), Some(0)), None);
    }

    #[test]
    fn deployments() {
        assert_eq!(Deployment::identify(Some("OpenSourceCentralized"), Some(0)), Some(Deployment::Centralized));
        assert_eq!(Deployment::identify(Some("BusinessCentralized"), None), Some(Deployment::Centralized));
        assert_eq!(Deployment::identify(Some("Distribute"), None), Some(Deployment::Distributed));
        assert_eq!(Deployment::identify(None, Some(3)), Some(Deployment::Distributed));
        assert_eq!(Deployment::identify(None, Some(0)), Some(Deployment::Centralized));
    }
}
