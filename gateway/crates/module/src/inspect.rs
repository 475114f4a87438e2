//! What a component is, and whether this gateway takes it.

use crate::error::ToolError;
use crate::events::{Event, open};
use millrace_batch::Failure;
use millrace_host::{Grant, HostEngine, Limits, LoneStage, Module, StageKind, Surface};
use serde_json::Value as Json;
use std::{fmt, path::Path, sync::Arc};

/// Package of the contract's interfaces, up to the interface's name.
const PACKAGE: &str = "millrace:transform/";

/// What `millrace module inspect` answers.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Inspection {
    /// SHA-256 of the file, for `sha256` in a task file.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: usize,
    /// Its name, version and whether it is stateful; null where it is not taken.
    pub about: Option<About>,
    /// Stages it has.
    pub stages: Vec<&'static str>,
    /// Versions of the contract it uses; one, in a sound component.
    pub contract: Vec<String>,
    /// Imports by full name. Those of the contract that hold types alone are left out: they grant nothing.
    pub imports: Vec<String>,
    /// Grants it needs, by the names of `grants` in a task file.
    pub grants: Vec<&'static str>,
    /// Exports by full name.
    pub exports: Vec<String>,
    /// JSON Schema of its config; null where it has none.
    pub config_schema: Json,
    /// Why this gateway would not take it; null where it would.
    pub refused: Option<Failure>,
}

/// What a module says of itself.
#[derive(Clone, Debug, serde::Serialize)]
pub struct About {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// One instance per shard, never in parallel.
    pub stateful: bool,
}

/// Looks at a component from outside, and asks it what it is where this gateway takes it with the grants it needs.
///
/// # Errors
/// It is not a component at all, or does not compile.
pub fn inspect(engine: &HostEngine, name: &str, bytes: &[u8]) -> Result<Inspection, ToolError> {
    let surface = Surface::of(engine, name, bytes)?;
    let grants: Vec<Grant> = surface.imports.iter().filter_map(|import| Grant::of_import(import)).collect();
    let loaded = Module::load_with(engine, name, bytes, None, &grants);
    let (module, refused) = match &loaded {
        Ok(module) => (Some(module), None),
        Err(error) => (None, Some(error.failure())),
    };
    let mut contract: Vec<String> = surface
        .imports
        .iter()
        .chain(&surface.exports)
        .filter_map(|name| name.strip_prefix(PACKAGE)?.split_once('@').map(|(_, version)| version.to_owned()))
        .collect();
    contract.sort();
    contract.dedup();
    let stages = StageKind::ALL.into_iter().filter(|kind| {
        let name = format!("{PACKAGE}{}@", kind.as_str());
        surface.exports.iter().any(|export| export.starts_with(&name))
    });
    let types_only = |import: &&String| !import.starts_with(&format!("{PACKAGE}types@"));
    Ok(Inspection {
        sha256: surface.digest.to_string(),
        bytes: bytes.len(),
        about: module.map(|module| About {
            name: module.about().name.clone(),
            version: module.about().version.clone(),
            stateful: module.about().stateful,
        }),
        stages: stages.map(StageKind::as_str).collect(),
        contract,
        imports: surface.imports.iter().filter(types_only).cloned().collect(),
        grants: grants.into_iter().map(Grant::as_str).collect(),
        exports: surface.exports,
        config_schema: module
            .map(|module| module.about().config_schema.as_str())
            .filter(|schema| !schema.is_empty())
            .map_or(Json::Null, |schema| serde_json::from_str(schema).unwrap_or_else(|_| schema.into())),
        refused,
    })
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        match &self.about {
            Some(about) => {
                let stateful = if about.stateful { ", stateful" } else { "" };
                writeln!(f, "module    {} {}{stateful}", about.name, about.version)?;
            }
            None => writeln!(f, "module    not taken")?,
        }
        writeln!(f, "stages    {}", if self.stages.is_empty() { "none".into() } else { self.stages.join(", ") })?;
        writeln!(f, "contract  {}", list(&self.contract))?;
        writeln!(f, "imports   {}", list(&self.imports))?;
        if !self.grants.is_empty() {
            writeln!(f, "grants    {}", self.grants.join(", "))?;
        }
        writeln!(f, "size      {} bytes", self.bytes)?;
        write!(f, "sha256    {}", self.sha256)?;
        if !self.config_schema.is_null() {
            write!(f, "\nconfig    {:#}", self.config_schema)?;
        }
        if let Some(refused) = &self.refused {
            write!(f, "\nrefused   [{}] {}\nmend      {}", refused.code, refused.why, refused.mend)?;
        }
        Ok(())
    }
}

/// Whether a gateway would run a module: what `millrace module verify` asks.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// SHA-256 it must have.
    pub sha256: Option<[u8; 32]>,
    /// What it is granted beyond `log`.
    pub grants: Vec<Grant>,
    /// Stage it is to do; all it has where none is named.
    pub kind: Option<StageKind>,
    /// Its configuration, JSON.
    pub config: String,
    /// What it may use up.
    pub limits: Limits,
}

/// What a gateway would run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Accepted {
    /// SHA-256 of the file.
    pub sha256: String,
    /// The module's own name.
    pub name: String,
    /// Stages that were started with the configuration.
    pub stages: Vec<&'static str>,
    /// Tables that were announced to each.
    pub tables: usize,
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Accepted { sha256, name, stages, tables } = self;
        write!(f, "accepted: {name} starts as {} with this config", stages.join(", "))?;
        if *tables > 0 {
            write!(f, " and takes {tables} tables")?;
        }
        write!(f, "\nsha256 = \"{sha256}\"")
    }
}

/// Loads the module and starts every wanted stage with the configuration, as a task does at its start; with a file of events, also
/// announces its tables to them.
///
/// # Errors
/// Whatever would keep a task from starting: that is the answer.
pub fn verify(
    engine: &HostEngine,
    name: &str,
    bytes: &[u8],
    wanted: &Wanted,
    events: Option<&Path>,
) -> Result<Accepted, ToolError> {
    let module = Arc::new(Module::load_with(engine, name, bytes, wanted.sha256, &wanted.grants)?);
    let kinds: Vec<StageKind> = match wanted.kind {
        Some(kind) => vec![kind],
        None => StageKind::ALL.into_iter().filter(|kind| module.exports(*kind)).collect(),
    };
    let stages = kinds.iter().map(|kind| LoneStage::start(&module, *kind, &wanted.config, &wanted.limits));
    let mut stages = stages.collect::<Result<Vec<_>, _>>()?;
    let mut tables = 0;
    for event in events.map(open).transpose()?.into_iter().flatten() {
        let Event::Relation(relation) = event? else { continue };
        for stage in &mut stages {
            stage.announce(&relation)?;
        }
        tables += 1;
    }
    Ok(Accepted {
        sha256: module.digest().to_string(),
        name: module.about().name.clone(),
        stages: kinds.into_iter().map(StageKind::as_str).collect(),
        tables,
    })
}

/// The stage of a module to work on: the one named, or its only one.
///
/// # Errors
/// It has several and none is named, or not the one named.
pub fn stage_of(module: &Module, named: Option<StageKind>) -> Result<StageKind, ToolError> {
    let has: Vec<StageKind> = StageKind::ALL.into_iter().filter(|kind| module.exports(*kind)).collect();
    match (named, has.as_slice()) {
        (Some(kind), _) if has.contains(&kind) => Ok(kind),
        (None, [only]) => Ok(*only),
        (named, has) => {
            let names: Vec<&str> = has.iter().map(|kind| kind.as_str()).collect();
            let names = names.join(", ");
            Err(ToolError::Stage(match named {
                Some(kind) => format!("the module has no {kind} stage, it has {names}"),
                None => format!("the module has several stages: {names}"),
            }))
        }
    }
}
