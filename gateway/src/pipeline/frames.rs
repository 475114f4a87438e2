//! What stands before the bytes of a record so that its reader finds the schema, by topic and schema.
//!
//! Owns the step from a schema that a format module declared to the bytes of the task's framing, once per topic and schema, and the
//! joining of both per record. Must not know what a schema says. Where a registry refuses a schema, nothing that is written in it
//! leaves (I10).

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use millrace_batch::Failure;
use millrace_host::{Record, SchemaId, SchemaLanguage, SchemaTable, Schemas, TopicId, TopicTable};
use millrace_sink::{Frame, Framing, Registry, SchemaText};

/// Under which subject of the registry a schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Topic, `-key` or `-value`.
    Topic,
    /// The schema's full name.
    Record,
    /// Topic, `-`, the schema's full name.
    TopicRecord,
}

/// Which bytes of a record a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Key,
    Value,
}

type Place = (TopicId, SchemaId, Part);

/// Key and value as they are sent; none is null.
pub type KeyAndValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// The frames of one session, shared: deliver asks when a schema first comes up, the start and a swap ask before.
pub struct Frames {
    framing: Framing,
    registry: Option<Registry>,
    subject: Subject,
    schemas: SchemaTable,
    topics: TopicTable,
    known: RwLock<HashMap<Place, Frame>>,
}

impl Frames {
    /// Nothing known yet. `schemas` and `topics` are what the numbers in records refer to.
    pub fn new(
        framing: Framing,
        registry: Option<Registry>,
        subject: Subject,
        schemas: SchemaTable,
        topics: TopicTable,
    ) -> Frames {
        Frames { framing, registry, subject, schemas, topics, known: RwLock::default() }
    }

    /// Makes sure of what a table's records need in these topics. Blocking: the registry may be asked.
    ///
    /// # Errors
    /// Definite `framing_unfit` where the format declares no schema of its values, and those of [`Frame::of`].
    pub fn ensure(&self, topics: &[TopicId], schemas: Schemas, table: &str) -> Result<(), Failure> {
        if schemas.value.is_none() {
            return Err(no_schema(table));
        }
        let parts = [(Part::Key, schemas.key), (Part::Value, schemas.value)];
        for (part, schema) in parts.into_iter().filter_map(|(part, schema)| Some((part, schema?))) {
            for topic in topics {
                self.frame((*topic, schema, part))?;
            }
        }
        Ok(())
    }

    fn frame(&self, place: Place) -> Result<Frame, Failure> {
        let known = self.known.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(frame) = known.get(&place) {
            return Ok(frame.clone());
        }
        drop(known);
        let (topic, schema, part) = place;
        let (Some(topic), Some(schema)) = (self.topics.name(topic), self.schemas.get(schema)) else {
            let why = "a record names a topic or schema that nobody declared";
            return Err(Failure::transient("internal", "framing a record", why, "report this with the log"));
        };
        let language = match schema.language {
            SchemaLanguage::Avro => millrace_sink::SchemaLanguage::Avro,
            SchemaLanguage::Json => millrace_sink::SchemaLanguage::Json,
            SchemaLanguage::Protobuf => millrace_sink::SchemaLanguage::Protobuf,
        };
        let text = SchemaText { language, name: schema.name.clone(), text: schema.text.clone() };
        let subject = self.subject.of(&topic, part, &text.name);
        let frame = Frame::of(self.framing, self.registry.as_ref(), &subject, &text)?;
        let mut known = self.known.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.insert(place, frame.clone());
        Ok(frame)
    }
}

impl Subject {
    fn of(self, topic: &str, part: Part, schema: &str) -> String {
        match (self, part) {
            (Subject::Topic, Part::Key) => format!("{topic}-key"),
            (Subject::Topic, Part::Value) => format!("{topic}-value"),
            (Subject::Record, _) => schema.to_owned(),
            (Subject::TopicRecord, _) => format!("{topic}-{schema}"),
        }
    }
}

/// The sending thread's own list of frames, and room for what is joined, so that it takes no lock and no memory per record.
pub struct Framer {
    frames: Arc<Frames>,
    known: HashMap<Place, Frame>,
    key: Joined,
    value: Joined,
}

/// Room for one key or value behind its frame.
#[derive(Default)]
struct Joined {
    bytes: Vec<u8>,
    /// The frame that was used last: most records are in one schema.
    last: Option<(Place, Frame)>,
}

impl Framer {
    /// Nothing known yet.
    pub fn new(frames: Arc<Frames>) -> Framer {
        Framer { frames, known: HashMap::new(), key: Joined::default(), value: Joined::default() }
    }

    /// A record's key and value as they are sent. The bytes a router hashed are a key without schema and stay as they are, as does
    /// what is null. Blocking where a schema comes up that nobody has asked for.
    ///
    /// # Errors
    /// As [`Frames::ensure`].
    #[inline]
    pub fn join<'a>(&'a mut self, record: &Record<'a>) -> Result<KeyAndValue<'a>, Failure> {
        if record.value.is_some() && record.schemas.value.is_none() {
            return Err(no_schema("a record"));
        }
        let Framer { frames, known, key, value } = self;
        let mut join = |joined: &'a mut Joined, bytes: Option<&'a [u8]>, schema, part| match (bytes, schema) {
            (Some(bytes), Some(schema)) => joined.join(frames, known, (record.topic, schema, part), bytes).map(Some),
            (bytes, _) => Ok(bytes),
        };
        let key = join(key, record.key, record.schemas.key, Part::Key)?;
        Ok((key, join(value, record.value, record.schemas.value, Part::Value)?))
    }
}

impl Joined {
    #[inline]
    fn join(
        &mut self,
        frames: &Frames,
        known: &mut HashMap<Place, Frame>,
        place: Place,
        bytes: &[u8],
    ) -> Result<&[u8], Failure> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != place) {
            let frame = match known.get(&place) {
                Some(frame) => frame.clone(),
                None => known.entry(place).or_insert(frames.frame(place)?).clone(),
            };
            self.last = Some((place, frame));
        }
        self.bytes.clear();
        if let Some((_, frame)) = &self.last {
            self.bytes.extend_from_slice(frame.as_bytes());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(&self.bytes)
    }
}

fn no_schema(of: &str) -> Failure {
    Failure::definite(
        "framing_unfit",
        format!("framing the values of {of}"),
        "the format module declares no schema for them",
        "set sink.framing = \"raw\", or use a format that declares schemas (format.kind = \"avro\")",
    )
}

#[cfg(test)]
mod tests {
    use millrace_batch::{Batch, ChangeStamp, Column, Lsn, Op, Relation, ReplicaIdentity, marks};
    use millrace_host::{Chain, ChainSpec, Grant, HostEngine, Limits, Module, Records, StageSpec};

    use super::*;

    #[test]
    fn subjects_are_those_of_the_strategies() {
        for (subject, key, value) in [
            (Subject::Topic, "t-key", "t-value"),
            (Subject::Record, "a.B", "a.B"),
            (Subject::TopicRecord, "t-a.B", "t-a.B"),
        ] {
            assert_eq!(
                (subject.of("t", Part::Key, "a.B"), subject.of("t", Part::Value, "a.B")),
                (key.into(), value.into())
            );
        }
    }

    /// Through a module that writes keys and values in schemas of its own, keyless records, router's keys and tombstones.
    #[test]
    fn what_a_module_wrote_in_a_schema_is_framed_and_nothing_else() {
        let engine = HostEngine::new(Limits::default(), None).unwrap();
        let probe = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/host/tests/components/probe.wasm");
        let probe =
            Module::load_with(&engine, "probe", &std::fs::read(probe).unwrap(), None, &[Grant::Counter]).unwrap();
        let probe = Arc::new(probe);
        let stage = |name: &str, doing: &str| {
            StageSpec::new(name, probe.clone(), serde_json::json!({ "do": doing }).to_string())
        };
        let spec = ChainSpec {
            filters: Vec::new(),
            maps: Vec::new(),
            route: stage("route", "plan hash t bytes"),
            format: stage("format", "plan - - ; schema shop text"),
            mapping: Default::default(),
        };
        let topics = TopicTable::new();
        let mut chain = Chain::instantiate(&spec, engine.limits(), &topics).unwrap();
        let column = Column {
            name: "id".into(),
            type_name: "text".into(),
            type_oid: 25,
            type_modifier: -1,
            jdbc_type: 12,
            key_position: 1,
        };
        let relation = Relation {
            id: 0,
            source_oid: 1,
            database: "d".into(),
            schema: "s".into(),
            table: "t0".into(),
            identity: ReplicaIdentity::Full,
            columns: vec![column],
        };
        chain.announce(&relation).unwrap();
        let mut batch = Batch::new(0);
        // Keys by id: 2 the module's own, 4 none, 1 the router's; 11 is a tombstone under a key of the module's.
        for id in [2, 4, 1, 11] {
            let stamp =
                ChangeStamp { id, commit_lsn: Lsn(1), xid: 1, commit_time: 0, ordinal: 0, relation: 0, op: Op::Insert };
            batch.begin_change(stamp);
            assert!(batch.push_text(b"a"));
            batch.finish_change(1, 0, marks::NEW);
        }
        let mut records = Records::new();
        chain.process(&batch, 0, &mut records).unwrap();

        let frames = Frames::new(Framing::SingleObject, None, Subject::Topic, engine.schemas().clone(), topics);
        let schemas = chain.schemas_of(0).unwrap();
        let frame = |text: &str| {
            let schema =
                SchemaText { language: millrace_sink::SchemaLanguage::Avro, name: "x".into(), text: text.into() };
            Frame::of(Framing::SingleObject, None, "", &schema).unwrap()
        };
        // The module's texts are no Avro: what stands before the datum is put here by hand, and what is not is refused.
        let (key, value) = (frame("\"string\""), frame("\"bytes\""));
        let refused = frames.ensure(&[records.iter().next().unwrap().topic], schemas, "s.t0").unwrap_err();
        assert_eq!(refused.code, "schema_refused");
        for topic in records.iter().map(|record| record.topic).collect::<std::collections::BTreeSet<_>>() {
            let mut known = frames.known.write().unwrap();
            known.insert((topic, schemas.key.unwrap(), Part::Key), key.clone());
            known.insert((topic, schemas.value.unwrap(), Part::Value), value.clone());
        }
        let mut framer = Framer::new(Arc::new(frames));
        let mut seen = 0;
        for record in records.iter() {
            let id = batch.ids()[record.change as usize];
            let (sent_key, sent_value) = framer.join(&record).unwrap();
            let behind = |frame: &Frame, bytes: &[u8]| [frame.as_bytes(), bytes].concat();
            let expected_key = match id {
                2 | 11 => Some(behind(&key, format!("k{id}").as_bytes())),
                _ => record.key.map(<[u8]>::to_vec),
            };
            assert_eq!(sent_key.map(<[u8]>::to_vec), expected_key, "{id}");
            assert_eq!((id == 4, id == 11), (sent_key.is_none(), sent_value.is_none()));
            assert_eq!(sent_value.map(<[u8]>::to_vec), record.value.map(|bytes| behind(&value, bytes)), "{id}");
            seen += 1;
        }
        // As many records as the id modulo 3, one at least.
        assert_eq!(seen, 2 + 1 + 1 + 2);
    }

    #[test]
    fn a_format_without_schema_is_refused_before_anything_is_framed() {
        let topics = TopicTable::new();
        let topic = topics.intern("t").unwrap();
        let frames = Frames::new(Framing::SingleObject, None, Subject::Topic, SchemaTable::default(), topics);
        let failure = frames.ensure(&[topic], Schemas::default(), "public.t").unwrap_err();
        assert!(failure.code == "framing_unfit" && failure.is_definite() && failure.tried.contains("public.t"));
    }
}
