//! Recorded replication commands and slot functions asked of the simulator: the answers must be the recorded ones, but for positions and
//! numbers that differ from one server to the next.

use millrace_gaussdb_sim::{Cluster, Encryption, Hba, Login, Options, Product, Role};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const RECORDED: &str = include_str!("../data/commands.jsonl");

fn server() -> Cluster {
    let login = |role: Role| Login { role, password: String::new(), encryption: Encryption::Sha256 };
    let normal = Role { replication: false, ..Role::replication("normal") };
    let mut options = Options { product: Product::OpenGauss, data_nodes: 1, standbys: false, ..Options::new() };
    options.thread_pool = false;
    options.logins = vec![login(Role::replication("cdc")), login(normal)];
    (options.sql_hba, options.replication_hba) = (Hba::Trust, Hba::Trust);
    Cluster::start(options).unwrap()
}

/// A connection that is past its log-in, or the fields of the refusal.
pub fn log_in(port: u16, user: &str, replication: Option<&str>) -> Result<TcpStream, Vec<(char, String)>> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let replication = replication.map_or_else(String::new, |value| format!("replication\0{value}\0"));
    let body = format!("\0\x03\0\x33user\0{user}\0database\0shop\0{replication}\0");
    socket.write_all(&(body.len() as u32 + 4).to_be_bytes()).unwrap();
    socket.write_all(body.as_bytes()).unwrap();
    match answer(&mut socket).iter().find(|(tag, _)| *tag == b'E') {
        Some((_, body)) => Err(fields(body)),
        None => Ok(socket),
    }
}

/// Messages up to ReadyForQuery, or to the end of the connection.
fn answer(socket: &mut TcpStream) -> Vec<(u8, Vec<u8>)> {
    let mut messages = Vec::new();
    while messages.last().is_none_or(|(tag, _)| *tag != b'Z') {
        let mut head = [0; 5];
        if socket.read_exact(&mut head).is_err() {
            break;
        }
        let mut body = vec![0; u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4];
        socket.read_exact(&mut body).unwrap();
        messages.push((head[0], body));
    }
    messages
}

pub fn ask(socket: &mut TcpStream, request: &str) -> Vec<(u8, Vec<u8>)> {
    socket.write_all(b"Q").unwrap();
    socket.write_all(&(request.len() as u32 + 5).to_be_bytes()).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    socket.write_all(&[0]).unwrap();
    answer(socket)
}

/// Values of a DataRow.
pub fn values(body: &[u8]) -> Vec<Option<String>> {
    let (mut at, mut values) = (2, Vec::new());
    while at < body.len() {
        let length = i32::from_be_bytes(body[at..at + 4].try_into().unwrap());
        at += 4;
        let value =
            usize::try_from(length).ok().map(|length| String::from_utf8(body[at..at + length].to_vec()).unwrap());
        at += value.as_ref().map_or(0, String::len);
        values.push(value);
    }
    values
}

/// A value without what is another one at every server: positions, snapshots, names of server and database, its identifier.
fn plain(value: Option<String>) -> Option<String> {
    let value = value?;
    let varies =
        value.contains('/') || value.contains("-0000") || value.len() == 18 || value == "cmd" || value == "shop";
    Some(if varies { "*".to_owned() } else { value })
}

/// Fields of an ErrorResponse. The number of the server's source line (`c`) and what only openGauss adds (`H`, `W`) are left out.
pub fn fields(body: &[u8]) -> Vec<(char, String)> {
    let parts = body.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    let parts = parts.map(|part| (char::from(part[0]), String::from_utf8(part[1..].to_vec()).unwrap()));
    parts.filter(|(field, _)| "SMC".contains(*field)).collect()
}

fn form((tag, body): &(u8, Vec<u8>)) -> String {
    let tag_name = char::from(*tag);
    match tag {
        b'D' => format!("D {:?}", values(body).into_iter().map(plain).collect::<Vec<_>>()),
        b'E' => format!("E {:?}", fields(body)),
        _ => format!("{tag_name} {:?}", String::from_utf8_lossy(body)),
    }
}

fn recorded(line: &Value) -> Vec<String> {
    let message = |hex: &Value| {
        let hex = hex.as_str().unwrap();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        form(&(bytes[0], bytes[5..].to_vec()))
    };
    line["hex"].as_array().unwrap().iter().map(message).collect()
}

#[test]
fn commands_are_answered_as_recorded() {
    let cluster = server();
    let (mut differences, mut asked) = (Vec::new(), 0);
    let lines = RECORDED.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    for line in lines.filter(|line| line["request"].is_string()) {
        // A failed command ends the connection.
        let mut socket = log_in(cluster.port() + 1, "cdc", Some("database")).unwrap();
        let said: Vec<String> = ask(&mut socket, line["request"].as_str().unwrap()).iter().map(form).collect();
        let recorded = recorded(&line);
        if recorded[0].starts_with('E') {
            assert_eq!(socket.read(&mut [0]).unwrap_or(0), 0, "{}: the server closes", line["case"]);
        }
        // Begun and not ended on the recorder's one connection; here each command has its own.
        let same = said == recorded || line["case"] == "commit_on_walsender" && said.last() == recorded.last();
        if !same {
            differences.push(format!("{}\n  said     {said:?}\n  recorded {recorded:?}", line["request"]));
        }
        asked += 1;
    }
    assert!(differences.is_empty(), "{} of {asked}:\n{}", differences.len(), differences.join("\n"));
    assert!(asked > 50, "{asked}");
}

#[test]
fn slot_functions_are_answered_as_recorded() {
    let cluster = server();
    let mut asked = 0;
    let lines = RECORDED.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    for line in lines.filter(|line| line["sql"].is_string()) {
        let user = if line["case"] == "function_normal_user" { "normal" } else { "cdc" };
        let mut socket = log_in(cluster.port(), user, None).unwrap();
        let said = ask(&mut socket, line["sql"].as_str().unwrap());
        let case = line["case"].as_str().unwrap();
        match &line["error"] {
            Value::Null => {
                let rows: Vec<Vec<_>> =
                    said.iter().filter(|(tag, _)| *tag == b'D').map(|(_, body)| values(body)).collect();
                let cell = |cell: &Value| plain(cell.as_str().map(str::to_owned));
                let wanted: Vec<Vec<_>> = line["rows"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|row| row.as_array().unwrap().iter().map(cell).collect())
                    .collect();
                let rows: Vec<Vec<_>> = rows.into_iter().map(|row| row.into_iter().map(plain).collect()).collect();
                assert_eq!(rows, wanted, "{case}");
            }
            error => {
                let failed = said.iter().find(|(tag, _)| *tag == b'E').unwrap_or_else(|| panic!("{case}: {said:?}"));
                let wanted: Vec<(char, String)> = ["S", "M", "C"]
                    .map(|name| (name.chars().next().unwrap(), error[name].as_str().unwrap().to_owned()))
                    .into();
                assert_eq!(fields(&failed.1), wanted, "{case}");
            }
        }
        asked += 1;
    }
    assert_eq!(asked, 8);
}
