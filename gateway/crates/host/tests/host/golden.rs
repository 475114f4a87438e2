//! The golden files of the default modules, through the host: their form is told in `guest-sdk/rust/src/golden`.

use crate::rows::{drs_json, probe, select, topic_router};
use millrace_batch::{Batch, ChangeStamp, Column, Lsn, Op, Relation, ReplicaIdentity, marks};
use millrace_host::{
    Chain, ChainSpec, HostError, Limits, PartitionChoice, Records, TopicTable, Verdict, positive_murmur2,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

enum Event {
    Now(i64),
    Relation(Relation),
    Change(Box<Batch>),
}

struct Case {
    name: String,
    config: String,
    events: Vec<Event>,
    expected: Vec<Value>,
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn cases(module: &str) -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../transforms").join(module).join("golden");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.to_str().and_then(|path| path.strip_suffix(".events.jsonl")) else { continue };
        let mut events = lines(&path);
        let config = events.remove(0)["config"].to_string();
        let events = events
            .iter()
            .map(|line| match line.as_object().unwrap().iter().next().unwrap() {
                (kind, value) if kind == "now" => Event::Now(value.as_i64().unwrap()),
                (kind, value) if kind == "relation" => Event::Relation(relation(value)),
                (_, value) => Event::Change(Box::new(change(value))),
            })
            .collect();
        cases.push(Case {
            name: name.to_owned(),
            config,
            events,
            expected: lines(Path::new(&format!("{name}.expected.jsonl"))),
        });
    }
    assert!(!cases.is_empty(), "{} has no cases", folder.display());
    cases
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn relation(value: &Value) -> Relation {
    let column = |column: &Value| Column {
        name: text(&column["name"]),
        type_name: text(&column["type"]),
        type_oid: column["oid"].as_u64().unwrap() as u32,
        type_modifier: column["modifier"].as_i64().unwrap_or(-1) as i32,
        jdbc_type: column["jdbc"].as_i64().unwrap() as i32,
        key_position: column["key"].as_u64().unwrap_or(0) as u16,
    };
    Relation {
        id: value["id"].as_u64().unwrap() as u32,
        source_oid: 0,
        database: text(&value["database"]),
        schema: text(&value["schema"]),
        table: text(&value["table"]),
        identity: match value["identity"].as_str().unwrap() {
            "default" => ReplicaIdentity::Default,
            "full" => ReplicaIdentity::Full,
            "index" => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Nothing,
        },
        columns: value["columns"].as_array().unwrap().iter().map(column).collect(),
    }
}

fn change(value: &Value) -> Batch {
    let mut batch = Batch::new(0);
    let number = |field: &str| value[field].as_u64().unwrap_or(0);
    batch.begin_change(ChangeStamp {
        id: number("id"),
        commit_lsn: Lsn(number("commit_lsn")),
        xid: number("xid"),
        commit_time: value["commit_time"].as_i64().unwrap_or(0),
        ordinal: number("ordinal") as u32,
        relation: number("relation") as u32,
        op: match value["op"].as_str().unwrap() {
            "insert" => Op::Insert,
            "update" => Op::Update,
            "delete" => Op::Delete,
            _ => Op::Truncate,
        },
    });
    let (mut bits, mut counts) = (if value["key_only"] == json!(true) { marks::OLD_KEY_ONLY } else { 0 }, [0, 0]);
    for (image, bit, count) in [("new", marks::NEW, 0), ("old", marks::OLD, 1)] {
        let Some(cells) = value[image].as_array() else { continue };
        bits |= bit;
        counts[count] = cells.len() as u16;
        for cell in cells {
            match cell {
                Value::Null => batch.push_null(),
                Value::String(text) => assert!(batch.push_text(text.as_bytes())),
                unsent if unsent["unsent"] == json!(true) => batch.push_unsent(),
                hex => {
                    let digits = text(&hex["hex"]);
                    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
                    assert!(batch.push_text(&(0..digits.len()).step_by(2).map(byte).collect::<Vec<_>>()));
                }
            }
        }
    }
    batch.finish_change(counts[0], counts[1], bits);
    batch
}

fn start(spec: &ChainSpec, topics: &TopicTable) -> Result<Chain, Value> {
    Chain::instantiate(spec, &Limits::default(), topics).map_err(|error| match error {
        HostError::Config { text, .. } => json!({ "init": text }),
        other => panic!("{other}"),
    })
}

fn refused(id: u32, error: HostError) -> Value {
    match error {
        HostError::Announce { why, .. } => json!({ "announce": id, "error": why }),
        other => panic!("{other}"),
    }
}

#[test]
fn the_selection() {
    for case in cases("select") {
        let (route, format) = (probe("r", "plan fixed t 0"), probe("o", "plan - -"));
        let spec =
            ChainSpec { filters: vec![select(&case.config)], maps: vec![], route, format, mapping: Default::default() };
        let mut seen = Vec::new();
        match start(&spec, &TopicTable::new()) {
            Err(refused) => seen.push(refused),
            Ok(mut chain) => {
                for event in &case.events {
                    let Event::Relation(relation) = event else { continue };
                    let id = relation.id;
                    seen.push(match chain.announce(relation) {
                        Ok(Verdict::Kept) => json!({ "announce": id, "plan": "keep" }),
                        Ok(Verdict::Dropped) => json!({ "announce": id, "plan": "drop" }),
                        Err(error) => refused(id, error),
                    });
                }
            }
        }
        assert_eq!(seen, case.expected, "{}", case.name);
    }
}

/// The host turns a router's plan into topics and partitions without asking it again: compared with what the golden plan says of a row.
#[test]
fn the_router() {
    for case in cases("topic-router") {
        // Id 1 takes the router's key.
        let (route, format) = (topic_router(&case.config), probe("o", "plan - - empty"));
        let spec = ChainSpec { filters: vec![], maps: vec![], route, format, mapping: Default::default() };
        let topics = TopicTable::new();
        let mut chain = match start(&spec, &topics) {
            Err(refused) => {
                assert_eq!([refused], *case.expected, "{}", case.name);
                continue;
            }
            Ok(chain) => chain,
        };
        let relations = case.events.iter().filter_map(|event| match event {
            Event::Relation(relation) => Some(relation),
            _ => None,
        });
        let mut expected = case.expected.iter();
        for relation in relations {
            let expected = expected.next().unwrap();
            if let Err(error) = chain.announce(relation) {
                assert_eq!(&refused(relation.id, error), expected, "{}", case.name);
                continue;
            }
            let plan = &expected["plan"];
            let known: Vec<_> =
                chain.topics_of(relation.id).iter().map(|id| topics.name(*id).unwrap().to_string()).collect();
            assert_eq!(known, [text(&plan["topic"])], "{}", case.name);
            let cells: Vec<String> = (0..relation.columns.len()).map(|n| format!("v{n}")).collect();
            let row = change(&json!({ "op": "insert", "relation": relation.id, "id": 1, "new": cells }));
            let mut out = Records::new();
            chain.process(&row, 0, &mut out).unwrap();
            let record = out.iter().next().unwrap();
            let key = record.key.map(|key| String::from_utf8(key.to_vec()).unwrap());
            let wanted = match (plan["by_columns"].as_array(), plan["hash_of"].as_str()) {
                (Some(columns), _) => {
                    let values: Vec<&String> = columns.iter().map(|c| &cells[c.as_u64().unwrap() as usize]).collect();
                    Some(if values.len() == 1 { values[0].clone() } else { json!(values).to_string() })
                }
                (None, hashed) => hashed.map(str::to_owned),
            };
            let partition = match &wanted {
                Some(bytes) => PartitionChoice::Hash(positive_murmur2(bytes.as_bytes())),
                None => PartitionChoice::Explicit(plan["partition"].as_u64().unwrap() as u32),
            };
            assert_eq!((key, record.partition), (wanted, partition), "{}", case.name);
        }
        assert_eq!(expected.next(), None, "{}", case.name);
    }
}

#[test]
fn the_message_format() {
    for case in cases("drs-json") {
        // Every table goes to one topic by the hash of its name, so that no golden table is refused by the router.
        let route = topic_router(r#"{"topic_policy":0,"topic":"t","partition_policy":0}"#);
        let spec = ChainSpec {
            filters: vec![select("{}")],
            maps: vec![],
            route,
            format: drs_json(&case.config),
            mapping: Default::default(),
        };
        let mut seen = Vec::new();
        match start(&spec, &TopicTable::new()) {
            Err(refused) => seen.push(refused),
            Ok(mut chain) => answers(&mut chain, &case, &mut seen),
        }
        assert_eq!(seen.len(), case.expected.len(), "{}", case.name);
        for (seen, expected) in seen.iter().zip(&case.expected) {
            assert_eq!(seen, expected, "{}", case.name);
        }
    }
}

/// One change a batch: a fault then hides no neighbour.
fn answers(chain: &mut Chain, case: &Case, seen: &mut Vec<Value>) {
    let (mut now, mut out, mut names) = (0, Records::new(), Vec::new());
    for event in &case.events {
        match event {
            Event::Now(time) => now = *time,
            Event::Relation(relation) => match chain.announce(relation) {
                Ok(_) => {
                    names.push((relation.id, format!("{}.{}.{}", relation.database, relation.schema, relation.table)))
                }
                Err(error) => seen.push(refused(relation.id, error)),
            },
            Event::Change(batch) => {
                let (id, of) = (batch.ids()[0], batch.relations()[0]);
                let Some((_, name)) = names.iter().find(|(relation, _)| *relation == of) else { continue };
                match chain.process(batch, now, &mut out) {
                    Ok(()) => {
                        for record in out.iter() {
                            assert_eq!(record.key, Some(name.as_bytes()));
                            let value = record.value.map(|value| std::str::from_utf8(value).unwrap());
                            seen.push(json!({ "id": id, "key": { "hashed": true }, "value": value }));
                        }
                    }
                    Err(HostError::Fault(fault)) => seen.push(json!({ "id": id, "fault": fault.message })),
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }
}
