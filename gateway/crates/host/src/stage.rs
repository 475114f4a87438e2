//! One stage of one worker: an instance that is replaced when it breaks.
//!
//! Owns the order of calls the contract promises (`init`, announcements, then batches), the rebuilding of an instance after a trap, and
//! the search for the change that broke it. Must not know what the answers mean: the chain checks and takes them.

use crate::contract::{Interface, types};
use crate::error::{FaultKind, HostError};
use crate::instance::{Broken, Live, StartError, TEXT_LIMIT};
use crate::limits::Limits;
use crate::log::line;
use crate::module::Module;
use crate::view::{Interest, View, empty, project};
use std::ops::Range;
use std::sync::Arc;

/// A stage as the task configures it.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// Its name in the task, for errors and metrics.
    pub name: String,
    /// The module that does it.
    pub module: Arc<Module>,
    /// What `init` gets: JSON text by convention; empty where nothing is configured.
    pub config_json: String,
}

/// Why an answer is not taken.
pub(crate) enum Reject {
    /// It breaks the contract.
    Bad(String),
    /// The module cannot handle one change; index in the call's batch.
    Fault { index: usize, message: String },
}

impl Reject {
    /// An answer with something wrong in one of its fields.
    pub(crate) fn bad(field: &str, why: impl std::fmt::Display) -> Reject {
        Reject::Bad(format!("{field}: {why}"))
    }
}

/// Why a stage did not get through a batch.
pub(crate) enum Stop {
    /// Something that no single change is to blame for.
    Host(HostError),
    /// One change; index in `picked`.
    Change { picked: usize, kind: FaultKind, message: String },
}

impl From<HostError> for Stop {
    fn from(error: HostError) -> Stop {
        Stop::Host(error)
    }
}

/// A stage of a chain.
pub(crate) struct Stage<I: Interface> {
    pub(crate) spec: StageSpec,
    /// True once some table's plan asks for work per change; until then a batch need not be looked at for this stage.
    pub(crate) active: bool,
    limits: Limits,
    live: Option<Live<I>>,
    told: Vec<(types::Relation, I::Plan)>,
    batch: types::Batch,
}

/// `schema.table`, as errors name a table.
pub(crate) fn table_name(relation: &types::Relation) -> String {
    format!("{}.{}", relation.schema, relation.table)
}

impl<I: Interface> Stage<I> {
    /// Starts the stage's first instance.
    pub(crate) fn start(spec: &StageSpec, limits: &Limits) -> Result<Stage<I>, HostError> {
        if !spec.module.exports(I::KIND) {
            return Err(HostError::MissingStage {
                stage: spec.name.clone(),
                module: spec.module.name().to_owned(),
                kind: I::KIND,
            });
        }
        let mut stage = Stage {
            spec: spec.clone(),
            active: false,
            limits: limits.clone(),
            live: None,
            told: Vec::new(),
            batch: empty(),
        };
        stage.live = Some(stage.ready()?);
        Ok(stage)
    }

    /// The instance, where none broke in the last call.
    pub(crate) fn live(&self) -> Option<&Live<I>> {
        self.live.as_ref()
    }

    fn names(&self) -> (String, String) {
        (self.spec.name.clone(), self.spec.module.name().to_owned())
    }

    pub(crate) fn bad_plan(&self, relation: &types::Relation, why: impl Into<String>) -> HostError {
        let (stage, module) = self.names();
        HostError::BadPlan { stage, module, table: table_name(relation), why: why.into() }
    }

    /// The instance, out of its slot, so that one that breaks does not come back; after a failure a new one that has been told
    /// every table again.
    fn ready(&mut self) -> Result<Live<I>, HostError> {
        if let Some(live) = self.live.take() {
            return Ok(live);
        }
        let (stage, module) = self.names();
        let mut live = match Live::<I>::start(&self.spec.module, &self.spec.config_json, &self.limits) {
            Ok(live) => live,
            Err(StartError::Config(text)) => return Err(HostError::Config { stage, module, text }),
            Err(StartError::Broken(why)) => return Err(HostError::Start { stage, module, why }),
        };
        for (relation, plan) in &self.told {
            if self.ask(&mut live, relation)? != *plan {
                return Err(self.bad_plan(relation, "a new instance answers with another plan than the one before it"));
            }
        }
        Ok(live)
    }

    fn ask(&self, live: &mut Live<I>, relation: &types::Relation) -> Result<I::Plan, HostError> {
        let why = match live.call(&self.limits, |guest, store| guest.announce(store, relation)) {
            Ok(Ok(plan)) => {
                live.settle(true);
                return Ok(plan);
            }
            Ok(Err(text)) => line(&text, TEXT_LIMIT),
            Err(broken) => broken.message,
        };
        let (stage, module) = self.names();
        Err(HostError::Announce { stage, module, table: table_name(relation), why })
    }

    /// Tells the module of a table and returns its plan, unchecked. `check` turns it into the host's own; only a plan that passes
    /// is remembered for later instances.
    pub(crate) fn announce<T>(
        &mut self,
        relation: &types::Relation,
        check: impl FnOnce(&I::Plan) -> Result<T, String>,
    ) -> Result<T, HostError> {
        let mut live = self.ready()?;
        let plan = self.ask(&mut live, relation)?;
        self.live = Some(live);
        let checked = check(&plan).map_err(|why| self.bad_plan(relation, why))?;
        self.told.push((relation.clone(), plan));
        Ok(checked)
    }

    /// Hands the `picked` changes to the module and its answers to `accept`, which must check an answer whole before it takes
    /// anything of it. `accept` also gets the part of `picked` the answer is for; parts come in order and cover all of it.
    ///
    /// One call, where nothing fails. Where a call fails the instance is replaced and the batch is halved until the failing change
    /// stands alone: at most `log2(n) + 1` calls more. What fails only together (memory, time) passes in parts.
    pub(crate) fn run<'i>(
        &mut self,
        view: &View<'_>,
        picked: &[u32],
        interest_of: impl Fn(u32) -> &'i Interest,
        mut accept: impl FnMut(Range<usize>, I::Answer) -> Result<(), Reject>,
    ) -> Result<(), Stop> {
        let mut attempt = |part: Range<usize>| -> Result<Result<(), Broken>, Stop> {
            project(view, &picked[part.clone()], &interest_of, &mut self.batch);
            let mut live = self.ready()?;
            let start = part.start;
            let broken = match live.call(&self.limits, |guest, store| guest.process(store, &self.batch)) {
                Ok(answer) => match accept(part, answer) {
                    Ok(()) => {
                        live.settle(true);
                        self.live = Some(live);
                        return Ok(Ok(()));
                    }
                    Err(Reject::Fault { index, message }) => {
                        // The module is well, only the change is not.
                        live.settle(false);
                        self.live = Some(live);
                        let message = line(&message, TEXT_LIMIT);
                        return Err(Stop::Change { picked: start + index, kind: FaultKind::Guest, message });
                    }
                    Err(Reject::Bad(message)) => Broken { kind: FaultKind::BadOutput, message },
                },
                Err(broken) => broken,
            };
            Ok(Err(broken))
        };
        whole(&mut attempt, 0..picked.len())
    }
}

type Attempt<'a> = dyn FnMut(Range<usize>) -> Result<Result<(), Broken>, Stop> + 'a;

/// Tries a part nobody has tried.
fn whole(attempt: &mut Attempt<'_>, part: Range<usize>) -> Result<(), Stop> {
    if part.is_empty() {
        return Ok(());
    }
    match attempt(part.clone())? {
        Ok(()) => Ok(()),
        Err(broken) => narrow(attempt, part, Some(broken)),
    }
}

/// Halves a part that failed (`broken`), or whose other half passed while both together failed (`None`): the failing change is
/// then in here, and trying the part as a whole would tell nothing new.
fn narrow(attempt: &mut Attempt<'_>, part: Range<usize>, broken: Option<Broken>) -> Result<(), Stop> {
    if part.len() == 1 {
        let broken = match broken {
            Some(broken) => broken,
            None => match attempt(part.clone())? {
                Ok(()) => return Ok(()),
                Err(broken) => broken,
            },
        };
        return Err(Stop::Change { picked: part.start, kind: broken.kind, message: broken.message });
    }
    let middle = part.start + part.len() / 2;
    match attempt(part.start..middle)? {
        Ok(()) => narrow(attempt, middle..part.end, None),
        Err(broken) => {
            narrow(attempt, part.start..middle, Some(broken))?;
            whole(attempt, middle..part.end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the search over `n` changes where a call fails if `fails` says so of its part; gives the culprit, the calls, and
    /// the parts that passed.
    fn search(n: usize, fails: impl Fn(&Range<usize>) -> bool) -> (Option<usize>, usize, Vec<Range<usize>>) {
        let (mut calls, mut passed) = (0, Vec::new());
        let mut attempt = |part: Range<usize>| {
            calls += 1;
            if fails(&part) {
                return Ok(Err(Broken { kind: FaultKind::Trap, message: String::new() }));
            }
            passed.push(part);
            Ok(Ok(()))
        };
        let culprit = match whole(&mut attempt, 0..n) {
            Ok(()) => None,
            Err(Stop::Change { picked, .. }) => Some(picked),
            Err(Stop::Host(error)) => panic!("{error}"),
        };
        (culprit, calls, passed)
    }

    #[test]
    fn the_culprit_is_found_in_nine_calls_after_the_first() {
        for n in [1, 2, 3, 100, 255, 256] {
            for culprit in 0..n {
                let (found, calls, passed) = search(n, |part| part.contains(&culprit));
                assert_eq!(found, Some(culprit));
                assert!(calls <= 1 + 9, "{calls} calls for {culprit} of {n}");
                assert!(passed.iter().all(|part| part.end <= culprit), "nothing behind the culprit is taken");
            }
        }
    }

    #[test]
    fn what_fails_only_together_passes_in_parts_and_in_order() {
        for limit in 1..20 {
            let (found, _, passed) = search(200, |part| part.len() > limit);
            assert_eq!(found, None);
            let all: Vec<usize> = passed.into_iter().flatten().collect();
            assert_eq!(all, (0..200).collect::<Vec<_>>());
        }
    }
}
