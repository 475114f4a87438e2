//! From the text of a task file to a [`Task`], or to everything that is wrong with it.

use std::{collections::BTreeMap, io::Read, path::Path, path::PathBuf};

use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::{Problems, Size, Span, Task, TopicPolicy, derive, keys};

/// Largest task file that is read, in bytes.
pub const FILE_LIMIT: u64 = 1 << 20;

/// Longest value that a problem repeats, in characters.
const SHOWN: usize = 80;

/// Reads and judges a task file. Relative paths in it are taken from its folder.
///
/// # Errors
/// Every problem of the file at once.
pub fn load(path: &Path) -> Result<Task, Problems> {
    let read = || {
        let mut text = String::new();
        if std::fs::File::open(path)?.take(FILE_LIMIT + 1).read_to_string(&mut text)? as u64 > FILE_LIMIT {
            return Err(std::io::Error::other(format!("it has more than {FILE_LIMIT} bytes")));
        }
        Ok(text)
    };
    let text = read().map_err(|error| Problems::of_file(format!("cannot read {}: {error}", path.display())))?;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    parse(&text, &std::path::absolute(&folder).unwrap_or(folder))
}

/// Judges the text of a task file; `folder` is what relative paths start from.
///
/// # Errors
/// Every problem of the text at once.
pub fn parse(text: &str, folder: &Path) -> Result<Task, Problems> {
    let mut table: Table = toml::from_str(text).map_err(|error| {
        // The error's own rendering quotes the line, which may hold a password (I9).
        let place = error.span().map_or_else(String::new, |span| {
            let before = text.get(..span.start).unwrap_or_default();
            let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
            format!("line {}, column {}: ", before.matches('\n').count() + 1, column + 1)
        });
        Problems::of_file(format!("{place}not TOML: {}", error.message()))
    })?;
    let mut problems = Problems::default();
    derive::sections(&mut table, &mut problems);
    keys::unknown(&mut table, &super::schema(), &mut problems);
    derive::required(&mut table, &mut problems);
    derive::fill(&mut table);
    if let Some(mut task) = values(table, &mut problems) {
        rules(&task, &mut problems);
        task.objects.read(task.source.kind, &task.modules, folder, &mut problems);
        if problems.problems.is_empty() {
            rebase(&mut task, folder);
            return Ok(task);
        }
    }
    problems.problems.sort_by(|a, b| a.path.cmp(&b.path));
    Err(problems)
}

/// Turns the table into a task. A value that is refused is noted and taken out, and the rest is tried again: serde stops at
/// the first error, a person wants them all.
fn values(mut table: Table, problems: &mut Problems) -> Option<Task> {
    // Indices of list items taken out, so that later items are still named by the place they have in the file.
    let mut gone: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    loop {
        let error = match serde_path_to_error::deserialize(Value::Table(table.clone())) {
            Ok(task) => return Some(task),
            Err(error) => error,
        };
        let message = error.inner().message().to_owned();
        let segments: Vec<Segment> = error.path().iter().cloned().collect();
        let removed = remove(&mut table, &segments, &mut gone);
        let Some((mut path, value)) = removed else {
            problems.add(error.path().to_string(), message, None);
            return None;
        };
        let rule = match message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            Some(key) => {
                path = format!("{path}.{key}");
                "is missing".to_owned()
            }
            // What serde says before the comma repeats the value.
            None => message.rsplit_once(", expected ").map_or(message.clone(), |(_, what)| format!("must be {what}")),
        };
        let shown = (!is_secret(&path)).then(|| shown(&value)).flatten();
        problems.add(path, rule, shown);
        // A refused value may have been required or have had a derived default.
        derive::required(&mut table, problems);
        derive::fill(&mut table);
    }
}

/// Whether a key, or the last key of a path, holds a secret: its value is never shown (I9).
fn is_secret(path: &str) -> bool {
    path.contains("password") || path.rsplit('.').next() == Some("token")
}

/// Takes the value at the path out of the table; gives it and its path in the file.
fn remove(table: &mut Table, segments: &[Segment], gone: &mut BTreeMap<String, Vec<usize>>) -> Option<(String, Value)> {
    let mut path = String::new();
    let mut at = Place::Table(table);
    // Segments beyond the value (of an enum, of nothing) end the way.
    let steps: Vec<&Segment> =
        segments.iter().take_while(|s| matches!(s, Segment::Map { .. } | Segment::Seq { .. })).collect();
    for (depth, step) in steps.iter().enumerate() {
        let last = depth + 1 == steps.len();
        let next = match (at, step) {
            (Place::Table(table), Segment::Map { key }) => {
                path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                // A secret's own keys are part of its value.
                if last || table.get(key.as_str()).is_some_and(|_| is_secret(key)) {
                    return table.remove(key.as_str()).map(|value| (path, value));
                }
                table.get_mut(key.as_str())
            }
            (Place::List(list), Segment::Seq { index }) => {
                let removed = gone.entry(path.clone()).or_default();
                let mut original = *index;
                for earlier in removed.iter() {
                    original += usize::from(*earlier <= original);
                }
                path = format!("{path}[{original}]");
                if last {
                    removed.push(original);
                    removed.sort_unstable();
                    return (*index < list.len()).then(|| (path, list.remove(*index)));
                }
                list.get_mut(*index)
            }
            _ => None,
        }?;
        at = match next {
            Value::Table(table) => Place::Table(table),
            Value::Array(list) => Place::List(list),
            _ => return None,
        };
    }
    None
}

enum Place<'a> {
    Table(&'a mut Table),
    List(&'a mut Vec<Value>),
}

fn shown(value: &Value) -> Option<String> {
    let text = match value {
        Value::Table(_) | Value::Array(_) => return None,
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    Some(match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    })
}

impl Problems {
    /// Refuses a duration outside its bounds.
    pub(super) fn span(&mut self, path: &str, value: Span, least: Span, most: Span) {
        if value < least || value > most {
            self.add_judged(path, format!("must be between {least} and {most}"), value.to_string());
        }
    }

    /// Refuses a size outside its bounds.
    pub(super) fn size(&mut self, path: &str, value: Size, least: Size, most: Size) {
        if value < least || value > most {
            self.add_judged(path, format!("must be between {least} and {most}"), value.to_string());
        }
    }

    fn add_judged(&mut self, path: &str, rule: String, value: String) {
        if !self.touch(path) {
            self.add(path, rule, Some(value));
        }
    }
}

/// Rules that join several keys.
fn rules(task: &Task, problems: &mut Problems) {
    super::tags::check(&task.task.tags, problems);
    task.source.check(problems);
    task.objects.check(task.source.kind, problems);
    task.check.check(problems);
    task.route.check(problems);
    task.format.check(&task.modules, &task.sink, problems);
    super::registry::check(task.registry.as_ref(), &task.sink, problems);
    task.modules.check(problems);
    super::dead_letters::check(task.dead_letters.as_ref(), &task.modules, problems);
    task.sink.check(problems);
    task.position.check(&task.sink, problems);
    task.pipeline.check(problems);
    task.monitoring.check(problems);
    if task.route.topic_policy == TopicPolicy::Single && task.route.topic.as_ref() == Some(&task.position.topic) {
        problems
            .refuse(&["position.topic", "route.topic"], "must not be route.topic: positions need a topic of their own");
    }
    // Records wait in the producer's queue inside the budget: a queue beyond it would never fill.
    if task.pipeline.budget < task.sink.max_message {
        problems.refuse(&["pipeline.budget", "sink.max_message"], "must be at least sink.max_message");
    }
}

/// Makes every relative path one from the folder of the task file.
fn rebase(task: &mut Task, folder: &Path) {
    let secret = |source: &mut Option<super::SecretSource>| {
        if let Some(super::SecretSource::File(path)) = source {
            *path = folder.join(&*path);
        }
    };
    secret(&mut task.source.password);
    secret(&mut task.admin.token);
    let sink = &mut task.sink;
    let secrets = [&mut sink.password, &mut sink.token, &mut sink.trust_store_password];
    let secrets = secrets.into_iter().chain([&mut sink.key_store_password, &mut sink.key_password]);
    secrets.for_each(secret);
    if let Some(registry) = &mut task.registry {
        let secrets = [&mut registry.password, &mut registry.token, &mut registry.trust_store_password];
        secrets.into_iter().chain([&mut registry.key_store_password]).for_each(secret);
        let files = [&mut registry.ca, &mut registry.trust_store, &mut registry.key_store];
        files.into_iter().flatten().for_each(|path| *path = folder.join(&*path));
    }
    let modules = &mut task.modules;
    let own: [&mut Option<PathBuf>; 15] = [
        &mut task.source.root_cert,
        &mut task.source.client_cert,
        &mut task.source.client_key,
        &mut task.source.spill.folder,
        &mut modules.cache,
        &mut modules.store,
        &mut task.sink.ca,
        &mut task.sink.cert,
        &mut task.sink.key,
        &mut task.sink.trust_store,
        &mut task.sink.key_store,
        &mut task.sink.kerberos_keytab,
        &mut task.position.path,
        &mut task.admin.status_file,
        &mut task.monitoring.audit_file,
    ];
    own.into_iter().flatten().for_each(|path| *path = folder.join(&*path));
    let stages = modules.filter.iter_mut().chain(&mut modules.map).chain(&mut modules.route).chain(&mut modules.format);
    let files = stages.filter(|module| millrace_host::defaults::built_in(&module.path).is_none());
    files.for_each(|module| module.path = folder.join(&module.path));
}
