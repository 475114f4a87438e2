//! `[modules]`: WebAssembly modules in place of the defaults or beside them, and what every module may use up.

use std::{fmt, path::PathBuf, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bounded, Problems, Size, Span, quantity::text_form};

/// SHA-256 a module's file must have.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub [u8; 32]);

impl FromStr for Sha256 {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Sha256, &'static str> {
        let rule = "must be the SHA-256 of the file: 64 hexadecimal digits";
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(rule);
        }
        let mut digest = [0; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).map_err(|_| rule)?;
        }
        Ok(Sha256(digest))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(Sha256, "^[0-9A-Fa-f]{64}$", "SHA-256 in hexadecimal digits.");

/// What a module may import beyond `log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Counters of its own among the metrics.
    Counter,
}

impl From<Grant> for millrace_host::Grant {
    fn from(grant: Grant) -> millrace_host::Grant {
        match grant {
            Grant::Counter => millrace_host::Grant::Counter,
        }
    }
}

/// What becomes of a change that a stage cannot handle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The task halts until a person has acted.
    #[default]
    Halt,
    /// It goes to the topic of `dead_letters`, and the stream goes on.
    DeadLetter,
    /// It is counted and logged, and the stream goes on without it.
    Skip,
}

impl From<OnError> for millrace_host::OnError {
    fn from(policy: OnError) -> millrace_host::OnError {
        match policy {
            OnError::Halt => millrace_host::OnError::Halt,
            OnError::DeadLetter => millrace_host::OnError::DeadLetter,
            OnError::Skip => millrace_host::OnError::Skip,
        }
    }
}

/// A module the operator brings. Its `Debug` leaves the configuration out, which may hold what only the module knows to be
/// a secret (I9).
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// The component's file, or `builtin:NAME` for a module of the gateway's own.
    pub path: PathBuf,
    /// Its SHA-256; a file with another is refused before it is compiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// What it may import beyond `log`: counter. A component that imports more is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// What becomes of a change it cannot handle: halt, dead-letter or skip. Default: modules.on_error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// Its configuration; what it means is the module's affair.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: toml::Table,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("path", &self.path).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

impl Module {
    /// The configuration as the module's `init` gets it.
    pub fn config_json(&self) -> String {
        super::guest::json_of_table(&self.config).to_string()
    }
}

/// What a module may use up (I4).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Time of one call with one batch.
    #[serde(default = "one_second")]
    pub call_timeout: Span,
    /// Time of making an instance and its init.
    #[serde(default = "five_seconds")]
    pub init_timeout: Span,
    /// Memory of one instance.
    #[serde(default = "default_memory")]
    pub memory: Size,
    /// Bytes one call may give back.
    #[serde(default = "default_memory")]
    pub output: Size,
    /// Records and headers one call may make.
    #[serde(default = "default_records")]
    pub records: Bounded<1, 16_777_216>,
    /// Fuel one call may burn, about one unit per instruction. Default: none; a budget makes modules about a third slower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<Bounded<10_000, 1_000_000_000_000>>,
    /// Bytes a module's file may have.
    #[serde(default = "default_component")]
    pub component: Size,
    /// Lines a module may log in a second; what is over is counted, not logged.
    #[serde(default = "fifty")]
    pub log_lines_per_second: Bounded<0, 100_000>,
}

fn one_second() -> Span {
    Span::secs(1)
}

fn five_seconds() -> Span {
    Span::secs(5)
}

fn default_memory() -> Size {
    Size::mib(64)
}

fn default_records() -> Bounded<1, 16_777_216> {
    Bounded::new(65_536)
}

fn default_component() -> Size {
    Size::mib(32)
}

fn fifty() -> Bounded<0, 100_000> {
    Bounded::new(50)
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            call_timeout: one_second(),
            init_timeout: five_seconds(),
            memory: default_memory(),
            output: default_memory(),
            records: default_records(),
            fuel: None,
            component: default_component(),
            log_lines_per_second: fifty(),
        }
    }
}

/// Which modules a start runs where others than the task file's were swapped in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRestart {
    /// Those that ran, while the task file says what it said then; where it does not, the start halts and says what differs.
    #[default]
    Refuse,
    /// Those that ran, whatever the task file says.
    Active,
    /// Those the task file names, always.
    Task,
}

/// `[modules.swap]`: how modules are changed while the task runs, and when a change is taken back by itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// How long a new version is on trial: batches it fails on are done by the version before it; 0s for no trial.
    #[serde(default = "one_minute")]
    pub trial: Span,
    /// Batches a version on trial may trap on before it is rolled back.
    #[serde(default = "three")]
    pub max_traps: Bounded<0, 1_000_000>,
    /// Batches it may not answer in time.
    #[serde(default = "one")]
    pub max_deadlines: Bounded<0, 1_000_000>,
    /// Batches with a change it refuses and the version before it takes.
    #[serde(default = "ten")]
    pub max_errors: Bounded<0, 1_000_000>,
    /// How long the stream may stand still for what was read to be acknowledged, before a swap that changes routing.
    #[serde(default = "ten_seconds")]
    pub drain_timeout: Span,
    /// Swaps that may wait.
    #[serde(default = "sixteen")]
    pub queue: Bounded<1, 1024>,
}

fn one_minute() -> Span {
    Span::secs(60)
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

fn one() -> Bounded<0, 1_000_000> {
    Bounded::new(1)
}

fn three() -> Bounded<0, 1_000_000> {
    Bounded::new(3)
}

fn ten() -> Bounded<0, 1_000_000> {
    Bounded::new(10)
}

fn sixteen() -> Bounded<1, 1024> {
    Bounded::new(16)
}

impl Default for Swap {
    fn default() -> Swap {
        Swap {
            trial: one_minute(),
            max_traps: three(),
            max_deadlines: one(),
            max_errors: ten(),
            drain_timeout: ten_seconds(),
            queue: sixteen(),
        }
    }
}

/// `[modules]`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// Directory for compiled modules. Default: $XDG_CACHE_HOME/millrace; without that variable nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Directory for modules that are swapped in over HTTP. Default: $XDG_STATE_HOME/millrace/modules; without either only files are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<PathBuf>,
    /// Whether a changed module file is swapped in by itself.
    #[serde(default)]
    pub watch: bool,
    /// What a start runs where modules were swapped in: refuse (where the task file has changed since), active or task.
    #[serde(default)]
    pub on_restart: OnRestart,
    /// What becomes of a change that a stage cannot handle, where the stage's module does not say: halt, dead-letter or skip.
    #[serde(default)]
    pub on_error: OnError,
    /// Filters after the default select, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<Module>,
    /// Maps, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub map: Vec<Module>,
    /// Router in place of the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Module>,
    /// Format in place of the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Module>,
    /// What every module may use up.
    #[serde(default)]
    pub limits: Limits,
    /// How modules are changed while the task runs.
    #[serde(default)]
    pub swap: Swap,
}

impl Modules {
    /// Every module the operator brings, with its path in the task file.
    pub fn all(&self) -> impl Iterator<Item = (String, &Module)> {
        let filter = self.filter.iter().enumerate().map(|(n, m)| (format!("modules.filter[{n}]"), m));
        let map = self.map.iter().enumerate().map(|(n, m)| (format!("modules.map[{n}]"), m));
        let route = self.route.iter().map(|m| ("modules.route".to_owned(), m));
        let format = self.format.iter().map(|m| ("modules.format".to_owned(), m));
        filter.chain(map).chain(route).chain(format)
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        for (path, list) in [("modules.filter", &self.filter), ("modules.map", &self.map)] {
            if list.len() > 16 {
                problems.refuse(&[path], "must have at most 16 modules");
            }
        }
        for (path, module) in self.all() {
            if module.path.as_os_str().is_empty() {
                problems.refuse(&[&format!("{path}.path")], "must name a file");
            }
        }
        let limits = &self.limits;
        problems.span("modules.limits.call_timeout", limits.call_timeout, Span::millis(10), Span::secs(600));
        problems.span("modules.limits.init_timeout", limits.init_timeout, Span::millis(10), Span::secs(600));
        // A component's memory is addressed with 32 bits.
        problems.size("modules.limits.memory", limits.memory, Size::mib(1), Size::mib(4096));
        problems.size("modules.limits.output", limits.output, Size::kib(64), Size::mib(4096));
        problems.size("modules.limits.component", limits.component, Size::kib(64), Size::mib(512));
        problems.span("modules.swap.trial", self.swap.trial, Span::secs(0), Span::secs(86_400));
        problems.span("modules.swap.drain_timeout", self.swap.drain_timeout, Span::millis(10), Span::secs(600));
    }
}
