//! The engine of the process.
//!
//! Owns wasmtime's configuration, the clock that ends runaway calls, the linker with everything a module may be granted, and the
//! compile cache. Must not know modules or stages.

use crate::cache::{CacheError, CompileCache};
use crate::contract::{counter, log};
use crate::counter::{Counters, ModuleCount};
use crate::error::EngineError;
use crate::instance::State;
use crate::limits::Limits;
use crate::schema::SchemaTable;
use crate::usage::{ModuleUsage, Usages};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, OptLevel};

/// Length of one tick of the deadline clock.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The Wasm engine: one per process, shared by every module. Cloning gives another handle.
#[derive(Clone)]
pub struct HostEngine(Arc<Inner>);

struct Inner {
    engine: Engine,
    linker: Linker<State>,
    limits: Limits,
    /// Instances count the fuel they burn.
    metered: bool,
    cache: Option<CompileCache>,
    counters: Arc<Counters>,
    schemas: SchemaTable,
    usages: Usages,
    // Dropped with the last handle, which ends the ticker.
    _ticker: mpsc::Sender<()>,
}

impl HostEngine {
    /// Makes the engine and starts its deadline clock.
    ///
    /// `cache` is a directory for compiled modules; it is created if missing and must belong to this user and be writable by nobody
    /// else, because compiled code is trusted when it is read back.
    ///
    /// # Errors
    /// The cache directory cannot be used, or the machine cannot run the engine.
    pub fn new(limits: Limits, cache: Option<&Path>) -> Result<HostEngine, EngineError> {
        HostEngine::made(limits, cache, false, SchemaTable::default())
    }

    /// As [`HostEngine::new`], with the schemas of another engine of the same task: their numbers stay what they are, so that what is
    /// kept by number holds for the records of both.
    ///
    /// # Errors
    /// As [`HostEngine::new`].
    pub fn after(before: &HostEngine, limits: Limits, cache: Option<&Path>) -> Result<HostEngine, EngineError> {
        HostEngine::made(limits, cache, false, before.schemas().clone())
    }

    /// An engine whose instances count the fuel they burn ([`crate::LoneStage::fuel`]): for tools. Compiled code is a third slower.
    ///
    /// # Errors
    /// The machine cannot run the engine.
    pub fn metered(limits: Limits) -> Result<HostEngine, EngineError> {
        HostEngine::made(limits, None, true, SchemaTable::default())
    }

    fn made(
        limits: Limits,
        cache: Option<&Path>,
        metered: bool,
        schemas: SchemaTable,
    ) -> Result<HostEngine, EngineError> {
        let metered = metered || limits.fuel.is_some();
        let engine = Engine::new(config(&limits).consume_fuel(metered))
            .map_err(|error| EngineError::Engine(format!("{error:#}")))?;
        let mut linker = Linker::new(&engine);
        // Everything a module can reach (I4). There is no WASI, so no clock, files, network or randomness.
        // What is granted by name is here for all; `module` refuses a component that imports it without the grant.
        log::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)
            .and_then(|()| counter::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state))
            .map_err(|error| EngineError::Engine(format!("{error:#}")))?;
        let cache = cache.map(|directory| CompileCache::open(directory, &engine)).transpose().map_err(
            |error: CacheError| EngineError::Cache {
                directory: cache.map(|c| c.display().to_string()).unwrap_or_default(),
                why: error.to_string(),
            },
        )?;
        let (ticker, stop) = mpsc::channel();
        let clock = engine.clone();
        std::thread::Builder::new()
            .name("millrace-epoch".into())
            .spawn(move || {
                // One tick per wake-up, however late: a machine that stood still has not used up anybody's deadline.
                while stop.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    clock.increment_epoch();
                }
            })
            .map_err(|error| EngineError::Engine(format!("starting the deadline clock: {error}")))?;
        Ok(HostEngine(Arc::new(Inner {
            engine,
            linker,
            limits,
            metered,
            cache,
            counters: Arc::default(),
            schemas,
            usages: Usages::default(),
            _ticker: ticker,
        })))
    }

    /// The limits the engine was made with.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The schemas that the format modules of this engine have declared.
    pub fn schemas(&self) -> &SchemaTable {
        &self.0.schemas
    }

    /// The counters that modules keep by the `counter` grant, by module and name.
    pub fn module_counters(&self) -> Vec<ModuleCount> {
        self.0.counters.snapshot()
    }

    /// What the modules of this engine use up and which limits they met, by stage and module.
    pub fn module_usage(&self) -> Vec<ModuleUsage> {
        self.0.usages.snapshot()
    }

    pub(crate) fn is_metered(&self) -> bool {
        self.0.metered
    }

    pub(crate) fn usages(&self) -> &Usages {
        &self.0.usages
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn linker(&self) -> &Linker<State> {
        &self.0.linker
    }

    pub(crate) fn cache(&self) -> Option<&CompileCache> {
        self.0.cache.as_ref()
    }
}

impl std::fmt::Debug for HostEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostEngine").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        // Epochs cost 14 % on a formatting module and nothing on a crossing; fuel would cost 30 %.
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(limits.stack_bytes)
        // 4 GiB of address space and guard pages per memory: bounds checks cost nothing and memory never moves. Address space only.
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .guard_before_linear_memory(true)
        // The same capture through the same digest gives the same bytes on any machine: no instruction with a choice of results.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stops_with_the_last_handle() {
        let engine = HostEngine::new(Limits::default(), None).unwrap();
        let weak = engine.engine().weak();
        drop(engine);
        for _ in 0..500 {
            if weak.upgrade().is_none() {
                return;
            }
            std::thread::sleep(TICK);
        }
        panic!("the ticker still holds the engine");
    }
}
