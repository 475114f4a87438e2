//! Avro from the table to a consumer, in every framing, read with another implementation.

use crate::stage::{SOON, Stage};
use crate::types;
use apache_avro::{GenericSingleObjectReader, Schema, from_avro_datum, types::Value as Avro};
use millrace_tests::gateway::{Gateway, millrace};
use millrace_tests::registry;
use millrace_tests::task::{Task, task_slot};
use millrace_tests::topics::Record;
use serde_json::{Map, Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const SCHEMA: &str = include_str!("../../../transforms/drs-avro/schema.avsc");

/// A value as the JSON that means the same: unions by their value, enums by their symbol.
fn as_json(value: Avro) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(value) => value.into(),
        Avro::Int(value) => value.into(),
        Avro::Long(value) => value.into(),
        Avro::String(value) | Avro::Enum(_, value) => value.into(),
        Avro::Union(_, value) => as_json(*value),
        Avro::Array(items) => items.into_iter().map(as_json).collect(),
        Avro::Map(members) => Value::Object(members.into_iter().map(|(k, v)| (k, as_json(v))).collect::<Map<_, _>>()),
        Avro::Record(fields) => Value::Object(fields.into_iter().map(|(k, v)| (k, as_json(v))).collect()),
        other => panic!("{other:?} is of no type of this schema"),
    }
}

/// A bare datum; nothing may follow it.
fn datum(mut bytes: &[u8]) -> Value {
    let schema = Schema::parse_str(SCHEMA).expect("the published schema");
    let value = from_avro_datum(&schema, &mut bytes, None).expect("a datum");
    assert!(bytes.is_empty(), "{} bytes behind the datum", bytes.len());
    as_json(value)
}

/// A task of its own on the stage's database: its slot, positions and topics are called after it.
fn beside(stage: &Stage, name: &str) -> (Task, String) {
    let mut task = Task::new(&stage.database, stage.kafka);
    let full = format!("{}_{name}", stage.database.name());
    let slot = task_slot(&full);
    stage.database.exec(&format!("CREATE PUBLICATION {slot} FOR ALL TABLES"));
    task.text("task.name", &full)
        .text("source.slot", &slot)
        .text("source.publication", &slot)
        .text("position.topic", &format!("{full}-positions"))
        .text("route.topic_name_format", &format!("{full}-$tablename$"));
    (task, full)
}

fn avro(task: &mut Task, framing: &str) {
    task.text("format.kind", "avro").text("sink.framing", framing);
}

fn without_time(mut event: Value) -> Value {
    assert!(event["ts"].is_u64(), "{event}");
    event["ts"] = Value::Null;
    event
}

#[test]
fn every_type_in_every_framing_is_the_json_event() {
    let stage = Stage::new("avro", &types::schema());
    let registry = registry::shared();
    let mut tasks = Vec::new();
    for framing in ["json", "raw", "single-object", "registry"] {
        let (mut task, name) = beside(&stage, &framing.replace('-', "_"));
        match framing {
            "json" => {}
            "registry" => {
                avro(&mut task, framing);
                task.set("registry.urls", &json!([registry.url()]).to_string());
            }
            _ => avro(&mut task, framing),
        }
        tasks.push((framing, task, format!("{name}-every_type")));
    }
    let mut gateways: Vec<Gateway> = tasks.iter().map(|(_, task, _)| Gateway::start(task)).collect();
    gateways.iter_mut().for_each(|gateway| gateway.wait_ready(Duration::from_secs(60)));
    let rows = types::fill(&stage);

    let read = |topic: &str| -> Vec<Record> { stage.kafka.reader(&[topic]).exactly(3 * rows, SOON).to_vec() };
    let events: Vec<(Option<Vec<u8>>, Value)> =
        read(&tasks[0].2).iter().map(|record| (record.key.clone(), without_time(record.json()))).collect();
    let subject = format!("{}-value", tasks[3].2);
    let found = registry.ask("POST", &format!("subjects/{subject}"), &json!({ "schema": SCHEMA }));
    let id = u32::try_from(found["id"].as_u64().expect("an id")).expect("four bytes");
    assert_eq!(registry.ask("GET", &format!("subjects/{subject}/versions"), &Value::Null), json!([1]));
    let schema = Schema::parse_str(SCHEMA).expect("the published schema");
    for (framing, _, topic) in &tasks[1..] {
        let records = read(topic);
        for (record, (key, event)) in records.iter().zip(&events) {
            let value = record.value.as_deref().expect("a value");
            let decoded = match *framing {
                "raw" => datum(value),
                "single-object" => {
                    let reader = GenericSingleObjectReader::new(schema.clone()).expect("a reader");
                    as_json(reader.read_value(&mut &*value).expect("a single object"))
                }
                _ => {
                    assert_eq!(value[..5], [&[0][..], &id.to_be_bytes()].concat(), "a zero and the registry's number");
                    datum(&value[5..])
                }
            };
            assert_eq!((&record.key, &without_time(decoded)), (key, event), "{framing}");
        }
    }
    gateways.iter_mut().for_each(Gateway::stop_cleanly);
}

#[test]
fn a_schema_the_subject_does_not_permit_is_told_before_anything_is_produced() {
    let stage = Stage::new("avrorefused", "CREATE TABLE t(id int PRIMARY KEY)");
    let registry = registry::shared();
    let topic = stage.topic("t");
    let subject = format!("{topic}-value");
    // What an earlier producer of the topic wrote: one of our fields has another type there.
    let earlier = r#"{"type":"record","name":"io.millrace.drs.ChangedRow","fields":[{"name":"id","type":"string"}]}"#;
    registry.ask("POST", &format!("subjects/{subject}/versions"), &json!({ "schema": earlier }));
    registry.ask("PUT", &format!("config/{subject}"), &json!({ "compatibility": "BACKWARD" }));
    let mut task = stage.task.clone();
    avro(&mut task, "registry");
    task.set("registry.urls", &json!([registry.url()]).to_string());
    let mut gateway = Gateway::start(&task);
    let status = gateway.wait_halted("schema_incompatible", SOON);
    assert!(status.to_string().contains(&subject), "{status}");
    stage.database.exec("INSERT INTO t VALUES (1)");
    assert!(!stage.kafka.topics().contains_key(&topic), "not even the topic is made");
    gateway.stop_cleanly();

    // Without leave to register it is another refusal, under another subject too.
    task.text("registry.subject", "topic-record").set("registry.register", "false");
    let mut gateway = Gateway::start(&task);
    gateway.wait_halted("schema_not_registered", SOON);
    gateway.stop_cleanly();

    // Under a subject that permits it nothing is lost of what was written meanwhile.
    task.set("registry.register", "true");
    let mut gateway = Gateway::ready(&task);
    let record = stage.kafka.reader(&[&topic]).exactly(1, SOON)[0].clone();
    assert_eq!(datum(&record.value.expect("a value")[5..])["data"], json!([{ "id": "1" }]));
    let subject = format!("{topic}-io.millrace.drs.ChangedRow");
    assert_eq!(registry.ask("GET", &format!("subjects/{subject}/versions"), &Value::Null), json!([1]));
    gateway.stop_cleanly();
}

/// Passes connections on to the registry, so that there is an address which begins to answer.
fn forward(listener: TcpListener, to: SocketAddr) {
    std::thread::spawn(move || {
        for from in listener.incoming() {
            let (from, to) = (from.expect("a connection"), TcpStream::connect(to).expect("the registry"));
            let pass = |mut from: TcpStream, mut to: TcpStream| {
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = from.read(&mut bytes) {
                        if to.write_all(&bytes[..read]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(std::net::Shutdown::Write);
                })
            };
            pass(from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
            pass(to, from);
        }
    });
}

#[test]
fn a_registry_that_is_down_is_waited_for() {
    let stage = Stage::new("avrodown", "CREATE TABLE t(id int PRIMARY KEY)");
    let port = millrace_tests::ports::free();
    let mut task = stage.task.clone();
    avro(&mut task, "registry");
    let url = registry::shared().url().replace(&registry::shared().address().port().to_string(), &port.to_string());
    task.set("registry.urls", &json!([url]).to_string());
    let mut gateway = Gateway::start(&task);
    let told =
        || gateway.log_lines().iter().any(|line| line.to_string().contains("registry_unreachable")).then_some(());
    millrace_tests::eventually("the gateway says that the registry is away", SOON, told);
    let checked = || {
        let out = millrace(&["check", &task.write().display().to_string(), "--json"]).stdout;
        let report: Value = serde_json::from_slice(&out).expect("a report");
        let items = report["items"].as_array().expect("items").clone();
        items.into_iter().find(|item| item["item"] == "registry.connection").expect("an item of the registry")
    };
    let item = checked();
    assert_eq!((&item["result"], &item["code"]), (&json!("FAILED"), &json!("registry_unreachable")));
    forward(TcpListener::bind(("127.0.0.1", port)).expect("the port"), registry::shared().address());
    gateway.wait_ready(SOON);
    assert_eq!(checked()["result"], "PASSED");
    stage.database.exec("INSERT INTO t VALUES (1)");
    let record = stage.reader(&["t"]).exactly(1, SOON)[0].clone();
    assert_eq!(datum(&record.value.expect("a value")[5..])["type"], "INSERT");
    gateway.stop_cleanly();
}

#[test]
fn a_module_whose_schema_is_none_is_refused_before_the_start() {
    let stage = Stage::new("avronone", "CREATE TABLE t(id int PRIMARY KEY)");
    let probe = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/crates/host/tests/components/probe.wasm");
    for (doing, framing, code) in [
        ("plan - - ; schema shop text", "single-object", "schema_refused"),
        // No schema at all: nothing could stand before its values.
        ("plan - -", "single-object", "framing_unfit"),
    ] {
        let mut task = stage.task.clone();
        task.text("sink.framing", framing);
        task.append(&format!(
            "[modules.format]\npath = \"{probe}\"\ngrants = [\"counter\"]\nconfig = {{ do = \"{doing}\" }}\n"
        ));
        let mut gateway = Gateway::start(&task);
        gateway.wait_halted(code, SOON);
        assert!(!stage.kafka.topics().contains_key(&stage.topic("t")), "no topic is made");
        gateway.stop_cleanly();
    }
}
