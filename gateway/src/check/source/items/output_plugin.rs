//! Item `source.output_plugin`: the server allows the plugin.

use millrace_replication::quote_ident;

use super::super::Facts;
use crate::{check::Item, config::Task};

/// The setting exists in the minor releases that closed CVE-2026-6471 and in all later ones.
/// Only superusers and members of pg_read_all_settings see it.
pub(in crate::check) fn judge(task: &Task, facts: &Facts) -> Item {
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
