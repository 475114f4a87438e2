//! `millrace module`: projects of transform modules, and what can be asked of a component.
//!
//! Owns the arguments and the form of answers. What is done is `millrace_module`'s.

mod show;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use millrace_batch::Failure;
use millrace_host::{Digest, Grant, HostEngine, Limits, Module, StageKind};
use millrace_module::{
    ToolError, bench, build, golden, inspect,
    project::{self, Language, Located},
    scaffold,
};
use serde_json::json;

use super::{Exit, Json, answer, live, quiet};
use crate::config::Sha256;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Live(live::Command),
    /// Writes a new project that builds: kit, source, golden files, config schema
    New(New),
    /// Builds a project's component with the language's own toolchain
    Build(Build),
    /// Runs the golden files of a module through the gateway's own host
    Test(Test),
    /// Measures what a module costs per change
    Bench(Bench),
    /// Shows what a component is
    Inspect(Subject),
    /// Says whether this gateway would run a component, and if not, why
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// Name of the module
    #[arg(value_name = "NAME")]
    name: String,
    /// Language
    #[arg(long, default_value = "rust", value_name = "LANG")]
    lang: Language,
    /// Stage: filter, map, route or format
    #[arg(long, value_name = "STAGE", value_parser = project::stage)]
    stage: StageKind,
    /// Folder to make  [default: NAME]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
pub(super) struct Build {
    /// The project's folder
    #[arg(value_name = "PROJECT", default_value = ".")]
    project: PathBuf,
    #[command(flatten)]
    json: Json,
}

/// A component.
#[derive(Debug, Args)]
pub(super) struct Subject {
    /// A project's folder or a component's file
    #[arg(value_name = "MODULE", default_value = ".")]
    module: PathBuf,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
pub(super) struct Test {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    stage: Stage,
    /// Folder of the golden files, or one events file  [default: golden beside the component]
    #[arg(long, value_name = "PATH")]
    golden: Option<PathBuf>,
    /// Writes the expected files instead of comparing
    #[arg(long)]
    bless: bool,
}

#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    stage: Stage,
    /// Events to measure with: one file of golden events or a capture  [default: the first golden file]
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Changes per batch
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Most nanoseconds per change; above it the exit code is 5
    #[arg(long, value_name = "NS")]
    budget: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    stage: Stage,
    /// SHA-256 it must have
    #[arg(long, value_name = "HEX")]
    sha256: Option<Sha256>,
    /// Also announces the tables of an events file or capture
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// The stage at hand, its configuration, and what it may use up.
#[derive(Debug, Args)]
struct Stage {
    /// Stage, of a module with several
    #[arg(long, value_name = "STAGE", value_parser = project::stage)]
    stage: Option<StageKind>,
    /// Configuration where the events name none: JSON, or @FILE
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// What the module may import beyond log, as in a task file's grants: counter
    #[arg(long, value_name = "GRANT", value_parser = grant)]
    grant: Vec<Grant>,
    /// Most milliseconds of one call, as modules.limits.call_timeout
    #[arg(long, value_name = "MS")]
    call_timeout: Option<u64>,
    /// Most MiB of memory, as modules.limits.memory
    #[arg(long, value_name = "MIB")]
    memory: Option<usize>,
}

fn grant(name: &str) -> Result<Grant, String> {
    Grant::named(name).ok_or_else(|| format!("must be one of {}", Grant::ALL.map(Grant::as_str).join(", ")))
}

impl Stage {
    /// The limits of a task file that names none, unless others are asked for.
    fn limits(&self) -> Limits {
        let mut limits = crate::task::module_limits(&crate::config::Limits::default());
        if let Some(millis) = self.call_timeout {
            limits.call_timeout = Duration::from_millis(millis.max(10));
        }
        if let Some(mib) = self.memory {
            limits.memory_bytes = mib.clamp(1, 4096) << 20;
        }
        limits
    }

    fn config(&self) -> Result<String, ToolError> {
        config(&self.config)
    }
}

/// A configuration given as JSON, or as the file that holds it.
pub(super) fn config(text: &str) -> Result<String, ToolError> {
    let text = match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| ToolError::file(path.as_ref(), error))?,
        None => text.to_owned(),
    };
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(config) => Ok(config.to_string()),
        Err(error) => Err(ToolError::Config(error.to_string())),
    }
}

pub(super) fn run(command: &Command) -> Exit {
    quiet();
    let (done, json) = match command {
        Command::Live(command) => return live::run(command),
        Command::New(options) => (new(options), options.json.json),
        Command::Build(options) => (build(options), options.json.json),
        Command::Test(options) => (test(options), options.subject.json.json),
        Command::Bench(options) => (bench(options), options.subject.json.json),
        Command::Inspect(options) => (inspect(options), options.json.json),
        Command::Verify(options) => (verify(options), options.subject.json.json),
    };
    done.unwrap_or_else(|error| answer::failure(&Failure::from(error), json))
}

/// A located component, its bytes, and an engine.
fn subject(path: &std::path::Path, limits: Limits) -> Result<(Located, Vec<u8>, HostEngine), ToolError> {
    let located = project::locate(path)?;
    let bytes = located.read()?;
    Ok((located, bytes, HostEngine::new(limits, crate::task::module_cache().as_deref())?))
}

fn new(options: &New) -> Result<Exit, ToolError> {
    let folder = options.folder.clone().unwrap_or_else(|| PathBuf::from(&options.name));
    let project = scaffold::New { name: &options.name, folder: &folder, lang: options.lang, kind: options.stage };
    let files = scaffold::new(&project)?;
    let own = files.iter().filter(|file| !file.starts_with("kit"));
    if options.json.json {
        answer::object(&json!({
            "name": options.name, "folder": folder, "lang": options.lang.as_str(), "stage": options.stage.as_str(),
            "kit": scaffold::KIT_VERSION, "files": own.collect::<Vec<_>>(),
        }));
    } else {
        let own: Vec<String> = own.map(|file| format!("  {}", file.display())).collect();
        let folder = folder.display();
        answer::text(&format!(
            "{folder}\n{}\n  kit (Millrace {})\nnext: cd {folder} && millrace module build && millrace module test",
            own.join("\n"),
            scaffold::KIT_VERSION
        ));
    }
    Ok(Exit::Done)
}

fn build(options: &Build) -> Result<Exit, ToolError> {
    let component = build::build(&options.project)?;
    let bytes = project::locate(&component)?.read()?;
    let sha256 = Digest::of(&bytes).to_string();
    if options.json.json {
        answer::object(&json!({ "component": component, "bytes": bytes.len(), "sha256": sha256 }));
    } else {
        answer::text(&format!("{} {} bytes\nsha256 = \"{sha256}\"", component.display(), bytes.len()));
    }
    Ok(Exit::Done)
}

fn test(options: &Test) -> Result<Exit, ToolError> {
    let limits = options.stage.limits();
    let (located, bytes, engine) = subject(&options.subject.module, limits.clone())?;
    let module = Module::load_with(&engine, &located.name, &bytes, None, &options.stage.grant)?;
    let kind = inspect::stage_of(&module, options.stage.stage)?;
    let config = options.stage.config()?;
    let subject = golden::Subject { module: std::sync::Arc::new(module), kind, limits, config };
    let folder = options.golden.as_ref().unwrap_or(&located.golden);
    let cases = match folder.is_file() {
        true => vec![golden::pair(folder, &subject, options.bless)?],
        false => golden::run(folder, &subject, options.bless)?,
    };
    let passed = cases.iter().all(golden::Case::passed);
    if options.subject.json.json {
        answer::object(&show::cases_json(&cases, kind, &subject.module));
    } else {
        show::cases(&cases, folder);
    }
    Ok(if passed { Exit::Done } else { Exit::Refuted })
}

fn bench(options: &Bench) -> Result<Exit, ToolError> {
    let limits = options.stage.limits();
    let (located, bytes, engine) = subject(&options.subject.module, limits.clone())?;
    let kind = {
        let module = Module::load_with(&engine, &located.name, &bytes, None, &options.stage.grant)?;
        inspect::stage_of(&module, options.stage.stage)?
    };
    let events = match &options.events {
        Some(events) => events.clone(),
        None => bench::first_with_changes(&located.golden)?,
    };
    let config = options.stage.config()?;
    let wanted = bench::Bench {
        bytes: &bytes,
        name: &located.name,
        grants: &options.stage.grant,
        kind,
        config: &config,
        limits: &limits,
        batch: options.batch as usize,
    };
    let cost = bench::bench(&wanted, &events)?;
    let within = options.budget.is_none_or(|budget| cost.ns_per_change <= budget as f64);
    if options.subject.json.json {
        answer::object(&json!({
            "events": events.display().to_string(), "cost": cost, "budget_ns": options.budget, "within_budget": within,
        }));
    } else {
        answer::text(&format!("events   {}\n{cost}", events.display()));
        if let Some(budget) = options.budget {
            let verdict = if within { "within" } else { "ABOVE" };
            answer::text(&format!("budget   {verdict} {budget} ns per change"));
        }
    }
    Ok(if within { Exit::Done } else { Exit::Refuted })
}

fn inspect(options: &Subject) -> Result<Exit, ToolError> {
    let (located, bytes, engine) = subject(&options.module, Limits::default())?;
    let inspection = inspect::inspect(&engine, &located.name, &bytes)?;
    answer::data(&inspection, options.json.json);
    Ok(Exit::Done)
}

fn verify(options: &Verify) -> Result<Exit, ToolError> {
    let limits = options.stage.limits();
    let (located, bytes, engine) = subject(&options.subject.module, limits.clone())?;
    let wanted = inspect::Wanted {
        sha256: options.sha256.map(|digest| digest.0),
        grants: options.stage.grant.clone(),
        kind: options.stage.stage,
        config: options.stage.config()?,
        limits,
    };
    let accepted = inspect::verify(&engine, &located.name, &bytes, &wanted, options.events.as_deref())?;
    if options.subject.json.json {
        answer::object(&json!({ "accepted": accepted }));
    } else {
        answer::text(&accepted.to_string());
    }
    Ok(Exit::Done)
}
