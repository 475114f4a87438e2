//! One stage of one module by itself, its answers in the open.
//!
//! For tools: golden files and benches of a module run through the same instances, projection, limits and checks as a chain, but see
//! what a chain only uses: plans, verdicts, routes. Must not know files or the form answers are shown in.

use crate::contract::{self, Interface, filter, format, key_columns, map, route, types};
use crate::error::{FaultKind, HostError, StageKind};
use crate::limits::Limits;
use crate::module::Module;
use crate::schema::{Schema, SchemaId};
use crate::stage::{Poison, Reject, Stage, StageSpec, Stop, Taken};
use crate::stages;
use crate::stages::filter::FilterPlan;
use crate::stages::format::FormatPlan;
use crate::stages::map::{MapPlan, Written};
use crate::stages::route::RoutePlan;
use crate::topic::TopicTable;
use crate::view::{Image, Interest, View, empty};
use millrace_batch::{Batch, Cell, Column, Relation, ReplicaIdentity, marks};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Where a router sends a change within a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// This partition.
    Partition(u32),
    /// The partition that these bytes hash to.
    HashOf(Vec<u8>),
}

/// What a stage planned for a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Filter: every change goes on.
    Keep,
    /// Filter: none does.
    Drop,
    /// Filter or route: asked for each change.
    PerChange,
    /// Map: nothing happens to it.
    Unchanged,
    /// Map: the table afterwards, where each column comes from (-1: written by the module), and whether it may drop changes.
    Rewritten {
        /// The table afterwards.
        after: Box<Relation>,
        /// Per column of it, the column it is copied from, or -1.
        sources: Vec<i32>,
        /// Whether changes may be dropped.
        may_drop: bool,
    },
    /// Route: every change goes there.
    Fixed(String, Destination),
    /// Route: a topic, and the columns whose values are hashed.
    ByColumns(String, Vec<u16>),
    /// Format: asked for each change, and what key and value are written in.
    Format {
        /// Schema of keys.
        key_schema: Option<Schema>,
        /// Schema of values.
        value_schema: Option<Schema>,
    },
}

/// A cell of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// Not sent by the source.
    Unsent,
    /// Its text.
    Text(Vec<u8>),
}

impl From<Cell<'_>> for Value {
    fn from(cell: Cell<'_>) -> Value {
        match cell {
            Cell::Null => Value::Null,
            Cell::Unsent => Value::Unsent,
            Cell::Text(text) => Value::Text(text.to_vec()),
        }
    }
}

/// Key of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// None.
    Null,
    /// The bytes the router hashed.
    Routed,
    /// These.
    Bytes(Vec<u8>),
}

/// What became of one change in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Filter: it goes on, or not.
    Keep(bool),
    /// Map: it was dropped.
    Dropped,
    /// Map: its images afterwards.
    Row {
        /// The row after the change.
        new: Option<Vec<Value>>,
        /// The row before it.
        old: Option<Vec<Value>>,
    },
    /// Route: topic and partition.
    Routed(String, Destination),
    /// Format: one of its records.
    Record {
        /// Its key.
        key: Key,
        /// Its value; None is a tombstone.
        value: Option<Vec<u8>>,
        /// Its topic, where the format names one.
        topic: Option<String>,
        /// Its headers.
        headers: Vec<(String, Vec<u8>)>,
    },
    /// It could not be handled.
    Fault(FaultKind, String),
}

enum Kind {
    Filter(Stage<filter::Guest>),
    Map(Stage<map::Guest>),
    Route(Stage<route::Guest>),
    Format(Stage<format::Guest>),
}

struct Known {
    /// Columns as the source sends them.
    width: usize,
    /// What the stage reads, where it is asked for each change.
    reads: Option<Interest>,
    /// Of a map only.
    map: MapPlan,
}

/// One instance of one stage.
pub struct LoneStage {
    kind: Kind,
    stateful: bool,
    topics: TopicTable,
    tables: HashMap<u32, Known>,
}

static NOTHING: Interest = Interest { new: Image::Nothing, old: Image::Nothing };
static UNCHANGED: MapPlan = MapPlan::Unchanged;

/// Where answers go: index of the change in the batch, and what became of it.
type Answers<'a> = &'a mut Vec<(u32, Answer)>;

impl LoneStage {
    /// Starts an instance and configures it.
    ///
    /// # Errors
    /// As [`crate::Chain::instantiate`].
    pub fn start(module: &Arc<Module>, kind: StageKind, config: &str, limits: &Limits) -> Result<LoneStage, HostError> {
        // Halting tells of a fault what a chain would meet.
        let spec = StageSpec::new(kind.as_str(), module.clone(), config);
        let kind = match kind {
            StageKind::Filter => Kind::Filter(Stage::start(&spec, limits)?),
            StageKind::Map => Kind::Map(Stage::start(&spec, limits)?),
            StageKind::Route => Kind::Route(Stage::start(&spec, limits)?),
            StageKind::Format => Kind::Format(Stage::start(&spec, limits)?),
        };
        let stateful = module.about().stateful;
        Ok(LoneStage { kind, stateful, topics: TopicTable::new(), tables: HashMap::new() })
    }

    /// Tells the stage of a table; a number it knows already is not told again.
    ///
    /// # Errors
    /// As [`crate::Chain::announce`]. Changes of a refused table are left out of batches.
    pub fn announce(&mut self, relation: &Relation) -> Result<Option<Plan>, HostError> {
        if self.tables.contains_key(&relation.id) {
            return Ok(None);
        }
        let told = contract::relation(relation);
        let keys = key_columns(&told);
        let mut known = Known { width: relation.columns.len(), reads: None, map: MapPlan::Unchanged };
        let plan = match &mut self.kind {
            Kind::Filter(stage) => match stage.announce(&told, |plan| FilterPlan::check(plan, &told, &keys))? {
                FilterPlan::Keep => Plan::Keep,
                FilterPlan::Drop => Plan::Drop,
                FilterPlan::PerChange(interest) => {
                    known.reads = Some(interest);
                    Plan::PerChange
                }
            },
            Kind::Map(stage) => {
                let (checked, plan) = stage.announce(&told, |plan| {
                    let shown = match plan {
                        map::Plan::Unchanged => Plan::Unchanged,
                        map::Plan::Rewritten(rewrite) => Plan::Rewritten {
                            after: Box::new(shown(&rewrite.after)),
                            sources: rewrite.sources.clone(),
                            may_drop: rewrite.may_drop,
                        },
                    };
                    Ok((MapPlan::check(plan, &told, &keys)?, shown))
                })?;
                if let MapPlan::Rewritten(rewrite) = &checked {
                    known.reads = rewrite.interest().cloned();
                }
                known.map = checked;
                plan
            }
            Kind::Route(stage) => {
                let topics = &self.topics;
                let (checked, plan) = stage.announce(&told, |plan| {
                    let shown = match plan {
                        route::Plan::Fixed(target) => {
                            let to = match &target.partition {
                                route::Partition::Number(number) => Destination::Partition(*number),
                                route::Partition::HashOf(bytes) => Destination::HashOf(bytes.clone()),
                            };
                            Plan::Fixed(target.topic.clone(), to)
                        }
                        route::Plan::ByColumns(hashed) => Plan::ByColumns(hashed.topic.clone(), hashed.columns.clone()),
                        route::Plan::PerChange(_) => Plan::PerChange,
                    };
                    Ok((RoutePlan::check(plan, &told, &keys, topics)?, shown))
                })?;
                if let RoutePlan::PerChange(interest) = checked {
                    known.reads = Some(interest);
                }
                plan
            }
            Kind::Format(stage) => {
                let schemas = stage.spec.module.host_engine().schemas().clone();
                let plan = stage.announce(&told, |plan| FormatPlan::check(plan, &told, &keys, &schemas))?;
                known.reads = Some(plan.reads);
                let schema = |id: Option<SchemaId>| id.and_then(|id| schemas.get(id)).map(|schema| (*schema).clone());
                Plan::Format { key_schema: schema(plan.schemas.key), value_schema: schema(plan.schemas.value) }
            }
        };
        self.tables.insert(relation.id, known);
        Ok(Some(plan))
    }

    /// What becomes of each change, in order: nothing for a change whose table's plan settles it, one answer or, of a format, any
    /// number of records. The whole batch is one call; where a change cannot be handled, each is a call of its own. A stateful module
    /// is always asked change by change, so that none is counted twice.
    ///
    /// # Errors
    /// Only those that no single change is to blame for.
    pub fn process(&mut self, batch: &Batch, now_us: i64) -> Result<Vec<(u32, Answer)>, HostError> {
        self.fits(batch)?;
        let view = View::source(batch, now_us);
        let live: Vec<u32> = (0..batch.len() as u32)
            .filter(|change| self.tables.contains_key(&view.relations[*change as usize]))
            .collect();
        let mut answers = Vec::new();
        if !self.stateful {
            match self.run(&view, &live, Some(&mut answers)) {
                Ok(()) => return Ok(answers),
                Err(Stop::Host(error)) => return Err(error),
                Err(Stop::Change(_)) => answers.clear(),
            }
        }
        for &change in &live {
            match self.run(&view, &[change], Some(&mut answers)) {
                Ok(()) => {}
                Err(Stop::Host(error)) => return Err(error),
                Err(Stop::Change(Poison { kind, message, .. })) => answers.push((change, Answer::Fault(kind, message))),
            }
        }
        Ok(answers)
    }

    /// Hands a batch over and checks the answer without looking at it: what a bench measures. False where a change could not be
    /// handled.
    ///
    /// # Errors
    /// As [`LoneStage::process`].
    pub fn exercise(&mut self, batch: &Batch, now_us: i64) -> Result<bool, HostError> {
        let view = View::source(batch, now_us);
        let live: Vec<u32> = (0..batch.len() as u32)
            .filter(|change| self.tables.contains_key(&view.relations[*change as usize]))
            .collect();
        match self.run(&view, &live, None) {
            Ok(()) => Ok(true),
            Err(Stop::Host(error)) => Err(error),
            Err(Stop::Change(_)) => Ok(false),
        }
    }

    /// Whether the stage is asked about changes of this relation.
    pub fn is_asked(&self, relation: u32) -> bool {
        self.tables.get(&relation).is_some_and(|known| known.reads.is_some())
    }

    /// Bytes of linear memory the instance holds; it never shrinks.
    pub fn memory_bytes(&self) -> usize {
        match &self.kind {
            Kind::Filter(stage) => stage.live().map_or(0, |live| live.memory_used()),
            Kind::Map(stage) => stage.live().map_or(0, |live| live.memory_used()),
            Kind::Route(stage) => stage.live().map_or(0, |live| live.memory_used()),
            Kind::Format(stage) => stage.live().map_or(0, |live| live.memory_used()),
        }
    }

    /// Fuel the instance burnt since its start, about one unit per instruction; None without [`crate::HostEngine::metered`].
    pub fn fuel(&self) -> Option<u64> {
        match &self.kind {
            Kind::Filter(stage) => stage.live()?.fuel(),
            Kind::Map(stage) => stage.live()?.fuel(),
            Kind::Route(stage) => stage.live()?.fuel(),
            Kind::Format(stage) => stage.live()?.fuel(),
        }
    }

    /// Nothing after this indexes past an image.
    fn fits(&self, batch: &Batch) -> Result<(), HostError> {
        for (change, relation) in batch.relations().iter().enumerate() {
            let Some(known) = self.tables.get(relation) else { continue };
            let cells = [(batch.new_cells()[change], marks::NEW), (batch.old_cells()[change], marks::OLD)];
            let width = |bit| if batch.marks()[change] & bit != 0 { known.width } else { 0 };
            if cells.into_iter().any(|(cells, bit)| usize::from(cells) != width(bit)) {
                let why = "an image is neither missing nor complete";
                return Err(HostError::BadBatch { change: change as u32, why });
            }
        }
        Ok(())
    }

    fn run(&mut self, view: &View<'_>, live: &[u32], answers: Option<Answers<'_>>) -> Result<(), Stop> {
        let tables = &self.tables;
        let reads = |relation| tables.get(&relation).and_then(|known| known.reads.as_ref());
        let asked: Vec<u32> =
            live.iter().copied().filter(|change| reads(view.relations[*change as usize]).is_some()).collect();
        let interest = |relation| reads(relation).unwrap_or(&NOTHING);
        let topics = &self.topics;
        match &mut self.kind {
            Kind::Filter(stage) => ask(stage, view, &asked, interest, answers, |part, answer, answers| {
                stages::filter::check(answer, part.len())?;
                let verdict = |at| Answer::Keep(stages::filter::keeps(answer, at));
                each(&asked[part], answers, verdict);
                Ok(())
            }),
            Kind::Route(stage) => ask(stage, view, &asked, interest, answers, |part, answer, answers| {
                let ids = stages::route::check(answer, part.len(), topics)?;
                let mut start = 0;
                each(&asked[part], answers, |at| {
                    let end = answer.hash_ends[at] as usize;
                    let bytes = answer.arena[start..end].to_vec();
                    start = end;
                    let topic = ids.get(answer.topic_of[at] as usize).and_then(|id| topics.name(*id));
                    let to = match u32::try_from(answer.partitions[at]) {
                        Ok(number) => Destination::Partition(number),
                        Err(_) => Destination::HashOf(bytes),
                    };
                    Answer::Routed(topic.map(|name| name.to_string()).unwrap_or_default(), to)
                });
                Ok(())
            }),
            Kind::Format(stage) => {
                let limit = stage.limits.records;
                ask(stage, view, &asked, interest, answers, |part, answer, answers| {
                    stages::format::check(answer, part.len(), limit, topics)?;
                    if let Some(answers) = answers {
                        records(answer, &asked[part], answers);
                    }
                    Ok(())
                })
            }
            Kind::Map(stage) => {
                let plan = |relation: u32| tables.get(&relation).map_or(&UNCHANGED, |known| &known.map);
                let rewrite = |change: &u32| match plan(view.relations[*change as usize]) {
                    MapPlan::Rewritten(rewrite) => Some((rewrite, view.marks[*change as usize])),
                    MapPlan::Unchanged => None,
                };
                let mut written = Written::default();
                ask(stage, view, &asked, interest, None, |part, answer, _| {
                    let changes: Vec<_> = asked[part].iter().filter_map(rewrite).collect();
                    written.accept(answer, &changes, &[])
                })?;
                if let Some(answers) = answers {
                    let rewritten: Vec<u32> = live.iter().copied().filter(|change| rewrite(change).is_some()).collect();
                    rows(view, rewritten, &written, plan, answers);
                }
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for LoneStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoneStage").field("tables", &self.tables.len()).finish_non_exhaustive()
    }
}

/// Asks about some changes; `take` checks an answer and shows it. Not asked at all where there is nothing to ask about.
fn ask<'i, I: Interface>(
    stage: &mut Stage<I>,
    view: &View<'_>,
    asked: &[u32],
    interest: impl Fn(u32) -> &'i Interest,
    mut answers: Option<Answers<'_>>,
    mut take: impl FnMut(Range<usize>, &I::Answer, Option<Answers<'_>>) -> Result<(), Reject>,
) -> Result<(), Stop> {
    if asked.is_empty() {
        return Ok(());
    }
    stage.run(view, asked, interest, &mut Vec::new(), |part, taken| match taken {
        Taken::Answer { answer, .. } => take(part, &answer, answers.as_deref_mut()),
        // A stage that halts sets nothing aside.
        Taken::Nothing => Ok(()),
    })
}

fn each(changes: &[u32], answers: Option<Answers<'_>>, mut answer: impl FnMut(usize) -> Answer) {
    if let Some(answers) = answers {
        answers.extend(changes.iter().enumerate().map(|(at, change)| (*change, answer(at))));
    }
}

/// The records of a checked answer.
fn records(answer: &format::Records, changes: &[u32], answers: Answers<'_>) {
    let (mut start, mut header, mut header_start) = (0, 0, 0);
    for index in 0..answer.changes.len() {
        let (key_end, value_end) = (answer.key_ends[index] as usize, answer.value_ends[index] as usize);
        let bits = answer.marks[index];
        let key = match bits {
            bits if bits & stages::format::NO_KEY != 0 => Key::Null,
            bits if bits & stages::format::ROUTED_KEY != 0 => Key::Routed,
            _ => Key::Bytes(answer.arena[start..key_end].to_vec()),
        };
        let value = bits & stages::format::NULL_VALUE == 0;
        let mut headers = Vec::new();
        while answer.headers.record_of.get(header).is_some_and(|record| *record as usize == index) {
            let end = answer.headers.value_ends[header] as usize;
            let name = answer.headers.names[answer.headers.name_of[header] as usize].clone();
            headers.push((name, answer.headers.arena[header_start..end].to_vec()));
            (header, header_start) = (header + 1, end);
        }
        let record = Answer::Record {
            key,
            value: value.then(|| answer.arena[key_end..value_end].to_vec()),
            topic: usize::try_from(answer.topic_of[index]).ok().and_then(|at| answer.topics.get(at)).cloned(),
            headers,
        };
        answers.push((changes[answer.changes[index] as usize], record));
        start = value_end;
    }
}

/// The rows behind a map.
fn rows<'p>(
    view: &View<'_>,
    rewritten: Vec<u32>,
    written: &Written,
    plan: impl Fn(u32) -> &'p MapPlan,
    answers: Answers<'_>,
) {
    let (mut live, mut origin) = (rewritten.clone(), (0..view.len() as u32).collect());
    let mut after = empty();
    if !stages::map::merge(view, &mut live, &mut origin, written, plan, &mut after) {
        let message = "rewritten, the batch passes what 30 bits address".to_owned();
        answers.extend(rewritten.iter().map(|c| (*c, Answer::Fault(FaultKind::BadOutput, message.clone()))));
        return;
    }
    let after = View::mapped(&after);
    let mut at = 0;
    for change in rewritten {
        if origin.get(at) != Some(&change) {
            answers.push((change, Answer::Dropped));
            continue;
        }
        let image = |old: bool, bit: u8| {
            let (first, count) = after.image(at, old);
            let cells = || (first..first + count).map(|cell| after.cell(cell).into()).collect();
            (after.marks[at] & bit != 0).then(cells)
        };
        answers.push((change, Answer::Row { new: image(false, marks::NEW), old: image(true, marks::OLD) }));
        at += 1;
    }
}

/// A table as a module gave it back; its codes were checked.
fn shown(relation: &types::Relation) -> Relation {
    Relation {
        id: relation.id,
        source_oid: 0,
        database: relation.database.clone(),
        schema: relation.schema.clone(),
        table: relation.table.clone(),
        identity: match relation.identity {
            1 => ReplicaIdentity::Full,
            2 => ReplicaIdentity::Index,
            3 => ReplicaIdentity::Nothing,
            _ => ReplicaIdentity::Default,
        },
        columns: relation
            .columns
            .iter()
            .map(|column| Column {
                name: column.name.clone(),
                type_name: column.type_name.clone(),
                type_oid: column.type_oid,
                type_modifier: column.type_modifier,
                jdbc_type: column.jdbc_type,
                key_position: column.key_position,
            })
            .collect(),
    }
}
