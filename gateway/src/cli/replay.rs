//! `millrace replay`.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use millrace_batch::Failure;
use millrace_host::{
    Chain, ChainSpec, Digest, Grant, HostEngine, HostError, Module, StageKind, StageSpec, TopicTable, defaults,
};
use millrace_module::{
    ToolError,
    events::{BATCH_CHANGES, Packer, open},
    project,
    replay::{Replayed, replay},
};
use serde_json::json;

use super::{Exit, Json, answer, module, quiet};
use crate::{config, task};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Events: a capture, or golden events
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A task file, or components and projects in any order; defaults fill what they leave out
    #[arg(long, required = true, num_args = 1.., value_name = "TASK.toml|MODULE")]
    chain: Vec<PathBuf>,
    /// Configuration of a module of the chain, JSON or @FILE; the first is for the first module
    #[arg(long, value_name = "JSON")]
    config: Vec<String>,
    /// Prints the digest over all records alone
    #[arg(long)]
    digest: bool,
    /// Fails with exit code 5 unless the digest is this one
    #[arg(long, value_name = "SHA256", value_parser = digest)]
    expect: Option<Digest>,
    #[command(flatten)]
    json: Json,
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::parse(text).ok_or_else(|| "must be 64 hexadecimal digits".to_owned())
}

pub(super) fn run(options: &Options) -> Exit {
    quiet();
    let json = options.json.json;
    let loaded = match options.chain.as_slice() {
        [task] if task.extension().is_some_and(|extension| extension == "toml") => match config::load(task) {
            Ok(task) => task::chain(&task),
            Err(problems) => return answer::problems(&problems, json),
        },
        modules => assembled(modules, &options.config).map_err(Failure::from),
    };
    match loaded.and_then(|(spec, engine)| replayed(options, &spec, &engine).map_err(Failure::from)) {
        Ok(replayed) => told(options, &replayed),
        Err(failure) => answer::failure(&failure, json),
    }
}

fn replayed(options: &Options, spec: &ChainSpec, engine: &HostEngine) -> Result<Replayed, ToolError> {
    let topics = TopicTable::new();
    let mut chain = Chain::instantiate(spec, engine.limits(), &topics)?;
    let events = Packer::new(open(&options.file)?, BATCH_CHANGES);
    if options.digest || options.json.json {
        return replay(&mut chain, &topics, events, &mut io::sink());
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let replayed = replay(&mut chain, &topics, events, &mut out)?;
    out.flush().map_err(|error| ToolError::file(Path::new("the output"), error))?;
    Ok(replayed)
}

fn told(options: &Options, replayed: &Replayed) -> Exit {
    let Replayed { changes, records, faults, first_fault, sha256 } = replayed;
    let agrees = options.expect.is_none_or(|expected| expected == *sha256);
    if options.json.json {
        answer::object(&json!({
            "changes": changes, "records": records, "faults": faults, "sha256": sha256.to_string(),
            "expected": options.expect.map(|digest| digest.to_string()), "agrees": agrees,
        }));
    } else if options.digest {
        answer::text(&sha256.to_string());
    } else {
        eprintln!("{changes} changes, {records} records, {faults} faults, sha256 {sha256}");
    }
    if !agrees {
        eprintln!("the digest is not the expected one");
        return Exit::Refuted;
    }
    match first_fault {
        // Told in the lines already; the exit code says what a gateway would do.
        Some(fault) => {
            let failure = HostError::Fault(fault.clone()).failure();
            eprintln!("first fault [{}]: {}", failure.code, failure.why);
            Exit::of(&failure)
        }
        None => Exit::Done,
    }
}

/// A chain of modules by their files; each does every stage it has.
fn assembled(paths: &[PathBuf], configs: &[String]) -> Result<(ChainSpec, HostEngine), ToolError> {
    let limits = task::module_limits(&config::Limits::default());
    let engine = HostEngine::new(limits, task::module_cache().as_deref())?;
    let default = |name: &str, bytes: &[u8]| -> Result<StageSpec, ToolError> {
        let module = Arc::new(Module::load(&engine, name, bytes, None)?);
        Ok(StageSpec::new(name, module, "{}"))
    };
    let mut spec = ChainSpec {
        filters: Vec::new(),
        maps: Vec::new(),
        route: default("topic-router", defaults::TOPIC_ROUTER)?,
        format: default("drs-json", defaults::DRS_JSON)?,
        mapping: Default::default(),
    };
    for (number, path) in paths.iter().enumerate() {
        let located = project::locate(path)?;
        let module = Arc::new(Module::load_with(&engine, &located.name, &located.read()?, None, &Grant::ALL)?);
        let config_json = configs.get(number).map_or(Ok("{}".to_owned()), |config| module::config(config))?;
        for kind in StageKind::ALL.into_iter().filter(|kind| module.exports(*kind)) {
            let (name, module, config_json) = (located.name.clone(), module.clone(), config_json.clone());
            let stage = StageSpec::new(name, module, config_json);
            match kind {
                StageKind::Filter => spec.filters.push(stage),
                StageKind::Map => spec.maps.push(stage),
                StageKind::Route => spec.route = stage,
                StageKind::Format => spec.format = stage,
            }
        }
    }
    Ok((spec, engine))
}
