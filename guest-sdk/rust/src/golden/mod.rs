//! Golden files: captured events and the answers a module must give to them, exactly.
//!
//! A folder holds pairs `NAME.events.jsonl` and `NAME.expected.jsonl`. Events, one JSON object a line:
//!
//! ```text
//! {"config": {...}}                     first line: the config, handed to init as text
//! {"now": 1639629261915000}             time of the batches that follow, microseconds since the Unix epoch
//! {"relation": {"id": 1, "database": "shop", "schema": "sales", "table": "orders", "identity": "full",
//!               "columns": [{"name": "id", "type": "bigint", "oid": 20, "jdbc": -5, "key": 1}]}}
//! {"change": {"op": "update", "relation": 1, "id": 332, "commit_lsn": 0, "xid": 0, "commit_time": 1639626187000000,
//!             "ordinal": 0, "new": ["7"], "old": ["6"], "key_only": false}}
//! ```
//!
//! What `millrace capture` writes is in this form too, with two lines more that are skipped here: `{"capture": {...}}` (where it comes
//! from) and `{"commit": {...}}` (the end of a transaction). Changes without another line between them are one batch. Images have a cell per column: a string, `null` for SQL NULL,
//! `{"unsent": true}`, or `{"hex": "ff"}` for bytes that are no text. What a change leaves out is 0 or not there.
//!
//! Expected answers, one JSON object a line, in the order they come:
//!
//! ```text
//! {"init": "error text"}                                      init refused; nothing follows
//! {"announce": 1, "error": "error text"}                      announce refused; changes of the table are left out
//! {"announce": 1, "plan": "keep"}                             filter: keep, drop or per_change
//! {"announce": 1, "plan": "unchanged"}                        map; or the table afterwards and where its columns come from:
//!                       {"after": {relation without id}, "sources": [0, -1], "may_drop": false}
//! {"announce": 1, "plan": {"topic": "t", "partition": 0}}     route: or "hash_of": "text", or "by_columns": [0, 1]
//! {"id": 332, "keep": true}                                   filter, where asked per change
//! {"id": 332, "new": ["7", null], "old": ["6", "x"]}          map, of a rewritten table: the images afterwards
//! {"id": 332, "dropped": true}                                map
//! {"id": 332, "topic": "t", "hash_of": "text"}                route, where asked per change; or "partition": 0
//! {"id": 332, "key": {"hashed": true}, "value": "..."}        format: key null for none or a string; value null for a tombstone;
//!                                                             "topic" and "headers" where the module gives them
//! {"id": 332, "fault": "why"}
//! ```
//!
//! Setting the environment variable `MILLRACE_BLESS` writes the expected files instead of comparing.

mod answers;
mod events;
mod rows;

use std::{env, fs, path::Path};

use serde_json::{Value, json};

use crate::{Filter, Filtering, Format, Formatting, Interest, Map, MapPlan, Mapping, Route, RoutePlan, Routing};
pub use events::{Step, project, read};

/// Holds a filter to the golden files of a folder.
///
/// # Panics
/// Where an answer differs, or a file cannot be read: this is a test.
pub fn filter<M: Filter>(folder: &str) {
    each_pair(folder, |steps, out| {
        run(
            steps,
            out,
            Filtering::<M>::init,
            |stage, relation| {
                let plan = stage.announce(relation)?;
                Ok((answers::filter_plan(&plan), answers::filter_interest(plan)))
            },
            |stage, batch, out| answers::verdicts(batch, &stage.process(batch), out),
        );
    });
}

/// Holds a router to the golden files of a folder.
///
/// # Panics
/// Where an answer differs, or a file cannot be read: this is a test.
pub fn route<M: Route>(folder: &str) {
    each_pair(folder, |steps, out| {
        run(
            steps,
            out,
            Routing::<M>::init,
            |stage, relation| {
                let plan = stage.announce(relation)?;
                let shown = answers::route_plan(&plan);
                Ok((shown, if let RoutePlan::PerChange(interest) = plan { Some(interest) } else { None }))
            },
            |stage, batch, out| answers::routes(batch, &stage.process(batch), out),
        );
    });
}

/// Holds a format to the golden files of a folder.
///
/// # Panics
/// Where an answer differs, or a file cannot be read: this is a test.
pub fn format<M: Format>(folder: &str) {
    each_pair(folder, |steps, out| {
        run(
            steps,
            out,
            Formatting::<M>::init,
            |stage, relation| {
                let plan = stage.announce(relation)?;
                Ok((answers::format_plan(&plan), Some(plan.reads)))
            },
            |stage, batch, out| answers::records(batch, &stage.process(batch), out),
        );
    });
}

/// Holds a map to the golden files of a folder.
///
/// # Panics
/// Where an answer differs, or a file cannot be read: this is a test.
pub fn map<M: Map>(folder: &str) {
    each_pair(folder, |steps, out| {
        let mut stage = None;
        let mut tables = Vec::new();
        for step in steps {
            match (step, &mut stage) {
                (Step::Config(config), _) => match Mapping::<M>::init(&config) {
                    Ok(made) => stage = Some(made),
                    Err(error) => return out.push(json!({ "init": error })),
                },
                (_, None) => panic!("the first line must be the config"),
                (Step::Relation(relation), Some(stage)) => match stage.announce(relation.clone()) {
                    Ok(plan) => {
                        out.push(json!({ "announce": relation.id, "plan": answers::map_plan(&plan) }));
                        if let MapPlan::Rewritten(rewrite) = plan {
                            tables.push((relation, rewrite));
                        }
                    }
                    Err(error) => out.push(json!({ "announce": relation.id, "error": error })),
                },
                (Step::Batch(batch), Some(stage)) => rows::after(&batch, &tables, |asked| stage.process(asked), out),
            }
        }
    });
}

/// What a stage says of a table: how the plan is shown (null: not at all), and what it reads where it is called.
type Announced = Result<(Value, Option<Interest>), String>;

fn run<S>(
    steps: Vec<Step>,
    out: &mut Vec<Value>,
    init: impl Fn(&str) -> Result<S, String>,
    announce: impl Fn(&mut S, crate::Relation) -> Announced,
    process: impl Fn(&mut S, &crate::Batch, &mut Vec<Value>),
) {
    let mut stage = None;
    let mut interests = Vec::new();
    for step in steps {
        match (step, &mut stage) {
            (Step::Config(config), _) => match init(&config) {
                Ok(made) => stage = Some(made),
                Err(error) => return out.push(json!({ "init": error })),
            },
            (_, None) => panic!("the first line must be the config"),
            (Step::Relation(relation), Some(stage)) => {
                let id = relation.id;
                match announce(stage, relation.clone()) {
                    Ok((plan, interest)) => {
                        if !plan.is_null() {
                            out.push(json!({ "announce": id, "plan": plan }));
                        }
                        interests.extend(interest.map(|i| (relation, i)));
                    }
                    Err(error) => out.push(json!({ "announce": id, "error": error })),
                }
            }
            (Step::Batch(batch), Some(stage)) => {
                let batch = project(&batch, &interests);
                if !batch.ops.is_empty() {
                    process(stage, &batch, out);
                }
            }
        }
    }
}

fn each_pair(folder: &str, answer: impl Fn(Vec<Step>, &mut Vec<Value>)) {
    let bless = env::var_os("MILLRACE_BLESS").is_some();
    let mut pairs = 0;
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder}: {e}"));
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let Some(name) = path.to_str().and_then(|p| p.strip_suffix(".events.jsonl")) else { continue };
        let mut answers = Vec::new();
        answer(read(&path).unwrap_or_else(|e| panic!("{e}")), &mut answers);
        let got: String = answers.iter().map(|a| format!("{a}\n")).collect();
        compare(Path::new(&format!("{name}.expected.jsonl")), &got, bless);
        pairs += 1;
    }
    assert!(pairs > 0, "{folder} has no *.events.jsonl");
}

fn compare(path: &Path, got: &str, bless: bool) {
    if bless {
        return fs::write(path, got).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let expected = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    for (line, (got, expected)) in (1..).zip(got.lines().zip(expected.lines())) {
        assert_eq!(got, expected, "{}:{line} (left: the module, right: the file)", path.display());
    }
    assert_eq!(got.lines().count(), expected.lines().count(), "{}: number of answers", path.display());
}
