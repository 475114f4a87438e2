//! The server: its version, its settings, and what the role may do.

use millrace_replication::quote_ident;

use super::Facts;
use crate::{check::Item, config::Task};

/// pgoutput came with version 10.
const OLDEST: i32 = 100_000;

pub(super) fn version(facts: &Facts) -> Item {
    let text = format!("PostgreSQL {}.{}", facts.version / 10_000, facts.version % 10_000);
    if facts.version < OLDEST {
        return Item::failed("source.version", format!("{text} has no pgoutput"), "upgrade to version 10 or later");
    }
    Item::passed("source.version", text)
}

pub(super) fn wal_level(facts: &Facts) -> Item {
    let level = facts.settings.get("wal_level").map_or("unknown", String::as_str);
    if level == "logical" {
        return Item::passed("source.wal_level", "logical");
    }
    let mend = "ALTER SYSTEM SET wal_level = logical;\n-- then restart the server";
    Item { code: Some("wal_level"), ..Item::failed("source.wal_level", format!("is {level}, must be logical"), mend) }
}

/// The setting exists in the minor releases that closed CVE-2026-6471 and in all later ones.
/// Only superusers and members of pg_read_all_settings see it.
pub(super) fn output_plugin(task: &Task, facts: &Facts) -> Item {
    let (id, plugin) = ("source.output_plugin", task.source.decoding.plugin());
    let Some(list) = facts.settings.get("output_plugin_libraries") else {
        if facts.superuser || facts.reads_settings {
            return Item::passed(id, "this server does not restrict output plugins");
        }
        let user = quote_ident(task.source.user.as_str());
        let reason =
            "output_plugin_libraries, where the server has it, is not shown to this role; its default allows pgoutput";
        return Item { mend: Some(format!("GRANT pg_read_all_settings TO {user};")), ..Item::skipped(id, reason) };
    };
    let allows = |library: &str| library == plugin || library == "*";
    if list.split(',').any(|library| allows(library.trim().trim_matches('"'))) {
        return Item::passed(id, format!("{plugin} is allowed"));
    }
    let rest = if list.trim().is_empty() { String::new() } else { format!(", {list}") };
    let mend = format!("ALTER SYSTEM SET output_plugin_libraries = {plugin}{rest};\nSELECT pg_reload_conf();");
    let reason = format!("output_plugin_libraries ({list}) does not allow {plugin}");
    Item { code: Some("plugin_refused"), ..Item::failed(id, reason, mend) }
}

pub(super) fn role(task: &Task, facts: &Facts) -> Item {
    let user = task.source.user.as_str();
    if facts.superuser || facts.replication {
        return Item::passed("source.role", format!("{user} may replicate"));
    }
    let mend = format!("ALTER ROLE {} REPLICATION;", quote_ident(user));
    Item::failed("source.role", format!("{user} has no REPLICATION"), mend)
}
