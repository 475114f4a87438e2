//! The chain of one worker: from a batch to its records.
//!
//! Owns the order of the stages, what each was told of a table and planned for it, and which change is to blame for a failure. Must
//! not know threads, sequencing of batches, or what becomes of the records.

use crate::contract::{self, filter, format, key_columns, map, route, types};
use crate::error::{Fault, FaultKind, HostError};
use crate::limits::Limits;
use crate::mapping::{MappedTo, Mapping};
use crate::records::{PartitionChoice, Records, Routed};
use crate::schema::Schemas;
use crate::stage::{OnError, Poison, Reject, Stage, StageSpec, Stop, Taken};
use crate::stages::filter::FilterPlan;
use crate::stages::format::{Address, FormatPlan};
use crate::stages::map::{MapPlan, Written};
use crate::stages::route::RoutePlan;
use crate::stages::{self};
use crate::topic::{TopicId, TopicTable};
use crate::view::{Image, Interest, View, empty};
use millrace_batch::{Batch, Lsn, Relation, marks};

/// The stages of a task, in order.
#[derive(Clone, Debug)]
pub struct ChainSpec {
    /// Filters; a table or change that one drops is gone for the rest.
    pub filters: Vec<StageSpec>,
    /// Maps; each sees the rows as the one before left them.
    pub maps: Vec<StageSpec>,
    /// The router.
    pub route: StageSpec,
    /// The formatter.
    pub format: StageSpec,
    /// Tables with another name or topic than their own.
    pub mapping: Mapping,
}

/// What the chain does with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A filter drops all of it: its changes need not be read at all.
    Dropped,
    /// Its changes are processed.
    Kept,
}

/// Everything planned for one version of a table.
struct Table {
    /// Columns as the source sends them.
    width: usize,
    /// `schema.table` at the source.
    name: String,
    /// None where a filter drops the table.
    plan: Option<Plan>,
}

struct Plan {
    filters: Vec<FilterPlan>,
    maps: Vec<MapPlan>,
    route: RoutePlan,
    format: FormatPlan,
    topics: Vec<TopicId>,
}

/// One worker's instances of a task's stages and their plans. Not shared between threads; make one per worker.
pub struct Chain {
    filters: Vec<Stage<filter::Guest>>,
    maps: Vec<Stage<map::Guest>>,
    route: Stage<route::Guest>,
    format: Stage<format::Guest>,
    mapping: Mapping,
    topics: TopicTable,
    /// By relation id.
    tables: Vec<Option<Table>>,
    work: Work,
    mapped: types::Batch,
    spare: types::Batch,
}

/// Lists of one batch that are reused for the next.
#[derive(Default)]
struct Work {
    /// Changes that are still there: rising indexes into the current view.
    live: Vec<u32>,
    /// Index in the given batch of each change of the current view.
    origin: Vec<u32>,
    /// Changes a stage is asked about: indexes into the view, and their positions in `live`.
    picked: Vec<u32>,
    slots: Vec<u32>,
    keep: Vec<bool>,
    /// Changes the stage at hand could not handle and whose policy is not to halt.
    aside: Vec<Poison>,
    written: Written,
    /// By position in `live`.
    routed: Vec<Routed>,
}

impl Work {
    /// Picks the live changes whose table's plan asks for a call.
    fn pick<'p>(&mut self, view: &View<'_>, interest: impl Fn(u32) -> Option<&'p Interest>) {
        self.picked.clear();
        self.slots.clear();
        for (slot, &change) in self.live.iter().enumerate() {
            if interest(view.relations[change as usize]).is_some() {
                self.picked.push(change);
                self.slots.push(slot as u32);
            }
        }
    }

    /// Forgets the changes whose `keep` is false.
    fn retain(&mut self) {
        let mut keep = self.keep.iter();
        self.live.retain(|_| keep.next().copied().unwrap_or(true));
    }
}

/// Stands in where a table has no plan; such changes are not in a view.
static NO_INTEREST: Interest = Interest { new: Image::Nothing, old: Image::Nothing };
static NO_MAP: MapPlan = MapPlan::Unchanged;
/// Where a change goes that nothing has routed yet.
const NOWHERE: Routed = Routed { topic: TopicId(0), partition: PartitionChoice::Explicit(0), key: None };

fn plan(tables: &[Option<Table>], relation: u32) -> Option<&Plan> {
    tables.get(relation as usize)?.as_ref()?.plan.as_ref()
}

impl Chain {
    /// Starts an instance of every stage and configures it.
    ///
    /// `topics` is the task's table, shared by its chains.
    ///
    /// # Errors
    /// A module lacks its stage, does not start within its limits, or refuses its configuration. All are definite.
    pub fn instantiate(spec: &ChainSpec, limits: &Limits, topics: &TopicTable) -> Result<Chain, HostError> {
        Ok(Chain {
            filters: spec.filters.iter().map(|stage| Stage::start(stage, limits)).collect::<Result<_, _>>()?,
            maps: spec.maps.iter().map(|stage| Stage::start(stage, limits)).collect::<Result<_, _>>()?,
            route: Stage::start(&spec.route, limits)?,
            format: Stage::start(&spec.format, limits)?,
            mapping: spec.mapping.clone(),
            topics: topics.clone(),
            tables: Vec::new(),
            work: Work::default(),
            mapped: empty(),
            spare: empty(),
        })
    }

    /// Tells the stages of a table and keeps their plans; the second time it only answers. Every relation is announced before the
    /// first batch that has it. Stages behind a filter that drops the table are not told of it.
    ///
    /// # Errors
    /// A module refuses the table, fails, or gives a plan that cannot be followed.
    pub fn announce(&mut self, relation: &Relation) -> Result<Verdict, HostError> {
        let id = relation.id as usize;
        if let Some(Some(table)) = self.tables.get(id) {
            return Ok(if table.plan.is_some() { Verdict::Kept } else { Verdict::Dropped });
        }
        let name = format!("{}.{}", relation.schema, relation.table);
        let plan = self.plan_for(contract::relation(relation))?;
        let verdict = if plan.is_some() { Verdict::Kept } else { Verdict::Dropped };
        if self.tables.len() <= id {
            self.tables.resize_with(id + 1, || None);
        }
        self.tables[id] = Some(Table { width: relation.columns.len(), name, plan });
        Ok(verdict)
    }

    fn plan_for(&mut self, mut relation: types::Relation) -> Result<Option<Plan>, HostError> {
        let mut keys = key_columns(&relation);
        let mut filters = Vec::with_capacity(self.filters.len());
        for stage in &mut self.filters {
            match stage.announce(&relation, |plan| FilterPlan::check(plan, &relation, &keys))? {
                FilterPlan::Drop => return Ok(None),
                plan => {
                    stage.active |= matches!(plan, FilterPlan::PerChange(_));
                    filters.push(plan);
                }
            }
        }
        let mut elsewhere = None;
        match self.mapping.of(&relation.schema, &relation.table) {
            None => {}
            Some(MappedTo::Topic(topic)) => elsewhere = Some(topic.clone()),
            Some(MappedTo::Table { schema, table }) => {
                (relation.schema, relation.table) = (schema.clone(), table.clone());
            }
        }
        let mut maps = Vec::with_capacity(self.maps.len());
        for stage in &mut self.maps {
            let (plan, after) = stage.announce(&relation, |plan| {
                let after = match plan {
                    map::Plan::Rewritten(rewrite) => Some(rewrite.after.clone()),
                    map::Plan::Unchanged => None,
                };
                Ok((MapPlan::check(plan, &relation, &keys)?, after))
            })?;
            stage.active |= after.is_some();
            maps.push(plan);
            if let Some(after) = after {
                relation = after;
                keys = key_columns(&relation);
            }
        }
        let topics = &self.topics;
        let route = self.route.announce(&relation, |plan| {
            let plan = RoutePlan::check(plan, &relation, &keys, topics)?;
            match &elsewhere {
                Some(topic) => plan.with_topic(topic, topics),
                None => Ok(plan),
            }
        })?;
        let schemas = self.format.spec.module.host_engine().schemas().clone();
        let format = self.format.announce(&relation, |plan| FormatPlan::check(plan, &relation, &keys, &schemas))?;
        let topics = route.topic().into_iter().collect();
        Ok(Some(Plan { filters, maps, route, format, topics }))
    }

    /// Topics that are known for an announced relation before its first change; none where the router decides per change.
    pub fn topics_of(&self, relation: u32) -> &[TopicId] {
        plan(&self.tables, relation).map_or(&[], |plan| &plan.topics)
    }

    /// What the records of an announced relation are written in; none where a filter drops it.
    pub fn schemas_of(&self, relation: u32) -> Option<Schemas> {
        plan(&self.tables, relation).map(|plan| plan.format.schemas)
    }

    /// Turns a batch into its records, in the order of its changes. `now_us`: the time modules see, microseconds since the Unix epoch.
    ///
    /// # Errors
    /// On [`HostError::Fault`] one change could not be handled, and the policy of the stage is to halt; `out` is empty and the chain
    /// can go on with another batch. Under another policy the change is among [`Records::faults`] and its neighbours are unharmed.
    /// Other errors are of the chain, not of a change.
    pub fn process(&mut self, batch: &Batch, now_us: i64, out: &mut Records) -> Result<(), HostError> {
        out.clear();
        let done = self.run(batch, now_us, out);
        match &done {
            Ok(()) => out.faults.sort_by_key(|fault| fault.change),
            Err(_) => out.clear(),
        }
        done
    }

    fn run(&mut self, batch: &Batch, now: i64, out: &mut Records) -> Result<(), HostError> {
        let Chain { filters, maps, route, format, mapping: _, topics, tables, work, mapped, spare } = self;
        admit(batch, tables, work)?;
        let mut view = View::source(batch, now);
        for (index, stage) in filters.iter_mut().enumerate().filter(|(_, stage)| stage.active) {
            let interest = |relation| match plan(tables, relation)?.filters.get(index)? {
                FilterPlan::PerChange(interest) => Some(interest),
                FilterPlan::Keep | FilterPlan::Drop => None,
            };
            work.pick(&view, interest);
            if !work.picked.is_empty() {
                let done = filter_changes(stage, &view, work, interest);
                set_aside(done, stage, batch, tables, work, out)?;
            }
        }
        for (index, stage) in maps.iter_mut().enumerate().filter(|(_, stage)| stage.active) {
            let map_plan = |relation| plan(tables, relation).and_then(|plan| plan.maps.get(index)).unwrap_or(&NO_MAP);
            let unchanged = |change: &u32| matches!(map_plan(view.relations[*change as usize]), MapPlan::Unchanged);
            if work.live.iter().all(unchanged) {
                continue;
            }
            let done = map_changes(stage, &view, work, map_plan);
            set_aside(done, stage, batch, tables, work, out)?;
            let merged = stages::map::merge(&view, &mut work.live, &mut work.origin, &work.written, map_plan, spare);
            if !merged {
                return Err(HostError::BadBatch { change: 0, why: "rewritten, it passes what 30 bits address" });
            }
            std::mem::swap(mapped, spare);
            view = View::mapped(mapped);
        }
        if work.live.is_empty() {
            return Ok(());
        }
        let done = route_changes(route, &view, work, tables, topics, out);
        set_aside(done, route, batch, tables, work, out)?;
        if work.live.is_empty() {
            return Ok(());
        }
        let done = format_changes(format, &view, work, tables, topics, out);
        set_aside(done, format, batch, tables, work, out)
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("tables", &self.tables.len()).finish_non_exhaustive()
    }
}

/// Checks that a batch fits the announced tables, so that nothing after it indexes past an image; lists the changes of kept tables.
fn admit(batch: &Batch, tables: &[Option<Table>], work: &mut Work) -> Result<(), HostError> {
    let count = batch.len();
    work.live.clear();
    work.origin.clear();
    work.origin.extend(0..count as u32);
    let bad = |change: usize, why| HostError::BadBatch { change: change as u32, why };
    let (relations, bits, firsts) = (batch.relations(), batch.marks(), batch.first_cells());
    let images = batch.new_cells().iter().zip(batch.old_cells());
    let mut next_cell = 0;
    // The table of the change before: streams come in runs.
    let mut last: Option<(u32, &Table)> = None;
    for (change, (((&relation, &bits), &first), (&new, &old))) in
        relations.iter().zip(bits).zip(firsts).zip(images).enumerate()
    {
        let table = match last {
            Some((of, table)) if of == relation => table,
            _ => {
                let table = tables.get(relation as usize).and_then(Option::as_ref);
                let table = table.ok_or(HostError::Unannounced(relation))?;
                last = Some((relation, table));
                table
            }
        };
        let (new, old) = (usize::from(new), usize::from(old));
        let fits = |cells: usize, bit: u8| cells == if bits & bit != 0 { table.width } else { 0 };
        if !fits(new, marks::NEW) || !fits(old, marks::OLD) {
            return Err(bad(change, "an image is neither missing nor complete"));
        }
        if first as usize != next_cell {
            return Err(bad(change, "its cells do not follow those before it"));
        }
        next_cell += new + old;
        if table.plan.is_some() {
            work.live.push(change as u32);
        }
    }
    if next_cell != batch.ends().len() {
        return Err(bad(count, "there are more cells than changes tell of"));
    }
    Ok(())
}

fn filter_changes<'p>(
    stage: &mut Stage<filter::Guest>,
    view: &View<'_>,
    work: &mut Work,
    interest: impl Fn(u32) -> Option<&'p Interest>,
) -> Result<(), Stop> {
    work.keep.clear();
    work.keep.resize(work.live.len(), true);
    let Work { picked, slots, keep, aside, .. } = work;
    stage.run(
        view,
        picked,
        |relation| interest(relation).unwrap_or(&NO_INTEREST),
        aside,
        |part, taken| {
            let Taken::Answer { answer, faulty } = taken else {
                drop_slots(keep, &slots[part]);
                return Ok(());
            };
            stages::filter::check(&answer, part.len())?;
            let slots = &slots[part];
            for (at, &slot) in slots.iter().enumerate() {
                keep[slot as usize] = stages::filter::keeps(&answer, at);
            }
            faulty.iter().for_each(|at| keep[slots[*at as usize] as usize] = false);
            Ok(())
        },
    )?;
    work.retain();
    Ok(())
}

fn map_changes<'p>(
    stage: &mut Stage<map::Guest>,
    view: &View<'_>,
    work: &mut Work,
    map_plan: impl Fn(u32) -> &'p MapPlan,
) -> Result<(), Stop> {
    let rewrite = |relation| match map_plan(relation) {
        MapPlan::Rewritten(rewrite) => Some(rewrite),
        MapPlan::Unchanged => None,
    };
    let interest = |relation| rewrite(relation).and_then(|rewrite| rewrite.interest());
    work.written.clear();
    work.pick(view, interest);
    let Work { picked, written, aside, .. } = work;
    if picked.is_empty() {
        return Ok(());
    }
    stage.run(
        view,
        picked,
        |relation| interest(relation).unwrap_or(&NO_INTEREST),
        aside,
        |part, taken| {
            let Taken::Answer { answer, faulty } = taken else {
                written.nothing();
                return Ok(());
            };
            let changes: Vec<_> = picked[part]
                .iter()
                .filter_map(|change| Some((rewrite(view.relations[*change as usize])?, view.marks[*change as usize])))
                .collect();
            written.accept(&answer, &changes, faulty)
        },
    )
}

fn route_changes(
    stage: &mut Stage<route::Guest>,
    view: &View<'_>,
    work: &mut Work,
    tables: &[Option<Table>],
    topics: &TopicTable,
    out: &mut Records,
) -> Result<(), Stop> {
    let route_plan = |relation| plan(tables, relation).map(|plan| &plan.route);
    let Work { live, picked, slots, routed, keep, aside, .. } = work;
    picked.clear();
    slots.clear();
    routed.clear();
    keep.clear();
    keep.resize(live.len(), true);
    let too_long = |change| {
        Stop::Change(Poison { change, kind: FaultKind::BadOutput, message: "the keys of the batch pass 4 GiB".into() })
    };
    // Streams come in runs of one table: a fixed target's bytes are written once per run.
    let mut fixed: Option<(u32, Routed)> = None;
    for (slot, &change) in live.iter().enumerate() {
        let relation = view.relations[change as usize];
        if let Some((_, same)) = fixed.filter(|(of, _)| *of == relation) {
            routed.push(same);
            continue;
        }
        fixed = None;
        let Some(route_plan) = route_plan(relation) else { continue };
        let to = match route_plan {
            RoutePlan::Fixed { topic, partition, key } => {
                let key = match key {
                    None => None,
                    Some(bytes) => Some(stages::route::push_key(&mut out.keys, bytes).ok_or_else(|| too_long(change))?),
                };
                let to = Routed { topic: *topic, partition: *partition, key };
                fixed = Some((relation, to));
                to
            }
            RoutePlan::ByColumns { topic, columns, names, rowless } => {
                let found = stages::route::by_columns(view, change as usize, columns, names, rowless, &mut out.keys);
                match found {
                    Ok((partition, key)) => Routed { topic: *topic, partition, key },
                    Err(message) => {
                        let poison = Poison { change, kind: FaultKind::Guest, message };
                        if stage.spec.on_error == OnError::Halt {
                            return Err(Stop::Change(poison));
                        }
                        aside.push(poison);
                        keep[slot] = false;
                        NOWHERE
                    }
                }
            }
            RoutePlan::PerChange(_) => {
                picked.push(change);
                slots.push(slot as u32);
                NOWHERE
            }
        };
        routed.push(to);
    }
    let interest = |relation| match route_plan(relation) {
        Some(RoutePlan::PerChange(interest)) => interest,
        _ => &NO_INTEREST,
    };
    let take = |part: std::ops::Range<usize>, taken: Taken<'_, route::Routes>| {
        let Taken::Answer { answer, faulty } = taken else {
            drop_slots(keep, &slots[part]);
            return Ok(());
        };
        let ids = stages::route::check(&answer, part.len(), topics)?;
        let slots = &slots[part];
        for (at, &slot) in slots.iter().enumerate() {
            routed[slot as usize] = stages::route::routed(&answer, &ids, at, &mut out.keys)
                .ok_or_else(|| Reject::bad("arena", "the keys of the batch pass 4 GiB"))?;
        }
        faulty.iter().for_each(|at| keep[slots[*at as usize] as usize] = false);
        Ok(())
    };
    if !picked.is_empty() {
        stage.run(view, picked, interest, aside, take)?;
    }
    if !aside.is_empty() {
        let mut kept = keep.iter();
        routed.retain(|_| kept.next().copied().unwrap_or(true));
        work.retain();
    }
    Ok(())
}

fn drop_slots(keep: &mut [bool], slots: &[u32]) {
    slots.iter().for_each(|slot| keep[*slot as usize] = false);
}

fn format_changes(
    stage: &mut Stage<format::Guest>,
    view: &View<'_>,
    work: &mut Work,
    tables: &[Option<Table>],
    topics: &TopicTable,
    out: &mut Records,
) -> Result<(), Stop> {
    // Every live change is asked about, so a position in `picked` is one in `live`.
    work.picked.clone_from(&work.live);
    let Work { picked, routed, origin, aside, .. } = work;
    let records = stage.limits.records;
    let interest = |relation| plan(tables, relation).map_or(&NO_INTEREST, |plan| &plan.format.reads);
    stage.run(view, picked, interest, aside, |part, taken| {
        let Taken::Answer { answer, faulty } = taken else { return Ok(()) };
        let ids = stages::format::check(&answer, part.len(), records, topics)?;
        let address = |change: usize| {
            let at = picked[part.start + change] as usize;
            let schemas = plan(tables, view.relations[at]).map_or_else(Schemas::default, |plan| plan.format.schemas);
            Address { to: routed[part.start + change], schemas, origin: origin[at] }
        };
        stages::format::take(answer, &ids, faulty, address, out)
    })
}

/// Puts down what a stage's run set aside, and names the change that stopped it. Call before a map's rows are merged: `origin` then
/// changes.
fn set_aside<I: contract::Interface>(
    done: Result<(), Stop>,
    stage: &Stage<I>,
    batch: &Batch,
    tables: &[Option<Table>],
    work: &mut Work,
    out: &mut Records,
) -> Result<(), HostError> {
    let Work { origin, aside, .. } = work;
    let fault = |poison| blame(poison, stage, batch, tables, origin);
    match done {
        Ok(()) => {
            out.faults.extend(aside.drain(..).map(fault));
            Ok(())
        }
        Err(stop) => {
            aside.clear();
            Err(match stop {
                Stop::Host(error) => error,
                Stop::Change(poison) => HostError::Fault(Box::new(fault(poison))),
            })
        }
    }
}

fn blame<I: contract::Interface>(
    poison: Poison,
    stage: &Stage<I>,
    batch: &Batch,
    tables: &[Option<Table>],
    origin: &[u32],
) -> Fault {
    let Poison { change, kind, message } = poison;
    let change = origin.get(change as usize).copied().unwrap_or_default();
    let at = change as usize;
    let table = batch.relations().get(at).and_then(|id| tables.get(*id as usize)).and_then(Option::as_ref);
    Fault {
        change,
        kind_of_stage: I::KIND,
        stage: stage.spec.name.clone(),
        module: stage.spec.module.name().to_owned(),
        digest: stage.spec.module.digest(),
        on_error: stage.spec.on_error,
        kind,
        message,
        table: table.map(|table| table.name.clone()).unwrap_or_default(),
        id: batch.ids().get(at).copied().unwrap_or_default(),
        commit_lsn: Lsn(batch.commit_lsns().get(at).copied().unwrap_or_default()),
        ordinal: batch.ordinals().get(at).copied().unwrap_or_default(),
    }
}

// A chain is made in one thread and run in another.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Chain>();
};
