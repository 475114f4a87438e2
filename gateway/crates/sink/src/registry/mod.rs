//! A schema registry with the API that Confluent's made common: looked up, checked and registered before anything is produced.
//!
//! Owns the order of questions, the cache and what each answer means. Must not know topics' records or who declares schemas. All calls
//! block and happen once per subject and schema, never per record.
//!
//! API: `POST /subjects/{subject}`, `POST /compatibility/subjects/{subject}/versions/latest`, `POST /subjects/{subject}/versions`.

mod frame;
mod http;

use std::{collections::HashMap, path::PathBuf, sync::Mutex, time::Duration};

use millrace_batch::Failure;
use serde_json::{Value, json};

pub use frame::{Frame, Framing, SchemaLanguage, SchemaText};
pub use http::refused_registry_url;

use crate::{Secret, Store};
use http::{Answer, Client};

/// Where the registry is and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Addresses, tried in order: `http://` or `https://`, host, port and path.
    pub urls: Vec<String>,
    /// User of a login with a password.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Bearer token, instead of a password.
    pub token: Option<Secret>,
    /// PEM file of the authorities to trust; `None` here and in `trust_store`: those of the system.
    pub ca: Option<PathBuf>,
    /// Store of the authorities to trust, instead of `ca`.
    pub trust_store: Option<Store>,
    /// Store of the client certificate and key.
    pub key_store: Option<Store>,
    /// Whether schemas that the registry does not have are registered; `false`: their lack is a definite error.
    pub register: bool,
    /// Longest time of one question at one address.
    pub timeout: Duration,
}

impl RegistryConfig {
    /// No login, system authorities, registering, 10 s.
    pub fn new(urls: impl IntoIterator<Item = impl Into<String>>) -> RegistryConfig {
        RegistryConfig {
            urls: urls.into_iter().map(Into::into).collect(),
            username: None,
            password: None,
            token: None,
            ca: None,
            trust_store: None,
            key_store: None,
            register: true,
            timeout: Duration::from_secs(10),
        }
    }
}

/// A registry, with what it has answered.
pub struct Registry {
    client: Client,
    register: bool,
    known: Mutex<HashMap<(String, SchemaText), u32>>,
}

impl Registry {
    /// Prepares the client; nothing is asked yet.
    ///
    /// Errors: definite `registry_config`, `kafka_store`.
    pub fn new(config: &RegistryConfig) -> Result<Registry, Failure> {
        Ok(Registry { client: Client::new(config)?, register: config.register, known: Mutex::default() })
    }

    /// Whether the registry answers and lets us in.
    ///
    /// Errors: transient `registry_unreachable`, definite `registry_authentication`, `registry_config`.
    pub fn probe(&self) -> Result<(), Failure> {
        let tried = "asking the schema registry for its subjects";
        let answer = self.client.get("subjects").map_err(|why| unreachable(tried, why))?;
        match answer.status {
            200 => Ok(()),
            _ => Err(refused(tried, &answer)),
        }
    }

    /// The registry's number of a schema under a subject. Registered where the registry does not have it and may be told.
    ///
    /// Errors: definite `schema_incompatible` where the subject's earlier versions do not permit it, `schema_not_registered`,
    /// `schema_refused`, `registry_authentication`, `registry_config`; transient `registry_unreachable`.
    pub fn id_of(&self, subject: &str, schema: &SchemaText) -> Result<u32, Failure> {
        let key = (subject.to_owned(), schema.clone());
        if let Some(id) = self.known().get(&key) {
            return Ok(*id);
        }
        let id = self.ask(subject, schema)?;
        self.known().insert(key, id);
        Ok(id)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<(String, SchemaText), u32>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn ask(&self, subject: &str, schema: &SchemaText) -> Result<u32, Failure> {
        let body = match schema.language {
            // The API takes a schema without a type for Avro, also in registries that know no other.
            SchemaLanguage::Avro => json!({ "schema": schema.text }),
            language => json!({ "schema": schema.text, "schemaType": language.name() }),
        };
        let place = http::encoded(subject);
        let tried = format!("looking up schema {} under subject {subject:?}", schema.name);
        let found = self.client.post(&format!("subjects/{place}"), &body).map_err(|why| unreachable(&tried, why))?;
        match found.status {
            200 => return number(&tried, &found),
            404 if !self.register => {
                return Err(Failure::definite(
                    "schema_not_registered",
                    tried,
                    found.message(),
                    "register the schema, or let the gateway do it: registry.register = true",
                ));
            }
            404 => {}
            _ => return Err(refused(&tried, &found)),
        }
        self.check(subject, &place, schema, &body)?;
        let tried = format!("registering schema {} under subject {subject:?}", schema.name);
        let path = format!("subjects/{place}/versions");
        let made = self.client.post(&path, &body).map_err(|why| unreachable(&tried, why))?;
        match made.status {
            200 | 201 => {
                let id = number(&tried, &made)?;
                tracing::info!(code = "schema_registered", subject, schema = schema.name, id, "schema registered");
                Ok(id)
            }
            _ => Err(refused(&tried, &made)),
        }
    }

    /// Asks before registering, because only this answer says what is incompatible.
    fn check(&self, subject: &str, place: &str, schema: &SchemaText, body: &Value) -> Result<(), Failure> {
        let tried = format!("checking schema {} against subject {subject:?}", schema.name);
        let path = format!("compatibility/subjects/{place}/versions/latest?verbose=true");
        let answer = self.client.post(&path, body).map_err(|why| unreachable(&tried, why))?;
        match answer.status {
            // No version yet: nothing to be compatible with.
            404 => Ok(()),
            200 => {
                let told = answer.json().unwrap_or_default();
                if told["is_compatible"].as_bool() != Some(false) {
                    return Ok(());
                }
                let why = match &told["messages"] {
                    Value::Array(messages) => messages.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
                    _ => told["reason"].as_str().unwrap_or("the registry gives no reason").to_owned(),
                };
                Err(incompatible(tried, why))
            }
            _ => Err(refused(&tried, &answer)),
        }
    }
}

fn number(tried: &str, answer: &Answer) -> Result<u32, Failure> {
    let id = answer.json().and_then(|told| u32::try_from(told["id"].as_u64()?).ok());
    id.ok_or_else(|| {
        let mend = "see that registry.urls leads to the API of a schema registry";
        Failure::definite("registry_config", tried, format!("the answer has no id: {}", answer.message()), mend)
    })
}

fn incompatible(tried: impl Into<String>, why: impl Into<String>) -> Failure {
    Failure::definite(
        "schema_incompatible",
        tried,
        why,
        "choose another subject or topic, change the format module's schema, or relax the subject's compatibility",
    )
}

fn unreachable(tried: &str, why: String) -> Failure {
    Failure::transient(
        "registry_unreachable",
        tried,
        why,
        "start the registry, or correct registry.urls; nothing is lost meanwhile",
    )
}

/// What an answer that is no success means.
fn refused(tried: &str, answer: &Answer) -> Failure {
    let why = format!("status {}: {}", answer.status, answer.message());
    match answer.status {
        401 | 403 => Failure::definite(
            "registry_authentication",
            tried,
            why,
            "correct registry.username, password or token, or grant the user read and write on the subject",
        ),
        409 => incompatible(tried, why),
        422 => Failure::definite(
            "schema_refused",
            tried,
            why,
            "correct the format module's schema: the registry cannot read it",
        ),
        408 | 429 | 500.. => unreachable(tried, why),
        _ => Failure::definite(
            "registry_config",
            tried,
            why,
            "see that registry.urls leads to the API of a schema registry",
        ),
    }
}
