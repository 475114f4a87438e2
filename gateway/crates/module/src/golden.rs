//! Golden files of a module, run by the host.
//!
//! Owns the pairs `NAME.events.jsonl` and `NAME.expected.jsonl` of a folder, and the lines answers are written as; they are those of
//! the Rust kit's own tests, so one pair serves both. Must not know how differences are shown.

use crate::diff::{self, Difference};
use crate::error::ToolError;
use crate::events::{BATCH_CHANGES, Packer, Step, open, relation_json, text_json, value_json};
use millrace_host::{
    Answer, Destination, FaultKind, HostError, Key, Limits, LoneStage, Module, Plan, Schema, SchemaLanguage, StageKind,
};
use serde_json::{Map, Value as Json, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Longest file of expected answers that is read, in bytes.
const EXPECTED_LIMIT: u64 = 1 << 30;

/// A module and the stage of it under test.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The module.
    pub module: Arc<Module>,
    /// Its stage.
    pub kind: StageKind,
    /// What it may use up.
    pub limits: Limits,
    /// Configuration of an events file that names none, JSON.
    pub config: String,
}

/// How one pair came out.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Every answer is the expected one.
    Passed,
    /// The expected file was written.
    Blessed,
    /// There is no expected file.
    Unblessed,
    /// Answers that are not as expected.
    Differs(Vec<Difference>),
}

/// One pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its name: the events file without `.events.jsonl`.
    pub name: String,
    /// Answers the module gave.
    pub answers: usize,
    /// How it came out.
    pub outcome: Outcome,
}

impl Case {
    /// Whether the case holds.
    pub fn passed(&self) -> bool {
        matches!(self.outcome, Outcome::Passed | Outcome::Blessed)
    }
}

/// Runs every pair of a folder, in the order of names. `bless` writes the expected files instead of comparing.
///
/// # Errors
/// Events that cannot be read, or a module that fails outside any change.
pub fn run(folder: &Path, subject: &Subject, bless: bool) -> Result<Vec<Case>, ToolError> {
    let entries = fs::read_dir(folder).map_err(|error| ToolError::file(folder, error))?;
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|path| path.to_str().is_some_and(|path| path.ends_with(".events.jsonl")));
    files.sort();
    if files.is_empty() {
        return Err(ToolError::NoGolden(folder.display().to_string()));
    }
    files.iter().map(|events| pair(events, subject, bless)).collect()
}

/// Runs one pair; `events` is its `NAME.events.jsonl`.
///
/// # Errors
/// As [`run`].
pub fn pair(events: &Path, subject: &Subject, bless: bool) -> Result<Case, ToolError> {
    let got = answers(events, subject)?;
    let file = events.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = file.strip_suffix(".events.jsonl").or(file.strip_suffix(".jsonl")).unwrap_or(&file).to_owned();
    let path = events.with_file_name(format!("{name}.expected.jsonl"));
    let answers = got.len();
    let case = |outcome| Case { name: name.clone(), answers, outcome };
    if bless {
        let text: String = got.iter().map(|answer| format!("{answer}\n")).collect();
        fs::write(&path, text).map_err(|error| ToolError::file(&path, error))?;
        return Ok(case(Outcome::Blessed));
    }
    let Some(expected) = expected(&path)? else { return Ok(case(Outcome::Unblessed)) };
    let differences = diff::lines(&expected, &got);
    Ok(case(if differences.is_empty() { Outcome::Passed } else { Outcome::Differs(differences) }))
}

fn expected(path: &Path) -> Result<Option<Vec<Json>>, ToolError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ToolError::file(path, error)),
        Ok(metadata) if metadata.len() > EXPECTED_LIMIT => {
            return Err(ToolError::file(path, format!("it has more than {EXPECTED_LIMIT} bytes")));
        }
        Ok(_) => {}
    }
    let text = fs::read_to_string(path).map_err(|error| ToolError::file(path, error))?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| ToolError::file(path, format!("line {}: {error}", number + 1)))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(line).collect::<Result<_, _>>().map(Some)
}

/// The answers of a module to a file of events, as lines of an expected file.
///
/// # Errors
/// As [`run`].
pub fn answers(events: &Path, subject: &Subject) -> Result<Vec<Json>, ToolError> {
    let start = |config: &str| LoneStage::start(&subject.module, subject.kind, config, &subject.limits);
    let mut stage: Option<LoneStage> = None;
    let mut out = Vec::new();
    for step in Packer::new(open(events)?, BATCH_CHANGES) {
        let config = match step? {
            Step::Config(config) => config.to_string(),
            Step::Capture(_) => continue,
            step => {
                let stage = match &mut stage {
                    Some(stage) => stage,
                    None => match configured(start(&subject.config))? {
                        Ok(started) => stage.insert(started),
                        Err(refused) => return Ok(vec![refused]),
                    },
                };
                match step {
                    Step::Relation(relation) => out.extend(announced(relation.id, stage.announce(&relation))?),
                    Step::Batch(pack) => {
                        let answers = stage.process(&pack.batch, pack.now)?;
                        let ids = pack.batch.ids();
                        out.extend(answers.into_iter().map(|(change, answer)| line(ids[change as usize], answer)));
                    }
                    Step::Config(_) | Step::Capture(_) => {}
                }
                continue;
            }
        };
        match configured(start(&config))? {
            Ok(started) => stage = Some(started),
            Err(refused) => {
                out.push(refused);
                return Ok(out);
            }
        }
    }
    Ok(out)
}

/// A config that the module refuses is an answer; everything else that keeps it from starting is an error.
fn configured(started: Result<LoneStage, HostError>) -> Result<Result<LoneStage, Json>, HostError> {
    match started {
        Ok(stage) => Ok(Ok(stage)),
        Err(HostError::Config { text, .. }) => Ok(Err(json!({ "init": text }))),
        Err(other) => Err(other),
    }
}

fn announced(id: u32, answer: Result<Option<Plan>, HostError>) -> Result<Option<Json>, HostError> {
    let plan = match answer {
        Ok(None) => return Ok(None),
        Ok(Some(plan)) => plan,
        Err(HostError::Announce { why, .. }) => return Ok(Some(json!({ "announce": id, "error": why }))),
        Err(HostError::BadPlan { why, .. }) => return Ok(Some(json!({ "announce": id, "bad_plan": why }))),
        Err(other) => return Err(other),
    };
    let shown = match plan {
        Plan::Format { key_schema, value_schema } => {
            let schemas = [("key_schema", key_schema), ("value_schema", value_schema)];
            let shown = schemas.into_iter().filter_map(|(name, schema)| Some((name.to_owned(), schema_json(&schema?))));
            let shown: Map<String, Json> = shown.collect();
            if shown.is_empty() {
                return Ok(None);
            }
            shown.into()
        }
        Plan::Keep => json!("keep"),
        Plan::Drop => json!("drop"),
        Plan::PerChange => json!("per_change"),
        Plan::Unchanged => json!("unchanged"),
        Plan::Fixed(topic, Destination::Partition(number)) => json!({ "topic": topic, "partition": number }),
        Plan::Fixed(topic, Destination::HashOf(bytes)) => json!({ "topic": topic, "hash_of": text_json(&bytes) }),
        Plan::ByColumns(topic, columns) => json!({ "topic": topic, "by_columns": columns }),
        Plan::Rewritten { after, sources, may_drop } => {
            json!({ "after": relation_json(&after), "sources": sources, "may_drop": may_drop })
        }
    };
    Ok(Some(json!({ "announce": id, "plan": shown })))
}

fn schema_json(schema: &Schema) -> Json {
    let language = match schema.language {
        SchemaLanguage::Avro => "avro",
        SchemaLanguage::Json => "json",
        SchemaLanguage::Protobuf => "protobuf",
    };
    json!({ "language": language, "name": schema.name, "text": schema.text })
}

/// What happened to a change that could not be handled, as a key of its line.
pub(crate) fn fault_key(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Guest => "fault",
        FaultKind::Trap => "trap",
        FaultKind::Deadline => "deadline",
        FaultKind::BadOutput => "bad_output",
        FaultKind::Fuel => "fuel",
    }
}

fn line(id: u64, answer: Answer) -> Json {
    let mut line = Map::new();
    line.insert("id".into(), id.into());
    let mut put = |name: &str, value: Json| {
        line.insert(name.to_owned(), value);
    };
    match answer {
        Answer::Keep(keep) => put("keep", keep.into()),
        Answer::Dropped => put("dropped", true.into()),
        Answer::Fault(kind, message) => put(fault_key(kind), message.into()),
        Answer::Routed(topic, to) => {
            put("topic", topic.into());
            match to {
                Destination::Partition(number) => put("partition", number.into()),
                Destination::HashOf(bytes) => put("hash_of", text_json(&bytes)),
            }
        }
        Answer::Row { new, old } => {
            for (name, image) in [("new", new), ("old", old)] {
                if let Some(cells) = image {
                    put(name, cells.iter().map(value_json).collect());
                }
            }
        }
        Answer::Record { key, value, topic, headers } => {
            put(
                "key",
                match key {
                    Key::Null => Json::Null,
                    Key::Routed => json!({ "hashed": true }),
                    Key::Bytes(bytes) => text_json(&bytes),
                },
            );
            put("value", value.map_or(Json::Null, |bytes| text_json(&bytes)));
            if let Some(topic) = topic {
                put("topic", topic.into());
            }
            if !headers.is_empty() {
                put("headers", headers.iter().map(|(name, value)| json!([name, text_json(value)])).collect());
            }
        }
    }
    line.into()
}
