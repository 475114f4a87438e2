//! The task's chain of modules.
//!
//! Owns the step from the task file to loaded components and their configuration: the default filter always, then the operator's
//! filters and maps, and the operator's router and format or the defaults; and a chain with one stage replaced. Must not run them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use millrace_batch::Failure;
use millrace_host::{ChainSpec, Grant, HostEngine, Limits, Module, StageSpec, defaults};
use millrace_position::{ActiveModule, Over};
use sha2::{Digest, Sha256};

use crate::{
    config::{self, FormatKind, Task},
    observe::LiveModule,
    swap::Place,
};

/// Names of the default modules' stages; an operator's module has its place's name.
const DEFAULTS: [&str; 4] = ["select", "topic-router", "drs-json", "drs-avro"];

/// A loaded chain.
#[derive(Clone)]
pub(crate) struct Loaded {
    /// What a worker instantiates.
    pub spec: ChainSpec,
    /// What the task file names where something else was swapped in.
    pub over: BTreeMap<Place, Over>,
    /// The engine all instances share.
    pub engine: HostEngine,
    /// The shard among whose metrics the engine's are shown.
    pub shown_by: OnceLock<u16>,
}

impl Loaded {
    /// Reads and compiles every module of a task, or takes it from the cache. Blocking.
    pub fn load(task: &Task) -> Result<Loaded, Failure> {
        let (limits, cache) = engine_settings(task);
        Loaded::on(task, HostEngine::new(limits, cache.as_deref()).map_err(Failure::from)?)
    }

    /// As [`Loaded::load`], to take over from a chain that runs. Blocking.
    pub fn load_after(task: &Task, before: &HostEngine) -> Result<Loaded, Failure> {
        let (limits, cache) = engine_settings(task);
        Loaded::on(task, HostEngine::after(before, limits, cache.as_deref()).map_err(Failure::from)?)
    }

    fn on(task: &Task, engine: HostEngine) -> Result<Loaded, Failure> {
        let modules = &task.modules;
        let default = |name: &str, bytes: &[u8], config: String| -> Result<StageSpec, Failure> {
            let module = Module::load(&engine, name, bytes, None).map_err(Failure::from)?;
            let on_error = modules.on_error.into();
            Ok(StageSpec { on_error, ..StageSpec::new(name, Arc::new(module), config) })
        };
        let given = |path: String, module: &config::Module| {
            let on_error = module.on_error.unwrap_or(modules.on_error);
            Ok::<_, Failure>(StageSpec { on_error: on_error.into(), ..given(&engine, path, module)? })
        };
        let mut filters = vec![default("select", defaults::SELECT, task.select_config())?];
        for (number, module) in modules.filter.iter().enumerate() {
            filters.push(given(format!("filter[{number}]"), module)?);
        }
        let mut maps = Vec::new();
        for (number, module) in modules.map.iter().enumerate() {
            maps.push(given(format!("map[{number}]"), module)?);
        }
        let route = match &modules.route {
            Some(module) => given("route".to_owned(), module)?,
            None => default("topic-router", defaults::TOPIC_ROUTER, task.router_config())?,
        };
        let format = match &modules.format {
            Some(module) => given("format".to_owned(), module)?,
            None => match task.format.kind {
                FormatKind::Json => default("drs-json", defaults::DRS_JSON, task.format_config())?,
                FormatKind::Avro => default("drs-avro", defaults::DRS_AVRO, task.format_config())?,
            },
        };
        Ok(Loaded {
            spec: ChainSpec { filters, maps, route, format, mapping: task.mapping() },
            over: BTreeMap::new(),
            engine,
            shown_by: OnceLock::new(),
        })
    }

    /// All places with what stands there, in the order of the chain.
    pub fn stages(&self) -> impl Iterator<Item = (Place, &StageSpec)> {
        Place::all(&self.spec).into_iter().filter_map(|place| Some((place, place.get(&self.spec)?)))
    }

    /// What the position record keeps of the chain.
    pub fn active(&self) -> Vec<ActiveModule> {
        let active = self.stages().map(|(place, stage)| {
            let Over { digest, config_digest } = digests(stage);
            let (kind, name) = (place.kind().as_str().to_owned(), stage.name.clone());
            ActiveModule { stage: kind, name, digest, config_digest, over: self.over.get(&place).cloned() }
        });
        active.collect()
    }

    /// Whether a default module stands there.
    pub fn is_default(&self, place: Place) -> bool {
        place.get(&self.spec).is_some_and(|stage| DEFAULTS.contains(&stage.name.as_str()))
    }

    /// The chain with another module or configuration in one place. `swapped`: it stands there in place of what the task file names,
    /// which is remembered; otherwise it is what the task file names.
    pub fn with(&self, place: Place, module: Arc<Module>, config: String, swapped: bool) -> Option<Loaded> {
        let mut next = self.clone();
        let stage = place.get_mut(&mut next.spec)?;
        let before = digests(stage);
        // The name says where a module of the operator's stands; a default keeps its own while only its configuration changes.
        if stage.module.digest() != module.digest() && DEFAULTS.contains(&stage.name.as_str()) {
            stage.name = place.to_string();
        }
        stage.module = module;
        stage.config_json = config;
        let now = digests(stage);
        if swapped {
            let over = next.over.entry(place).or_insert(before);
            if *over == now {
                next.over.remove(&place);
            }
        } else {
            next.over.remove(&place);
        }
        Some(next)
    }

    /// The chain with a stage as another version had it.
    pub fn with_stage(&self, place: Place, stage: StageSpec, over: Option<Over>) -> Option<Loaded> {
        let mut next = self.clone();
        *place.get_mut(&mut next.spec)? = stage;
        match over {
            Some(over) => next.over.insert(place, over),
            None => next.over.remove(&place),
        };
        Some(next)
    }

    /// The chain with a shard's own selection of tables, unless a person swapped the selection.
    pub fn for_shard(&self, select: Option<&str>) -> Loaded {
        let mut own = self.clone();
        if let (Some(select), Some(stage)) = (select, own.spec.filters.first_mut())
            && !self.over.contains_key(&Place::Select)
        {
            stage.config_json = select.to_owned();
        }
        own
    }

    /// What the status shows of the chain.
    pub fn live(&self) -> Vec<LiveModule> {
        let live = self.stages().map(|(place, stage)| LiveModule {
            stage: place.kind().as_str().to_owned(),
            name: stage.module.about().name.clone(),
            sha256: stage.module.digest().to_string(),
        });
        live.collect()
    }

    /// The start of a digest over the digests of all modules and their configurations in chain order: what made a record.
    pub fn chain_digest(&self) -> [u8; 8] {
        let mut digest = Sha256::new();
        for (_, stage) in self.stages() {
            digest.update(stage.module.digest().0);
            digest.update(Sha256::digest(&stage.config_json));
        }
        let mut start = [0; 8];
        start.copy_from_slice(&digest.finalize()[..8]);
        start
    }

    /// True where a module asks for one instance per shard.
    pub fn is_stateful(&self) -> bool {
        self.stages().any(|(_, stage)| stage.module.about().stateful)
    }
}

/// Limits of the task's modules and the directory of its compile cache.
fn engine_settings(task: &Task) -> (Limits, Option<PathBuf>) {
    (limits(&task.modules.limits), task.modules.cache.clone().or_else(default_cache))
}

/// Digests of a stage's component and configuration, as the position record has them.
pub(crate) fn digests(stage: &StageSpec) -> Over {
    Over { digest: format!("sha256:{}", stage.module.digest()), config_digest: config_digest(&stage.config_json) }
}

/// Digest of a configuration, as the position record has it.
pub(crate) fn config_digest(config: &str) -> String {
    format!("sha256:{}", hex(&Sha256::digest(config)))
}

fn given(engine: &HostEngine, name: String, module: &config::Module) -> Result<StageSpec, Failure> {
    let bytes = read_file(&name, &module.path, engine.limits().component_bytes)?;
    let pin = module.sha256.map(|digest| digest.0);
    let grants: Vec<_> = module.grants.iter().map(|grant| (*grant).into()).collect();
    let loaded = Module::load_with(engine, &name, &bytes, pin, &grants).map_err(Failure::from)?;
    Ok(StageSpec::new(name, Arc::new(loaded), module.config_json()))
}

/// What a module in this place may import beyond `log`: what the task file grants the one it names there.
pub(crate) fn grants(task: &Task, place: Place) -> Vec<Grant> {
    let modules = &task.modules;
    let module = match place {
        Place::Select => None,
        Place::Filter(at) => modules.filter.get(at),
        Place::Map(at) => modules.map.get(at),
        Place::Route => modules.route.as_ref(),
        Place::Format => modules.format.as_ref(),
    };
    module.iter().flat_map(|module| &module.grants).map(|grant| (*grant).into()).collect()
}

/// The bytes of a module's file, at most `limit`. Blocking.
pub(crate) fn read_file(name: &str, path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let unreadable = |why: String| {
        Failure::definite(
            "module_unreadable",
            format!("reading module {name} from {}", path.display()),
            why,
            format!("correct modules.{name}.path, or the file"),
        )
    };
    if let Some(built_in) = defaults::built_in(path) {
        return built_in.map(<[u8]>::to_vec).map_err(unreadable);
    }
    // Looked at before it is read: a file may be of any size.
    let size = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > limit as u64 {
        return Err(unreadable(format!("it has {size} bytes, at most {limit} are taken")));
    }
    fs::read(path).map_err(|error| unreadable(error.to_string()))
}

/// The host's limits as a task file names them.
pub(crate) fn limits(limits: &config::Limits) -> Limits {
    let size = |size: config::Size| usize::try_from(size.get()).unwrap_or(usize::MAX);
    Limits {
        call_timeout: limits.call_timeout.get(),
        init_timeout: limits.init_timeout.get(),
        memory_bytes: size(limits.memory),
        output_bytes: size(limits.output),
        records: limits.records.to_usize(),
        fuel: limits.fuel.map(|fuel| fuel.get().unsigned_abs()),
        component_bytes: size(limits.component),
        log_lines_per_second: u32::try_from(limits.log_lines_per_second.get()).unwrap_or(u32::MAX),
        ..Limits::default()
    }
}

/// Directory for compiled modules where the task file names none.
pub(crate) fn default_cache() -> Option<PathBuf> {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute())?;
    Some(home.join("millrace"))
}

/// Lower-case hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
