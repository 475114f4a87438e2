//! Each start that must be refused, by its error code; the process stays up, halted, and says how to mend it.

use crate::stage::{SOON, Stage, summary};
use millrace_tests::gateway::Gateway;
use millrace_tests::kafka::{Jvm, Kafka};
use millrace_tests::postgres::{Postgres, client_program};
use millrace_tests::process::{Exit, Process, ProcessSignal};
use millrace_tests::task::Task;
use millrace_tests::{eventually, servers};
use std::process::Stdio;
use std::time::Duration;

const TABLE: &str = "CREATE TABLE t(id int PRIMARY KEY)";

/// Starts a task that must halt with `code`, and stops it.
pub fn refused(task: &Task, code: &str) {
    let mut gateway = Gateway::start(task);
    gateway.wait_halted(code, SOON);
    gateway.stop_cleanly();
}

/// A stage whose task has run before: it has a slot and a position.
fn run_once(stage: &Stage) {
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t SELECT coalesce(max(id),0)+1 FROM t");
    stage.reader(&["t"]).exactly(1, SOON);
    gateway.stop_cleanly();
}

#[test]
fn a_wrong_password_is_tried_once() {
    let stage = Stage::new("password", TABLE);
    let role = format!("{}_role", stage.database.name());
    stage.database.exec(&format!("CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'right'"));
    let mut task = stage.task.clone();
    task.text("source.user", &role).text("source.password", "not right");
    let mut gateway = Gateway::start(&task);
    gateway.wait_halted("authentication_failed", SOON);
    std::thread::sleep(Duration::from_secs(3));
    let failure = format!("password authentication failed for user \"{role}\"");
    // The server may log a second line of detail; a failed attempt is one FATAL line.
    let tries =
        servers::postgres().log().lines().filter(|line| line.contains("FATAL") && line.contains(&failure)).count();
    assert_eq!(tries, 1, "a stale password must not lock the account");
    assert!(!gateway.log().contains("not right"), "no password in the log");
    gateway.stop_cleanly();
}

#[test]
fn a_role_or_database_that_does_not_exist() {
    let stage = Stage::new("nobody", TABLE);
    let mut task = stage.task.clone();
    task.text("source.user", "nobody_at_all");
    refused(&task, "authentication_failed");
    let mut task = stage.task.clone();
    task.text("source.database", "no_such_database");
    let mut gateway = Gateway::start(&task);
    gateway.wait_state("halted", SOON);
    gateway.stop_cleanly();
}

#[test]
fn no_publication() {
    let stage = Stage::new("nopub", TABLE);
    stage.database.exec(&format!("DROP PUBLICATION {}", stage.task.slot()));
    refused(&stage.task, "publication_missing");
    assert_eq!(stage.slot_field("slot_name"), None, "the publication precedes the slot");
}

#[test]
fn a_position_whose_slot_is_gone() {
    let stage = Stage::new("noslot", TABLE);
    run_once(&stage);
    stage.database.exec(&format!("SELECT pg_drop_replication_slot('{}')", stage.task.slot()));
    refused(&stage.task, "position_without_slot");
    assert_eq!(stage.slot_field("slot_name"), None, "no slot is made in its place");
}

#[test]
fn a_slot_nobody_has_a_position_for() {
    let stage = Stage::new("strange", TABLE);
    stage.database.exec(&format!("SELECT pg_create_logical_replication_slot('{}','pgoutput')", stage.task.slot()));
    refused(&stage.task, "slot_without_position");
    assert_eq!(stage.slot_field("active").as_deref(), Some("false"), "the slot is left alone");
}

#[test]
fn a_slot_confirmed_beyond_the_position() {
    let stage = Stage::new("beyond", TABLE);
    run_once(&stage);
    stage.database.exec("INSERT INTO t SELECT generate_series(100,200)");
    stage.database.exec(&format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", stage.task.slot()));
    refused(&stage.task, "confirmed_past_position");
}

#[test]
fn a_slot_in_use() {
    let stage = Stage::new("inuse", TABLE);
    run_once(&stage);
    let mut command = client_program("pg_recvlogical");
    command.arg("-h").arg(stage.database.socket_dir()).args([
        "-p",
        &stage.database.port().to_string(),
        "-U",
        "postgres",
    ]);
    command.args([
        "-d",
        stage.database.name(),
        "-S",
        &stage.task.slot(),
        "--start",
        // It must hold the slot and confirm nothing: a confirmed position ahead of ours is another refusal.
        "-s",
        "0",
        "-f",
        "-",
        "-o",
        "proto_version=1",
    ]);
    command.args(["-o", &format!("publication_names={}", stage.task.slot())]).stdout(Stdio::null());
    let mut holder = Process::spawn("pg_recvlogical", command, ProcessSignal::KILL);
    eventually("the slot is held", SOON, || (stage.slot_field("active").as_deref() == Some("true")).then_some(()));
    let mut task = stage.task.clone();
    task.text("source.slot_busy_timeout", "1s");
    refused(&task, "slot_in_use");
    // Without the limit it waits, and goes on when the slot is free.
    let mut gateway = Gateway::start(&stage.task);
    gateway.wait_state("retrying", SOON);
    holder.kill();
    gateway.wait_ready(SOON);
    gateway.stop_cleanly();
}

#[test]
fn a_slot_that_lost_its_wal() {
    let postgres = Postgres::start("max_slot_wal_keep_size = 1MB\nmin_wal_size = 32MB\nmax_wal_size = 32MB");
    let stage = Stage::on(&postgres, servers::kafka(), "lost", TABLE);
    run_once(&stage);
    stage.database.exec("CREATE TABLE noise(v text)");
    for _ in 0..6 {
        stage.database.exec("INSERT INTO noise SELECT repeat('x',1000) FROM generate_series(1,20000)");
        stage.database.exec("SELECT pg_switch_wal()");
        stage.database.exec("CHECKPOINT");
    }
    eventually("the slot is lost", SOON, || (stage.slot_field("wal_status").as_deref() == Some("lost")).then_some(()));
    refused(&stage.task, "slot_lost");
}

#[test]
fn wal_level_too_low() {
    let postgres = Postgres::start("wal_level = replica");
    let stage = Stage::on(&postgres, servers::kafka(), "level", TABLE);
    refused(&stage.task, "wal_level");
}

#[test]
fn an_output_plugin_the_server_refuses() {
    // The setting exists in the minor releases that closed CVE-2026-6471 and all later ones.
    let known = servers::postgres()
        .database_named("postgres")
        .number("SELECT count(*) FROM pg_settings WHERE name='output_plugin_libraries'");
    assert_eq!(known, 1, "this PostgreSQL is too old to refuse a plugin: upgrade it (tests/setup.sh, apt-get upgrade)");
    let postgres = Postgres::start("output_plugin_libraries = test_decoding");
    let stage = Stage::on(&postgres, servers::kafka(), "plugin", TABLE);
    refused(&stage.task, "plugin_refused");
}

#[test]
fn another_server_behind_the_address() {
    let stage = Stage::new("other", TABLE);
    run_once(&stage);
    let postgres = Postgres::start_unrelated();
    postgres.admin().exec(&format!("CREATE DATABASE {}", stage.database.name()));
    let twin = postgres.database_named(stage.database.name());
    twin.exec(TABLE);
    twin.exec(&format!("CREATE PUBLICATION {} FOR TABLE t", stage.task.slot()));
    twin.exec(&format!("SELECT pg_create_logical_replication_slot('{}','pgoutput')", stage.task.slot()));
    let mut task = stage.task.clone();
    task.set("source.hosts", &format!("[\"127.0.0.1:{}\"]", postgres.port()));
    refused(&task, "system_identifier_changed");
}

#[test]
fn a_topic_that_may_not_be_made() {
    let stage = Stage::new("notopic", TABLE);
    let mut task = stage.task.clone();
    task.set("route.create_topics", "false");
    let mut gateway = Gateway::start(&task);
    // The table is known only by its first change, unless the gateway looks it up before.
    eventually("the gateway is up", SOON, || gateway.get("/readyz"));
    std::thread::sleep(Duration::from_millis(500));
    stage.database.exec("INSERT INTO t VALUES (1)");
    gateway.wait_halted("topic_missing", SOON);
    gateway.stop_cleanly();
}

#[test]
fn a_partition_count_that_fell() {
    let stage = Stage::new("count", TABLE);
    stage.kafka.create_topic(&stage.topic("t"), 4, &[]);
    run_once(&stage);
    stage.kafka.delete_topic(&stage.topic("t"));
    stage.kafka.create_topic(&stage.topic("t"), 2, &[]);
    stage.database.exec("INSERT INTO t VALUES (50)");
    refused(&stage.task, "partition_count_changed");
}

#[test]
fn a_partition_count_that_grew_moves_no_key() {
    let stage = Stage::new("grew", TABLE);
    let mut gateway = Gateway::ready(&stage.task);
    let mut reader = stage.reader(&["t"]);
    stage.database.exec("INSERT INTO t SELECT generate_series(1,20)");
    reader.exactly(20, SOON);
    gateway.stop_cleanly();
    stage.kafka.add_partitions(&stage.topic("t"), 4);
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("DELETE FROM t");
    let mut reader = stage.reader(&["t"]);
    assert!(
        reader.exactly(40, SOON).iter().all(|record| record.partition == 0),
        "pinned to the count of the first use"
    );
    assert!(gateway.log().contains("topic_grew"), "and said");
    gateway.stop_cleanly();
}

#[test]
fn a_replication_factor_above_the_number_of_brokers() {
    let stage = Stage::new("factor", TABLE);
    let mut task = stage.task.clone();
    task.set("route.replication_factor", "3");
    let mut gateway = Gateway::start(&task);
    eventually("the gateway is up", SOON, || gateway.get("/readyz"));
    std::thread::sleep(Duration::from_millis(500));
    stage.database.exec("INSERT INTO t VALUES (1)");
    gateway.wait_halted("replication_factor", SOON);
    gateway.stop_cleanly();
}

#[test]
fn a_wrong_secret_at_the_broker() {
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"alice-pw\";";
    let kafka = Kafka::start_sasl(Jvm::Light, plain);
    let stage = Stage::on(servers::postgres(), &kafka, "sasl", TABLE);
    let mut task = stage.task.clone();
    task.set("sink.brokers", &format!("[\"{}\"]", kafka.sasl_address())).text("sink.protocol", "sasl_plaintext");
    task.text("sink.sasl_mechanism", "PLAIN").text("sink.username", "alice").text("sink.password", "wrong-pw");
    let mut gateway = Gateway::start(&task);
    gateway.wait_halted("kafka_authentication", SOON);
    assert!(!gateway.log().contains("wrong-pw"), "no password in the log");
    gateway.stop_cleanly();
    task.text("sink.password", "alice-pw");
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    stage.reader(&["t"]).exactly(1, SOON);
    gateway.stop_cleanly();
}

#[test]
fn a_module_that_refuses_its_configuration() {
    let stage = Stage::new("module", TABLE);
    let mut task = stage.task.clone();
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/../transforms/prebuilt/drs-json.wasm");
    task.append(&format!("[modules.format]\npath = \"{module}\"\nconfig = {{ no_such_key = 1 }}\n"));
    refused(&task, "stage_config");
}

#[test]
fn a_halted_gateway_may_leave_instead() {
    let stage = Stage::new("leave", TABLE);
    let mut task = stage.task.clone();
    task.text("source.password", "wrong").text("pipeline.on_halt", "exit");
    let mut gateway = Gateway::start(&task);
    assert_eq!(gateway.process().wait(SOON), Exit::Code(3));
    assert!(gateway.log().contains("authentication_failed"));
}

#[test]
fn a_refused_start_mends_by_a_restart() {
    let stage = Stage::new("mended", TABLE);
    let slot = stage.task.slot();
    stage.database.exec(&format!("DROP PUBLICATION {slot}"));
    refused(&stage.task, "publication_missing");
    stage.database.exec(&format!("CREATE PUBLICATION {slot} FOR TABLE t"));
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    assert_eq!(summary(stage.reader(&["t"]).exactly(1, SOON)).len(), 1);
    gateway.stop_cleanly();
}
