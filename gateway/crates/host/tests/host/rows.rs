//! Relations, batches and chains to test with.

use millrace_batch::{Batch, ChangeStamp, Column, Lsn, Op, Relation, ReplicaIdentity, marks};
use millrace_host::{Chain, ChainSpec, Grant, HostEngine, HostError, Limits, Module, StageSpec, TopicTable, defaults};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub const PROBE: &[u8] = include_bytes!("../components/probe.wasm");

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    Null,
    Unsent,
    Is(Vec<u8>),
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text::Is(text.into())
    }
}

/// One change: what `batch` makes a batch of.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: u64,
    pub relation: u32,
    pub op: Op,
    pub new: Option<Vec<Text>>,
    pub old: Option<Vec<Text>>,
}

impl Change {
    pub fn insert(id: u64, relation: u32, cells: &[&str]) -> Change {
        let new = Some(cells.iter().map(|cell| Text::from(*cell)).collect());
        Change { id, relation, op: Op::Insert, new, old: None }
    }
}

/// Everything else of a change follows from its id, so that a model can tell it.
pub fn stamp(change: &Change) -> ChangeStamp {
    let id = change.id;
    ChangeStamp {
        id,
        commit_lsn: Lsn(1000 + id),
        xid: 7 * id,
        commit_time: -(id as i64),
        ordinal: id as u32 + 3,
        relation: change.relation,
        op: change.op,
    }
}

/// Commit sequence number of a change.
pub fn csn(change: &Change) -> u64 {
    11 * change.id
}

pub fn marks_of(change: &Change) -> u8 {
    let bit = |image: &Option<Vec<Text>>, bit| if image.is_some() { bit } else { 0 };
    bit(&change.new, marks::NEW) | bit(&change.old, marks::OLD)
}

pub fn batch(changes: &[Change]) -> Batch {
    let mut batch = Batch::new(2);
    for change in changes {
        batch.begin_change(stamp(change));
        batch.set_csn(csn(change));
        for cell in change.new.iter().chain(&change.old).flatten() {
            match cell {
                Text::Null => batch.push_null(),
                Text::Unsent => batch.push_unsent(),
                Text::Is(text) => assert!(batch.push_text(text)),
            }
        }
        let count = |image: &Option<Vec<Text>>| image.as_ref().map_or(0, |cells| cells.len() as u16);
        batch.finish_change(count(&change.new), count(&change.old), marks_of(change));
    }
    batch
}

/// A table `s.t<id>` with this many text columns; the first is the key.
pub fn relation(id: u32, width: usize) -> Relation {
    let column = |index: usize| Column {
        name: format!("c{index}"),
        type_name: "text".into(),
        type_oid: 25,
        type_modifier: -1,
        jdbc_type: 12,
        key_position: u16::from(index == 0),
    };
    Relation {
        id,
        source_oid: 16384 + id,
        database: "d".into(),
        schema: "s".into(),
        table: format!("t{id}"),
        identity: ReplicaIdentity::Full,
        columns: (0..width).map(column).collect(),
    }
}

pub fn engine() -> &'static HostEngine {
    static ENGINE: OnceLock<HostEngine> = OnceLock::new();
    ENGINE.get_or_init(|| HostEngine::new(Limits::default(), None).unwrap())
}

fn module(cell: &OnceLock<Arc<Module>>, name: &str, bytes: &[u8]) -> Arc<Module> {
    cell.get_or_init(|| Arc::new(Module::load_with(engine(), name, bytes, None, &[Grant::Counter]).unwrap())).clone()
}

fn stage(name: &str, module: Arc<Module>, config: &str) -> StageSpec {
    StageSpec::new(name, module, config)
}

pub fn probe(name: &str, config: &str) -> StageSpec {
    static MODULE: OnceLock<Arc<Module>> = OnceLock::new();
    stage(name, module(&MODULE, "probe", PROBE), config)
}

pub fn select(config: &str) -> StageSpec {
    static MODULE: OnceLock<Arc<Module>> = OnceLock::new();
    stage("select", module(&MODULE, "select", defaults::SELECT), config)
}

pub fn topic_router(config: &str) -> StageSpec {
    static MODULE: OnceLock<Arc<Module>> = OnceLock::new();
    stage("topic-router", module(&MODULE, "topic-router", defaults::TOPIC_ROUTER), config)
}

pub fn drs_json(config: &str) -> StageSpec {
    static MODULE: OnceLock<Arc<Module>> = OnceLock::new();
    stage("drs-json", module(&MODULE, "drs-json", defaults::DRS_JSON), config)
}

/// A chain of probes; an empty filter or map config leaves that stage out.
pub fn probes(filter: &str, map: &str, route: &str, format: &str) -> ChainSpec {
    let optional = |name, config: &str| if config.is_empty() { vec![] } else { vec![probe(name, config)] };
    ChainSpec {
        filters: optional("f", filter),
        maps: optional("m", map),
        route: probe("r", route),
        format: probe("o", format),
        mapping: Default::default(),
    }
}

/// Limits for mischief: little memory, and a deadline that is only missed on purpose, however busy the machine.
pub fn tight() -> Limits {
    Limits { call_timeout: Duration::from_secs(20), memory_bytes: 32 << 20, ..Limits::default() }
}

/// Limits for a module that never answers.
pub fn hasty() -> Limits {
    Limits { call_timeout: Duration::from_millis(100), ..tight() }
}

pub fn start(spec: &ChainSpec) -> Result<(Chain, TopicTable), HostError> {
    start_with(spec, &tight())
}

pub fn start_with(spec: &ChainSpec, limits: &Limits) -> Result<(Chain, TopicTable), HostError> {
    let topics = TopicTable::new();
    Ok((Chain::instantiate(spec, limits, &topics)?, topics))
}
