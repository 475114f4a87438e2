//! What this module writes, read back by another implementation of Avro, is what `drs-json` writes for the same changes.

use std::{fs, path::Path};

use apache_avro::{Schema, from_avro_datum, types::Value as Avro};
use millrace_drs_avro::{DrsAvro, NAME, SCHEMA};
use millrace_drs_json::DrsJson;
use millrace_guest::{
    Format, Formatting,
    golden::{self, Step},
};
use serde_json::{Map, Value};

/// A datum as the JSON that means the same: unions by their value, enums by their symbol.
fn json(value: Avro) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(value) => value.into(),
        Avro::Int(value) => value.into(),
        Avro::Long(value) => value.into(),
        Avro::String(value) | Avro::Enum(_, value) => value.into(),
        Avro::Union(_, value) => json(*value),
        Avro::Array(items) => items.into_iter().map(json).collect(),
        Avro::Map(members) => Value::Object(members.into_iter().map(|(k, v)| (k, json(v))).collect::<Map<_, _>>()),
        Avro::Record(fields) => Value::Object(fields.into_iter().map(|(k, v)| (k, json(v))).collect::<Map<_, _>>()),
        other => panic!("{other:?} is of no type of this schema"),
    }
}

/// Values, or the faults, of every change of a file; the config replaces the file's own.
fn records<M: Format>(file: &Path, config: &str) -> Vec<Result<Vec<u8>, String>> {
    let mut stage = Formatting::<M>::init(config).expect("the config");
    let (mut interests, mut out) = (Vec::new(), Vec::new());
    for step in golden::read(file).expect("golden events") {
        match step {
            Step::Config(_) => {}
            Step::Relation(relation) => {
                let plan = stage.announce(relation.clone()).expect("the table");
                interests.push((relation, plan.reads));
            }
            Step::Batch(batch) => {
                let answer = stage.process(&golden::project(&batch, &interests));
                let mut start = 0;
                for (&key_end, &value_end) in answer.key_ends.iter().zip(&answer.value_ends) {
                    assert_eq!(key_end as usize, start);
                    out.push(Ok(answer.arena[start..value_end as usize].to_vec()));
                    start = value_end as usize;
                }
                out.extend(answer.faults.into_iter().map(|fault| Err(fault.message)));
            }
        }
    }
    out
}

#[test]
fn every_type_and_operation() {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../drs-json/golden");
    let mut compared = 0;
    for config in [
        r#"{}"#,
        r#"{"binary":"base64","money":"decimal","db_type":"PostgreSQL"}"#,
        r#"{"binary":"byte_list"}"#,
        r#"{"binary":"pg"}"#,
    ] {
        for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if !file.to_str().unwrap().ends_with(".events.jsonl") {
                continue;
            }
            let (avro, plain) = (records::<DrsAvro>(&file, config), records::<DrsJson>(&file, config));
            assert_eq!(avro.len(), plain.len(), "{}", file.display());
            for (avro, plain) in avro.into_iter().zip(plain) {
                match (avro, plain) {
                    (Ok(avro), Ok(plain)) => {
                        let mut rest = avro.as_slice();
                        let read = json(from_avro_datum(&schema, &mut rest, None).unwrap());
                        assert!(rest.is_empty(), "{} bytes behind the datum", rest.len());
                        assert_eq!(read, serde_json::from_slice::<Value>(&plain).unwrap(), "{}", file.display());
                        compared += 1;
                    }
                    (Err(avro), Err(plain)) => {
                        let part = |text: &str| text.rsplit_once(": ").map(|(_, why)| why.to_owned());
                        assert_eq!(part(&avro), part(&plain));
                    }
                    (avro, plain) => panic!("{}: {avro:?} but {plain:?}", file.display()),
                }
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

/// The names of the fields are those of the JSON event, in its order.
#[test]
fn the_schema_has_the_fields_of_the_event() {
    let Schema::Record(record) = Schema::parse_str(SCHEMA).unwrap() else { panic!("no record") };
    let names: Vec<_> = record.fields.iter().map(|f| f.name.as_str()).collect();
    let golden =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../drs-json/golden/envelope.expected.jsonl")).unwrap();
    let line: Value = serde_json::from_str(golden.lines().next().unwrap()).unwrap();
    let event: Map<String, Value> = serde_json::from_str(line["value"].as_str().unwrap()).unwrap();
    assert_eq!(names, event.keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(record.name.fullname(None), NAME);
    assert!(record.doc.is_some() && record.fields.iter().all(|f| f.doc.is_some()));
}
