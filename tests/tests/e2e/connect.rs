//! Ways to the source: Unix socket, several hosts, TLS with its verifications, client certificates.

use crate::stage::{SOON, Stage};
use millrace_tests::gateway::Gateway;
use millrace_tests::postgres::Postgres;
use millrace_tests::task::Task;
use millrace_tests::{ports, scratch, servers};
use std::path::{Path, PathBuf};
use std::process::Command;

const TABLE: &str = "CREATE TABLE t(id int PRIMARY KEY)";

/// Starts `task`, and sees one more row come through.
fn streams(stage: &Stage, task: &Task) {
    let mut gateway = Gateway::ready(task);
    let rows: usize = stage.database.number("SELECT count(*) FROM t").try_into().expect("a count");
    stage.database.exec(&format!("INSERT INTO t VALUES ({rows})"));
    stage.reader(&["t"]).exactly(rows + 1, SOON);
    gateway.stop_cleanly();
}

fn refused(task: &Task, code: &str) {
    let mut gateway = Gateway::start(task);
    gateway.wait_halted(code, SOON);
    gateway.stop_cleanly();
}

#[test]
fn over_a_unix_socket_and_past_hosts_that_are_down() {
    let stage = Stage::new("socket", TABLE);
    let (directory, port) = (stage.database.socket_dir().display(), stage.database.port());
    let mut task = stage.task.clone();
    task.set("source.hosts", &format!("[\"{directory}:{port}\"]")).unset("source.sslmode");
    streams(&stage, &task);
    let dead = ports::free();
    let mut task = stage.task.clone();
    task.set("source.hosts", &format!("[\"127.0.0.1:{dead}\", \"{directory}:{dead}\", \"127.0.0.1:{port}\"]"));
    streams(&stage, &task);
}

#[test]
fn verified_tls_is_the_default_and_is_refused_where_it_is_not_offered() {
    let stage = Stage::new("notls", TABLE);
    let mut task = stage.task.clone();
    task.unset("source.sslmode");
    refused(&task, "tls_not_offered");
}

/// Runs openssl in `dir`.
fn openssl(dir: &Path, args: &[&str]) {
    let out = Command::new("openssl").args(args).current_dir(dir).output().expect("run openssl");
    assert!(out.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// An authority `NAME.pem` with its key.
fn authority(dir: &Path, name: &str) -> PathBuf {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
    openssl(dir, &[&request[..], &["-subj", &format!("/CN={name}"), "-keyout", &key, "-out", &certificate]].concat());
    dir.join(certificate)
}

/// A certificate `NAME.pem` for `subject` signed by the authority `ca`.
fn certificate(dir: &Path, ca: &str, name: &str, subject: &str, alternative: Option<&str>) {
    let (key, request, signed) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject];
    openssl(dir, &[&new[..], &["-keyout", &key, "-out", &request]].concat());
    let (pem, ca_key) = (format!("{ca}.pem"), format!("{ca}.key"));
    let mut sign = vec![
        "x509",
        "-req",
        "-days",
        "30",
        "-CA",
        &pem,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-in",
        &request,
        "-out",
        &signed,
    ];
    if let Some(alternative) = alternative {
        std::fs::write(dir.join("extensions"), format!("subjectAltName={alternative}\n"))
            .expect("write the extensions");
        sign.extend(["-extfile", "extensions"]);
    }
    openssl(dir, &sign);
}

#[test]
fn tls_with_every_verification() {
    let dir = scratch::folder("certificates");
    let ca = authority(&dir, "authority");
    let other = authority(&dir, "other");
    certificate(&dir, "authority", "server", "/CN=localhost", Some("DNS:localhost"));
    certificate(&dir, "authority", "client", "/CN=millrace", None);
    let postgres = Postgres::start_with_tls(
        &dir,
        "hostssl all certified 127.0.0.1/32 cert map=gateway\nhostnossl all millrace 127.0.0.1/32 reject",
    );
    let stage = Stage::on(&postgres, servers::kafka(), "tls", TABLE);
    let port = stage.database.port();
    let mut task = stage.task.clone();
    task.set("source.hosts", &format!("[\"localhost:{port}\"]")).text("source.root_cert", &ca.display().to_string());
    task.text("source.sslmode", "verify-full");
    streams(&stage, &task);

    let mut by_address = task.clone();
    by_address.set("source.hosts", &format!("[\"127.0.0.1:{port}\"]"));
    refused(&by_address, "tls_certificate");
    by_address.text("source.sslmode", "verify-ca");
    streams(&stage, &by_address);

    let mut wrong_ca = task.clone();
    wrong_ca.text("source.root_cert", &other.display().to_string());
    refused(&wrong_ca, "tls_certificate");
    let mut plain = task.clone();
    plain.text("source.sslmode", "disable").unset("source.root_cert");
    let mut gateway = Gateway::start(&plain);
    gateway.wait_state("halted", SOON);
    gateway.stop_cleanly();
    let mut unverified = task.clone();
    unverified.text("source.sslmode", "require").unset("source.root_cert");
    streams(&stage, &unverified);

    // By certificate alone, without a password.
    stage.database.exec("CREATE ROLE certified LOGIN REPLICATION; GRANT pg_read_all_data TO certified");
    let mut certified = task.clone();
    certified.text("source.user", "certified").unset("source.password");
    certified.text("source.client_cert", &dir.join("client.pem").display().to_string());
    certified.text("source.client_key", &dir.join("client.key").display().to_string());
    streams(&stage, &certified);
}
