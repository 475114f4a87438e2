//! How GaussDB and openGauss are asked to decode, and the nodes of a distributed one.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bounded, HostAddress, Problems, Size, Source, SourceKind, Span};

/// How the source renders changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decoding {
    /// PostgreSQL's own plugin.
    Pgoutput,
    /// mppdb_decoding, one thread at the server: nothing is lost. The default for GaussDB and openGauss.
    Serial,
    /// mppdb_decoding, several threads: faster, but the server leaves out rows that follow a catalogue change in their transaction.
    Parallel,
}

impl Decoding {
    /// The output plugin.
    pub fn plugin(self) -> &'static str {
        match self {
            Decoding::Pgoutput => "pgoutput",
            Decoding::Serial | Decoding::Parallel => "mppdb_decoding",
        }
    }
}

/// Text of numbers from mppdb_decoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// As PostgreSQL prints the same value: `0.1`.
    #[default]
    Canonical,
    /// As the source sends it: `.1`, or `.100000000000000006` for a `double precision`.
    AsSent,
}

/// `decode-style` of parallel decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DecodeStyle {
    /// Binary framing: the fastest.
    B,
    /// JSON.
    J,
    /// Text; names with a blank cannot be told apart in it and are refused.
    T,
}

/// `[source.parallel]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parallel {
    /// Style of the records: b (binary framing), j (JSON) or t (text).
    #[serde(default = "style_b")]
    pub style: DecodeStyle,
    /// Decoding threads at the server (parallel-decode-num), 2 to 20; it has 20 for all its tasks.
    #[serde(default = "four")]
    pub threads: Bounded<2, 20>,
    /// Records come in batches (sending-batch); styles j and t tell the end of a transaction only then.
    #[serde(default = "yes")]
    pub batch: bool,
}

fn style_b() -> DecodeStyle {
    DecodeStyle::B
}

fn four() -> Bounded<2, 20> {
    Bounded::new(4)
}

fn yes() -> bool {
    true
}

impl Default for Parallel {
    fn default() -> Parallel {
        Parallel { style: style_b(), threads: four(), batch: yes() }
    }
}

impl Parallel {
    fn check(&self, problems: &mut Problems) {
        if !self.batch && self.style != DecodeStyle::B {
            problems.refuse(
                &["source.parallel.batch", "source.parallel.style"],
                "must be true with styles j and t: unbatched they do not tell where a transaction ends",
            );
        }
    }
}

/// `[source.spill]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpillConfig {
    /// Folder for what does not fit source.transaction_memory. Default: a folder of the task in the system's for temporary files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Bytes all shards together may put there; when they are spent, reading stops.
    #[serde(default = "four_gib")]
    pub limit: Size,
}

fn four_gib() -> Size {
    Size::mib(4 << 10)
}

impl Default for SpillConfig {
    fn default() -> SpillConfig {
        SpillConfig { folder: None, limit: four_gib() }
    }
}

/// `[source.heartbeat]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Statement that changes a row of a table of the task now and then, so that the position of an idle source moves on under parallel
    /// decoding.
    pub query: String,
    /// How often.
    #[serde(default = "ten_seconds")]
    pub interval: Span,
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

impl Heartbeat {
    fn check(&self, problems: &mut Problems) {
        if self.query.trim().is_empty() || self.query.contains('\0') {
            problems.refuse(&["source.heartbeat.query"], "must be a statement");
        }
        problems.span("source.heartbeat.interval", self.interval, Span::secs(1), Span::secs(3600));
    }
}

/// `[[source.nodes]]`: a data node of a distributed GaussDB, for who does not want it asked of the coordinator.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataNode {
    /// `[[source.nodes]]`: name of a data node of a distributed GaussDB, as pgxc_node has it; without any, the coordinator is asked. The order of names numbers the shards.
    pub name: String,
    /// Its servers, primary and standbys, by their data ports.
    pub hosts: Vec<HostAddress>,
}

/// Plugin options a task may set; the gateway sets the others.
const PLUGIN_OPTIONS: [&str; 8] = [
    "dynamic-resolution",
    "exclude-userids",
    "exclude-users",
    "max-reorderbuffer-in-memory",
    "max-txn-in-memory",
    "only-local",
    "parallel-queue-size",
    "sender-timeout",
];

/// Rules between the keys that only mppdb_decoding has.
pub(super) fn check(source: &Source, problems: &mut Problems) {
    match (source.kind, source.decoding) {
        (SourceKind::Gaussdb, Decoding::Pgoutput) => problems.refuse(
            &["source.decoding", "source.kind"],
            "must be serial or parallel: GaussDB and openGauss are read through mppdb_decoding",
        ),
        (SourceKind::Postgresql, Decoding::Serial | Decoding::Parallel) if !source.nodes.is_empty() => {
            problems.refuse(&["source.nodes", "source.kind"], "needs kind = \"gaussdb\"");
        }
        _ => {}
    }
    if source.decoding == Decoding::Pgoutput {
        for (path, set) in [
            ("source.nodes", !source.nodes.is_empty()),
            ("source.plugin_options", !source.plugin_options.is_empty()),
            ("source.numbers", source.numbers == Numbers::AsSent),
        ] {
            if set && source.kind == SourceKind::Postgresql {
                problems.refuse(&[path, "source.decoding"], "has no effect with pgoutput");
            }
        }
    } else if source.create_publication {
        problems.refuse(&["source.create_publication", "source.decoding"], "has no effect without pgoutput");
    }
    source.parallel.check(problems);
    problems.size("source.spill.limit", source.spill.limit, Size::bytes(0), Size::mib(1 << 24));
    if let Some(heartbeat) = &source.heartbeat {
        heartbeat.check(problems);
    }
    for (name, value) in &source.plugin_options {
        let path = format!("source.plugin_options.{name}");
        if !PLUGIN_OPTIONS.contains(&name.as_str()) {
            let rule = format!("is not an option for a task to set; these are: {}", PLUGIN_OPTIONS.join(", "));
            problems.refuse(&[&path], rule);
        } else if value.is_empty() || value.contains(['\0', '\'', '"', ';', '\\', '`', '\n']) {
            problems.refuse(&[&path], "must be a plain value without quotes");
        }
    }
    let mut names = BTreeMap::new();
    for (index, node) in source.nodes.iter().enumerate() {
        let path = |key: &str| format!("source.nodes[{index}].{key}");
        if node.name.is_empty() || node.name.len() > 63 || node.name.contains('\0') {
            problems.refuse(&[&path("name")], "must have 1 to 63 bytes");
        }
        if names.insert(&node.name, index).is_some() {
            problems.refuse(&[&path("name")], "stands twice");
        }
        if node.hosts.is_empty() || node.hosts.len() > 10 {
            problems.refuse(&[&path("hosts")], "must name 1 to 10 servers");
        }
    }
}
