//! The catalogue queries the simulator answers, all in one place, each from the model of the catalogue.
//!
//! A query is known by its text: layout, case, `pg_catalog.` and casts to text make no difference; `'?'` and `?` stand for a value, `'*'`
//! for a list of strings. Whoever needs another one adds it here.

use super::answer::{Answer, Row, flag, oid, text};
use super::text::{Argument, Token, matches, statements};
use crate::catalogue::{Identity, Locator, Role, Table};
use crate::connection::Door;
use crate::creation::{no_such_slot, slot_is_active};
use crate::error::SqlError;
use crate::node::{Feed, Kind, SharedNode};
use crate::options::Product;
use crate::startup::Session;
use crate::text::{Lsn, now};
use crate::wire::Field;
use std::sync::{Arc, LazyLock};

/// Who asks, and where.
pub(super) struct Asker<'a> {
    pub(super) door: &'a Door,
    pub(super) session: &'a Session,
}

impl Asker<'_> {
    /// The role of the session; a walsender runs SQL as the initial user.
    fn role(&self) -> Role {
        let accounts = self.door.shared.accounts();
        let account = accounts.get(&self.session.user).filter(|_| !self.session.replication);
        account.map_or_else(|| Role { sysadmin: true, ..Role::replication("og") }, |account| account.role.clone())
    }

    pub(super) fn may_replicate(&self) -> bool {
        self.role().may_replicate()
    }

    fn node(&self) -> &SharedNode {
        &self.door.node
    }

    fn is_coordinator(&self) -> bool {
        self.node().kind == Kind::Coordinator
    }

    fn log_end(&self) -> Lsn {
        match &self.node().feed {
            Feed::Log(log) => log.end(),
            Feed::Flood(flood) => flood.position(),
        }
    }

    /// A setting as this session sees it.
    fn setting(&self, name: &str) -> Option<String> {
        if name == "pgxc_node_name" {
            return Some(self.node().name.clone());
        }
        let catalogue = self.door.shared.catalogue();
        let known = catalogue.settings.get(name);
        self.session.settings.get(name).or(known).cloned()
    }

    /// A setting as `pg_settings` has it: in its unit, without one.
    fn bare_setting(&self, name: &str) -> Option<String> {
        let value = self.setting(&name.to_lowercase())?;
        if !name.ends_with("_timeout") {
            return Some(value);
        }
        Some(super::session::duration(&value).map_or(value, |value| value.as_millis().to_string()))
    }
}

type Rows = Result<Vec<Row>, SqlError>;

/// A known query.
pub(super) struct Query {
    text: &'static str,
    pub(super) fields: &'static [(&'static str, u32)],
    pub(super) rows: fn(&Asker<'_>, &[String]) -> Rows,
}

/// What a statement turned out to be.
pub(super) enum Found {
    /// Makes a slot, which may wait: name and plugin.
    Create(Argument, Argument),
    /// Answered at once.
    Query(&'static Query, Vec<Argument>),
}

static PATTERNS: LazyLock<Vec<Vec<Token>>> =
    LazyLock::new(|| QUERIES.iter().map(|query| pattern(query.text)).collect());

static CREATE: LazyLock<[Vec<Token>; 2]> = LazyLock::new(|| {
    [
        pattern("SELECT * FROM pg_create_logical_replication_slot('?', '?')"),
        // The form with an order of output; 0 is that of the log.
        pattern("SELECT * FROM pg_create_logical_replication_slot('?', '?', 0)"),
    ]
});

fn pattern(text: &str) -> Vec<Token> {
    statements(text).and_then(|mut all| all.pop()).unwrap_or_default()
}

/// Finds a statement among the known ones.
pub(super) fn find(statement: &[Token]) -> Option<Found> {
    for create in &*CREATE {
        if let Some(arguments) = matches(create, statement)
            && let [slot, plugin] = arguments.as_slice()
        {
            return Some(Found::Create(slot.clone(), plugin.clone()));
        }
    }
    let known = PATTERNS.iter().zip(QUERIES);
    known.into_iter().find_map(|(pattern, query)| Some(Found::Query(query, matches(pattern, statement)?)))
}

/// Columns of a statement's result, before it runs.
pub(super) fn describe(asker: &Asker<'_>, statement: &[Token]) -> Result<Vec<Field>, SqlError> {
    let fields = |all: &[(&str, u32)]| Answer::rows(all, Vec::new()).fields;
    Ok(match find(statement) {
        Some(Found::Query(query, _)) => fields(query.fields),
        Some(Found::Create(..)) => fields(&[("slotname", oid::TEXT), ("xlog_position", oid::TEXT)]),
        None => match statement {
            [Token::Word(show), Token::Word(name)] if show == "show" => self::show(asker, name)?.fields,
            _ => Vec::new(),
        },
    })
}

/// `SHOW name`.
pub(super) fn show(asker: &Asker<'_>, name: &str) -> Result<Answer, SqlError> {
    let unknown = || SqlError::new("42704", format!("unrecognized configuration parameter \"{name}\""));
    let value = asker.setting(name).ok_or_else(unknown)?;
    let proper = if name == "enableseparationofduty" { "enableSeparationOfDuty" } else { name };
    Ok(Answer { tag: "SHOW".to_owned(), ..Answer::value(proper, oid::TEXT, value) })
}

fn one(value: Option<String>) -> Rows {
    Ok(vec![vec![value]])
}

fn no_function(name: &str) -> SqlError {
    SqlError::new("42883", format!("function {name} does not exist"))
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

/// Rows of `pg_replication_slots`, or one of them.
fn slots(asker: &Asker<'_>, name: Option<&str>) -> Vec<(String, crate::slots::Slot)> {
    let slots = asker.node().slots();
    let wanted = slots.all().iter().filter(|(slot, _)| name.is_none_or(|name| name == slot.as_str()));
    wanted.map(|(name, slot)| (name.clone(), slot.clone())).collect()
}

fn slot_row((name, slot): (String, crate::slots::Slot)) -> Row {
    let confirmed = slot.confirmed.map(|lsn| lsn.to_string());
    vec![text(name), text(slot.plugin), text(slot.database), flag(slot.active), text(slot.restart), confirmed]
}

fn drop_slot(asker: &Asker<'_>, name: &str) -> Rows {
    if !asker.may_replicate() {
        return Err(crate::walsender::no_privilege());
    }
    let mut slots = asker.node().slots();
    match slots.get(name) {
        None => Err(no_such_slot(name)),
        Some(slot) if slot.active => Err(slot_is_active(name)),
        Some(_) => {
            slots.remove(name);
            one(text(""))
        }
    }
}

/// Rows of `pgxc_node`: a coordinator knows all, a data node its own part, a centralized server none.
fn nodes(asker: &Asker<'_>) -> Vec<(String, char, u16, u16, bool)> {
    let shared = &asker.door.shared;
    if shared.options.product != Product::Distributed {
        return Vec::new();
    }
    let row = |node: &SharedNode| {
        let kind = if node.kind == Kind::Coordinator { 'C' } else { 'D' };
        let second = node.instances.get(1).unwrap_or(&node.instances[0]).port;
        // Where a standby took over, the first host is no longer the primary.
        (node.name.clone(), kind, node.instances[0].port, second, node.primary() == 0)
    };
    let mut rows: Vec<_> = shared.nodes.iter().map(row).collect();
    rows.sort();
    rows
}

fn tables(asker: &Asker<'_>) -> Vec<Arc<Table>> {
    let catalogue = asker.door.shared.catalogue();
    let mut tables = catalogue.tables.clone();
    tables.sort_by(|one, other| (&one.schema, &one.name).cmp(&(&other.schema, &other.name)));
    tables
}

/// Rows of schema, table, and what a table has of something.
fn marks(asker: &Asker<'_>, of: fn(&Table) -> Vec<(String, String)>) -> Vec<Row> {
    let rows = |table: &Arc<Table>| -> Vec<Row> {
        let row = |(name, what): (String, String)| vec![text(&table.schema), text(&table.name), text(name), text(what)];
        of(table).into_iter().map(row).collect()
    };
    tables(asker).iter().flat_map(rows).collect()
}

/// `{2,1}`: columns of the primary key by number, `None` without one.
fn key_numbers(table: &Table) -> Option<String> {
    let numbers: Vec<String> = table.key.iter().map(|column| (column + 1).to_string()).collect();
    (!numbers.is_empty()).then(|| format!("{{{}}}", numbers.join(",")))
}

fn has_option(table: &Table, wanted: &[&str]) -> bool {
    table.options.iter().any(|option| wanted.iter().any(|wanted| option.to_lowercase().starts_with(wanted)))
}

const COLUMNAR: &[&str] = &["orientation=column", "orientation=orc", "orientation=timeseries"];
const COMPRESSED: &[&str] = &[
    "compresstype=1",
    "compresstype=2",
    "compression=yes",
    "compression=low",
    "compression=middle",
    "compression=high",
];

fn schema_oid(asker: &Asker<'_>, schema: &str) -> u32 {
    let catalogue = asker.door.shared.catalogue();
    16_000 + catalogue.schemas().iter().position(|known| *known == schema).unwrap_or(0) as u32
}

fn column_rows(asker: &Asker<'_>, table: &str) -> Vec<Row> {
    let catalogue = asker.door.shared.catalogue();
    let Some(table) = table.parse().ok().and_then(|oid| catalogue.table_by_oid(oid).cloned()) else {
        return Vec::new();
    };
    let row = |(at, column): (usize, &crate::catalogue::Column)| {
        vec![text(at + 1), text(&column.name), text(column.type_oid), text(&column.type_name)]
    };
    table.columns.iter().enumerate().map(row).collect()
}

/// Transactions that are open, oldest first. The server's own thread is always among them.
fn open(asker: &Asker<'_>, prepared: bool) -> Vec<crate::node::OpenTransaction> {
    let open = asker.node().open_transactions();
    let mut open: Vec<_> = open.borrow().iter().filter(|open| open.gid.is_some() == prepared).cloned().collect();
    open.sort_by_key(|open| open.since);
    open
}

fn age(since: i64) -> Option<String> {
    text((now() - since) / 1_000_000)
}

macro_rules! queries {
    ($($text:expr, [$(($name:expr, $oid:ident)),*], $rows:expr;)*) => {
        &[$(Query { text: $text, fields: &[$(($name, oid::$oid)),*], rows: $rows }),*]
    };
}

/// All of them.
static QUERIES: &[Query] = queries! {
    // The server.
    "SELECT 1", [("?column?", INT4)], |_, _| one(text(1));
    "SELECT version()", [("version", TEXT)], |asker, _| one(text(asker.door.shared.options.product.version()));
    "SELECT gs_deployment()", [("gs_deployment", TEXT)],
        |asker, _| one(text(asker.door.shared.options.product.deployment()));
    "SELECT opengauss_version()", [("opengauss_version", TEXT)], |asker, _| match asker.door.shared.options.product {
        Product::OpenGauss => one(text("6.0.2")),
        _ => Err(no_function("opengauss_version()")),
    };
    "SELECT working_version_num()", [("working_version_num", INT4)], |_, _| one(text(92_974));
    "SELECT current_database()", [("current_database", NAME)], |asker, _| one(text(&asker.session.database));
    "SELECT current_user", [("current_user", NAME)], |asker, _| one(text(asker.role().name));
    "SELECT pg_is_in_recovery()", [("pg_is_in_recovery", BOOL)], |asker, _| one(flag(!asker.door.is_primary()));
    "SELECT local_role, db_state FROM pg_stat_get_stream_replications()", [("local_role", TEXT), ("db_state", TEXT)],
        |asker, _| {
            let alone = asker.node().instances.len() == 1;
            let role = if alone { "Normal" } else if asker.door.is_primary() { "Primary" } else { "Standby" };
            Ok(vec![vec![text(role), text("Normal")]])
        };
    "SELECT pg_current_xlog_location()", [("pg_current_xlog_location", TEXT)], |asker, _| one(text(asker.log_end()));
    "SELECT pg_xlog_location_diff('?', '?')", [("pg_xlog_location_diff", NUMERIC)], |_, arguments| {
        let [one_lsn, other] = arguments else { return Ok(Vec::new()) };
        let lsn = |text: &str| {
            let bad = || SqlError::new("22P02", format!("invalid input syntax for transaction log location: \"{text}\""));
            Lsn::parse(text).map(|lsn| i128::from(lsn.0)).ok_or_else(bad)
        };
        one(text(lsn(one_lsn)? - lsn(other)?))
    };
    "SELECT pg_encoding_to_char(encoding), datcompatibility FROM pg_database WHERE datname = current_database()",
        [("pg_encoding_to_char", NAME), ("datcompatibility", NAME)], |asker, _| {
            let catalogue = asker.door.shared.catalogue();
            Ok(vec![vec![text(&catalogue.encoding), text(&catalogue.compatibility)]])
        };
    "SELECT unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase \
     WHERE d.datname = current_database() AND s.setrole = 0", [("unnest", TEXT)], |asker, _| {
        let catalogue = asker.door.shared.catalogue();
        Ok(catalogue.database_settings.iter().map(|(name, value)| vec![text(format!("{name}={value}"))]).collect())
    };
    "SELECT name, setting FROM pg_settings WHERE name IN ('*')", [("name", TEXT), ("setting", TEXT)],
        |asker, names| {
            let row = |name: &String| Some(vec![text(name), Some(asker.bare_setting(name)?)]);
            Ok(names.iter().filter_map(row).collect())
        };
    "SELECT setting FROM pg_settings WHERE name = '?'", [("setting", TEXT)],
        |asker, names| Ok(names.iter().filter_map(|name| Some(vec![Some(asker.bare_setting(name)?)])).collect());
    "SELECT setting::int FROM pg_settings WHERE name = '?'", [("setting", INT4)],
        |asker, names| Ok(names.iter().filter_map(|name| Some(vec![Some(asker.bare_setting(name)?)])).collect());
    "SELECT current_setting('?')", [("current_setting", TEXT)], |asker, names| {
        let name = names.first().map_or("", String::as_str);
        let unknown = || SqlError::new("42704", format!("unrecognized configuration parameter \"{name}\""));
        one(Some(asker.setting(&name.to_lowercase()).ok_or_else(unknown)?))
    };
    // The role.
    "SELECT rolname, rolreplication, rolsystemadmin, rolsuper FROM pg_roles WHERE rolname = current_user",
        [("rolname", NAME), ("rolreplication", BOOL), ("rolsystemadmin", BOOL), ("rolsuper", BOOL)], |asker, _| {
            let role = asker.role();
            Ok(vec![vec![text(role.name), flag(role.replication), flag(role.sysadmin), flag(false)]])
        };
    "SELECT rolreplication, rolsystemadmin, rolsuper, rolcanlogin FROM pg_roles WHERE rolname = current_user",
        [("rolreplication", BOOL), ("rolsystemadmin", BOOL), ("rolsuper", BOOL), ("rolcanlogin", BOOL)], |asker, _| {
            let role = asker.role();
            Ok(vec![vec![flag(role.replication), flag(role.sysadmin), flag(false), flag(role.login)]])
        };
    "SELECT pg_has_role(current_user, 'gs_role_replication', 'MEMBER')", [("pg_has_role", BOOL)], |asker, _| {
        let role = asker.role();
        one(flag(role.sysadmin || role.member_of_replication))
    };
    "SELECT has_database_privilege(current_database(), 'CONNECT')", [("has_database_privilege", BOOL)],
        |asker, _| one(flag(asker.role().uses_schema("(database)")));
    // Nodes.
    "SELECT node_name, node_type, node_host, node_port, node_host1, node_port1, hostis_primary FROM pgxc_node \
     WHERE node_type IN ('C', 'D') ORDER BY node_name",
        [("node_name", NAME), ("node_type", CHAR), ("node_host", NAME), ("node_port", INT4), ("node_host1", NAME),
         ("node_port1", INT4), ("hostis_primary", BOOL)], |asker, _| {
            let row = |(name, kind, first, second, is_first): (String, char, u16, u16, bool)| {
                let host = || text("127.0.0.1");
                vec![text(name), text(kind), host(), text(first), host(), text(second), flag(is_first)]
            };
            Ok(nodes(asker).into_iter().map(row).collect())
        };
    "SELECT node_name, node_type, node_host, node_port, hostis_primary, nodeis_primary, nodeis_active FROM pgxc_node",
        [("node_name", NAME), ("node_type", CHAR), ("node_host", NAME), ("node_port", INT4), ("hostis_primary", BOOL),
         ("nodeis_primary", BOOL), ("nodeis_active", BOOL)], |asker, _| {
            let row = |(name, kind, first, _, is_first): (String, char, u16, u16, bool)| {
                vec![text(name), text(kind), text("127.0.0.1"), text(first), flag(is_first), flag(true), flag(true)]
            };
            Ok(nodes(asker).into_iter().map(row).collect())
        };
    "SELECT count(*) FROM pgxc_node WHERE node_type = 'D'", [("count", INT8)],
        |asker, _| one(text(nodes(asker).iter().filter(|node| node.1 == 'D').count()));
    "SELECT n.nspname, c.relname, x.pclocatortype FROM pgxc_class x JOIN pg_class c ON c.oid = x.pcrelid \
     JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2",
        [("nspname", NAME), ("relname", NAME), ("pclocatortype", CHAR)], |asker, _| {
            if !asker.is_coordinator() {
                return Ok(Vec::new());
            }
            let row = |table: &Arc<Table>| {
                let locator = if table.locator == Locator::Replicated { 'R' } else { 'H' };
                vec![text(&table.schema), text(&table.name), text(locator)]
            };
            Ok(tables(asker).iter().map(row).collect())
        };
    "SELECT c.relname, x.pclocatortype, x.pcattnum FROM pgxc_class x JOIN pg_class c ON c.oid = x.pcrelid",
        [("relname", NAME), ("pclocatortype", CHAR), ("pcattnum", INT2_VECTOR)], |asker, _| {
            let row = |table: &Arc<Table>| {
                let replicated = table.locator == Locator::Replicated;
                let column = if replicated { String::new() } else { (table.key.first().unwrap_or(&0) + 1).to_string() };
                vec![text(&table.name), text(if replicated { 'R' } else { 'H' }), text(column)]
            };
            Ok(if asker.is_coordinator() { tables(asker).iter().map(row).collect() } else { Vec::new() })
        };
    "EXECUTE DIRECT ON DATANODES 'SELECT slot_name, active, restart_lsn FROM pg_replication_slots'",
        [("slot_name", TEXT), ("active", BOOL), ("restart_lsn", TEXT)], |asker, _| {
            if !asker.is_coordinator() {
                let error = SqlError::new("0A000", "Un-support feature");
                return Err(error.detail("The distributed capability is not supported currently."));
            }
            if !asker.role().sysadmin {
                return Err(SqlError::new("42501", "must be system admin to use EXECUTE DIRECT"));
            }
            let mut rows = Vec::new();
            for node in asker.door.shared.data_nodes() {
                for (name, slot) in node.slots().all() {
                    rows.push(vec![text(name), flag(slot.active), text(slot.restart)]);
                }
            }
            Ok(rows)
        };
    // Slots.
    "SELECT count(*) FROM pg_get_replication_slots()", [("count", INT8)],
        |asker, _| one(text(asker.node().slots().all().len()));
    "SELECT count(1) FROM pg_replication_slots", [("count", INT8)],
        |asker, _| one(text(asker.node().slots().all().len()));
    "SELECT slot_name, plugin, database, active, restart_lsn, confirmed_flush, pg_current_xlog_location() \
     FROM pg_replication_slots WHERE slot_name = '?'",
        [("slot_name", TEXT), ("plugin", TEXT), ("database", NAME), ("active", BOOL), ("restart_lsn", TEXT),
         ("confirmed_flush", TEXT), ("pg_current_xlog_location", TEXT)], |asker, arguments| {
            let end = asker.log_end();
            let row = |slot| {
                let mut row = slot_row(slot);
                row.push(text(end));
                row
            };
            Ok(slots(asker, arguments.first().map(String::as_str)).into_iter().map(row).collect())
        };
    "SELECT slot_name, plugin, database, active, restart_lsn, confirmed_flush FROM pg_replication_slots \
     WHERE slot_type = 'logical'",
        [("slot_name", TEXT), ("plugin", TEXT), ("database", NAME), ("active", BOOL), ("restart_lsn", TEXT),
         ("confirmed_flush", TEXT)], |asker, _| Ok(slots(asker, None).into_iter().map(slot_row).collect());
    "SELECT slot_name, plugin, active FROM pg_replication_slots WHERE database = '?'",
        [("slot_name", TEXT), ("plugin", TEXT), ("active", BOOL)], |asker, arguments| {
            let of = |slot: &crate::slots::Slot| arguments.first().is_some_and(|database| *database == slot.database);
            let listed = slots(asker, None).into_iter().filter(|(_, slot)| of(slot));
            Ok(listed.map(|(name, slot)| vec![text(name), text(slot.plugin), flag(slot.active)]).collect())
        };
    "SELECT pg_xlog_location_diff(pg_current_xlog_location(), restart_lsn) FROM pg_replication_slots \
     WHERE slot_name = '?'", [("pg_xlog_location_diff", NUMERIC)], |asker, arguments| {
        let end = asker.log_end().0;
        let slots = slots(asker, arguments.first().map(String::as_str));
        Ok(slots.into_iter().map(|(_, slot)| vec![text(end.saturating_sub(slot.restart.0))]).collect())
    };
    "SELECT pg_drop_replication_slot('?')", [("pg_drop_replication_slot", TEXT)],
        |asker, arguments| drop_slot(asker, arguments.first().map_or("", String::as_str));
    "SELECT * FROM pg_drop_replication_slot('?')", [("pg_drop_replication_slot", TEXT)],
        |asker, arguments| drop_slot(asker, arguments.first().map_or("", String::as_str));
    "SELECT * FROM pg_replication_slot_advance('?', '?')", [("slot_name", TEXT), ("end_lsn", TEXT)],
        |asker, arguments| {
            let [name, upto] = arguments else { return Ok(Vec::new()) };
            let bad = || SqlError::new("22P02", format!("invalid input syntax for type lsn: \"{upto}\" of start_lsn"));
            let upto = Lsn::parse(upto).ok_or_else(bad)?.min(asker.log_end());
            let state = asker.node().slots().get(name).map(|slot| (slot.active, slot.confirmed.unwrap_or_default()));
            match state {
                None => Err(no_such_slot(name)),
                Some((true, _)) => Err(slot_is_active(name)),
                Some((_, least)) if upto < least => {
                    Err(SqlError::new("0A000", format!("cannot move slot to {upto}, minimum is {least}")))
                }
                Some(_) => {
                    asker.node().confirm(name, upto);
                    // This function prints lower case.
                    Ok(vec![vec![text(name), text(upto.to_string().to_lowercase())]])
                }
            }
        };
    "SELECT count(*) FROM pg_stat_replication", [("count", INT8)], |asker, _| {
        one(text(asker.node().slots().all().values().filter(|slot| slot.active).count()))
    };
    // Open transactions.
    "SELECT pid, usename, application_name, state, extract(epoch FROM now() - xact_start)::bigint \
     FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND application_name <> 'workload' \
     ORDER BY xact_start LIMIT 100",
        [("pid", INT8), ("usename", NAME), ("application_name", TEXT), ("state", TEXT), ("date_part", INT8)],
        |asker, _| {
            let row = |open: crate::node::OpenTransaction| {
                vec![text(open.pid), text(open.user), text("app"), text("idle in transaction"), age(open.since)]
            };
            Ok(open(asker, false).into_iter().map(row).collect())
        };
    "SELECT gid, owner, extract(epoch FROM now() - prepared)::bigint FROM pg_prepared_xacts ORDER BY prepared LIMIT 100",
        [("gid", TEXT), ("owner", NAME), ("date_part", INT8)], |asker, _| {
            let row = |open: crate::node::OpenTransaction| vec![open.gid, text(open.user), age(open.since)];
            Ok(open(asker, true).into_iter().map(row).collect())
        };
    "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND transactionid = '?'", [("count", INT8)],
        // What is in the log is visible to everybody here.
        |_, _| one(text(0));
    // Tables.
    "SELECT c.oid, n.nspname, c.relname, c.relpersistence, c.relreplident, \
     (SELECT k.conkey::text FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p'), \
     (c.reloptions::text ILIKE '%orientation=column%' OR c.reloptions::text ILIKE '%orientation=orc%' \
         OR c.reloptions::text ILIKE '%orientation=timeseries%'), \
     (c.reloptions::text ~* 'compresstype=[1-9]' OR c.reloptions::text ~* 'compression=(yes|low|middle|high)'), \
     (SELECT p.partstrategy FROM pg_partition p WHERE p.parentid = c.oid AND p.parttype = 'r'), \
     has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT') \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'r' AND c.oid >= 16384 AND n.nspname NOT LIKE 'pg!_%' ESCAPE '!' ORDER BY 2, 3",
        [("oid", OID), ("nspname", NAME), ("relname", NAME), ("relpersistence", CHAR), ("relreplident", CHAR),
         ("conkey", TEXT), ("?column?", BOOL), ("?column?", BOOL), ("partstrategy", CHAR),
         ("has_schema_privilege", BOOL), ("has_table_privilege", BOOL)], |asker, _| {
            let role = asker.role();
            let row = |table: &Arc<Table>| vec![
                text(table.oid), text(&table.schema), text(&table.name), text(table.persistence),
                text(table.identity.letter()), key_numbers(table), flag(has_option(table, COLUMNAR)),
                flag(has_option(table, COMPRESSED)), table.partition_strategy.map(String::from),
                flag(role.uses_schema(&table.schema)), flag(role.reads(table)),
            ];
            Ok(tables(asker).iter().map(row).collect())
        };
    "SELECT n.nspname, c.relname, k.conname, '' FROM pg_constraint k \
     JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE k.condeferrable ORDER BY 1, 2, 3 LIMIT 1000",
        [("nspname", NAME), ("relname", NAME), ("conname", NAME), ("?column?", TEXT)],
        |asker, _| Ok(marks(asker, |table| table.deferrable.iter().map(|name| (name.clone(), String::new())).collect()));
    "SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a \
     JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid \
     WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped \
     AND CASE WHEN t.typelem <> 0 AND t.typlen = -1 THEN t.typelem ELSE t.oid END NOT IN \
     (16, 17, 20, 21, 23, 25, 86, 88, 90, 114, 600, 601, 602, 603, 604, 650, 700, 701, 718, 790, 829, 869, 1042, 1043, 1082, 1083, \
     1114, 1184, 1186, 1266, 1560, 1562, 1700, 1790, 2950, 3614, 3615, 3969, 5545, 9003) ORDER BY 1, 2, 3 LIMIT 1000",
        [("nspname", NAME), ("relname", NAME), ("attname", NAME), ("format_type", TEXT)], |asker, _| {
            let undocumented = |table: &Table| {
                let columns = table.columns.iter().filter(|column| {
                    let element = column.type_name.strip_suffix("[]").unwrap_or(&column.type_name);
                    ["jsonb", "xml", "hll", "int4range", "hash16", "hash32"].contains(&element)
                });
                columns.map(|column| (column.name.clone(), column.type_name.to_string())).collect()
            };
            Ok(marks(asker, undocumented))
        };
    "SELECT n.nspname, c.relname, a.attname, '' FROM pg_attrdef d \
     JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum WHERE d.adgencol = 's' ORDER BY 1, 2, 3 LIMIT 1000",
        [("nspname", NAME), ("relname", NAME), ("attname", NAME), ("?column?", TEXT)],
        |asker, _| Ok(marks(asker, |table| table.generated.iter().map(|name| (name.clone(), String::new())).collect()));
    "SELECT c.oid, c.relreplident, \
     (SELECT k.conkey::text FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p') \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = '?' AND c.relname = '?' AND c.relkind IN ('r', 'p')",
        [("oid", OID), ("relreplident", CHAR), ("conkey", TEXT)], |asker, arguments| {
            let [schema, name] = arguments else { return Ok(Vec::new()) };
            let catalogue = asker.door.shared.catalogue();
            let row = |table: &Arc<Table>| {
                vec![text(table.oid), text(table.identity.letter()), key_numbers(table)]
            };
            Ok(catalogue.table(schema, name).map(row).into_iter().collect())
        };
    "SELECT a.attnum, a.attname, a.atttypid, format_type(a.atttypid, NULL) FROM pg_attribute a \
     WHERE a.attrelid = ? AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        [("attnum", INT2), ("attname", NAME), ("atttypid", OID), ("format_type", TEXT)],
        |asker, arguments| Ok(column_rows(asker, arguments.first().map_or("", String::as_str)));
    "SELECT a.attnum, a.attname, a.atttypid, format_type(a.atttypid, NULL), a.atttypmod FROM pg_attribute a \
     WHERE a.attrelid = ? AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        [("attnum", INT2), ("attname", NAME), ("atttypid", OID), ("format_type", TEXT), ("atttypmod", INT4)],
        |asker, arguments| {
            let mut rows = column_rows(asker, arguments.first().map_or("", String::as_str));
            // Columns of the model have no modifier.
            rows.iter_mut().for_each(|row| row.push(text(-1)));
            Ok(rows)
        };
    "SELECT t.typtype, t.typbasetype, format_type(t.typbasetype, NULL) FROM pg_type t WHERE t.oid = ?",
        [("typtype", CHAR), ("typbasetype", OID), ("format_type", TEXT)], |_, arguments| {
            // All types of the model are base types.
            let wanted = arguments.first().and_then(|oid| oid.parse().ok()).unwrap_or(0);
            let known = crate::catalogue::TYPES.iter().any(|kind| kind.oid == wanted);
            Ok(if known { vec![vec![text('b'), text(0), text('-')]] } else { Vec::new() })
        };
    "SELECT oid, nspname FROM pg_namespace", [("oid", OID), ("nspname", NAME)], |asker, _| {
        let catalogue = asker.door.shared.catalogue();
        Ok(catalogue.schemas().iter().map(|schema| vec![text(schema_oid(asker, schema)), text(schema)]).collect())
    };
    "SELECT i.indisprimary, i.indisreplident, a.attname, a.attnum FROM pg_index i JOIN pg_attribute a \
     ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) WHERE i.indrelid = ? \
     AND (i.indisprimary OR i.indisreplident)",
        [("indisprimary", BOOL), ("indisreplident", BOOL), ("attname", NAME), ("attnum", INT2)], |asker, arguments| {
            let catalogue = asker.door.shared.catalogue();
            let oid = arguments.first().and_then(|oid| oid.parse().ok()).unwrap_or(0);
            let Some(table) = catalogue.table_by_oid(oid) else { return Ok(Vec::new()) };
            let mut rows = Vec::new();
            let mut put = |columns: &[usize], primary: bool, identity: bool| {
                for &at in columns {
                    rows.push(vec![flag(primary), flag(identity), text(&table.columns[at].name), text(at + 1)]);
                }
            };
            put(&table.key, true, false);
            if let Identity::Index(columns) = &table.identity {
                put(columns, false, true);
            }
            Ok(rows)
        };
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_query_is_one_statement_and_found_by_its_own_text() {
        for query in QUERIES {
            let statements = statements(query.text).unwrap();
            assert_eq!(statements.len(), 1, "{}", query.text);
            let Some(Found::Query(found, _)) = find(&statements[0]) else { panic!("{}", query.text) };
            assert_eq!(found.text, query.text);
            assert!(!query.fields.is_empty());
        }
    }
}
