//! Recorded log-ins played against the simulator by the recorded client: what the server says must be of the recorded form.

use millrace_gaussdb_sim::{Cluster, Encryption, Hba, Login, Options, Product, Role};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const RECORDED: &str = include_str!("../../../../gateway/crates/replication/tests/data/opengauss/authentication.txt");

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// One recorded case: who, and the messages in order (true: of the client).
struct Case {
    name: &'static str,
    fields: BTreeMap<&'static str, &'static str>,
    notes: &'static str,
    messages: Vec<(bool, Vec<u8>)>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for text in RECORDED.split("\ncase ").skip(1) {
        let mut lines = text.lines();
        let name = lines.next().unwrap();
        let mut case = Case { name, fields: BTreeMap::new(), notes: "", messages: Vec::new() };
        for line in lines {
            match line.split_once(' ') {
                Some(("c", hex)) => case.messages.push((true, bytes(hex))),
                Some(("s", hex)) => case.messages.push((false, bytes(hex))),
                Some(("#", note)) if case.notes.is_empty() => case.notes = note,
                Some((field, value)) => {
                    case.fields.insert(field, value);
                }
                None => {}
            }
        }
        cases.push(case);
    }
    cases
}

/// A server as the recorder had set it.
fn server(case: &Case) -> Option<Cluster> {
    let has = |text: &str| case.notes.contains(text);
    let encryption = if has("stored combined") {
        Encryption::Combined
    } else if has("stored md5") {
        Encryption::Md5
    } else if has("stored sm3") {
        Encryption::Sm3
    } else {
        Encryption::Sha256
    };
    let hba = if has("hba md5") {
        Hba::Md5
    } else if has("hba sm3") {
        Hba::Sm3
    } else if has("hba reject") {
        Hba::Reject
    } else if has("hba has only") {
        Hba::Missing
    } else {
        Hba::Sha256
    };
    let user = (*case.fields.get("user")?).to_owned();
    let role = Role { replication: user != "normaluser", ..Role::replication(&user) };
    let password = case.fields.get("password").map_or(String::new(), |password| (*password).to_owned());
    // The recorded proofs fit the recorded salts; here only the forms are compared, so any password does.
    let login = Login { role, password, encryption };
    let unknown = case.name.starts_with("unknown_user");
    let options = Options {
        product: Product::OpenGauss,
        data_nodes: 1,
        standbys: false,
        thread_pool: false,
        logins: if unknown { Vec::new() } else { vec![login] },
        sql_hba: hba,
        replication_hba: hba,
        ..Options::new()
    };
    Some(Cluster::start(options).unwrap())
}

fn read(socket: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    socket.read_exact(&mut head).ok()?;
    let mut body = vec![0; u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4];
    socket.read_exact(&mut body).ok()?;
    Some((head[0], body))
}

/// Splits recorded bytes of the server into messages.
fn split(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut out = Vec::new();
    while bytes.len() >= 5 {
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        let Some(body) = bytes.get(5..1 + length) else { break };
        out.push((bytes[0], body.to_vec()));
        bytes = &bytes[1 + length..];
    }
    out
}

/// What of a message does not depend on salts.
fn form(tag: u8, body: &[u8]) -> (u8, Vec<u8>) {
    if tag != b'R' {
        return (tag, body.to_vec());
    }
    let numbers = if body.len() >= 76 { 8 } else { 4 };
    let mut form = body[..numbers.min(body.len())].to_vec();
    form.push(body.len() as u8);
    // The count at the end of the 3.51 form.
    if body.len() == 84 {
        form.extend_from_slice(&body[80..]);
    }
    (tag, form)
}

/// The first request of every recorded log-in, and every refusal that comes before a password, are as recorded.
#[test]
fn first_answers_are_the_recorded_ones() {
    let mut played = 0;
    for case in cases() {
        // Other counts of hash rounds than the default are not modelled, and each case has a database of its own.
        let skipped = ["iter2048", "iterations", "old_user"].iter().any(|part| case.name.contains(part));
        let Some(cluster) = (!skipped).then(|| server(&case)).flatten() else { continue };
        let replication = case.fields.get("parameter").is_some_and(|parameter| parameter.starts_with("replication"));
        let on_ha = case.name.contains("ha_port")
            || (replication && !case.name.contains("data_port") && !case.name.contains("bad_value"));
        // Physical replication without a password is not copied.
        if case.name == "sha256_physical_replication_true" {
            continue;
        }
        let mut socket = TcpStream::connect(("127.0.0.1", cluster.port() + u16::from(on_ha))).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let Some((_, startup)) = case.messages.iter().find(|(client, _)| *client) else { continue };
        let recorded: Vec<_> =
            case.messages.iter().filter(|(client, _)| !client).take(1).flat_map(|(_, bytes)| split(bytes)).collect();
        socket.write_all(startup).unwrap();
        for (tag, body) in recorded {
            let Some((got, answer)) = read(&mut socket) else {
                panic!("{}: nothing where {} came", case.name, tag as char)
            };
            assert_eq!(
                (case.name, form(got, &answer)),
                (case.name, form(tag, &body)),
                "{}: {}",
                case.name,
                String::from_utf8_lossy(&answer)
            );
        }
        played += 1;
    }
    assert!(played > 45, "{played} cases");
}
