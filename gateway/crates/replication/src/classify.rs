//! Turns what a server says into a stable code, a class and a mend.
//!
//! SQLSTATE first, then the name of the server's function (the same in every language), then the English text. Codes are
//! those of PostgreSQL's appendix "Error Codes"; routines and texts were read off servers 15 and looked up in the
//! sources of 14 to 18.

use crate::error::ServerError;
use crate::quote::{quote_ident, quote_literal};
use millrace_batch::Failure;

/// The first thing between double quotes in a message: the object it is about.
fn quoted(message: &str) -> Option<&str> {
    message.split('"').nth(1).filter(|name| !name.is_empty())
}

/// Makes a [`Failure`] of a server's error met while doing `tried`.
pub fn classify(tried: &str, error: &ServerError) -> Failure {
    let known = by_sqlstate(error);
    let (transient, code, mend) = known.unwrap_or_else(|| by_class(error));
    let why = error.to_string();
    if transient { Failure::transient(code, tried, why, mend) } else { Failure::definite(code, tried, why, mend) }
}

type Verdict = (bool, &'static str, String);

const WAIT: bool = true;
const PERSON: bool = false;

fn by_sqlstate(error: &ServerError) -> Option<Verdict> {
    let text = error.message.as_str();
    let routine = error.routine.as_deref().unwrap_or("");
    let name = quoted(text);
    let object = name.map_or("NAME".to_owned(), quote_ident);
    let literal = name.map_or("'NAME'".to_owned(), quote_literal);
    let refuses_plugin = error.hint.as_deref().is_some_and(|hint| hint.contains("output_plugin_libraries"));
    let verdict = |class, code, mend: String| Some((class, code, mend));
    match error.sqlstate.as_str() {
        "28P01" => verdict(PERSON, "authentication_failed", "correct the password; nothing is retried until it changes, so that the account is not locked".into()),
        "28000" if routine == "InitializeSessionUserId" && text.contains("does not exist") => verdict(
            PERSON,
            "role_missing",
            format!("CREATE ROLE {object} LOGIN REPLICATION PASSWORD '...';"),
        ),
        "28000" if text == "The account has been locked." => verdict(
            PERSON,
            "account_locked",
            "ALTER ROLE <user> ACCOUNT UNLOCK; and correct the password first if failed log-ins locked it; nothing is retried until then".into(),
        ),
        "28000" if text.contains("not within the period of validity") => verdict(
            PERSON,
            "account_not_valid",
            "ALTER ROLE <user> VALID BEGIN '...' VALID UNTIL '...'; with a period that holds today".into(),
        ),
        "28P02" => verdict(
            PERSON,
            "password_expired",
            "give the user a new password: ALTER ROLE <user> IDENTIFIED BY '...' REPLACE '...'; then configure it here".into(),
        ),
        _ if text.contains("Forbid remote connection with initial user") => verdict(
            PERSON,
            "initial_user",
            "create a user of its own for this task: the one that installed the server may only connect locally".into(),
        ),
        "28000" if text.ends_with("is not permitted to login") => {
            verdict(PERSON, "role_cannot_log_in", format!("ALTER ROLE {object} LOGIN;"))
        }
        "28000" if routine == "InitializeSessionUserId" => verdict(PERSON, "role_cannot_log_in", format!("ALTER ROLE {object} LOGIN;")),
        // PostgreSQL says this of physical replication only.
        "28000" if text.contains("hba.conf") && text.contains("replication connection") => verdict(
            PERSON,
            "no_hba_entry",
            "add a line to the server's hba file and reload; its database field must be the word replication, `all` does not match: `host replication USER ADDRESS sha256`".into(),
        ),
        "28000" if text.contains("pg_hba.conf") || text.contains("gs_hba.conf") => verdict(
            PERSON,
            "no_hba_entry",
            "add a line to pg_hba.conf and reload; logical replication matches the database by its name, TLS or its absence by hostssl / hostnossl: `hostssl DATABASE USER ADDRESS scram-sha-256`".into(),
        ),
        "28000" => verdict(PERSON, "authentication_failed", "read the server log: it says which check refused the log-in".into()),
        "3D000" => verdict(PERSON, "database_missing", format!("name an existing database, or CREATE DATABASE {object};")),
        // The name of the setting is the same in every language.
        "42501" if refuses_plugin => verdict(
            PERSON,
            "plugin_refused",
            format!("ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding, {}; SELECT pg_reload_conf(); (a list without quotes around it)", name.unwrap_or("NAME")),
        ),
        "42501" if matches!(routine, "InitPostgres" | "CheckSlotPermissions" | "check_permissions") => verdict(
            PERSON,
            "not_replication_role",
            "ALTER ROLE <user> REPLICATION;".into(),
        ),
        "42501" if text.contains("gs_role_replication") => verdict(
            PERSON,
            "not_replication_role",
            "GRANT gs_role_replication TO <user>; or ALTER ROLE <user> REPLICATION;".into(),
        ),
        "42501" if routine == "CheckMyDatabase" => verdict(PERSON, "permission_denied", format!("GRANT CONNECT ON DATABASE {object} TO <user>;")),
        "42501" => verdict(PERSON, "permission_denied", "grant the user what the message names".into()),
        "42704" if routine == "get_publication_oid" || text.starts_with("publication ") => verdict(
            PERSON,
            "publication_missing",
            format!("CREATE PUBLICATION {object} FOR TABLE ...; then create the slot anew: decoding uses the catalogue of the past, where the publication is still missing"),
        ),
        "42704" if routine.starts_with("ReplicationSlot") || text.starts_with("replication slot ") => verdict(
            PERSON,
            "slot_missing",
            "the slot is gone and with it the changes since the last position: reset the task to begin anew".into(),
        ),
        "42710" if routine == "ReplicationSlotCreate" || text.starts_with("replication slot ") => verdict(
            PERSON,
            "slot_exists",
            format!("choose another slot name, or drop it if nobody needs it: SELECT pg_drop_replication_slot({literal});"),
        ),
        "55006" => verdict(
            WAIT,
            "slot_in_use",
            format!("end the other reader: SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = {literal};"),
        ),
        "53400" => verdict(
            PERSON,
            "slots_exhausted",
            "raise max_replication_slots and restart the server, or drop a slot nobody needs: SELECT slot_name, active FROM pg_replication_slots;".into(),
        ),
        "53300" if text.contains("max_wal_senders") => verdict(
            WAIT,
            "wal_senders_exhausted",
            "raise max_wal_senders and restart the server, or end a replication connection nobody needs: SELECT pid, application_name FROM pg_stat_replication;".into(),
        ),
        "53300" => verdict(WAIT, "too_many_connections", "raise max_connections or the limit of the role or database".into()),
        "0A000" if text.starts_with("unsupported frontend protocol") => verdict(
            PERSON,
            "wrong_dialect",
            "this is no GaussDB or openGauss: choose the dialect of PostgreSQL for it".into(),
        ),
        "55000" | "0A000" => not_in_state(text, routine, error),
        "58P01" if text.contains("has already been removed") => verdict(
            PERSON,
            "slot_lost",
            "WAL the slot needs is gone: reset the task, and give max_slot_wal_keep_size more room".into(),
        ),
        "58P01" if text.contains("could not access file") => verdict(
            PERSON,
            "plugin_missing",
            format!("install the output plugin {object} at the server, or use pgoutput"),
        ),
        "57P01" => verdict(WAIT, "server_shutting_down", "nothing to do if the server comes back, or if somebody ended this connection on purpose".into()),
        "57P02" => verdict(WAIT, "server_crashed", "read the server log; the stream resumes when the server is back".into()),
        "57P03" if text.contains("not for the gsql client") => verdict(
            PERSON,
            "sql_on_ha_port",
            "give the port for SQL (the data port); replication finds the port after it by itself".into(),
        ),
        "22023" if text.contains("should connect HA port") => verdict(
            PERSON,
            "ha_port_required",
            "open the port after the data port (data port + 1) between here and the server: with a thread pool it takes replication nowhere else".into(),
        ),
        "57P03" => verdict(WAIT, "server_starting", "nothing to do: the server is starting, stopping or in recovery".into()),
        "57P05" | "57014" => verdict(WAIT, "cancelled", "nothing to do unless somebody cancels this connection again and again".into()),
        _ => None,
    }
}

/// SQLSTATE 55000 (and 0A000 on a standby) covers most of what can be wrong with a slot or the server's settings.
fn not_in_state(text: &str, routine: &str, error: &ServerError) -> Option<Verdict> {
    let all = format!("{text} {}", error.detail.as_deref().unwrap_or(""));
    let has = |part: &str| all.contains(part);
    let (code, mend) = if has("recovery") || has("on standby") {
        ("in_recovery", "connect to the primary (before PostgreSQL 16 a standby cannot decode)")
    } else if has("max_replication_slots") {
        ("slots_exhausted", "ALTER SYSTEM SET max_replication_slots = 10; then restart the server")
    } else if routine == "CheckLogicalDecodingRequirements" || has("wal_level") {
        ("wal_level", "ALTER SYSTEM SET wal_level = logical; then restart the server")
    } else if has("invalidated") || has("can no longer") || has("obsolete") {
        (
            "slot_lost",
            "WAL the slot needs was removed (max_slot_wal_keep_size, or idle_replication_slot_timeout): drop the slot and reset the task",
        )
    } else if has("was not created in this database") {
        (
            "slot_wrong_database",
            "connect to the database of the slot: SELECT slot_name, database FROM pg_replication_slots;",
        )
    } else if has("physical replication slot") {
        ("slot_not_logical", "use another slot name: this one is a physical slot")
    } else {
        return None;
    };
    Some((PERSON, code, mend.to_owned()))
}

fn by_class(error: &ServerError) -> Verdict {
    let advice = || error.hint.clone().unwrap_or_else(|| "read the server log for the circumstances".to_owned());
    match error.sqlstate.get(..2) {
        Some("08") => (WAIT, "connection_lost", advice()),
        Some("40" | "53" | "57") | Some("58") => (WAIT, "server_busy", advice()),
        _ => (PERSON, "server_error", advice()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_batch::Class;

    fn error(sqlstate: &str, routine: &str, message: &str) -> ServerError {
        ServerError {
            severity: "ERROR".into(),
            sqlstate: sqlstate.into(),
            message: message.into(),
            routine: Some(routine.into()),
            ..ServerError::default()
        }
    }

    /// Texts as PostgreSQL 14 to 18 print them.
    #[test]
    fn every_known_error_has_its_code() {
        let cases = [
            ("28P01", "auth_failed", "password authentication failed for user \"cdc\"", "authentication_failed", false),
            (
                "28000",
                "ClientAuthentication",
                "no pg_hba.conf entry for host \"::1\", user \"cdc\", database \"d\", no encryption",
                "no_hba_entry",
                false,
            ),
            ("28000", "InitializeSessionUserId", "role \"cdc\" does not exist", "role_missing", false),
            (
                "28000",
                "InitializeSessionUserId",
                "role \"cdc\" is not permitted to log in",
                "role_cannot_log_in",
                false,
            ),
            ("3D000", "InitPostgres", "database \"d\" does not exist", "database_missing", false),
            (
                "42501",
                "InitPostgres",
                "must be superuser or replication role to start walsender",
                "not_replication_role",
                false,
            ),
            ("42501", "InitPostgres", "permission denied to start WAL sender", "not_replication_role", false),
            ("42704", "ReplicationSlotAcquire", "replication slot \"s\" does not exist", "slot_missing", false),
            ("42704", "get_publication_oid", "publication \"p\" does not exist", "publication_missing", false),
            ("42710", "ReplicationSlotCreate", "replication slot \"s\" already exists", "slot_exists", false),
            ("55006", "ReplicationSlotAcquire", "replication slot \"s\" is active for PID 7", "slot_in_use", true),
            (
                "55000",
                "CheckLogicalDecodingRequirements",
                "logical decoding requires wal_level >= logical",
                "wal_level",
                false,
            ),
            (
                "55000",
                "CheckSlotRequirements",
                "replication slots can only be used if max_replication_slots > 0",
                "slots_exhausted",
                false,
            ),
            ("53400", "ReplicationSlotCreate", "all replication slots are in use", "slots_exhausted", false),
            (
                "53300",
                "InitProcess",
                "number of requested standby connections exceeds max_wal_senders (currently 1)",
                "wal_senders_exhausted",
                true,
            ),
            ("53300", "InitProcess", "sorry, too many clients already", "too_many_connections", true),
            (
                "55000",
                "CreateDecodingContext",
                "can no longer get changes from replication slot \"s\"",
                "slot_lost",
                false,
            ),
            ("55000", "ReplicationSlotAcquire", "can no longer access replication slot \"s\"", "slot_lost", false),
            (
                "55000",
                "CreateDecodingContext",
                "replication slot \"s\" was not created in this database",
                "slot_wrong_database",
                false,
            ),
            (
                "55000",
                "CreateDecodingContext",
                "cannot use physical replication slot for logical decoding",
                "slot_not_logical",
                false,
            ),
            ("58P01", "WalSndSegmentOpen", "requested WAL segment 0001 has already been removed", "slot_lost", false),
            (
                "58P01",
                "internal_load_library",
                "could not access file \"wal2json\": No such file or directory",
                "plugin_missing",
                false,
            ),
            (
                "57P01",
                "ProcessInterrupts",
                "terminating connection due to administrator command",
                "server_shutting_down",
                true,
            ),
            (
                "57P02",
                "quickdie",
                "terminating connection because of crash of another server process",
                "server_crashed",
                true,
            ),
            ("57P03", "ProcessStartupPacket", "the database system is starting up", "server_starting", true),
            // openGauss reports no routine.
            ("28P01", "", "Invalid username/password,login denied.", "authentication_failed", false),
            ("28000", "", "The account has been locked.", "account_locked", false),
            ("28000", "", "The account is not within the period of validity.", "account_not_valid", false),
            ("28000", "", "role \"r\" is not permitted to login", "role_cannot_log_in", false),
            ("XX000", "", "Forbid remote connection with initial user.", "initial_user", false),
            ("22023", "", "replication should connect HA port in thread_pool", "ha_port_required", false),
            ("22023", "", "logical replication should connect HA port in thread_pool", "ha_port_required", false),
            ("57P03", "", "the local listen ip and port is not for the gsql client", "sql_on_ha_port", false),
            ("08006", "x", "connection failure", "connection_lost", true),
            ("53100", "x", "could not extend file: No space left on device", "server_busy", true),
            ("22023", "x", "unrecognized pgoutput option: x", "server_error", false),
            ("XX000", "x", "cache lookup failed", "server_error", false),
        ];
        for (sqlstate, routine, message, code, transient) in cases {
            let failure = classify("testing", &error(sqlstate, routine, message));
            let class = if transient { Class::Transient } else { Class::Definite };
            assert_eq!((failure.code, failure.class), (code, class), "{message}");
            assert!(failure.why.contains(message) && !failure.mend.is_empty(), "{failure}");
        }
    }

    /// As PostgreSQL 15.20 says it (CVE-2026-6471).
    #[test]
    fn a_refused_plugin_is_no_matter_of_grants() {
        let mut refused =
            error("42501", "load_output_plugin", "library \"wal2json\" may not be used as an output plugin");
        refused.hint = Some("add it to \"output_plugin_libraries\" and reload the server configuration.".into());
        let failure = classify("creating the slot", &refused);
        assert_eq!((failure.code, failure.class), ("plugin_refused", Class::Definite));
        assert!(failure.mend.contains("SET output_plugin_libraries = pgoutput, test_decoding, wal2json;"), "{failure}");
    }

    #[test]
    fn a_translated_message_is_known_by_its_routine() {
        let german = error("42704", "get_publication_oid", "Publikation »p« existiert nicht");
        assert_eq!(classify("streaming", &german).code, "publication_missing");
        let german = error("42704", "ReplicationSlotAcquire", "Replikations-Slot »s« existiert nicht");
        assert_eq!(classify("starting", &german).code, "slot_missing");
    }

    #[test]
    fn the_mend_names_and_quotes_the_object() {
        let failure = classify(
            "starting",
            &error("55006", "ReplicationSlotAcquire", "replication slot \"o'b\" is active for PID 7"),
        );
        assert!(failure.mend.contains("slot_name = 'o''b'"), "{}", failure.mend);
    }
}
