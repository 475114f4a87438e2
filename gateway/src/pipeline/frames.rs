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

    #[test]
    fn a_format_without_schema_is_refused_before_anything_is_framed() {
        let topics = TopicTable::new();
        let topic = topics.intern("t").unwrap();
        let frames = Frames::new(Framing::SingleObject, None, Subject::Topic, SchemaTable::default(), topics);
        let failure = frames.ensure(&[topic], Schemas::default(), "public.t").unwrap_err();
        assert!(failure.code == "framing_unfit" && failure.is_definite() && failure.tried.contains("public.t"));
    }
}
