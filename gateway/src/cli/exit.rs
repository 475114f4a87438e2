//! How the process ends.

use std::process::ExitCode;

use millrace_batch::Failure;

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: an error nobody expected.
    Internal,
    /// 2: usage or configuration.
    Usage,
    /// 3: a definite failure.
    Definite,
    /// 4: a transient failure.
    Transient,
    /// 5: a verification failed: the demo's, golden files, a bench's budget, a replay's digest.
    Refuted,
}

impl Exit {
    /// All of them.
    pub const ALL: [Exit; 6] =
        [Exit::Done, Exit::Internal, Exit::Usage, Exit::Definite, Exit::Transient, Exit::Refuted];

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// How a command ends that failed.
    pub fn of(failure: &Failure) -> Exit {
        if failure.is_definite() { Exit::Definite } else { Exit::Transient }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
