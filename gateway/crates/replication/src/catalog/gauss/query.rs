//! Every SQL text the gateway sends to GaussDB and openGauss, in one place: for whoever must grant, allow or imitate them.
//!
//! Most were run on openGauss 6.0.2. Names stand in literals, OIDs in digits.

use crate::quote::quote_literal;

/// Product and version.
pub const VERSION: &str = "SELECT version()";

/// Deployment; missing (42883) on older builds.
pub const DEPLOYMENT: &str = "SELECT gs_deployment()";

/// Nodes of a distributed cluster, as a coordinator knows them; no rows elsewhere.
pub const NODES: &str = "SELECT node_name, node_type, node_host, node_port, node_host1, node_port1, hostis_primary \
    FROM pgxc_node WHERE node_type IN ('C', 'D') ORDER BY node_name";

/// Tables and how a coordinator spreads them: R replicated, H hash, G range, L list, N round robin.
pub const NODE_TABLES: &str = "SELECT n.nspname, c.relname, x.pclocatortype FROM pgxc_class x \
    JOIN pg_class c ON c.oid = x.pcrelid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2";

/// Role of the server among its replicas.
pub const SERVER_ROLE: &str = "SELECT local_role, db_state FROM pg_stat_get_stream_replications()";

/// Encoding and compatibility of the database.
pub const DATABASE: &str =
    "SELECT pg_encoding_to_char(encoding), datcompatibility FROM pg_database WHERE datname = current_database()";

/// Settings of the database itself (ALTER DATABASE ... SET), each as `name=value`: parallel decoding obeys these alone.
pub const DATABASE_SETTINGS: &str = "SELECT unnest(s.setconfig) FROM pg_db_role_setting s \
    JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database() AND s.setrole = 0";

/// Settings that decide whether logical decoding works.
pub const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name IN ('wal_level', 'enable_slot_log', \
    'max_replication_slots', 'max_wal_senders', 'logical_sender_timeout', 'enable_thread_pool', \
    'enableSeparationOfDuty', 'logical_decode_options_default', 'behavior_compat_options', \
    'failed_login_attempts', 'ssl')";

/// Attributes of the role.
pub const ROLE: &str =
    "SELECT rolname, rolreplication, rolsystemadmin, rolsuper FROM pg_roles WHERE rolname = current_user";

/// Membership that stands for the attribute; the role is missing (42704) on old builds.
pub const ROLE_MEMBERSHIP: &str = "SELECT pg_has_role(current_user, 'gs_role_replication', 'MEMBER')";

/// Right to connect to the database.
pub const CONNECT_PRIVILEGE: &str = "SELECT has_database_privilege(current_database(), 'CONNECT')";

/// Slots in use, physical ones too.
pub const SLOTS_USED: &str = "SELECT count(*) FROM pg_get_replication_slots()";

/// End of the write-ahead log.
pub const LOG_END: &str = "SELECT pg_current_xlog_location()";

/// Transactions that are open, oldest first. A slot under creation waits for them. The server's own thread `workload`, whose
/// transaction is as old as the server, holds nothing up.
pub const OPEN_TRANSACTIONS: &str = "SELECT pid, usename, application_name, state, \
    extract(epoch FROM now() - xact_start)::bigint FROM pg_stat_activity \
    WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND application_name <> 'workload' ORDER BY xact_start LIMIT 100";

/// Prepared transactions, oldest first.
pub const PREPARED_TRANSACTIONS: &str = "SELECT gid, owner, extract(epoch FROM now() - prepared)::bigint \
    FROM pg_prepared_xacts ORDER BY prepared LIMIT 100";

/// Every ordinary table outside the system schemas, with what decides whether its changes are decoded. The primary key's columns come as an
/// array of column numbers in key order.
pub const TABLES: &str = "SELECT c.oid, n.nspname, c.relname, c.relpersistence, c.relreplident, \
    (SELECT k.conkey::text FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p'), \
    (c.reloptions::text ILIKE '%orientation=column%' OR c.reloptions::text ILIKE '%orientation=orc%' \
        OR c.reloptions::text ILIKE '%orientation=timeseries%'), \
    (c.reloptions::text ~* 'compresstype=[1-9]' OR c.reloptions::text ~* 'compression=(yes|low|middle|high)'), \
    (SELECT p.partstrategy FROM pg_partition p WHERE p.parentid = c.oid AND p.parttype = 'r'), \
    has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT') \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND c.oid >= 16384 AND n.nspname NOT LIKE 'pg!_%' ESCAPE '!' ORDER BY 2, 3";

/// Constraints that may be checked late. The same text serves PostgreSQL.
pub const DEFERRABLE: &str = "SELECT n.nspname, c.relname, k.conname, '' FROM pg_constraint k \
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE k.condeferrable ORDER BY 1, 2, 3 LIMIT 1000";

/// Columns whose type is none of the documented ones, nor an array of one. The same text serves PostgreSQL.
pub const UNDOCUMENTED_TYPES: &str = "SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a \
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid \
    WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped \
    AND CASE WHEN t.typelem <> 0 AND t.typlen = -1 THEN t.typelem ELSE t.oid END NOT IN \
    (16, 17, 20, 21, 23, 25, 86, 88, 90, 114, 600, 601, 602, 603, 604, 650, 700, 701, 718, 790, 829, 869, 1042, 1043, 1082, 1083, \
    1114, 1184, 1186, 1266, 1560, 1562, 1700, 1790, 2950, 3614, 3615, 3969, 5545, 9003) ORDER BY 1, 2, 3 LIMIT 1000";

/// Generated columns; the mark is missing (42703) on old builds.
pub const GENERATED_COLUMNS: &str = "SELECT n.nspname, c.relname, a.attname, '' FROM pg_attrdef d \
    JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum WHERE d.adgencol = 's' ORDER BY 1, 2, 3 LIMIT 1000";

/// One table by name: OID, replica identity, columns of the primary key. The same text serves PostgreSQL.
pub fn table(schema: &str, name: &str) -> String {
    format!(
        "SELECT c.oid, c.relreplident, \
        (SELECT k.conkey::text FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p') \
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = {} AND c.relname = {} AND c.relkind IN ('r', 'p')",
        quote_literal(schema),
        quote_literal(name)
    )
}

/// Columns of a table in their order. The same text serves PostgreSQL.
pub fn columns(table: u32) -> String {
    format!(
        "SELECT a.attnum, a.attname, a.atttypid, format_type(a.atttypid, NULL), a.atttypmod FROM pg_attribute a \
        WHERE a.attrelid = {table} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    )
}

/// What is under a type: `d` is a domain, then the type it is made of. The same text serves PostgreSQL.
pub fn base_type(type_oid: u32) -> String {
    format!("SELECT t.typtype, t.typbasetype, format_type(t.typbasetype, NULL) FROM pg_type t WHERE t.oid = {type_oid}")
}

/// Whether a transaction still holds the lock on its own number: then others may not see yet what it did. The same text serves PostgreSQL.
pub fn transaction_runs(xid: u64) -> String {
    format!("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND transactionid::text = '{xid}'")
}

/// A slot and the end of the log.
pub fn slot(name: &str) -> String {
    format!(
        "SELECT slot_name, plugin, database, active, restart_lsn, confirmed_flush, pg_current_xlog_location() \
        FROM pg_replication_slots WHERE slot_name = {}",
        quote_literal(name)
    )
}

/// The logical slots of a database. The same text serves PostgreSQL.
pub fn slots_of(database: &str) -> String {
    format!("SELECT slot_name, plugin, active FROM pg_replication_slots WHERE database = {}", quote_literal(database))
}

/// Makes a slot. By function and not by the replication command: the statement has a time-out that leaves nothing behind.
pub fn create_slot(name: &str, plugin: &str) -> String {
    format!("SELECT * FROM pg_create_logical_replication_slot({}, {})", quote_literal(name), quote_literal(plugin))
}

/// Bounds every later statement of the session, in milliseconds; 0 is no bound.
pub fn statement_timeout(millis: u128) -> String {
    format!("SET statement_timeout = {millis}")
}

/// Drops a slot.
pub fn drop_slot(name: &str) -> String {
    format!("SELECT pg_drop_replication_slot({})", quote_literal(name))
}
