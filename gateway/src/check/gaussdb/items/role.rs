//! Item `source.role`: the role may connect and replicate.

use super::super::Facts;
use crate::{check::Item, config::Task};

pub(in crate::check) fn judge(task: &Task, facts: &Facts) -> Item {
    let (id, role) = ("source.role", &facts.role);
    let user = millrace_replication::quote_ident(task.source.user.as_str());
    if !role.may_connect {
        let database = millrace_replication::quote_ident(task.source.database.as_str());
        let mend = format!("GRANT CONNECT ON DATABASE {database} TO {user};");
        return Item::failed(id, format!("{} may not connect to the database", role.name), mend);
    }
    let separated = super::setting(facts, "enableSeparationOfDuty") == "on";
    if role.replication || role.member || (role.administrator && !separated) {
        return Item::passed(id, format!("{} may use replication slots", role.name));
    }
    let reason = format!("{} has neither REPLICATION nor gs_role_replication", role.name);
    Item::failed(id, reason, format!("GRANT gs_role_replication TO {user};\n-- or: ALTER ROLE {user} REPLICATION;"))
}
