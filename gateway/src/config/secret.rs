//! Passwords: where they come from, and a value that cannot be printed (I9).

use std::{borrow::Cow, fmt, io::Read, path::PathBuf};

use millrace_batch::Failure;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// What stands in for a secret wherever configuration is shown.
pub const MASK: &str = "***";

/// A secret file holds a password, not a document; more than this is a mistaken path.
const FILE_LIMIT: u64 = 64 << 10;

/// A password. It has no `Display`, its `Debug` shows nothing, its memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text in.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text, for the peer that asks for it and for nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Where a secret is to be found; read when a connection is made, so that a rotated secret needs no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; one line end at its end does not count.
    File(PathBuf),
    /// The task file itself.
    Literal(Secret),
}

impl SecretSource {
    /// Reads the secret. A file is read anew each time.
    ///
    /// # Errors
    /// Definite `secret_unavailable` when the variable is not set or not UTF-8, or the file cannot be read.
    pub fn resolve(&self) -> Result<Secret, Failure> {
        let unavailable =
            |tried: String, why: String, mend: &str| Failure::definite("secret_unavailable", tried, why, mend);
        match self {
            SecretSource::Literal(secret) => Ok(secret.clone()),
            SecretSource::Env(name) => std::env::var(name).map(Secret::new).map_err(|error| {
                // VarError::NotUnicode prints the value, which is the secret.
                let why = match error {
                    std::env::VarError::NotPresent => "it is not set",
                    std::env::VarError::NotUnicode(_) => "it is not UTF-8",
                };
                unavailable(
                    format!("reading a secret from the environment variable {name}"),
                    why.to_owned(),
                    "set the variable for the gateway's process",
                )
            }),
            SecretSource::File(path) => {
                let read = || {
                    let mut text = Zeroizing::new(String::new());
                    let file = std::fs::File::open(path)?;
                    if file.take(FILE_LIMIT + 1).read_to_string(&mut text)? as u64 > FILE_LIMIT {
                        return Err(std::io::Error::other(format!("it has more than {FILE_LIMIT} bytes")));
                    }
                    let line = text.strip_suffix('\n').unwrap_or(&text);
                    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
                };
                read().map_err(|error| {
                    unavailable(
                        format!("reading a secret from the file {}", path.display()),
                        error.to_string(),
                        "make the file readable for the gateway's user",
                    )
                })
            }
        }
    }
}

const RULE: &str = "must be { env = \"NAME\" }, { file = \"PATH\" } or a text";

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretSource, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = SecretSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ env = \"NAME\" }, { file = \"PATH\" } or a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretSource, E> {
                Ok(SecretSource::Literal(Secret::new(text.to_owned())))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
                let Some((key, value)) = map.next_entry::<String, String>()? else {
                    return Err(de::Error::custom(RULE));
                };
                if map.next_key::<String>()?.is_some() || value.is_empty() {
                    return Err(de::Error::custom(RULE));
                }
                match key.as_str() {
                    "env" if !value.contains(['=', '\0']) => Ok(SecretSource::Env(value)),
                    "file" => Ok(SecretSource::File(PathBuf::from(value))),
                    _ => Err(de::Error::custom(RULE)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The source is shown, a literal is not.
impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            SecretSource::Literal(_) => serializer.serialize_str(MASK),
            SecretSource::Env(name) => serializer.collect_map([("env", name)]),
            SecretSource::File(path) => serializer.collect_map([("file", path)]),
        }
    }
}

impl JsonSchema for SecretSource {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |key: &str, about: &str| {
            json_schema!({
                "type": "object", "additionalProperties": false, "required": [key],
                "properties": { key: { "type": "string", "description": about } }
            })
        };
        json_schema!({
            "writeOnly": true,
            "oneOf": [
                one("env", "Name of the environment variable that holds it."),
                one("file", "Path of the file that holds it."),
                { "type": "string" }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let source = SecretSource::Literal(Secret::new("hunter2".to_owned()));
        assert!(!format!("{source:?} {:?}", source.resolve()).contains("hunter2"));
        assert_eq!(serde_json::to_string(&source).unwrap(), "\"***\"");
    }

    #[test]
    fn files_lose_one_line_end_and_missing_ones_say_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2 \r\n").unwrap();
        let source = SecretSource::File(file.path().to_owned());
        assert_eq!(source.resolve().unwrap().expose(), "hunter2 ");
        std::fs::write(file.path(), vec![b'x'; 70_000]).unwrap();
        assert_eq!(source.resolve().unwrap_err().code, "secret_unavailable");
        std::fs::write(file.path(), [0xff, 0xfe]).unwrap();
        assert_eq!(source.resolve().unwrap_err().code, "secret_unavailable");
        let failure = SecretSource::Env("MILLRACE_NO_SUCH_VARIABLE".to_owned()).resolve().unwrap_err();
        assert_eq!((failure.code, failure.is_definite()), ("secret_unavailable", true));
    }
}
