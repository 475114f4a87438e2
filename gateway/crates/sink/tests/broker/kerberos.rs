//! Login with Kerberos: a realm of its own (krb5kdc), a real broker that knows it, right and wrong principals.
//!
//! Needs krb5-kdc, krb5-admin-server, krb5-user and libsasl2-modules-gssapi-mit. What Kerberos reads of the environment must be there
//! before the process starts, so the test runs itself again.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use millrace_sink::{KafkaConfig, Kerberos, Protocol, Sasl, TopicWanted, Topics};

use crate::{
    kafka::{Kafka, free_port},
    security::{refused, works},
};

const REALM: &str = "MILLRACE.TEST";

/// A program of Kerberos with the realm's files.
fn kerberos(folder: &Path, program: &str, arguments: &[&str]) -> Command {
    let sbin = Path::new("/usr/sbin").join(program);
    let mut command = Command::new(if sbin.exists() { sbin } else { PathBuf::from(program) });
    command.env("KRB5_CONFIG", folder.join("krb5.conf")).env("KRB5_KDC_PROFILE", folder.join("kdc.conf"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn done(mut command: Command) {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_ticket_of_the_realm_lets_in_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, port) = (folder.path(), free_port());
    let write = |name: &str, text: String| fs::write(path.join(name), text).unwrap();
    let place = path.display();
    write(
        "krb5.conf",
        format!(
            "[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = false\ndns_lookup_realm = false\nrdns = false\n\
             dns_canonicalize_hostname = false\nudp_preference_limit = 1\n[realms]\n{REALM} = {{\nkdc = 127.0.0.1:{port}\n}}\n\
             [domain_realm]\nlocalhost = {REALM}\n"
        ),
    );
    write(
        "kdc.conf",
        format!(
            "[kdcdefaults]\nkdc_listen = 127.0.0.1:{port}\nkdc_tcp_listen = 127.0.0.1:{port}\n[realms]\n{REALM} = {{\n\
             database_name = {place}/principal\nkey_stash_file = {place}/stash\nacl_file = {place}/acl\nmax_life = 1h\n}}\n"
        ),
    );
    done(kerberos(path, "kdb5_util", &["create", "-s", "-r", REALM, "-P", "master"]));
    for (principal, keytab) in [("kafka/localhost", "broker.keytab"), ("millrace", "client.keytab")] {
        done(kerberos(path, "kadmin.local", &["-r", REALM, "-q", &format!("addprinc -randkey {principal}")]));
        done(kerberos(path, "kadmin.local", &["-r", REALM, "-q", &format!("ktadd -k {place}/{keytab} {principal}")]));
    }
    let mut kdc =
        kerberos(path, "krb5kdc", &["-n", "-r", REALM]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "no KDC");
        std::thread::sleep(Duration::from_millis(50));
    }
    let inner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kerberos::inside_the_realm", "--ignored", "--nocapture"])
        .env("KRB5_CONFIG", path.join("krb5.conf"))
        .env("KRB5CCNAME", path.join("tickets"))
        .env("JAVA_TOOL_OPTIONS", format!("-Djava.security.krb5.conf={place}/krb5.conf"))
        .env("MILLRACE_REALM", path)
        .output()
        .unwrap();
    kdc.kill().unwrap();
    kdc.wait().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&inner.stdout), String::from_utf8_lossy(&inner.stderr));
    assert!(inner.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
#[ignore = "runs inside a_ticket_of_the_realm_lets_in_and_nothing_else"]
fn inside_the_realm() {
    let folder = PathBuf::from(env::var_os("MILLRACE_REALM").expect("run by the other test"));
    let place = folder.display().to_string();
    let kafka = Kafka::start_with(
        &|listeners| {
            let sasl = listeners.sasl_port;
            format!(
                "advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER@,SASL_PLAINTEXT://localhost:{sasl}\n\
                 sasl.enabled.mechanisms=GSSAPI\nlistener.name.sasl_plaintext.sasl.kerberos.service.name=kafka\n\
                 listener.name.sasl_plaintext.gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required \
                 useKeyTab=true storeKey=true keyTab=\"{place}/broker.keytab\" principal=\"kafka/localhost@{REALM}\";\n"
            )
        },
        &[],
    );
    let wanted =
        TopicWanted { name: "there".to_owned(), partitions: 1, replication_factor: 1, settings: Default::default() };
    Topics::connect(&KafkaConfig::new([kafka.address()])).unwrap().ensure(&[wanted]).unwrap();
    let login = |principal: &str| {
        let mut config = KafkaConfig::new([kafka.sasl_address().replace("127.0.0.1", "localhost")]);
        config.protocol = Protocol::SaslPlaintext;
        config.sasl = Some(Sasl::Kerberos(Kerberos {
            principal: format!("{principal}@{REALM}"),
            keytab: folder.join("client.keytab"),
            service: "kafka".to_owned(),
        }));
        config
    };
    // First, while there is no ticket yet that would do: a principal the realm does not have.
    refused(&login("stranger"), "kafka_authentication");
    works(&login("millrace"));
}
