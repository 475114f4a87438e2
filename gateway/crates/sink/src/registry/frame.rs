//! What stands before a datum so that its reader finds the schema.
//!
//! Formats: the registries' wire format (a zero, the number in four bytes; for Protocol Buffers the index of the message follows), and
//! the single-object encoding of the Avro specification (C3 01, then the CRC-64-AVRO fingerprint, little endian).

use apache_avro::rabin::Rabin;
use millrace_batch::Failure;

use super::Registry;

/// The language a schema is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaLanguage {
    /// Apache Avro.
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers.
    Protobuf,
}

impl SchemaLanguage {
    /// `schemaType` of the registries.
    pub(super) fn name(self) -> &'static str {
        match self {
            SchemaLanguage::Avro => "AVRO",
            SchemaLanguage::Json => "JSON",
            SchemaLanguage::Protobuf => "PROTOBUF",
        }
    }
}

/// A schema as a format module declares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaText {
    /// Its language.
    pub language: SchemaLanguage,
    /// Full name of the record or message.
    pub name: String,
    /// The schema itself.
    pub text: String,
}

/// How readers find the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// They know it: the datum alone.
    Raw,
    /// By the fingerprint before it. Avro only.
    SingleObject,
    /// By the registry's number before it.
    Registry,
}

/// Bytes that stand before every datum of a schema under a subject; empty for [`Framing::Raw`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    bytes: [u8; 10],
    length: u8,
}

impl Frame {
    /// Works the bytes out; asks the registry where the framing needs it. `subject`: of the registry.
    ///
    /// Errors: those of [`Registry::id_of`]; definite `schema_refused` for an Avro schema that is none, `framing_unfit` where the framing
    /// cannot carry the schema's language or has no registry.
    pub fn of(
        framing: Framing,
        registry: Option<&Registry>,
        subject: &str,
        schema: &SchemaText,
    ) -> Result<Frame, Failure> {
        let tried = || format!("framing schema {}", schema.name);
        let avro = (schema.language == SchemaLanguage::Avro).then(|| apache_avro::Schema::parse_str(&schema.text));
        let avro = avro.transpose().map_err(|error| {
            Failure::definite("schema_refused", tried(), error.to_string(), "correct the format module's schema")
        })?;
        let unfit = |why: &str| Failure::definite("framing_unfit", tried(), why, "choose another sink.framing");
        let mut frame = Frame::default();
        match framing {
            Framing::Raw => {}
            Framing::SingleObject => {
                let schema = avro.ok_or_else(|| unfit("the single-object encoding is for Avro only"))?;
                frame.push(&[0xc3, 0x01]);
                frame.push(&schema.fingerprint::<Rabin>().bytes);
            }
            Framing::Registry => {
                let registry = registry.ok_or_else(|| unfit("the task has no [registry]"))?;
                frame.push(&[0]);
                frame.push(&registry.id_of(subject, schema)?.to_be_bytes());
                if schema.language == SchemaLanguage::Protobuf {
                    // The first message of the file: the list of indexes [0] is written as one zero.
                    frame.push(&[0]);
                }
            }
        }
        Ok(frame)
    }

    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.length);
        // The longest frame has ten bytes; a longer fingerprint would be a defect of the library and is cut to what the format has.
        for (place, byte) in self.bytes[start..].iter_mut().zip(bytes) {
            *place = *byte;
            self.length += 1;
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(language: SchemaLanguage, text: &str) -> SchemaText {
        SchemaText { language, name: "a.B".to_owned(), text: text.to_owned() }
    }

    /// The fingerprint of the schema "int", from the table of the Avro specification's test data (share/test/data/schema-tests.txt).
    #[test]
    fn a_single_object_has_marker_and_fingerprint() {
        let frame = Frame::of(Framing::SingleObject, None, "s", &schema(SchemaLanguage::Avro, "\"int\"")).unwrap();
        assert_eq!(frame.as_bytes()[..2], [0xc3, 0x01]);
        assert_eq!(i64::from_le_bytes(frame.as_bytes()[2..].try_into().unwrap()), 8_247_732_601_305_521_295);
    }

    #[test]
    fn what_a_framing_cannot_carry_is_refused() {
        assert!(Frame::of(Framing::Raw, None, "s", &schema(SchemaLanguage::Json, "{}")).unwrap().as_bytes().is_empty());
        let code = |framing, schema| Frame::of(framing, None, "s", &schema).unwrap_err().code;
        assert_eq!(code(Framing::SingleObject, schema(SchemaLanguage::Json, "{}")), "framing_unfit");
        assert_eq!(code(Framing::Registry, schema(SchemaLanguage::Json, "{}")), "framing_unfit");
        assert_eq!(code(Framing::Raw, schema(SchemaLanguage::Avro, "{\"type\":\"recor\"}")), "schema_refused");
    }
}
