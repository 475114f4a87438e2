//! One running instance of one stage.
//!
//! Owns the store with its limits, the start (`init`), single calls under a deadline, and the words for what went wrong in one. Must
//! not know batches, plans or what follows a failure: a broken instance is thrown away by `stage`.

use crate::contract::Interface;
use crate::counter::Tally;
use crate::engine::TICK;
use crate::error::FaultKind;
use crate::limits::Limits;
use crate::log::{LogGate, line};
use crate::module::Module;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{ResourceLimiter, Store, Trap};

/// Most characters of a module's own text in an error.
pub(crate) const TEXT_LIMIT: usize = 2000;
/// Most linear memories of one component: each of its core modules may have one.
const MEMORIES: usize = 16;

/// What the host keeps for an instance.
pub(crate) struct State {
    pub(crate) module: Arc<str>,
    pub(crate) stage: &'static str,
    pub(crate) log: LogGate,
    pub(crate) tally: Tally,
    /// The last line the module logged as an error during the current call.
    pub(crate) last_words: Option<String>,
    budget: Budget,
}

/// Memory, tables and instances against their limits.
struct Budget {
    memory_bytes: usize,
    memory_used: usize,
    table_elements: usize,
    tables: usize,
    instances: usize,
    /// The limit that was hit; wasmtime's own error says less.
    denied: Option<String>,
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // All memories of the instance count together.
        let used = self.memory_used.saturating_add(desired.saturating_sub(current));
        if used > self.memory_bytes {
            return self.deny(format!("it needs more than its memory limit of {} bytes", self.memory_bytes));
        }
        self.memory_used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.table_elements {
            return self.deny(format!("it needs a table of more than its limit of {} elements", self.table_elements));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

impl Budget {
    /// An error instead of `false`: a guest whose allocation fails quietly ends as a bare `unreachable` that explains nothing.
    fn deny(&mut self, why: String) -> wasmtime::Result<bool> {
        self.denied = Some(why.clone());
        Err(wasmtime::Error::msg(why))
    }
}

/// How a call failed. The instance cannot be used again.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
}

/// A store with the module's limits, its deadline set for a start.
pub(crate) fn store(module: &Module, stage: &'static str, limits: &Limits) -> Store<State> {
    let state = State {
        module: module.shared_name(),
        stage,
        log: LogGate::new(limits.log_lines_per_second),
        tally: Tally::new(module.host_engine().counters().clone(), module.shared_name()),
        last_words: None,
        budget: Budget {
            memory_bytes: limits.memory_bytes,
            memory_used: 0,
            table_elements: limits.table_elements,
            tables: limits.tables,
            instances: limits.instances,
            denied: None,
        },
    };
    let mut store = Store::new(module.engine(), state);
    store.limiter(|state| &mut state.budget);
    store.set_hostcall_fuel(limits.output_bytes);
    store.set_epoch_deadline(ticks(limits.init_timeout));
    // Refused, as it should be, where the engine does not count fuel.
    let _ = store.set_fuel(u64::MAX);
    store
}

/// Deadline in ticks; one more than the timeout holds, since the current tick is already running.
fn ticks(timeout: Duration) -> u64 {
    (timeout.as_millis().div_ceil(TICK.as_millis()) as u64).saturating_add(1)
}

/// Puts what happened into words.
pub(crate) fn explain(error: &wasmtime::Error, store: &mut Store<State>, limits: &Limits, timeout: Duration) -> Broken {
    let state = store.data_mut();
    let words = state.last_words.take();
    if let Some(denied) = state.budget.denied.take() {
        return Broken { kind: FaultKind::Trap, message: denied };
    }
    let root = error.root_cause().to_string();
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Broken { kind: FaultKind::Deadline, message: format!("no answer within {timeout:?}") },
        Some(trap) => {
            let mut message = format!("it trapped: {trap}");
            if let Some(words) = words {
                message.push_str("; its last words: ");
                message.push_str(&line(&words, TEXT_LIMIT));
            }
            Broken { kind: FaultKind::Trap, message }
        }
        // wasmtime keeps this error type to itself.
        None if root.contains("hostcalls has been exhausted") => Broken {
            kind: FaultKind::Trap,
            message: format!("it returned more than its output limit of {} bytes", limits.output_bytes),
        },
        None => Broken { kind: FaultKind::BadOutput, message: line(&root, TEXT_LIMIT) },
    }
}

/// Why an instance did not start.
pub(crate) enum StartError {
    /// It failed.
    Broken(String),
    /// `init` refused the configuration, in these words.
    Config(String),
}

/// An instance after `init`.
pub(crate) struct Live<I> {
    store: Store<State>,
    guest: I,
}

impl<I: Interface> Live<I> {
    /// Instantiates and initialises.
    pub(crate) fn start(module: &Module, config: &str, limits: &Limits) -> Result<Live<I>, StartError> {
        let mut store = store(module, I::KIND.as_str(), limits);
        let started = (|| {
            let instance = module.pre().instantiate(&mut store)?;
            let guest = I::load(&mut store, module.pre(), &instance)?;
            let answer = guest.init(&mut store, config)?;
            Ok((guest, answer))
        })();
        match started {
            Ok((guest, Ok(()))) => Ok(Live { store, guest }),
            Ok((_, Err(text))) => Err(StartError::Config(line(&text, TEXT_LIMIT))),
            Err(error) => Err(StartError::Broken(explain(&error, &mut store, limits, limits.init_timeout).message)),
        }
    }

    /// The last call's answer was taken (or not, and the instance goes on): what it counted counts (or not).
    pub(crate) fn settle(&mut self, taken: bool) {
        let tally = &mut self.store.data_mut().tally;
        if taken { tally.take() } else { tally.forget() }
    }

    /// Bytes of linear memory it holds.
    pub(crate) fn memory_used(&self) -> usize {
        self.store.data().budget.memory_used
    }

    /// Fuel burnt since the start; None where the engine does not count it.
    pub(crate) fn fuel(&self) -> Option<u64> {
        self.store.get_fuel().ok().map(|left| u64::MAX - left)
    }

    /// One call under the deadline.
    pub(crate) fn call<T>(
        &mut self,
        limits: &Limits,
        call: impl FnOnce(&I, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, Broken> {
        self.store.set_epoch_deadline(ticks(limits.call_timeout));
        self.store.data_mut().last_words = None;
        call(&self.guest, &mut self.store)
            .map_err(|error| explain(&error, &mut self.store, limits, limits.call_timeout))
    }
}
