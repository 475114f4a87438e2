//! What the facts of a node mean for the task. Pure.

use millrace_decode::Encoding;
use millrace_replication::{Product, quote_literal};

use super::{Facts, tables};
use crate::{
    check::{Item, source::Stored},
    config::{Decoding, Task},
    task::{
        family,
        start::{Found, Start, Wanted, decide},
    },
};

/// Age from which a transaction counts as long, seconds; the managed service's limit for making a slot.
const LONG_SECONDS: i64 = 300;

/// Ids of [`items`], for a node that could not be asked.
pub(super) const IDS: [&str; 16] = [
    "source.version",
    "source.encoding",
    "source.wal_level",
    "source.slot_log",
    "source.role",
    "source.replication_slots",
    "source.decoding",
    "source.session_settings",
    "source.tables",
    "source.table_kinds",
    "source.interval_partitions",
    "source.replica_identity",
    "source.object_names",
    "source.select_privilege",
    "source.slot",
    "source.long_transactions",
];

/// Every item of a node, in the order in which they are mended.
pub(super) fn items(task: &Task, facts: &Facts, stored: Result<Option<Stored>, String>) -> Vec<Item> {
    let selected = tables::selected(task, &facts.tables);
    vec![
        version(facts),
        encoding(facts),
        wal_level(facts),
        slot_log(facts),
        role(task, facts),
        slots(facts),
        decoding(task, facts),
        session_settings(task, facts),
        tables::exist(task, &facts.tables),
        tables::kinds(&selected),
        tables::interval_partitions(task, &selected),
        tables::replica_identity(&selected),
        tables::names(&selected),
        tables::select_privilege(task, &selected),
        slot(task, facts, stored),
        long_transactions(facts),
    ]
}

fn setting<'a>(facts: &'a Facts, name: &str) -> &'a str {
    facts.settings.get(name).map_or("", String::as_str)
}

fn version(facts: &Facts) -> Item {
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

fn encoding(facts: &Facts) -> Item {
    let id = "source.encoding";
    match Encoding::by_name(&facts.server.encoding) {
        Ok(known) => Item::passed(id, format!("{}, compatibility {}", known.name(), facts.server.compatibility)),
        Err(failure) => Item::failure(id, &failure),
    }
}

fn wal_level(facts: &Facts) -> Item {
    let (id, level) = ("source.wal_level", setting(facts, "wal_level"));
    if level == "logical" {
        return Item::passed(id, "logical");
    }
    let mend = "gs_guc set -I all -N all -c \"wal_level=logical\"   -- then restart the server";
    Item::failed(id, format!("is {level}"), mend)
}

/// The gateway sets it for its own sessions; where the server has it off, other tools' slots are still lost in a failover.
fn slot_log(facts: &Facts) -> Item {
    let (id, value) = ("source.slot_log", setting(facts, "enable_slot_log"));
    match value {
        "on" => Item::passed(id, "enable_slot_log = on"),
        _ => Item::failed(
            id,
            format!("enable_slot_log = {value}: standbys do not learn of slots, a failover would lose them"),
            "gs_guc reload -I all -N all -c \"enable_slot_log=on\"",
        ),
    }
}

fn role(task: &Task, facts: &Facts) -> Item {
    let (id, role) = ("source.role", &facts.role);
    let user = millrace_replication::quote_ident(task.source.user.as_str());
    if !role.may_connect {
        let database = millrace_replication::quote_ident(task.source.database.as_str());
        let mend = format!("GRANT CONNECT ON DATABASE {database} TO {user};");
        return Item::failed(id, format!("{} may not connect to the database", role.name), mend);
    }
    let separated = setting(facts, "enableSeparationOfDuty") == "on";
    if role.replication || role.member || (role.administrator && !separated) {
        return Item::passed(id, format!("{} may use replication slots", role.name));
    }
    let reason = format!("{} has neither REPLICATION nor gs_role_replication", role.name);
    Item::failed(id, reason, format!("GRANT gs_role_replication TO {user};\n-- or: ALTER ROLE {user} REPLICATION;"))
}

fn slots(facts: &Facts) -> Item {
    let (id, used) = ("source.replication_slots", facts.slots_used);
    let most: u64 = setting(facts, "max_replication_slots").parse().unwrap_or(0);
    let reason = format!("{used} of {most} in use");
    if facts.slot.is_some() || used < most {
        return Item::passed(id, reason);
    }
    Item::failed(
        id,
        reason,
        format!(
            "gs_guc set -I all -N all -c \"max_replication_slots={}\"   -- then restart the server\n\
             -- or drop a slot nobody needs: SELECT slot_name, active FROM pg_replication_slots;",
            used + 10
        ),
    )
}

fn decoding(task: &Task, facts: &Facts) -> Item {
    let id = "source.decoding";
    let preset = setting(facts, "logical_decode_options_default");
    if task.source.decoding == Decoding::Parallel {
        return Item::alarm(
            id,
            "parallel: the server leaves out, in silence, every row that follows a catalogue change in its transaction (CREATE \
             TABLE, ALTER TABLE, CREATE INDEX, TRUNCATE, COMMENT, GRANT, a temporary table), whole CREATE TABLE AS and SELECT INTO, \
             and an INSERT that creates an interval partition",
            "-- keep schema changes in transactions of their own, or set source.decoding = \"serial\"",
        );
    }
    let preset =
        if preset.is_empty() { String::new() } else { format!(" (the server's preset {preset:?} is overridden)") };
    Item::passed(id, format!("serial{preset}"))
}

/// Parallel decoding obeys the database, whatever the session says; serial decoding obeys the session.
fn session_settings(task: &Task, facts: &Facts) -> Item {
    let id = "source.session_settings";
    let database = millrace_replication::quote_ident(task.source.database.as_str());
    let options = setting(facts, family::COMPATIBILITY);
    if family::hides_zeros(options) {
        let kept: Vec<&str> = options.split(',').map(str::trim).filter(|option| !family::hides_zeros(option)).collect();
        let (name, kept) = (family::COMPATIBILITY, quote_literal(&kept.join(",")));
        return Item::failed(
            id,
            format!("{name} = {options}: numerics would come without the zeros at their end"),
            format!("ALTER DATABASE {database} SET {name} = {kept};"),
        );
    }
    if task.source.decoding != Decoding::Parallel {
        return Item::passed(id, "set for each session");
    }
    let bad = family::unfit_setting(&facts.database);
    match bad {
        None => Item::passed(id, "the database changes no form of values"),
        Some((name, value)) => Item::failed(
            id,
            format!("the database sets {name} = {value}, which parallel decoding obeys"),
            format!("ALTER DATABASE {database} RESET {name};"),
        ),
    }
}

fn slot(task: &Task, facts: &Facts, stored: Result<Option<Stored>, String>) -> Item {
    let (id, name) = ("source.slot", task.source.slot.as_str());
    let found = facts.slot.as_ref().map(|slot| Found {
        plugin: slot.plugin.clone().unwrap_or_default(),
        database: slot.database.clone().unwrap_or_default(),
        wal_status: slot.wal_status.clone(),
        confirmed: slot.confirmed_flush_lsn.unwrap_or_default(),
        restart: slot.restart_lsn,
    });
    let wanted = Wanted {
        slot: name,
        database: task.source.database.as_str(),
        plugin: task.source.decoding.plugin(),
        system_identifier: &facts.system.system_id,
        log_end: facts.system.wal_flush,
    };
    let known = stored.as_ref().ok().and_then(Option::as_ref);
    let start = match decide(wanted, known, found.as_ref()) {
        Ok(start) => start,
        Err(failure) => match (&stored, failure.code) {
            (Err(why), "slot_without_position") => {
                return Item::skipped(id, format!("the position is not known: {why}"));
            }
            // The words are ours, not the server's.
            _ => return Item { reason: failure.why.clone(), raw_error: None, ..Item::failure(id, &failure) },
        },
    };
    let Some(slot) = &facts.slot else { return Item::passed(id, format!("{name:?} is made at the first start")) };
    let at = slot.confirmed_flush_lsn.unwrap_or_default();
    let retained = format!("{name:?} at {at}, {} MiB of WAL retained", slot.retained_bytes.unwrap_or(0) >> 20);
    if slot.active {
        let mend = "-- nothing to do if a gateway of this task runs";
        return Item::alarm(id, format!("{retained}, in use"), mend);
    }
    let goes_on = if matches!(start, Start::Resume) { "goes on from the stored position" } else { "is taken over" };
    Item::passed(id, format!("{retained}, {goes_on}"))
}

fn long_transactions(facts: &Facts) -> Item {
    let id = "source.long_transactions";
    if facts.slot.is_some() {
        return Item::passed(id, "the slot is there: nothing waits for them");
    }
    let long: Vec<_> = facts.open.iter().filter(|open| open.age_seconds > LONG_SECONDS).collect();
    let Some(oldest) = long.iter().map(|open| open.age_seconds).max() else {
        return Item::passed(id, format!("none is older than {LONG_SECONDS} s"));
    };
    let mend = long.iter().map(|open| match (open.pid, &open.name) {
        (Some(pid), _) => format!("SELECT pg_terminate_backend({pid});"),
        (None, name) => format!("ROLLBACK PREPARED {};", quote_literal(name.as_deref().unwrap_or_default())),
    });
    let mend: Vec<String> = mend.collect();
    let reason = format!(
        "{} older than {LONG_SECONDS} s, the oldest {oldest} s: the slot cannot be made until they end",
        long.len()
    );
    Item::failed(id, reason, format!("-- wait for them, or end them:\n{}", mend.join("\n")))
}
