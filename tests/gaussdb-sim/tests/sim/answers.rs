//! Recorded answers to catalogue queries, and who was let in at which port with a thread pool: the simulator's must be like them.

use crate::commands::{ask, fields, log_in, values};
use millrace_gaussdb_sim::{Cluster, Encryption, Hba, Login, Options, Product, Role};
use serde_json::Value;

const RECORDED: &str = include_str!("../data/catalogue.jsonl");

fn lines(key: &'static str) -> impl Iterator<Item = Value> {
    RECORDED
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(move |line| line.get(key).is_some())
}

fn server(thread_pool: bool) -> Cluster {
    let role = |name: &str, replication: bool| Role { replication, ..Role::replication(name) };
    let login = |role: Role| Login { role, password: String::new(), encryption: Encryption::Sha256 };
    let mut options =
        Options { product: Product::OpenGauss, data_nodes: 1, standbys: false, thread_pool, ..Options::new() };
    options.logins = vec![login(role("cdc", true)), login(role("repluser", true)), login(role("normaluser", false))];
    (options.sql_hba, options.replication_hba) = (Hba::Trust, Hba::Trust);
    Cluster::start(options).unwrap()
}

/// Names and types of a RowDescription.
fn columns(body: &[u8]) -> Vec<(String, u64)> {
    let (mut at, mut columns) = (2, Vec::new());
    while at < body.len() {
        let end = at + body[at..].iter().position(|byte| *byte == 0).unwrap();
        let name = String::from_utf8(body[at..end].to_vec()).unwrap();
        let oid = u32::from_be_bytes(body[end + 7..end + 11].try_into().unwrap());
        columns.push((name, u64::from(oid)));
        at = end + 19;
    }
    columns
}

fn error(recorded: &Value) -> Vec<(char, String)> {
    ['S', 'M', 'C'].map(|field| (field, recorded[field.to_string()].as_str().unwrap().to_owned())).into()
}

/// What the simulator answers at all it answers with the recorded columns; settings of the recorded server have its values.
#[test]
fn catalogue_queries_have_the_recorded_columns() {
    let cluster = server(false);
    let mut socket = log_in(cluster.port(), "cdc", None).unwrap();
    let (mut known, mut differences) = (0, Vec::new());
    for line in lines("sql") {
        let sql = line["sql"].as_str().unwrap();
        let said = ask(&mut socket, sql);
        let failed = said.iter().find(|(tag, _)| *tag == b'E').map(|(_, body)| fields(body));
        if failed
            .as_ref()
            .is_some_and(|fields| fields[2].1.starts_with("gaussdb-sim ") || fields[1].1.starts_with("gaussdb-sim "))
        {
            continue;
        }
        known += 1;
        if let Some(failed) = failed {
            let mut recorded = if line["error"].is_null() { Vec::new() } else { error(&line["error"]) };
            let mut failed = failed;
            recorded.sort();
            failed.sort();
            if recorded != failed {
                differences.push(format!("{sql}\n  said     {failed:?}\n  recorded {recorded:?}"));
            }
            continue;
        }
        let described = said.iter().find(|(tag, _)| *tag == b'T').map(|(_, body)| columns(body)).unwrap_or_default();
        let pair = |column: &Value| (column[0].as_str().unwrap().to_owned(), column[1].as_u64().unwrap());
        let recorded: Vec<_> = line["columns"].as_array().into_iter().flatten().map(pair).collect();
        if described != recorded {
            differences.push(format!("{sql}\n  said     {described:?}\n  recorded {recorded:?}"));
        }
        // Values that belong to the model of the recorded server, not to its user's tables, names and numbers.
        let of_server =
            ["wal_level", "separation", "gs_deployment", "decode_defaults", "ssl", "compat_opts", "sql_compatibility"];
        if of_server.contains(&line["case"].as_str().unwrap()) {
            let rows: Vec<_> = said.iter().filter(|(tag, _)| *tag == b'D').map(|(_, body)| values(body)).collect();
            assert_eq!(serde_json::to_value(&rows).unwrap(), line["rows"], "{sql}");
        }
    }
    assert!(differences.is_empty(), "{} of {known}:\n{}", differences.len(), differences.join("\n"));
    println!("{known} of {} recorded queries are known", lines("sql").count());
    assert!(known >= 20, "{known}");
}

#[test]
fn a_thread_pool_lets_in_whom_it_was_recorded_to() {
    let cluster = server(true);
    let mut tried = 0;
    for line in lines("ha") {
        // Physical replication is not modelled.
        if line["replication"] == "true" && line["refused"].is_null() {
            continue;
        }
        let port = cluster.port() + u16::from(line["ha"].as_bool().unwrap());
        let entered = log_in(port, line["user"].as_str().unwrap(), line["replication"].as_str());
        match (entered, &line["refused"]) {
            (Ok(_), Value::Null) => {}
            (Err(said), recorded) if !recorded.is_null() => {
                let (mut said, mut recorded) = (said, error(recorded));
                said.sort();
                recorded.sort();
                assert_eq!(said, recorded, "{}", line["case"]);
            }
            (entered, _) => panic!("{}: {:?}", line["case"], entered.map(|_| "let in")),
        }
        tried += 1;
    }
    assert!(tried >= 9, "{tried}");
}
