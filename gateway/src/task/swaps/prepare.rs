//! Making a version aside: load, check, start, announce, try.
//!
//! Owns everything that may take long or fail before a version is put in place; the stream goes on meanwhile. Blocking. Must not
//! touch what runs: a failure here leaves no trace.

use std::{collections::BTreeMap, sync::Arc};

use millrace_batch::{Batch, Failure, Relation, RelationLog};
use millrace_host::{Chain, Grant, HostError, Module, Records, StageKind, TopicId};
use millrace_position::ActiveModule;
use tokio::sync::mpsc;

use super::request::{Change, Request, Source, StageChange};
use crate::{
    config::Task,
    pipeline::{
        Canary, Frames, Generation, Places, Prepared as Lane, Ring, SessionParts, Switch, Trial, TrialFault, Turn,
    },
    swap::{Picker, Place, Share, Ticket},
    task::{
        module_store::{Kept, ModuleStore},
        modules::{Loaded, digests, grants, read_file},
        now_micros,
    },
};

/// A chain with its number.
pub(crate) struct Version {
    /// Ticket of the request that brought it.
    pub number: Ticket,
    /// The chain.
    pub loaded: Loaded,
    /// The version that ran before it.
    pub before: Ticket,
    /// What answers for a part of the changes.
    pub canary: Option<Trying>,
}

/// The canary of a version.
pub(crate) struct Trying {
    /// Its chain.
    pub loaded: Loaded,
    /// What is shared with the workers.
    pub canary: Arc<Canary>,
}

/// What a swap needs of a running session.
#[derive(Clone)]
pub(crate) struct Link {
    pub switch: Arc<Switch>,
    pub turn: Arc<Turn>,
    ring: Arc<Ring>,
    relations: RelationLog,
    places: Arc<Places>,
    frames: Option<Arc<Frames>>,
    tables: Arc<[Relation]>,
    own_select: Option<String>,
    workers: usize,
}

impl Link {
    /// What the position record of this session keeps of a chain.
    pub fn active(&self, loaded: &Loaded) -> Vec<ActiveModule> {
        loaded.for_shard(self.own_select.as_deref()).active()
    }

    /// Of a session that is about to run.
    pub fn of(parts: &SessionParts) -> Link {
        Link {
            switch: parts.switch.clone(),
            turn: parts.turn.clone(),
            ring: parts.ring.clone(),
            relations: parts.relations.clone(),
            places: parts.places.clone(),
            frames: parts.frames.clone(),
            tables: parts.tables.clone(),
            own_select: parts.own_select.clone(),
            workers: parts.workers,
        }
    }
}

/// A version that is ready for every session.
pub(super) struct Ready {
    pub version: Arc<Version>,
    pub drain: bool,
    pub generations: BTreeMap<u16, Arc<Generation>>,
}

/// Where things are kept and told.
pub(super) struct Tools {
    /// The task, for what its modules are granted.
    pub task: Arc<Task>,
    pub store: Option<ModuleStore>,
    /// Present where the version begins with a trial, and for a canary.
    pub faults: Option<mpsc::UnboundedSender<TrialFault>>,
}

/// Makes a version out of the one that runs and a request.
pub(super) fn prepare(
    number: Ticket,
    current: &Version,
    request: &Request,
    links: &BTreeMap<u16, Link>,
    tools: &Tools,
) -> Result<Ready, Failure> {
    let changed = changed(&current.loaded, &request.change, tools)?;
    let (loaded, canary) = match (&request.change, &tools.faults) {
        (Change::Canary(_, share), Some(faults)) => {
            let canary = Canary::new(number, changed.chain_digest(), share.clone(), faults.clone());
            (current.loaded.clone(), Some(Trying { loaded: changed, canary: Arc::new(canary) }))
        }
        _ => (changed, None),
    };
    let newest = canary.as_ref().map_or(&loaded, |trying| &trying.loaded);
    if newest.is_stateful() && links.values().any(|link| link.workers > 1) {
        return Err(Failure::definite(
            "swap_stateful",
            "preparing a swap",
            "the module keeps state from change to change, and the task runs with several workers",
            "set pipeline.workers = 1 and restart, or use a module without state",
        ));
    }
    // A canary begins without a drain: after a crash the version at work replays all of it, in order. It ends with one where that
    // version would put changes to other places than the canary did: a replay would put them behind later ones there (I3).
    let mut drain = request.drain
        || decides_over_records(&current.loaded, &loaded)
        || current.canary.as_ref().is_some_and(|trying| trying.canary.decides());
    let mut generations = BTreeMap::new();
    if links.is_empty() && canary.is_some() {
        let mend = "wait until /readyz says 200, then start it again";
        return Err(Failure::transient("swap_not_started", "starting a canary", "the task does not stream", mend));
    }
    if links.is_empty() {
        // Nothing to be told of; starting it at least proves that it starts and takes its configuration.
        Chain::instantiate(&loaded.spec, loaded.engine.limits(), &millrace_host::TopicTable::new())?;
    }
    for (&shard, link) in links {
        let batches = link.ring.take();
        let (old, new) =
            (current.loaded.for_shard(link.own_select.as_deref()), loaded.for_shard(link.own_select.as_deref()));
        let made = match &canary {
            None => for_session(&old, &new, link, &batches, &mut drain).map(|chains| {
                let trial = tools.faults.clone().map(Trial::new);
                Generation::new(number, new.chain_digest(), trial, chains)
            }),
            Some(trying) => {
                let part = part_of(&batches, &trying.canary.share, link);
                let own = trying.loaded.for_shard(link.own_select.as_deref());
                let mut decides = decides_over_records(&new, &own);
                let made = for_session(&old, &own, link, &part, &mut decides).and_then(|chains| {
                    let beside = (chains, link.chains(&new, batches.last())?);
                    Ok(beside)
                });
                if decides {
                    trying.canary.set_decides();
                }
                made.map(|(chains, base)| {
                    Generation::new(number, new.chain_digest(), None, base).with_canary(trying.canary.clone(), chains)
                })
            }
        };
        link.ring.restore(batches);
        generations.insert(shard, Arc::new(made?));
    }
    let version = Arc::new(Version { number, loaded, before: current.number, canary });
    Ok(Ready { version, drain, generations })
}

/// The chain after the change.
fn changed(current: &Loaded, change: &Change, tools: &Tools) -> Result<Loaded, Failure> {
    let (change, swapped) = match change {
        Change::Whole(loaded) => return Ok((**loaded).clone()),
        Change::Task(task) => return Loaded::load_after(task, &current.engine),
        Change::Back(place, stage, over) => {
            return current.with_stage(*place, (**stage).clone(), over.clone()).ok_or_else(|| no_place(*place));
        }
        Change::Stage(change) | Change::Canary(change, _) => (change, true),
        Change::File(change) => (change, false),
    };
    let place = change.place;
    let stage = place.get(&current.spec).ok_or_else(|| no_place(place))?;
    let config = change.config.clone().unwrap_or_else(|| stage.config_json.clone());
    let limit = current.engine.limits().component_bytes;
    let bytes = match &change.source {
        Source::Same => None,
        Source::Bytes(bytes) => Some(bytes.clone()),
        Source::File(path) => Some(read_file(&place.to_string(), path, limit)?),
    };
    let module = match &bytes {
        None => stage.module.clone(),
        Some(bytes) => load(current, change, bytes, &grants(&tools.task, place))?,
    };
    if swapped {
        let Some(store) = &tools.store else {
            return Err(Failure::definite(
                "module_store",
                "swapping a module in",
                "there is no directory to keep it in, so a restart could not run it",
                "set modules.store, or name the module in the task file and send SIGHUP",
            ));
        };
        if let Some(bytes) = &bytes {
            store.keep(Kept::Component, bytes)?;
        }
        store.keep(Kept::Config, config.as_bytes())?;
    }
    current.with(place, module, config, swapped).ok_or_else(|| no_place(place))
}

/// Compiles a component, unless it is the one that runs.
fn load(current: &Loaded, change: &StageChange, bytes: &[u8], grants: &[Grant]) -> Result<Arc<Module>, Failure> {
    let name = change.place.to_string();
    let same =
        change.place.get(&current.spec).filter(|stage| stage.module.digest() == millrace_host::Digest::of(bytes));
    match same {
        Some(stage) if change.pin.is_none_or(|pin| pin == stage.module.digest().0) => Ok(stage.module.clone()),
        _ => Ok(Arc::new(Module::load_with(&current.engine, &name, bytes, change.pin, grants)?)),
    }
}

fn no_place(place: Place) -> Failure {
    Failure::definite(
        "stage_unknown",
        "looking for the stage of a swap",
        format!("the task's chain has no {place}"),
        "GET /v1/modules lists the stages; one is added in the task file",
    )
}

/// Whether the versions may differ in which changes have records and where they go: whatever is changed but the format. A crash
/// must then not replay with one version what the other has delivered (I3).
fn decides_over_records(before: &Loaded, after: &Loaded) -> bool {
    let places = |loaded: &Loaded| Place::all(&loaded.spec);
    places(before) != places(after)
        || before
            .stages()
            .zip(after.stages())
            .any(|((place, old), (_, new))| place.kind() != StageKind::Format && digests(old) != digests(new))
}

/// The changes of the last batches that a canary would get.
fn part_of(batches: &[Batch], share: &Share, link: &Link) -> Vec<Batch> {
    let (mut picker, mut picked) = (Picker::default(), Vec::new());
    let part = batches.iter().map(|batch| {
        picker.pick(share, batch, &link.relations, &mut picked);
        let mut part = Batch::new(batch.shard());
        let fits = picked.iter().all(|change| part.append_same(batch, *change as usize..*change as usize + 1));
        debug_assert!(fits, "a part of a batch fits where the batch did");
        part
    });
    part.filter(|part| !part.is_empty()).collect()
}

impl Link {
    /// Instances of a chain, told of every table.
    fn chain(&self, loaded: &Loaded) -> Result<Chain, Failure> {
        let mut chain = Chain::instantiate(&loaded.spec, loaded.engine.limits(), self.places.table())?;
        for relation in (0..self.relations.len() as u32).filter_map(|id| self.relations.get(id)) {
            chain.announce(&relation)?;
        }
        Ok(chain)
    }

    /// A chain for each worker, warm: the first batch of a fresh instance pays for its memory. Not where that would be state.
    fn chains(&self, loaded: &Loaded, batch: Option<&Batch>) -> Result<Vec<Lane>, Failure> {
        let mut records = Records::new();
        let lane = |_| {
            let announced = self.relations.len() as u32;
            let mut chain = self.chain(loaded)?;
            if let (Some(batch), false) = (batch, loaded.is_stateful()) {
                chain.process(batch, now_micros(), &mut records)?;
            }
            Ok(Lane { chain, announced })
        };
        (0..self.workers).map(lane).collect()
    }
}

/// Chains of one session: told of every table, topics made, tried on the last events.
fn for_session(
    current: &Loaded,
    next: &Loaded,
    link: &Link,
    batches: &[Batch],
    drain: &mut bool,
) -> Result<Vec<Lane>, Failure> {
    let table = link.places.table();
    let announced = link.relations.len() as u32;
    let mut trial = link.chain(next)?;
    let mut topics: Vec<TopicId> = (0..announced).flat_map(|id| trial.topics_of(id).to_vec()).collect();
    for relation in (0..announced).filter_map(|id| link.relations.get(id)) {
        schemas(link, &trial, &relation)?;
    }
    // Tables that no change has come of yet have numbers of their own.
    let mut unmet = Chain::instantiate(&next.spec, next.engine.limits(), table)?;
    for relation in link.tables.iter() {
        unmet.announce(relation)?;
        schemas(link, &unmet, relation)?;
        topics.extend(unmet.topics_of(relation.id));
    }
    drop(unmet);
    let mut old = link.chain(current)?;
    let (mut records, mut old_records) = (Records::new(), Records::new());
    let now = now_micros();
    for batch in batches {
        let done = trial.process(batch, now, &mut records);
        let before = old.process(batch, now, &mut old_records);
        // What the version before cannot handle either is no reason against the new one.
        let worse = records.faults().len() > old_records.faults().len() && before.is_ok();
        let fault = records.faults().first().filter(|_| worse).map(|fault| HostError::Fault(Box::new(fault.clone())));
        if let Some(error) = done.err().or(fault) {
            let cause = error.failure();
            return Err(Failure::definite(
                "swap_dry_run",
                "trying the new version on the last events",
                format!("{} ({}): {}", cause.tried, cause.code, cause.why),
                "mend the module or its configuration; the version before it goes on",
            ));
        }
        topics.extend(records.iter().map(|record| record.topic));
        if let Some(frames) = &link.frames {
            for record in records.iter().filter(|record| record.value.is_some()) {
                frames.ensure(&[record.topic], record.schemas, "the last events")?;
            }
        }
        *drain |= before.is_ok() && !same_places(&old_records, &records);
    }
    topics.sort_unstable();
    topics.dedup();
    link.places.ensure(&topics)?;
    link.chains(next, batches.last())
}

/// Makes sure of what the records of a table are written in, as far as their topics are known.
fn schemas(link: &Link, chain: &Chain, relation: &Relation) -> Result<(), Failure> {
    match (&link.frames, chain.schemas_of(relation.id)) {
        (Some(frames), Some(schemas)) => {
            frames.ensure(chain.topics_of(relation.id), schemas, &format!("{}.{}", relation.schema, relation.table))
        }
        _ => Ok(()),
    }
}

/// Whether two versions make records of the same changes, for the same places.
fn same_places(a: &Records, b: &Records) -> bool {
    let place = |record: millrace_host::Record<'_>| (record.change, record.topic, record.partition);
    a.len() == b.len() && a.iter().map(place).eq(b.iter().map(place))
}
