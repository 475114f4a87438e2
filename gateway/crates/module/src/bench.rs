//! What a module costs per change.
//!
//! Owns the measurement: the stage alone, fed through the host's own projection and checks, by batches of a given size made of the
//! events of a file, over and over. Time is of the wall clock, and the best of several rounds, so that other work on the machine counts
//! little. Fuel comes from a second engine that counts it, since counting slows the code down. Must not judge what is fast.

use crate::error::ToolError;
use crate::events::{Event, Pack, Packer, Step, open};
use millrace_host::{Grant, HostEngine, HostError, Limits, LoneStage, Module, StageKind};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Rounds whose best counts.
const ROUNDS: usize = 7;
/// Time of one round.
const ROUND: Duration = Duration::from_millis(120);
/// Changes that fuel is counted over, at least.
const FUEL_CHANGES: usize = 2_000;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Bench<'a> {
    /// The component.
    pub bytes: &'a [u8],
    /// What errors call it.
    pub name: &'a str,
    /// What it is granted beyond `log`.
    pub grants: &'a [Grant],
    /// Its stage.
    pub kind: StageKind,
    /// Configuration, where the events name none; JSON.
    pub config: &'a str,
    /// What it may use up.
    pub limits: &'a Limits,
    /// Changes per batch.
    pub batch: usize,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Cost {
    /// The stage.
    pub stage: &'static str,
    /// Changes per batch.
    pub batch: usize,
    /// Nanoseconds per change of the batch: projection, crossing, the module, the check of its answer. The best round.
    pub ns_per_change: f64,
    /// The median round.
    pub ns_per_change_median: f64,
    /// Fuel per change, about one unit per Wasm instruction: the same on any machine.
    pub fuel_per_change: f64,
    /// Linear memory of the instance afterwards, in bytes.
    pub memory_bytes: usize,
    /// By how much it grew per change after the first batches, in bytes; above 0 in a module that keeps something.
    pub memory_growth_per_change: f64,
    /// Share of the changes the module was asked about; the others its plans settle per table.
    pub asked: f64,
    /// Changes measured in the best round.
    pub changes: u64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stage    {} in batches of {}", self.stage, self.batch)?;
        writeln!(f, "time     {:.0} ns per change (median {:.0})", self.ns_per_change, self.ns_per_change_median)?;
        writeln!(f, "fuel     {:.0} per change", self.fuel_per_change)?;
        write!(f, "memory   {} KiB", self.memory_bytes / 1024)?;
        if self.memory_growth_per_change > 0.0 {
            write!(f, ", growing by {:.1} bytes per change", self.memory_growth_per_change)?;
        }
        write!(f, "\nasked    {:.0} % of the changes; plans settle the others per table", self.asked * 100.0)
    }
}

/// A started stage and what to feed it.
struct Loaded {
    stage: LoneStage,
    packs: Vec<Pack>,
}

fn load(engine: &HostEngine, bench: &Bench<'_>, events: &Path) -> Result<Loaded, ToolError> {
    let module = Arc::new(Module::load_with(engine, bench.name, bench.bytes, None, bench.grants)?);
    let start = |config: &str| LoneStage::start(&module, bench.kind, config, bench.limits);
    let (mut stage, mut packs) = (None, Vec::new());
    for step in Packer::new(open(events)?, bench.batch) {
        match step? {
            Step::Config(config) => stage = Some(start(&config.to_string())?),
            Step::Capture(_) => {}
            Step::Relation(relation) => {
                let stage = match &mut stage {
                    Some(stage) => stage,
                    None => stage.insert(start(bench.config)?),
                };
                match stage.announce(&relation) {
                    // Its changes are left out, as in a golden test.
                    Ok(_) | Err(HostError::Announce { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Step::Batch(pack) => packs.push(*pack),
        }
    }
    let stage = match stage {
        Some(stage) => stage,
        None => start(bench.config)?,
    };
    Ok(Loaded { stage, packs: filled(packs, bench.batch) })
}

/// Repeats the changes of small batches up to the wanted size: golden files are short.
fn filled(packs: Vec<Pack>, size: usize) -> Vec<Pack> {
    packs
        .into_iter()
        .filter(|pack| !pack.batch.is_empty())
        .map(|pack| {
            let events: Vec<_> = pack.part(0..pack.batch.len()).events().collect();
            Pack::of(&events, pack.batch.shard(), pack.now, size)
        })
        .collect()
}

/// Measures a stage on the events of a file.
///
/// # Errors
/// Events or a component that cannot be used, events without a change, and changes the module cannot handle: their cost means nothing.
pub fn bench(bench: &Bench<'_>, events: &Path) -> Result<Cost, ToolError> {
    let engine = HostEngine::new(bench.limits.clone(), None)?;
    let Loaded { mut stage, packs } = load(&engine, bench, events)?;
    let per_pass: usize = packs.iter().map(|pack| pack.batch.len()).sum();
    if per_pass == 0 {
        return Err(ToolError::file(events, "there is no change to measure with"));
    }
    let asked = packs.iter().flat_map(|pack| pack.batch.relations()).filter(|id| stage.is_asked(**id)).count();
    let pass = |stage: &mut LoneStage| -> Result<(), ToolError> {
        for pack in &packs {
            if !stage.exercise(&pack.batch, pack.now)? {
                return Err(ToolError::file(
                    events,
                    "the module cannot handle a change of it: see `millrace module test`",
                ));
            }
        }
        Ok(())
    };
    pass(&mut stage)?;
    pass(&mut stage)?;
    let before = stage.memory_bytes();
    let (mut rounds, mut all) = (Vec::with_capacity(ROUNDS), 0u64);
    for _ in 0..ROUNDS {
        let (began, mut changes) = (Instant::now(), 0u64);
        while began.elapsed() < ROUND {
            pass(&mut stage)?;
            changes += per_pass as u64;
        }
        rounds.push((began.elapsed().as_nanos() as f64 / changes as f64, changes));
        all += changes;
    }
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let memory = stage.memory_bytes();
    Ok(Cost {
        stage: bench.kind.as_str(),
        batch: bench.batch,
        ns_per_change: rounds[0].0,
        ns_per_change_median: rounds[ROUNDS / 2].0,
        fuel_per_change: fuel(bench, events, per_pass)?,
        memory_bytes: memory,
        memory_growth_per_change: memory.saturating_sub(before) as f64 / all as f64,
        asked: asked as f64 / per_pass as f64,
        changes: rounds[0].1,
    })
}

/// The first golden file of a folder that has a change.
///
/// # Errors
/// There is none.
pub fn first_with_changes(folder: &Path) -> Result<PathBuf, ToolError> {
    let entries = std::fs::read_dir(folder).map_err(|error| ToolError::file(folder, error))?;
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|path| path.to_str().is_some_and(|path| path.ends_with(".events.jsonl")));
    files.sort();
    for file in files {
        if open(&file)?.any(|event| matches!(event, Ok(Event::Change(_)))) {
            return Ok(file);
        }
    }
    Err(ToolError::NoGolden(folder.display().to_string()))
}

fn fuel(bench: &Bench<'_>, events: &Path, per_pass: usize) -> Result<f64, ToolError> {
    let engine = HostEngine::metered(bench.limits.clone())?;
    let Loaded { mut stage, packs } = load(&engine, bench, events)?;
    let burn = |stage: &mut LoneStage| -> Result<u64, ToolError> {
        for pack in &packs {
            stage.exercise(&pack.batch, pack.now)?;
        }
        Ok(stage.fuel().unwrap_or_default())
    };
    let before = burn(&mut stage)?;
    let passes = FUEL_CHANGES.div_ceil(per_pass).max(1);
    let mut after = before;
    for _ in 0..passes {
        after = burn(&mut stage)?;
    }
    Ok((after - before) as f64 / (passes * per_pass) as f64)
}
