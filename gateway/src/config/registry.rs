//! `[registry]`: the schema registry that `sink.framing = "registry"` needs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problems, SecretSource, Sink, Span};

/// How the bytes of a format module that declares schemas are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// As the module writes them: consumers have the schema.
    Raw,
    /// Avro's single-object encoding: the schema's fingerprint stands before the datum.
    SingleObject,
    /// The schema registries' wire format: the registry's number of the schema stands before the datum.
    Registry,
}

/// Under which subject a schema is registered, with the names of the strategies of Confluent's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// TOPIC-key and TOPIC-value (TopicNameStrategy).
    Topic,
    /// The schema's full name (RecordNameStrategy).
    Record,
    /// TOPIC-NAME (TopicRecordNameStrategy).
    TopicRecord,
}

/// `[registry]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Addresses of one registry, 1 to 10, tried in order: http:// or https://, host, port and path.
    pub urls: Vec<String>,
    /// Subject of a schema: topic (TOPIC-value), record (the schema's full name) or topic-record (TOPIC-NAME).
    #[serde(default = "by_topic")]
    pub subject: Subject,
    /// Whether schemas that the registry lacks are registered; false: their lack halts the task.
    #[serde(default = "yes")]
    pub register: bool,
    /// User of a login with a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// Bearer token, in place of a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretSource>,
    /// PEM file of the authorities to trust; absent: those of the system. For https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Store of the authorities to trust, in place of ca: JKS, PKCS12 or PEM. For https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_store: Option<PathBuf>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_store_password: Option<SecretSource>,
    /// Store of the client certificate and its key: JKS, PKCS12 or PEM. For https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_store: Option<PathBuf>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_store_password: Option<SecretSource>,
    /// Longest time of one question at one address.
    #[serde(default = "ten_seconds")]
    pub timeout: Span,
}

fn by_topic() -> Subject {
    Subject::Topic
}

fn yes() -> bool {
    true
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

/// The section and the framing that needs it go together.
pub(super) fn check(registry: Option<&Registry>, sink: &Sink, problems: &mut Problems) {
    match (registry, sink.framing == Framing::Registry) {
        (None, true) => {
            problems.refuse(&["registry.urls", "sink.framing"], "is missing: framing = \"registry\" needs a registry");
        }
        (Some(_), false) => {
            problems.refuse(&["registry", "sink.framing"], "has no effect without sink.framing = \"registry\"");
        }
        (None, false) => {}
        (Some(registry), true) => registry.check(problems),
    }
}

impl Registry {
    fn check(&self, problems: &mut Problems) {
        if !(1..=10).contains(&self.urls.len()) {
            problems.refuse(&["registry.urls"], "must name 1 to 10 addresses");
        }
        for (number, url) in self.urls.iter().enumerate() {
            // The address is not repeated: what stands before an @ is a secret.
            if millrace_sink::refused_registry_url(url).is_some() {
                problems.refuse(
                    &[&format!("registry.urls[{number}]")],
                    "must be http:// or https://, host, port and path, without user and query",
                );
            }
        }
        let named = self.username.as_ref();
        if named.is_some() != self.password.is_some() {
            let path = if named.is_some() { "registry.password" } else { "registry.username" };
            problems
                .refuse(&[path, "registry.username", "registry.password"], "is missing: user and password go together");
        }
        if named.is_some_and(|name| name.is_empty() || name.contains(':')) {
            problems.refuse(&["registry.username"], "must be a name without a colon");
        }
        if self.token.is_some() && self.password.is_some() {
            problems.refuse(&["registry.token", "registry.password"], "must not stand beside registry.password");
        }
        if self.ca.is_some() && self.trust_store.is_some() {
            problems.refuse(&["registry.trust_store", "registry.ca"], "must not stand beside registry.ca");
        }
        let tls = self.urls.iter().any(|url| url.starts_with("https:"));
        for (path, given, needs, rule) in [
            ("registry.ca", self.ca.is_some(), tls, "has no effect: no address is https"),
            ("registry.trust_store", self.trust_store.is_some(), tls, "has no effect: no address is https"),
            ("registry.key_store", self.key_store.is_some(), tls, "has no effect: no address is https"),
            (
                "registry.trust_store_password",
                self.trust_store_password.is_some(),
                self.trust_store.is_some(),
                "has no effect without registry.trust_store",
            ),
            (
                "registry.key_store_password",
                self.key_store_password.is_some(),
                self.key_store.is_some(),
                "has no effect without registry.key_store",
            ),
        ] {
            if given && !needs {
                problems.refuse(&[path, "registry.urls"], rule);
            }
        }
        problems.span("registry.timeout", self.timeout, Span::millis(100), Span::secs(300));
    }
}
