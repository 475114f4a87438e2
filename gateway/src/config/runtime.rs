//! `[pipeline]` and `[admin]`: what the process may use, how it ends, and where it can be asked.

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bounded, Problems, SecretSource, Size, Span};

/// What `run` does after a definite error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnHalt {
    /// Stays up, not ready, until configuration or secret changes: a supervisor that restarts it would lock the account.
    Stay,
    /// Leaves with exit code 3.
    Exit,
}

/// `[pipeline]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Most changes in one batch.
    #[serde(default = "default_changes")]
    pub batch_changes: Bounded<1, 65_536>,
    /// Bytes after which a batch is closed; one larger row makes a batch of its own.
    #[serde(default = "default_bytes")]
    pub batch_bytes: Size,
    /// Memory for everything between the socket and the acknowledgements; when it is spent, reading stops.
    #[serde(default = "default_budget")]
    pub budget: Size,
    /// Threads that run modules. Default: half the cores, at least 1.
    #[serde(default = "one")]
    pub workers: Bounded<1, 256>,
    /// How long SIGTERM waits for acknowledgements before the process ends.
    #[serde(default = "half_a_minute")]
    pub drain_timeout: Span,
    /// What happens after a definite error: stay (halted, not ready) or exit (exit code 3).
    #[serde(default = "stay")]
    pub on_halt: OnHalt,
}

fn default_changes() -> Bounded<1, 65_536> {
    Bounded::new(256)
}

fn default_bytes() -> Size {
    Size::kib(256)
}

fn default_budget() -> Size {
    Size::mib(64)
}

fn one() -> Bounded<1, 256> {
    Bounded::new(1)
}

fn half_a_minute() -> Span {
    Span::secs(30)
}

fn stay() -> OnHalt {
    OnHalt::Stay
}

impl Pipeline {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.size("pipeline.batch_bytes", self.batch_bytes, Size::kib(4), Size::mib(64));
        problems.size("pipeline.budget", self.budget, Size::mib(1), Size::mib(1 << 20));
        problems.span("pipeline.drain_timeout", self.drain_timeout, Span::secs(0), Span::secs(3600));
        // One batch is filled while another is on its way.
        let least = self.batch_bytes.get().saturating_mul(2);
        if self.budget.get() < least {
            problems.refuse(
                &["pipeline.budget", "pipeline.batch_bytes"],
                format!("must be at least twice pipeline.batch_bytes: {}", Size::bytes(least)),
            );
        }
    }
}

/// `[admin]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// IP address and port of the HTTP endpoints; port 0: any free one, which is logged.
    #[serde(default = "default_listen")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// File that gets the address and the process id as JSON once the process is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_file: Option<PathBuf>,
    /// Token that requests which change something must bear; without one only this machine may make them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretSource>,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9640))
}

impl Default for Admin {
    fn default() -> Admin {
        Admin { listen: default_listen(), status_file: None, token: None }
    }
}
