//! Item `source.version`: the product is a known one.

use millrace_replication::Product;

use super::super::Facts;
use crate::check::Item;

pub(in crate::check) fn judge(facts: &Facts) -> Item {
    let id = "source.version";
    let deployment = facts.server.deployment.map_or(String::new(), |deployment| format!(", {deployment:?}"));
    match &facts.server.product {
        Some(found) if matches!(found.product, Product::OpenGauss | Product::GaussDb) => {
            Item::passed(id, format!("{:?} {}{deployment}", found.product, found.version))
        }
        _ => Item::alarm(
            id,
            format!("a relative of openGauss nobody tested: {}", facts.server.version),
            "-- compare what arrives with the tables before relying on it",
        ),
    }
}
