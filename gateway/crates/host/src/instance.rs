//! One running instance of one stage.
//!
//! Owns the store with its limits, the start (`init`), single calls under a deadline, and the words for what went wrong in one. Must
//! not know batches, plans or what follows a failure: a broken instance is thrown away by `stage`.

use crate::budget::Budget;
use crate::contract::Interface;
use crate::counter::Tally;
use crate::engine::TICK;
use crate::error::FaultKind;
use crate::limits::Limits;
use crate::log::{LogGate, line};
use crate::module::Module;
use crate::stage::Reject;
use crate::usage::{LimitKind, Usage};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::{Store, Trap};

/// Most characters of a module's own text in an error.
pub(crate) const TEXT_LIMIT: usize = 2000;

/// What the host keeps for an instance.
pub(crate) struct State {
    pub(crate) module: Arc<str>,
    pub(crate) stage: &'static str,
    pub(crate) log: LogGate,
    pub(crate) tally: Tally,
    pub(crate) usage: Arc<Usage>,
    /// The last line the module logged as an error during the current call.
    pub(crate) last_words: Option<String>,
    budget: Budget,
    /// Bytes the current call handed over by calls of the host, and the most it may.
    handed: usize,
    output_bytes: usize,
    metered: bool,
    /// Fuel the current call began with, and what was burnt in all.
    tank: u64,
    burnt: u64,
}

impl State {
    /// The module hands so many bytes to the host by a call of an import. wasmtime bounds each alone; a module may make any number.
    pub(crate) fn handed(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.usage.host_call(bytes);
        self.handed = self.handed.saturating_add(bytes);
        if self.handed > self.output_bytes {
            let why =
                format!("its calls of the host hand over more than its output limit of {} bytes", self.output_bytes);
            return Err(self.budget.end(LimitKind::Output, why));
        }
        Ok(())
    }
}

/// How a call failed. The instance cannot be used again.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
    /// The limit it met, if any.
    limit: Option<LimitKind>,
}

impl From<Reject> for Broken {
    fn from(Reject(message, limit): Reject) -> Broken {
        Broken { kind: FaultKind::BadOutput, message, limit }
    }
}

impl Broken {
    fn trap(message: String, limit: Option<LimitKind>) -> Broken {
        Broken { kind: FaultKind::Trap, message, limit }
    }

    fn count(&self, usage: &Usage) {
        usage.failed(self.kind);
        if let Some(limit) = self.limit {
            usage.hit(limit);
        }
    }
}

/// A store with the module's limits, its deadline set for a start. `usage` is where it is counted.
pub(crate) fn store(module: &Module, stage: &'static str, limits: &Limits, usage: Arc<Usage>) -> Store<State> {
    let state = State {
        module: module.shared_name(),
        stage,
        log: LogGate::new(limits.log_lines_per_second),
        tally: Tally::new(module.host_engine().counters().clone(), module.shared_name()),
        budget: Budget::new(limits, usage.clone()),
        handed: 0,
        output_bytes: limits.output_bytes,
        usage,
        metered: module.host_engine().is_metered(),
        tank: 0,
        burnt: 0,
        last_words: None,
    };
    let mut store = Store::new(module.engine(), state);
    store.limiter(|state| &mut state.budget);
    store.set_hostcall_fuel(limits.output_bytes);
    store.set_epoch_deadline(ticks(limits.init_timeout));
    refuel(&mut store, limits, true);
    store
}

/// Fills the tank for a call: the budget, or all there is where only a tool counts. A start may burn as much more than a call as it
/// may take longer.
fn refuel(store: &mut Store<State>, limits: &Limits, start: bool) {
    let longer = if start { limits.init_timeout.as_millis() / limits.call_timeout.as_millis().max(1) } else { 1 };
    let longer = u64::try_from(longer.max(1)).unwrap_or(u64::MAX);
    let tank = limits.fuel.map_or(u64::MAX, |fuel| fuel.saturating_mul(longer));
    if store.data().metered && store.set_fuel(tank).is_ok() {
        store.data_mut().tank = tank;
    }
}

/// Notes what was burnt since the tank was filled.
fn burnt(store: &mut Store<State>) {
    // Asking an engine that does not count makes an error, which costs more than a small call.
    if store.data().metered
        && let Ok(left) = store.get_fuel()
    {
        let state = store.data_mut();
        let used = state.tank.saturating_sub(left);
        state.burnt = state.burnt.saturating_add(used);
        state.usage.burnt(used);
    }
}

/// Deadline in ticks; one more than the timeout holds, since the current tick is already running.
fn ticks(timeout: Duration) -> u64 {
    (timeout.as_millis().div_ceil(TICK.as_millis()) as u64).saturating_add(1)
}

/// Puts what happened into words.
pub(crate) fn explain(error: &wasmtime::Error, store: &mut Store<State>, limits: &Limits, timeout: Duration) -> Broken {
    let state = store.data_mut();
    let words = state.last_words.take();
    if let Some((limit, why)) = state.budget.denied() {
        return Broken::trap(why, Some(limit));
    }
    let root = error.root_cause().to_string();
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Broken {
            kind: FaultKind::Deadline,
            message: format!("no answer within {timeout:?}"),
            limit: Some(LimitKind::Time),
        },
        Some(Trap::OutOfFuel) => {
            let budget = limits.fuel.unwrap_or_default();
            let message = format!("it burnt more than its fuel limit of {budget}");
            Broken { kind: FaultKind::Fuel, message, limit: Some(LimitKind::Fuel) }
        }
        Some(trap) => {
            let mut message = format!("it trapped: {trap}");
            if let Some(words) = words {
                message.push_str("; its last words: ");
                message.push_str(&line(&words, TEXT_LIMIT));
            }
            Broken::trap(message, (*trap == Trap::StackOverflow).then_some(LimitKind::Stack))
        }
        // wasmtime keeps this error type to itself.
        None if root.contains("hostcalls has been exhausted") => Broken::trap(
            format!("it returned more than its output limit of {} bytes", limits.output_bytes),
            Some(LimitKind::Output),
        ),
        None => Broken::from(Reject(line(&root, TEXT_LIMIT), None)),
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
    pub(crate) fn start(
        module: &Module,
        config: &str,
        limits: &Limits,
        usage: &Arc<Usage>,
    ) -> Result<Live<I>, StartError> {
        let mut store = store(module, I::KIND.as_str(), limits, usage.clone());
        let started = (|| {
            let instance = module.pre().instantiate(&mut store)?;
            let guest = I::load(&mut store, module.pre(), &instance)?;
            let answer = guest.init(&mut store, config)?;
            Ok((guest, answer))
        })();
        match started {
            Ok((guest, Ok(()))) => {
                burnt(&mut store);
                Ok(Live { store, guest })
            }
            Ok((_, Err(text))) => Err(StartError::Config(line(&text, TEXT_LIMIT))),
            Err(error) => {
                let broken = explain(&error, &mut store, limits, limits.init_timeout);
                broken.count(usage);
                Err(StartError::Broken(broken.message))
            }
        }
    }

    /// The last call's answer was taken, with so many bytes in it (or it was not, and the instance goes on): what it counted counts
    /// (or does not).
    pub(crate) fn settle(&mut self, taken: Option<usize>) {
        let state = self.store.data_mut();
        match taken {
            Some(bytes) => {
                state.tally.take();
                state.usage.output(bytes);
            }
            None => state.tally.forget(),
        }
    }

    /// The last call's answer breaks the contract; so ends the instance.
    pub(crate) fn reject(self, reject: Reject) -> Broken {
        let broken = Broken::from(reject);
        broken.count(&self.store.data().usage);
        broken
    }

    /// Bytes of linear memory it holds.
    pub(crate) fn memory_used(&self) -> usize {
        self.store.data().budget.memory_used()
    }

    /// Fuel burnt since the start; None where the engine does not count it.
    pub(crate) fn fuel(&self) -> Option<u64> {
        let state = self.store.data();
        state.metered.then_some(state.burnt)
    }

    /// One call under the deadline.
    pub(crate) fn call<T>(
        &mut self,
        limits: &Limits,
        call: impl FnOnce(&I, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, Broken> {
        self.store.set_epoch_deadline(ticks(limits.call_timeout));
        self.store.data_mut().last_words = None;
        self.store.data_mut().handed = 0;
        let began = Instant::now();
        refuel(&mut self.store, limits, false);
        let answer = call(&self.guest, &mut self.store);
        self.store.data().usage.called(began.elapsed());
        burnt(&mut self.store);
        answer.map_err(|error| {
            let broken = explain(&error, &mut self.store, limits, limits.call_timeout);
            broken.count(&self.store.data().usage);
            broken
        })
    }
}
