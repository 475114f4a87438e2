//! The durable form of a position and of what must run again with it.
//!
//! Owns the JSON format and its version. Format 1: one object, unknown fields refused, LSNs as `X/X` text. Format 2: a module may
//! have `over`; it is written only where one has, so that a task whose modules were never swapped can still be read by a build
//! that knows format 1 alone. Format 3: the slot may be `dropped`, of a task that was stopped for good. A later version is refused by its number before anything else of it is read, so a downgrade can never
//! misread a position.

use std::collections::BTreeMap;

use millrace_batch::Failure;
use serde::{Deserialize, Serialize};

use crate::Position;

/// The newest version this build reads and writes; see [`version_for`].
pub const VERSION: u32 = 3;
/// Largest encoded record, in bytes: below Kafka's default `max.message.bytes` (1,048,588) with room for its framing.
pub const MAX_RECORD_BYTES: usize = 1_000_000;
/// Ids stay below this: JavaScript consumers read them as doubles.
const ID_LIMIT: u128 = 1 << 53;

/// Whether the slot this position belongs to exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotState {
    /// Creation was decided and may or may not have happened: a missing slot is created, an existing one was made by the attempt that
    /// wrote this and is taken over where it begins.
    Intended,
    /// The slot exists; where it does not, changes were lost.
    Created,
    /// A person stopped the task for good: its slot is dropped, its position means nothing any more, and no restart begins it anew.
    Dropped,
}

/// What the task file named where another module or configuration was swapped in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Over {
    /// Digest of the component the task file named at the time, `sha256:` and hex.
    pub digest: String,
    /// Digest of the configuration it gave, `sha256:` and hex.
    pub config_digest: String,
}

/// One module of the chain that made the records up to this position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActiveModule {
    /// Stage it serves: `filter`, `map`, `route`, `format` or `transform`.
    pub stage: String,
    /// Name in the configuration.
    pub name: String,
    /// Digest of the component, `sha256:` and hex.
    pub digest: String,
    /// Digest of the configuration text it was initialised with, `sha256:` and hex.
    pub config_digest: String,
    /// Present where it was swapped in and runs in place of what the task file names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
}

/// The format version a record with these modules has: the oldest that can hold them.
pub fn version_for(modules: &[ActiveModule]) -> u32 {
    if modules.iter().any(|module| module.over.is_some()) { 2 } else { 1 }
}

/// The version of a record whose slot was dropped for good.
const DROPPED: u32 = 3;

/// What is kept of one shard of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionRecord {
    /// Format version, see [`VERSION`].
    pub version: u32,
    /// Name of the task.
    pub task: String,
    /// Where the shard stands.
    pub position: Position,
    /// Number of shards of the task; fixed for the life of its ids.
    pub shards: u16,
    /// Data node the shard reads, where the source has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Kind of source, as the configuration names it.
    pub source_kind: String,
    /// Decoding style, as the configuration names it.
    pub decoding: String,
    /// `systemid` of `IDENTIFY_SYSTEM`: another cluster's LSNs mean nothing here.
    pub system_identifier: String,
    /// `timeline` of `IDENTIFY_SYSTEM`, where the source tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// Replication slot the position belongs to.
    pub slot: String,
    /// Whether that slot exists.
    pub slot_state: SlotState,
    /// Partition count of each topic produced to; keys hash by it, so it is pinned (I3).
    pub partitions: BTreeMap<String, u32>,
    /// Modules in chain order.
    pub modules: Vec<ActiveModule>,
    /// Digest of the table selection.
    pub selection: String,
    /// A person paused the task.
    pub paused: bool,
    /// When the record was written, milliseconds since the Unix epoch; for people, never compared.
    pub written_at_ms: i64,
}

/// Why a record cannot be read, written or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a later release.
    #[error("the position has format version {found}, this build reads up to {VERSION}")]
    NewerVersion {
        /// Version found.
        found: u64,
    },
    /// More than [`MAX_RECORD_BYTES`].
    #[error("the position takes {bytes} bytes, at most {MAX_RECORD_BYTES} are allowed")]
    TooLarge {
        /// Size found.
        bytes: usize,
    },
    /// Not a record of this format, or one that contradicts itself.
    #[error("the position cannot be read: {0}")]
    Malformed(String),
}

impl RecordError {
    /// The error as a person sees it; `place` says where the record lies.
    pub fn failure(&self, place: &str) -> Failure {
        let (code, mend) = match self {
            RecordError::NewerVersion { .. } => {
                ("position_newer_version", "run the release that wrote it, or a later one".to_owned())
            }
            RecordError::TooLarge { .. } => {
                ("position_too_large", "split the task: it produces to too many topics for one record".to_owned())
            }
            RecordError::Malformed(_) => (
                "position_malformed",
                format!("restore {place} from a backup, or reset the task (it then reads from a new slot)"),
            ),
        };
        Failure::definite(code, format!("using the position in {place}"), self.to_string(), mend)
    }
}

impl PositionRecord {
    /// From here on these modules run.
    pub fn run(&mut self, modules: Vec<ActiveModule>) {
        self.version = version_for(&modules);
        self.modules = modules;
    }

    /// The task is over: its slot is dropped, and this record is all that is left of it. Ids that were given stay known.
    pub fn end(&mut self) {
        self.version = DROPPED;
        self.slot_state = SlotState::Dropped;
        self.paused = false;
    }

    /// Reads a record. Bounded by [`MAX_RECORD_BYTES`]; unknown fields and contradictions are errors, never guesses.
    pub fn decode(bytes: &[u8]) -> Result<PositionRecord, RecordError> {
        /// Read before the rest: a later version may differ in every other field.
        #[derive(Deserialize)]
        struct Probe {
            version: u64,
        }
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLarge { bytes: bytes.len() });
        }
        let malformed = |error: serde_json::Error| RecordError::Malformed(error.to_string());
        let found = serde_json::from_slice::<Probe>(bytes).map_err(malformed)?.version;
        if found > u64::from(VERSION) {
            return Err(RecordError::NewerVersion { found });
        }
        let record: PositionRecord = serde_json::from_slice(bytes).map_err(malformed)?;
        record.check()?;
        Ok(record)
    }

    /// Writes the record as JSON. The same checks as reading, so nothing is ever written that cannot be read back.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        let bytes = serde_json::to_vec(self).map_err(|error| RecordError::Malformed(error.to_string()))?;
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLarge { bytes: bytes.len() });
        }
        Ok(bytes)
    }

    fn check(&self) -> Result<(), RecordError> {
        let wrong = |what: String| Err(RecordError::Malformed(what));
        let fits = match self.slot_state {
            SlotState::Dropped => DROPPED,
            SlotState::Intended | SlotState::Created => version_for(&self.modules),
        };
        if self.version != fits {
            return wrong(format!("format version {} does not fit its modules or its slot", self.version));
        }
        for (name, value) in
            [("task", &self.task), ("slot", &self.slot), ("system_identifier", &self.system_identifier)]
        {
            if value.is_empty() {
                return wrong(format!("{name} is empty"));
            }
        }
        if self.position.shard >= self.shards {
            return wrong(format!("shard {} of {} shards", self.position.shard, self.shards));
        }
        let id = u128::from(self.position.next_id) * u128::from(self.shards) + u128::from(self.position.shard);
        if id >= ID_LIMIT {
            return wrong(format!("next_id {} gives ids of 2^53 and more", self.position.next_id));
        }
        if let Some((topic, count)) =
            self.partitions.iter().find(|(_, count)| **count == 0 || **count > i32::MAX as u32)
        {
            return wrong(format!("topic {topic} with {count} partitions"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_batch::Lsn;
    use proptest::prelude::*;

    fn record() -> PositionRecord {
        PositionRecord {
            version: 1,
            task: "shop".into(),
            position: Position { shard: 1, end_lsn: Lsn(0x16_B374_D848), ordinal: 0, next_id: 7 },
            shards: 3,
            node: None,
            source_kind: "postgresql".into(),
            decoding: "pgoutput".into(),
            system_identifier: "7291827364554433221".into(),
            timeline: Some(1),
            slot: "millrace_shop".into(),
            slot_state: SlotState::Created,
            partitions: BTreeMap::from([("shop.public.orders".into(), 8)]),
            modules: vec![ActiveModule {
                stage: "format".into(),
                name: "drs-json".into(),
                digest: "sha256:00".into(),
                config_digest: "sha256:01".into(),
                over: None,
            }],
            selection: "sha256:02".into(),
            paused: false,
            written_at_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn format_1_stays_as_it_is() {
        let text = r#"{"version":1,"task":"shop","position":{"shard":1,"end_lsn":"16/B374D848","ordinal":0,"next_id":7},"shards":3,"source_kind":"postgresql","decoding":"pgoutput","system_identifier":"7291827364554433221","timeline":1,"slot":"millrace_shop","slot_state":"created","partitions":{"shop.public.orders":8},"modules":[{"stage":"format","name":"drs-json","digest":"sha256:00","config_digest":"sha256:01"}],"selection":"sha256:02","paused":false,"written_at_ms":1700000000000}"#;
        assert_eq!(String::from_utf8(record().encode().unwrap()).unwrap(), text);
        assert_eq!(PositionRecord::decode(text.as_bytes()), Ok(record()));
    }

    #[test]
    fn a_shard_keeps_its_node() {
        let record = PositionRecord { node: Some("dn_6001".into()), ..record() };
        let text = record.encode().unwrap();
        assert!(String::from_utf8_lossy(&text).contains(r#""node":"dn_6001""#));
        assert_eq!(PositionRecord::decode(&text), Ok(record));
    }

    #[test]
    fn format_2_is_format_1_with_what_was_swapped_in() {
        let mut swapped = record();
        let over = Some(Over { digest: "sha256:02".into(), config_digest: "sha256:03".into() });
        swapped.run(vec![ActiveModule { over, ..swapped.modules[0].clone() }]);
        let text = r#"{"version":2,"task":"shop","position":{"shard":1,"end_lsn":"16/B374D848","ordinal":0,"next_id":7},"shards":3,"source_kind":"postgresql","decoding":"pgoutput","system_identifier":"7291827364554433221","timeline":1,"slot":"millrace_shop","slot_state":"created","partitions":{"shop.public.orders":8},"modules":[{"stage":"format","name":"drs-json","digest":"sha256:00","config_digest":"sha256:01","over":{"digest":"sha256:02","config_digest":"sha256:03"}}],"selection":"sha256:02","paused":false,"written_at_ms":1700000000000}"#;
        assert_eq!(String::from_utf8(swapped.encode().unwrap()).unwrap(), text);
        assert_eq!(PositionRecord::decode(text.as_bytes()), Ok(swapped.clone()));
        let as_old = text.replacen("\"version\":2", "\"version\":1", 1);
        assert!(matches!(PositionRecord::decode(as_old.as_bytes()), Err(RecordError::Malformed(_))));
        swapped.run(record().modules);
        assert_eq!(swapped, record(), "what is rolled back can be read by an older build again");
    }

    #[test]
    fn format_3_says_that_a_task_is_over() {
        let mut over = record();
        over.end();
        let text = String::from_utf8(over.encode().unwrap()).unwrap();
        assert!(text.starts_with("{\"version\":3") && text.contains("\"slot_state\":\"dropped\""), "{text}");
        assert_eq!(PositionRecord::decode(text.as_bytes()), Ok(over));
        let as_old = text.replacen("\"version\":3", "\"version\":1", 1);
        assert!(matches!(PositionRecord::decode(as_old.as_bytes()), Err(RecordError::Malformed(_))));
    }

    #[test]
    fn a_newer_version_is_refused_by_its_number_alone() {
        let error = PositionRecord::decode(br#"{"shape":"unheard of","version":4}"#).unwrap_err();
        assert_eq!(error, RecordError::NewerVersion { found: 4 });
        let failure = error.failure("topic x");
        assert_eq!(failure.code, "position_newer_version");
        assert!(failure.is_definite());
    }

    #[test]
    fn contradictions_and_unknown_fields_are_refused() {
        let good = String::from_utf8(record().encode().unwrap()).unwrap();
        for (from, to) in [
            ("\"version\":1", "\"version\":0"),
            ("\"version\":1", "\"version\":1,\"extra\":1"),
            ("\"ordinal\":0", "\"ordinal\":0,\"extra\":1"),
            ("\"shards\":3", "\"shards\":1"),
            ("\"shards\":3", "\"shards\":3,\"shards\":4"),
            ("\"next_id\":7", "\"next_id\":9007199254740992"),
            ("16/B374D848", "B374D848"),
            ("\"slot\":\"millrace_shop\"", "\"slot\":\"\""),
            (":8}", ":0}"),
            ("\"created\"", "\"dropped\""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(good, bad);
            assert!(matches!(PositionRecord::decode(bad.as_bytes()), Err(RecordError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn size_is_bounded_both_ways() {
        assert!(matches!(PositionRecord::decode(&vec![b' '; MAX_RECORD_BYTES + 1]), Err(RecordError::TooLarge { .. })));
        let mut large = record();
        large.selection = "x".repeat(MAX_RECORD_BYTES);
        assert!(matches!(large.encode(), Err(RecordError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_an_error(bytes: Vec<u8>, cut in 0usize..700, flip: u8) {
            let _ = PositionRecord::decode(&bytes);
            let mut near = record().encode().unwrap();
            let at = cut % near.len();
            near[at] = flip;
            if let Ok(read) = PositionRecord::decode(&near) {
                prop_assert_eq!(PositionRecord::decode(&read.encode().unwrap()), Ok(read));
            }
        }
    }
}
