//! The task's chain of modules.
//!
//! Owns the step from the task file to loaded components and their configuration: the default filter always, then the operator's
//! filters and maps, and the operator's router and format or the defaults. Must not run them.

use std::{
    borrow::Cow,
    fs,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use millrace_batch::Failure;
use millrace_host::{ChainSpec, HostEngine, Limits, Module, StageKind, StageSpec, defaults};
use millrace_position::ActiveModule;
use sha2::{Digest, Sha256};

use crate::{
    config::{self, Task},
    observe::LiveModule,
};

/// Chains of a task that were loaded, by what their default filter is told: shards differ in nothing else.
#[derive(Default)]
pub(crate) struct Shared(tokio::sync::Mutex<Vec<(String, Arc<Loaded>)>>);

impl Shared {
    /// The chain of a task, loaded once.
    pub async fn get(&self, task: &Task) -> Result<Arc<Loaded>, Failure> {
        let mut known = self.0.lock().await;
        let told = task.select_config();
        if let Some((_, loaded)) = known.iter().find(|(config, _)| *config == told) {
            return Ok(loaded.clone());
        }
        let task = task.clone();
        let loaded = super::attempt::blocking("loading modules", move || Loaded::load(&task)).await?;
        let loaded = Arc::new(loaded);
        known.push((told, loaded.clone()));
        Ok(loaded)
    }
}

/// A loaded chain.
pub(crate) struct Loaded {
    /// What a worker instantiates.
    pub spec: ChainSpec,
    /// The engine all instances share.
    pub engine: HostEngine,
    /// The shard among whose metrics the engine's are shown.
    pub shown_by: OnceLock<u16>,
}

impl Loaded {
    /// Reads and compiles every module of a task, or takes it from the cache. Blocking.
    pub fn load(task: &Task) -> Result<Loaded, Failure> {
        let modules = &task.modules;
        let cache = modules.cache.clone().or_else(default_cache);
        let limits = limits(&modules.limits);
        let engine = HostEngine::new(limits, cache.as_deref()).map_err(Failure::from)?;
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
            None => default("drs-json", defaults::DRS_JSON, task.format_config())?,
        };
        Ok(Loaded { spec: ChainSpec { filters, maps, route, format }, engine, shown_by: OnceLock::new() })
    }

    fn stages(&self) -> impl Iterator<Item = (StageKind, &StageSpec)> {
        let spec = &self.spec;
        let filters = spec.filters.iter().map(|stage| (StageKind::Filter, stage));
        let maps = spec.maps.iter().map(|stage| (StageKind::Map, stage));
        let last = [(StageKind::Route, &spec.route), (StageKind::Format, &spec.format)];
        filters.chain(maps).chain(last)
    }

    /// What the position record keeps of the chain.
    pub fn active(&self) -> Vec<ActiveModule> {
        let active = self.stages().map(|(kind, stage)| ActiveModule {
            stage: kind.as_str().to_owned(),
            name: stage.name.clone(),
            digest: format!("sha256:{}", stage.module.digest()),
            config_digest: format!("sha256:{}", hex(&Sha256::digest(&stage.config_json))),
        });
        active.collect()
    }

    /// What the status shows of the chain.
    pub fn live(&self) -> Vec<LiveModule> {
        let live = self.stages().map(|(kind, stage)| LiveModule {
            stage: kind.as_str().to_owned(),
            name: stage.module.about().name.clone(),
            sha256: stage.module.digest().to_string(),
        });
        live.collect()
    }

    /// The start of a digest over the digests of all modules in chain order: which code made a record.
    pub fn chain_digest(&self) -> [u8; 8] {
        let mut digest = Sha256::new();
        for (_, stage) in self.stages() {
            digest.update(stage.module.digest().0);
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

fn given(engine: &HostEngine, name: String, module: &config::Module) -> Result<StageSpec, Failure> {
    let path = &module.path;
    let limit = engine.limits().component_bytes as u64;
    let unreadable = |why: String| {
        Failure::definite(
            "module_unreadable",
            format!("reading module {name} from {}", path.display()),
            why,
            format!("correct modules.{name}.path, or the file"),
        )
    };
    let bytes = match defaults::built_in(path) {
        Some(built_in) => Cow::Borrowed(built_in.map_err(unreadable)?),
        None => {
            // Looked at before it is read: a file may be of any size.
            let size = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
            if size > limit {
                return Err(unreadable(format!("it has {size} bytes, at most {limit} are taken")));
            }
            Cow::Owned(fs::read(path).map_err(|error| unreadable(error.to_string()))?)
        }
    };
    let pin = module.sha256.map(|digest| digest.0);
    let grants: Vec<_> = module.grants.iter().map(|grant| (*grant).into()).collect();
    let loaded = Module::load_with(engine, &name, &bytes, pin, &grants).map_err(Failure::from)?;
    Ok(StageSpec::new(name, Arc::new(loaded), module.config_json()))
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
