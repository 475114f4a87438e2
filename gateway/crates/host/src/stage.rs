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
use crate::usage::{LimitKind, Usage};
use crate::view::{Interest, View, empty, project};
use std::ops::Range;
use std::sync::Arc;

/// What becomes of a change that a stage cannot handle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnError {
    /// Nothing moves until a person has acted.
    #[default]
    Halt,
    /// It goes to the dead letters, and the stream goes on.
    DeadLetter,
    /// It is counted, and the stream goes on without it.
    Skip,
}

/// A stage as the task configures it.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// Its name in the task, for errors and metrics.
    pub name: String,
    /// The module that does it.
    pub module: Arc<Module>,
    /// What `init` gets: JSON text by convention; empty where nothing is configured.
    pub config_json: String,
    /// What becomes of a change that it cannot handle.
    pub on_error: OnError,
}

impl StageSpec {
    /// A stage that halts on an error.
    pub fn new(name: impl Into<String>, module: Arc<Module>, config_json: impl Into<String>) -> StageSpec {
        StageSpec { name: name.into(), module, config_json: config_json.into(), on_error: OnError::Halt }
    }
}

/// Why an answer is not taken: how it breaks the contract, or the limit it breaks.
#[derive(Debug)]
pub(crate) struct Reject(pub(crate) String, pub(crate) Option<LimitKind>);

impl Reject {
    /// An answer with something wrong in one of its fields.
    pub(crate) fn bad(field: &str, why: impl std::fmt::Display) -> Reject {
        Reject(format!("{field}: {why}"), None)
    }
}

/// One change that a stage could not handle, as an index in the view it was run on.
#[derive(Debug)]
pub(crate) struct Poison {
    pub(crate) change: u32,
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
}

/// What there is to take for a part of the changes a stage was asked about.
pub(crate) enum Taken<'a, A> {
    /// An answer; the changes at `faulty` (rising, counted in the part) are not to be taken from it.
    Answer { answer: A, faulty: &'a [u32] },
    /// Nothing: the part is one change that no instance survives.
    Nothing,
}

/// Why a stage did not get through a batch.
pub(crate) enum Stop {
    /// Something that no single change is to blame for.
    Host(HostError),
    /// One change, and the policy is to halt.
    Change(Poison),
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
    pub(crate) limits: Limits,
    usage: Arc<Usage>,
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
            usage: spec.module.host_engine().usages().of(I::KIND, &spec.module.shared_name()),
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
        let mut live = match Live::<I>::start(&self.spec.module, &self.spec.config_json, &self.limits, &self.usage) {
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
                live.settle(Some(0));
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

    /// Hands the `picked` changes to the module and what comes back to `accept`, which must check an answer whole before it takes
    /// anything of it. `accept` also gets the part of `picked` it is for; parts come in order and cover all of it.
    ///
    /// One call, where nothing fails. Where a call fails the instance is replaced and the batch is halved until the failing change
    /// stands alone: at most `log2(n) + 1` calls more. What fails only together (memory, time) passes in parts. What becomes of a
    /// change that fails is the stage's policy: it stops the run, or is put into `aside`, and its neighbours go on.
    pub(crate) fn run<'i>(
        &mut self,
        view: &View<'_>,
        picked: &[u32],
        interest_of: impl Fn(u32) -> &'i Interest,
        aside: &mut Vec<Poison>,
        mut accept: impl FnMut(Range<usize>, Taken<'_, I::Answer>) -> Result<(), Reject>,
    ) -> Result<(), Stop> {
        let halts = self.spec.on_error == OnError::Halt;
        let mut step = |step: Step| -> Result<Result<(), Broken>, Stop> {
            let part = match step {
                Step::Attempt(part) => part,
                Step::SetAside(at, Broken { kind, message, .. }) => {
                    let poison = Poison { change: picked[at], kind, message };
                    if halts {
                        return Err(Stop::Change(poison));
                    }
                    aside.push(poison);
                    // Taking nothing breaks no rule.
                    return Ok(accept(at..at + 1, Taken::Nothing).map_err(Broken::from));
                }
            };
            project(view, &picked[part.clone()], &interest_of, &mut self.batch);
            let mut live = self.ready()?;
            let mut answer = match live.call(&self.limits, |guest, store| guest.process(store, &self.batch)) {
                Ok(answer) => answer,
                Err(broken) => return Ok(Err(broken)),
            };
            let faults = match check_faults(I::take_faults(&mut answer), part.len()) {
                Ok(faults) => faults,
                Err(reject) => return Ok(Err(live.reject(reject))),
            };
            let start = part.start;
            let poison = |fault: types::Fault| Poison {
                change: picked[start + fault.index as usize],
                kind: FaultKind::Guest,
                message: line(&fault.message, TEXT_LIMIT),
            };
            if halts && !faults.is_empty() {
                // The module is well, only the change is not.
                live.settle(None);
                self.live = Some(live);
                return faults.into_iter().next().map_or(Ok(Ok(())), |first| Err(Stop::Change(poison(first))));
            }
            let faulty: Vec<u32> = faults.iter().map(|fault| fault.index).collect();
            let bytes = I::output_bytes(&answer);
            if let Err(reject) = accept(part, Taken::Answer { answer, faulty: &faulty }) {
                return Ok(Err(live.reject(reject)));
            }
            live.settle(Some(bytes));
            self.live = Some(live);
            aside.extend(faults.into_iter().map(poison));
            Ok(Ok(()))
        };
        whole(&mut step, 0..picked.len())
    }
}

/// The changes a module gives up on, in order: each at most once, and there.
fn check_faults(mut faults: Vec<types::Fault>, changes: usize) -> Result<Vec<types::Fault>, Reject> {
    faults.sort_by_key(|fault| fault.index);
    if let Some(last) = faults.last().filter(|last| last.index as usize >= changes) {
        return Err(Reject::bad("faults", format_args!("index {} of {changes} changes", last.index)));
    }
    match faults.windows(2).find(|pair| pair[0].index == pair[1].index) {
        Some(pair) => Err(Reject::bad("faults", format_args!("index {} comes twice", pair[0].index))),
        None => Ok(faults),
    }
}

/// One step of the way through the changes a stage is asked about.
enum Step {
    /// Try this part.
    Attempt(Range<usize>),
    /// This change fails alone.
    SetAside(usize, Broken),
}

type Steps<'a> = dyn FnMut(Step) -> Result<Result<(), Broken>, Stop> + 'a;

/// Tries a part nobody has tried.
fn whole(step: &mut Steps<'_>, part: Range<usize>) -> Result<(), Stop> {
    if part.is_empty() {
        return Ok(());
    }
    match step(Step::Attempt(part.clone()))? {
        Ok(()) => Ok(()),
        Err(broken) => narrow(step, part, Some(broken)),
    }
}

/// Halves a part that failed (`broken`), or whose other half passed while both together failed (`None`): the failing change is
/// then in here, and trying the part as a whole would tell nothing new. A change alone is tried all the same: it must fail alone.
fn narrow(step: &mut Steps<'_>, part: Range<usize>, broken: Option<Broken>) -> Result<(), Stop> {
    if part.len() == 1 {
        let broken = match broken {
            Some(broken) => broken,
            None => match step(Step::Attempt(part.clone()))? {
                Ok(()) => return Ok(()),
                Err(broken) => broken,
            },
        };
        return step(Step::SetAside(part.start, broken)).map(|_| ());
    }
    let middle = part.start + part.len() / 2;
    match step(Step::Attempt(part.start..middle))? {
        Ok(()) => narrow(step, middle..part.end, None),
        Err(broken) => {
            narrow(step, part.start..middle, Some(broken))?;
            whole(step, middle..part.end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a run over some changes did.
    #[derive(Default)]
    struct Seen {
        calls: usize,
        /// Calls before the first culprit stood alone.
        found_after: usize,
        culprits: Vec<usize>,
        /// Parts that passed, and culprits, in the order they came.
        parts: Vec<Range<usize>>,
        stopped: bool,
    }

    /// Runs over `n` changes where a call fails if `fails` says so of its part.
    fn search(n: usize, halts: bool, fails: impl Fn(&Range<usize>) -> bool) -> Seen {
        let mut seen = Seen::default();
        let mut step = |step| {
            match step {
                Step::Attempt(part) => {
                    seen.calls += 1;
                    if fails(&part) {
                        return Ok(Err(Broken::from(Reject(String::new(), None))));
                    }
                    seen.parts.push(part);
                }
                Step::SetAside(at, Broken { kind, message, .. }) => {
                    if seen.culprits.is_empty() {
                        seen.found_after = seen.calls;
                    }
                    seen.culprits.push(at);
                    if halts {
                        return Err(Stop::Change(Poison { change: at as u32, kind, message }));
                    }
                    seen.parts.push(at..at + 1);
                }
            }
            Ok(Ok(()))
        };
        let done = whole(&mut step, 0..n);
        seen.stopped = done.is_err();
        seen
    }

    #[test]
    fn the_culprit_is_found_in_nine_calls_after_the_first_and_its_neighbours_stay_in_order() {
        for n in [1, 2, 3, 100, 255, 256] {
            for culprit in 0..n {
                let fails = |part: &Range<usize>| part.contains(&culprit);
                let seen = search(n, true, fails);
                assert_eq!((seen.culprits.as_slice(), seen.stopped), (&[culprit][..], true));
                assert!(seen.found_after <= 1 + 9, "{} calls for {culprit} of {n}", seen.found_after);
                assert!(seen.parts.iter().all(|part| part.end <= culprit), "nothing behind the culprit is taken");

                let seen = search(n, false, fails);
                assert_eq!((seen.culprits.as_slice(), seen.stopped), (&[culprit][..], false));
                assert!(seen.found_after <= 1 + 9 && seen.calls <= 1 + 9 + 8, "{} calls in all", seen.calls);
                let all: Vec<usize> = seen.parts.into_iter().flatten().collect();
                assert_eq!(all, (0..n).collect::<Vec<_>>(), "all in order, the culprit in its place");
            }
        }
    }

    #[test]
    fn several_culprits_are_all_found() {
        for culprits in [vec![0, 1], vec![3, 200, 255], (0..256).collect()] {
            let seen = search(256, false, |part| culprits.iter().any(|culprit| part.contains(culprit)));
            assert_eq!(seen.culprits, culprits);
            assert_eq!(seen.parts.into_iter().flatten().count(), 256);
            assert!(seen.calls < 512, "{} calls", seen.calls);
        }
    }

    #[test]
    fn what_fails_only_together_passes_in_parts_and_in_order() {
        for limit in 1..20 {
            let seen = search(200, false, |part| part.len() > limit);
            assert!(seen.culprits.is_empty());
            let all: Vec<usize> = seen.parts.into_iter().flatten().collect();
            assert_eq!(all, (0..200).collect::<Vec<_>>());
        }
    }

    #[test]
    fn faults_are_checked_and_put_in_order() {
        let faults = |indexes: &[u32]| {
            indexes.iter().map(|index| types::Fault { index: *index, message: index.to_string() }).collect()
        };
        let sorted = check_faults(faults(&[3, 1, 2]), 4).unwrap();
        assert_eq!(sorted.iter().map(|fault| fault.index).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(check_faults(faults(&[3, 1]), 3).unwrap_err().0.contains("index 3 of 3"));
        assert!(check_faults(faults(&[1, 0, 1]), 3).unwrap_err().0.contains("index 1 comes twice"));
        assert!(check_faults(Vec::new(), 0).unwrap().is_empty());
    }
}
