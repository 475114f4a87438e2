//! What can go wrong in a tool, and how a person is told.

use crate::events::EventsError;
use millrace_batch::Failure;
use millrace_host::{EngineError, HostError, LoadError};
use std::path::Path;

/// Why a tool did not get to its answer.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// A file of events cannot be used.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// The component is not taken.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The module failed outside any change.
    #[error(transparent)]
    Host(#[from] HostError),
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file or folder cannot be read or written.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: String,
        /// The system's words.
        why: String,
    },
    /// Not a component and not a project of one.
    #[error("{path}: {why}")]
    Project {
        /// The folder or file.
        path: String,
        /// What is wrong with it.
        why: String,
        /// What to do.
        mend: String,
    },
    /// The component has several stages, or not the one asked for.
    #[error("{0}")]
    Stage(String),
    /// A folder without golden files.
    #[error("{0} has no *.events.jsonl")]
    NoGolden(String),
    /// The configuration given for a module is not JSON.
    #[error("the config is not JSON: {0}")]
    Config(String),
    /// The language's compiler is not here.
    #[error("{why}")]
    Toolchain {
        /// What is missing.
        why: String,
        /// How to get it.
        mend: String,
    },
    /// The language's build failed; its words are on standard error.
    #[error("{0}")]
    Build(String),
}

impl ToolError {
    /// A file or folder that the system refuses.
    pub fn file(path: &Path, why: impl ToString) -> ToolError {
        ToolError::File { path: path.display().to_string(), why: why.to_string() }
    }

    /// A project that is not what it should be.
    pub fn project(path: &Path, why: impl Into<String>, mend: impl Into<String>) -> ToolError {
        ToolError::Project { path: path.display().to_string(), why: why.into(), mend: mend.into() }
    }

    /// The error a person sees.
    pub fn failure(&self) -> Failure {
        match self {
            ToolError::Events(error) => Failure::definite(
                "events_unreadable",
                format!("reading events from {}", error.file),
                error.to_string(),
                "docs/module-tools.md has the form; a capture is written by `millrace capture`",
            ),
            ToolError::Load(error) => error.failure(),
            ToolError::Host(error) => error.failure(),
            ToolError::Engine(error) => error.failure(),
            ToolError::File { path, why } => {
                Failure::definite("file_unusable", format!("using {path}"), why, "correct the path or its permissions")
            }
            ToolError::Project { path, why, mend } => {
                Failure::definite("module_project", format!("looking at {path}"), why, mend)
            }
            ToolError::Stage(why) => Failure::definite(
                "module_stage",
                "choosing the stage of the module",
                why,
                "name one of its stages with --stage",
            ),
            ToolError::NoGolden(path) => Failure::definite(
                "golden_missing",
                format!("looking for golden files in {path}"),
                "there is no *.events.jsonl",
                "write one, or take one with `millrace capture`; then run `millrace module test --bless`",
            ),
            ToolError::Config(why) => Failure::definite(
                "module_config",
                "reading the module's config",
                why,
                "give JSON, or @FILE for a file with JSON",
            ),
            ToolError::Toolchain { why, mend } => {
                Failure::definite("guest_toolchain", "looking for the compiler of the module", why, mend)
            }
            ToolError::Build(why) => Failure::definite(
                "module_build",
                "building the module",
                why,
                "mend what the compiler says above; nothing was written",
            ),
        }
    }
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Failure {
        error.failure()
    }
}
