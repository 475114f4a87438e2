//! What can go wrong between the gateway and a module.
//!
//! Owns the errors of this crate and how each becomes the one error a person sees. No row value is ever in them (I9): a change is
//! named by table, commit LSN and ordinal. Text of a module is its author's and is cut to one line.

use crate::module::Digest;
use crate::stage::OnError;
use millrace_batch::{Failure, Lsn};
use std::fmt;

/// One of the four stages of the transform contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StageKind {
    /// Which changes go on.
    Filter,
    /// What a row looks like.
    Map,
    /// Topic and partition.
    Route,
    /// Records.
    Format,
}

impl StageKind {
    /// All four, in the order of the chain.
    pub const ALL: [StageKind; 4] = [StageKind::Filter, StageKind::Map, StageKind::Route, StageKind::Format];

    /// Name of the interface in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            StageKind::Filter => "filter",
            StageKind::Map => "map",
            StageKind::Route => "route",
            StageKind::Format => "format",
        }
    }
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime cannot run here, or its clock thread could not start.
    #[error("{0}")]
    Engine(String),
    /// The compile cache's directory cannot be used.
    #[error("the compile cache {directory} cannot be used: {why}")]
    Cache {
        /// The directory.
        directory: String,
        /// The reason.
        why: String,
    },
}

impl EngineError {
    /// The error a person sees.
    pub fn failure(&self) -> Failure {
        match self {
            EngineError::Engine(why) => Failure::definite(
                "wasm_engine",
                "starting the Wasm engine",
                why,
                "run on a 64-bit Linux machine with mmap allowed",
            ),
            EngineError::Cache { directory, why } => Failure::definite(
                "module_cache",
                format!("opening the compile cache {directory}"),
                why,
                "name a directory that the gateway's user owns and nobody else can write to (mode 0700)",
            ),
        }
    }
}

/// Why a component is not taken. All are definite.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// Above [`crate::Limits::component_bytes`].
    #[error("it has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The digest is not the pinned one.
    #[error("its sha256 is {found}, pinned is {pinned}")]
    DigestMismatch {
        /// Digest of the bytes at hand.
        found: Digest,
        /// Digest the configuration asks for.
        pinned: Digest,
    },
    /// Not a WebAssembly component at all.
    #[error("it is not a WebAssembly component: {0}")]
    NotComponent(&'static str),
    /// A component that wasmtime cannot compile.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// Made for a contract this gateway does not speak.
    #[error("it uses {interface}, this gateway speaks version {}.x of the contract", crate::contract::MAJOR)]
    OtherContract {
        /// The interface as the component names it.
        interface: String,
    },
    /// Wants things nobody grants.
    #[error("it imports {}, which is not granted", .0.join(", "))]
    UnknownImports(Vec<String>),
    /// Lacks an interface it needs.
    #[error("it does not export {missing} (it exports: {found})")]
    MissingExport {
        /// What is missing.
        missing: String,
        /// What is there.
        found: String,
    },
    /// Exports an interface of the right name and another shape.
    #[error("its {interface} has another shape than the contract: {why}")]
    WrongShape {
        /// The interface.
        interface: &'static str,
        /// The first difference.
        why: String,
    },
    /// Failed when it was started or asked what it is.
    #[error("it failed when it was asked what it is: {0}")]
    About(String),
}

/// A component that is not taken, by the name the configuration gives it.
#[derive(Debug, thiserror::Error)]
#[error("module {module}: {why}")]
pub struct LoadError {
    /// The module's name.
    pub module: String,
    /// The reason.
    #[source]
    pub why: ModuleError,
}

impl LoadError {
    /// The error a person sees.
    pub fn failure(&self) -> Failure {
        let (code, mend) = match &self.why {
            ModuleError::TooLarge { .. } => {
                ("module_too_large", "build it smaller or raise the limit on component size")
            }
            ModuleError::DigestMismatch { .. } => (
                "module_digest_mismatch",
                "check where the file came from; pin the digest found if it is the one you mean",
            ),
            ModuleError::NotComponent(_) => {
                ("module_not_component", "build a component, not a core module (see wit/README.md)")
            }
            ModuleError::Compile(_) => ("module_compile", "validate the file with wasm-tools and build it again"),
            ModuleError::OtherContract { .. } => {
                ("module_other_contract", "build the module against this gateway's wit, or upgrade")
            }
            ModuleError::UnknownImports(_) => (
                "module_unknown_import",
                "a module reaches nothing but `log` and what its entry grants (grants = [\"counter\"]): grant what can be granted, and \
                 build it for wasm32-unknown-unknown, without WASI",
            ),
            ModuleError::MissingExport { .. } => {
                ("module_missing_export", "export the interface the task's stage needs")
            }
            ModuleError::WrongShape { .. } => ("module_wrong_shape", "build the module against this gateway's wit"),
            ModuleError::About(_) => (
                "module_about_failed",
                "make it start and answer `describe.about` without any state, within the limits (docs/limits.md)",
            ),
        };
        Failure::definite(code, format!("loading module {}", self.module), self.why.to_string(), mend)
    }
}

/// What kind of failure a change met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The module says that it cannot handle the change.
    Guest,
    /// The module trapped (a panic, memory or output above its limit).
    Trap,
    /// The module did not answer in time.
    Deadline,
    /// The module's answer breaks the contract.
    BadOutput,
    /// The module burnt more than its fuel budget.
    Fuel,
}

impl FaultKind {
    /// All there are.
    pub const ALL: [FaultKind; 5] =
        [FaultKind::Guest, FaultKind::Trap, FaultKind::Deadline, FaultKind::BadOutput, FaultKind::Fuel];

    /// Stable name, as in metrics and error codes.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::Guest => "transform_fault",
            FaultKind::Trap => "transform_trap",
            FaultKind::Deadline => "transform_deadline",
            FaultKind::BadOutput => "transform_bad_output",
            FaultKind::Fuel => "transform_fuel",
        }
    }
}

/// One change that a stage could not handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Index of the change in the batch given to `process`.
    pub change: u32,
    /// The stage's kind.
    pub kind_of_stage: StageKind,
    /// The stage's name in the task.
    pub stage: String,
    /// The module's name.
    pub module: String,
    /// Digest of the module's bytes.
    pub digest: Digest,
    /// What the stage's policy makes of it.
    pub on_error: OnError,
    /// What happened.
    pub kind: FaultKind,
    /// The module's words or the host's finding.
    pub message: String,
    /// Table of the change, `schema.table`.
    pub table: String,
    /// Id of the change.
    pub id: u64,
    /// LSN of the transaction's commit record.
    pub commit_lsn: Lsn,
    /// Position of the change in its transaction.
    pub ordinal: u32,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} stage {} (module {}) on change {} of transaction {}, table {}: {}",
            self.kind_of_stage, self.stage, self.module, self.ordinal, self.commit_lsn, self.table, self.message
        )
    }
}

/// Why a chain could not be made or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The module lacks the stage it is configured for.
    #[error("stage {stage}: module {module} does not export {kind}")]
    MissingStage {
        /// The stage's name.
        stage: String,
        /// The module's name.
        module: String,
        /// The interface.
        kind: StageKind,
    },
    /// An instance could not be started.
    #[error("stage {stage}: module {module} did not start: {why}")]
    Start {
        /// The stage's name.
        stage: String,
        /// The module's name.
        module: String,
        /// The reason.
        why: String,
    },
    /// The module refuses its configuration.
    #[error("stage {stage}: module {module} refuses its configuration: {text}")]
    Config {
        /// The stage's name.
        stage: String,
        /// The module's name.
        module: String,
        /// The module's own text.
        text: String,
    },
    /// The module refuses a table, or failed when it was told of one.
    #[error("stage {stage}: module {module} cannot take table {table}: {why}")]
    Announce {
        /// The stage's name.
        stage: String,
        /// The module's name.
        module: String,
        /// `schema.table`.
        table: String,
        /// The module's own text, or what happened.
        why: String,
    },
    /// The module's plan for a table breaks the contract.
    #[error("stage {stage}: module {module} answers table {table} with a plan that cannot be followed: {why}")]
    BadPlan {
        /// The stage's name.
        stage: String,
        /// The module's name.
        module: String,
        /// `schema.table`.
        table: String,
        /// What is wrong with it.
        why: String,
    },
    /// A change could not be handled and the policy is to halt.
    #[error("{0}")]
    Fault(Box<Fault>),
    /// A batch names a relation that was never announced to this chain.
    #[error("relation {0} was not announced to the chain")]
    Unannounced(u32),
    /// A batch whose images do not fit the announced table.
    #[error("change {change} of the batch does not fit its table: {why}")]
    BadBatch {
        /// Index in the batch.
        change: u32,
        /// What does not fit.
        why: &'static str,
    },
}

impl HostError {
    /// The error a person sees. All are definite: trying the same change on the same module again gives the same answer.
    pub fn failure(&self) -> Failure {
        let doing = |what: &str, stage: &str, module: &str| format!("{what} in stage {stage} (module {module})");
        match self {
            HostError::MissingStage { stage, module, kind } => Failure::definite(
                "module_missing_export",
                doing("starting the chain", stage, module),
                format!("the module does not export {kind}"),
                format!("name a module for {stage} that has a {kind} stage"),
            ),
            HostError::Start { stage, module, why } => Failure::definite(
                "stage_start",
                doing("starting an instance", stage, module),
                why,
                "raise the limit it names, or mend the module",
            ),
            HostError::Config { stage, module, text } => Failure::definite(
                "stage_config",
                doing("configuring", stage, module),
                text,
                "correct the stage's config; `about` of the module has its JSON schema",
            ),
            HostError::Announce { stage, module, table, why } => Failure::definite(
                "stage_announce",
                doing(&format!("announcing table {table}"), stage, module),
                why,
                "leave the table out of the selection, or change the stage's config or module",
            ),
            HostError::BadPlan { stage, module, table, why } => Failure::definite(
                "stage_plan",
                doing(&format!("announcing table {table}"), stage, module),
                why,
                "mend the module: its plan must name columns of the table and legal topics, and be the same when asked again",
            ),
            HostError::Fault(fault) => Failure::definite(
                fault.kind.as_str(),
                format!(
                    "transforming change {} of transaction {} (table {}) in {} stage {} (module {})",
                    fault.ordinal, fault.commit_lsn, fault.table, fault.kind_of_stage, fault.stage, fault.module
                ),
                &fault.message,
                "mend the module or the stage's config, then start again: the change is read again and nothing is lost",
            ),
            HostError::Unannounced(_) | HostError::BadBatch { .. } => Failure::definite(
                "batch_inconsistent",
                "handing a batch to the transform chain",
                self.to_string(),
                "report this as a bug of the gateway; the position was not moved",
            ),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        error.failure()
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        error.failure()
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Failure {
        error.failure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_batch::Class;

    #[test]
    fn a_fault_names_the_change_and_not_its_values() {
        let fault = Fault {
            change: 3,
            kind_of_stage: StageKind::Format,
            stage: "format".into(),
            module: "drs-json".into(),
            digest: Digest::of(b""),
            on_error: OnError::Halt,
            kind: FaultKind::Deadline,
            message: "no answer within 1s".into(),
            table: "public.orders".into(),
            id: 9,
            commit_lsn: Lsn(0x1_0000_00FF),
            ordinal: 7,
        };
        let failure = HostError::Fault(Box::new(fault)).failure();
        assert_eq!((failure.code, failure.class), ("transform_deadline", Class::Definite));
        assert!(failure.tried.contains("change 7 of transaction 1/FF (table public.orders)"), "{}", failure.tried);
    }
}
