//! `[sink]` and `[position]`: where the records go, and where the task remembers how far it is.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bounded, BrokerAddress, Framing, Problems, SecretSource, Size, Span, TopicName};

/// What takes the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SinkKind {
    /// Apache Kafka.
    Kafka,
    /// Nothing: every record is acknowledged at once. For measurements.
    Blackhole,
}

/// How the connection to the brokers is protected, with Kafka's names in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither TLS nor login.
    Plaintext,
    /// TLS, verified.
    Ssl,
    /// Login without TLS.
    SaslPlaintext,
    /// Login inside TLS, verified.
    SaslSsl,
}

impl Protocol {
    /// Whether the client logs in.
    pub fn has_login(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }

    /// Whether the connection is encrypted.
    pub fn has_tls(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }

    /// Kafka's `security.protocol`.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        }
    }
}

/// How the client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// The password as it is.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge and response with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge and response with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A bearer token.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
    /// A Kerberos ticket; only in builds with the cargo feature gssapi.
    #[serde(rename = "GSSAPI")]
    Gssapi,
}

impl SaslMechanism {
    /// Kafka's `sasl.mechanism`.
    pub fn as_str(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            SaslMechanism::OauthBearer => "OAUTHBEARER",
            SaslMechanism::Gssapi => "GSSAPI",
        }
    }
}

/// Compression of what is produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None.
    None,
    /// LZ4.
    Lz4,
    /// Zstandard; brokers from 2.1.
    Zstd,
    /// Snappy.
    Snappy,
    /// Gzip.
    Gzip,
}

impl Compression {
    /// Kafka's `compression.type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
            Compression::Snappy => "snappy",
            Compression::Gzip => "gzip",
        }
    }
}

/// `[sink]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// What takes the records.
    pub kind: SinkKind,
    /// Brokers to start from, 1 to 10, as host:port.
    #[serde(default)]
    pub brokers: Vec<BrokerAddress>,
    /// How the connection is protected.
    #[serde(default = "plaintext")]
    pub protocol: Protocol,
    /// How the client logs in; for the sasl protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// Who logs in; for PLAIN and SCRAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Its password; for PLAIN and SCRAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// Bearer token; for OAUTHBEARER. A file is read anew at every login and before the token expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretSource>,
    /// Whether the SCRAM user is a delegation token; refused, because librdkafka cannot say so to the brokers.
    #[serde(default)]
    pub delegation_token: bool,
    /// Principal that logs in, as name@REALM; for GSSAPI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kerberos_principal: Option<String>,
    /// Its key table; for GSSAPI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kerberos_keytab: Option<PathBuf>,
    /// First part of the brokers' principal; for GSSAPI.
    #[serde(default = "kafka_service")]
    pub kerberos_service: String,
    /// PEM file of the authorities to trust; absent: those of the system. For the ssl protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Store of the authorities to trust, in place of ca: JKS, PKCS12 or PEM, told by its content. For the ssl protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_store: Option<PathBuf>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_store_password: Option<SecretSource>,
    /// Whether the broker's certificate must be the host's (endpoint identification "https"). For the ssl protocols.
    #[serde(default = "yes")]
    pub verify_host: bool,
    /// PEM file of the client certificate. For the ssl protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file of its key. For the ssl protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Store of the client certificate and its key, in place of cert and key: JKS, PKCS12 or PEM. For the ssl protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_store: Option<PathBuf>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_store_password: Option<SecretSource>,
    /// Password of the key itself, where it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_password: Option<SecretSource>,
    /// Compression of what is produced.
    #[serde(default = "uncompressed")]
    pub compression: Compression,
    /// How long a record may wait for others of its batch.
    #[serde(default = "five_millis")]
    pub linger: Span,
    /// Memory of records that are produced and not yet acknowledged.
    #[serde(default = "default_queue")]
    pub queue: Size,
    /// Largest record; a larger one is refused before it is produced.
    #[serde(default = "one_mib")]
    pub max_message: Size,
    /// Whether every record carries the header "millrace": shard, commit LSN, ordinal, module digest.
    #[serde(default = "yes")]
    pub headers: bool,
    /// What stands before the datum of a format that declares schemas (Avro): raw (nothing), single-object (the fingerprint of the
    /// schema) or registry (the registry's number of it).
    #[serde(default = "raw")]
    pub framing: Framing,
    /// How long a record may stay unacknowledged before the task halts; 0s: for ever, and nothing else is built.
    #[serde(default = "never")]
    pub delivery_timeout: Span,
    /// Further properties of librdkafka; those that keep order, loss and secrets safe are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

fn plaintext() -> Protocol {
    Protocol::Plaintext
}

fn kafka_service() -> String {
    "kafka".to_owned()
}

fn uncompressed() -> Compression {
    Compression::None
}

fn five_millis() -> Span {
    Span::millis(5)
}

fn default_queue() -> Size {
    Size::mib(32)
}

fn one_mib() -> Size {
    Size::mib(1)
}

fn yes() -> bool {
    true
}

fn raw() -> Framing {
    Framing::Raw
}

fn never() -> Span {
    Span::secs(0)
}

/// Properties the task file may not name, with the key or the reason that stands for them.
const OWN_PROPERTIES: [(&str, &str); 39] = [
    ("bootstrap.servers", "is sink.brokers"),
    ("metadata.broker.list", "is sink.brokers"),
    ("security.protocol", "is sink.protocol"),
    ("sasl.mechanism", "is sink.sasl_mechanism"),
    ("sasl.mechanisms", "is sink.sasl_mechanism"),
    ("sasl.username", "is sink.username"),
    ("sasl.password", "is sink.password"),
    ("sasl.kerberos.principal", "is sink.kerberos_principal"),
    ("sasl.kerberos.keytab", "is sink.kerberos_keytab"),
    ("sasl.kerberos.service.name", "is sink.kerberos_service"),
    ("ssl.keystore.location", "is sink.key_store"),
    ("ssl.truststore.location", "is sink.trust_store"),
    ("ssl.endpoint.identification.algorithm", "is sink.verify_host"),
    ("ssl.ca.location", "is sink.ca"),
    ("ssl.certificate.location", "is sink.cert"),
    ("ssl.key.location", "is sink.key"),
    ("compression.codec", "is sink.compression"),
    ("compression.type", "is sink.compression"),
    ("linger.ms", "is sink.linger"),
    ("queue.buffering.max.ms", "is sink.linger"),
    ("queue.buffering.max.kbytes", "is sink.queue"),
    ("queue.buffering.max.messages", "is sink.queue"),
    ("message.max.bytes", "is sink.max_message"),
    ("message.timeout.ms", "is sink.delivery_timeout"),
    ("delivery.timeout.ms", "is sink.delivery_timeout"),
    ("transactional.id", "belongs to the gateway: it fences a second owner of the task"),
    ("enable.idempotence", "belongs to the gateway: without it records repeat and change places"),
    ("enable.gapless.guarantee", "belongs to the gateway: without it records are lost"),
    ("acks", "belongs to the gateway: only acks = all loses nothing"),
    ("request.required.acks", "belongs to the gateway: only acks = all loses nothing"),
    ("max.in.flight", "belongs to the gateway: it keeps the order"),
    ("max.in.flight.requests.per.connection", "belongs to the gateway: it keeps the order"),
    ("retries", "belongs to the gateway: it keeps records from being lost"),
    ("message.send.max.retries", "belongs to the gateway: it keeps records from being lost"),
    ("partitioner", "belongs to the gateway: the router chooses the partition"),
    ("queuing.strategy", "belongs to the gateway: it keeps the order"),
    ("delivery.report.only.error", "belongs to the gateway: it must hear of every record"),
    ("allow.auto.create.topics", "belongs to the gateway: topics are created with route.partitions or not at all"),
    ("plugin.library.paths", "is refused: it would load foreign code"),
];

/// Why a property may not be given, if it may not.
fn refuses_property(name: &str) -> Option<String> {
    if let Some((_, why)) = OWN_PROPERTIES.iter().find(|(own, _)| *own == name) {
        return Some((*why).to_owned());
    }
    // A property's value is shown by `config print`: secrets have no place there (I9).
    let secret = ["password", "secret", ".pem", "jaas", "token"].iter().any(|part| name.contains(part));
    secret.then(|| "is refused: properties are shown, a secret belongs in sink.password or in a file".to_owned())
}

impl Sink {
    /// The brokers as librdkafka takes them.
    pub fn bootstrap_servers(&self) -> String {
        self.brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let kafka = self.kind == SinkKind::Kafka;
        if kafka && !(1..=10).contains(&self.brokers.len()) {
            problems.refuse(&["sink.brokers", "sink.kind"], "must name 1 to 10 brokers");
        }
        self.check_login(problems);
        self.check_tls(problems);
        for name in self.properties.keys() {
            if let Some(why) = refuses_property(name) {
                problems.refuse(&[&format!("sink.properties.{name}")], why);
            }
        }
        // librdkafka's bounds: linger.ms to 900,000; message.max.bytes 1000 to 1,000,000,000.
        problems.span("sink.linger", self.linger, Span::millis(0), Span::secs(900));
        problems.size("sink.queue", self.queue, Size::mib(1), Size::mib(2047 * 1024));
        problems.size("sink.max_message", self.max_message, Size::kib(1), Size::bytes(1_000_000_000));
        if self.delivery_timeout != never() {
            // Refused until the sink can do it faithfully (I10).
            problems.refuse(&["sink.delivery_timeout"], "must be \"0s\": giving a record up is not built");
        }
        if self.queue < self.max_message {
            problems.refuse(&["sink.queue", "sink.max_message"], "must be at least sink.max_message");
        }
    }

    /// Keys of the login: those of the mechanism and no others.
    fn check_login(&self, problems: &mut Problems) {
        let path = "sink.sasl_mechanism";
        if self.sasl_mechanism.is_some() != self.protocol.has_login() {
            let rule = if self.sasl_mechanism.is_some() {
                "has no effect: the protocol is not sasl_plaintext or sasl_ssl"
            } else {
                "is missing: the sasl protocols need a mechanism"
            };
            problems.refuse(&[path, "sink.protocol"], rule);
        }
        let (password, token, kerberos) = match self.sasl_mechanism {
            _ if !self.protocol.has_login() => (false, false, false),
            None => return,
            Some(SaslMechanism::OauthBearer) => (false, true, false),
            Some(SaslMechanism::Gssapi) => (false, false, true),
            Some(_) => (true, false, false),
        };
        for (key, given, wanted) in [
            ("sink.username", self.username.is_some(), password),
            ("sink.password", self.password.is_some(), password),
            ("sink.token", self.token.is_some(), token),
            ("sink.kerberos_principal", self.kerberos_principal.is_some(), kerberos),
            ("sink.kerberos_keytab", self.kerberos_keytab.is_some(), kerberos),
        ] {
            if given && !wanted {
                problems.refuse(&[key, path, "sink.protocol"], "has no effect: the login does not use it");
            } else if wanted && !given {
                problems.refuse(&[key, path, "sink.protocol"], "is missing: the mechanism needs it");
            }
        }
        if self.delegation_token {
            let scram = matches!(self.sasl_mechanism, Some(SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512));
            problems.refuse(
                &["sink.delegation_token", path],
                if scram {
                    "must be false: librdkafka cannot tell the brokers that a login is a delegation token"
                } else {
                    "must be false: only the SCRAM mechanisms take delegation tokens, and those are not built"
                },
            );
        }
        if self.sasl_mechanism == Some(SaslMechanism::Gssapi) && !millrace_sink::HAS_GSSAPI {
            problems.refuse(&[path], "must be another: this build has no GSSAPI; build it with --features gssapi");
        }
    }

    /// Keys of TLS: each file once, in one form.
    fn check_tls(&self, problems: &mut Problems) {
        for (path, given) in [
            ("sink.ca", self.ca.is_some()),
            ("sink.trust_store", self.trust_store.is_some()),
            ("sink.cert", self.cert.is_some()),
            ("sink.key", self.key.is_some()),
            ("sink.key_store", self.key_store.is_some()),
            ("sink.verify_host", !self.verify_host),
        ] {
            if given && !self.protocol.has_tls() {
                problems.refuse(&[path, "sink.protocol"], "has no effect: the protocol is not ssl or sasl_ssl");
            }
        }
        if self.cert.is_some() != self.key.is_some() {
            let path = if self.key.is_some() { "sink.cert" } else { "sink.key" };
            problems.refuse(&[path, "sink.cert", "sink.key"], "is missing: cert and key go together");
        }
        if self.ca.is_some() && self.trust_store.is_some() {
            problems.refuse(&["sink.trust_store", "sink.ca"], "must not stand beside sink.ca");
        }
        if self.cert.is_some() && self.key_store.is_some() {
            problems.refuse(&["sink.key_store", "sink.cert", "sink.key"], "must not stand beside sink.cert");
        }
        for (path, given, other, needs) in [
            (
                "sink.trust_store_password",
                self.trust_store_password.is_some(),
                "sink.trust_store",
                self.trust_store.is_some(),
            ),
            ("sink.key_store_password", self.key_store_password.is_some(), "sink.key_store", self.key_store.is_some()),
            (
                "sink.key_password",
                self.key_password.is_some(),
                "sink.key",
                self.key.is_some() || self.key_store.is_some(),
            ),
        ] {
            if given && !needs {
                problems.refuse(&[path, other], format!("has no effect without {other}"));
            }
        }
    }
}

/// Where positions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PositionStore {
    /// A compacted topic, shared by any number of tasks.
    Topic,
    /// A local file, under a lock.
    File,
}

/// `[position]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PositionConfig {
    /// Where positions are kept. Default: topic; file where the sink is no Kafka.
    #[serde(default = "in_topic")]
    pub store: PositionStore,
    /// The compacted topic.
    #[serde(default = "default_topic")]
    pub topic: TopicName,
    /// Its replicas where the gateway creates it.
    #[serde(default = "one_replica")]
    pub replication_factor: Bounded<1, 32_767>,
    /// The file, for store = "file".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// How often the position is written while it moves.
    #[serde(default = "one_second")]
    pub interval: Span,
}

fn in_topic() -> PositionStore {
    PositionStore::Topic
}

fn default_topic() -> TopicName {
    super::derive::parsed("millrace-positions")
}

fn one_replica() -> Bounded<1, 32_767> {
    Bounded::new(1)
}

fn one_second() -> Span {
    Span::secs(1)
}

impl PositionConfig {
    pub(super) fn check(&self, sink: &Sink, problems: &mut Problems) {
        match self.store {
            PositionStore::File if self.path.is_none() => {
                problems
                    .refuse(&["position.path", "position.store", "sink.kind"], "is missing: store = \"file\" needs it");
            }
            PositionStore::Topic if sink.kind != SinkKind::Kafka => {
                problems.refuse(&["position.store", "sink.kind"], "must be \"file\": the sink has no topics");
            }
            PositionStore::Topic if self.path.is_some() => {
                problems.refuse(&["position.path", "position.store"], "has no effect with store = \"topic\"");
            }
            _ => {}
        }
        problems.span("position.interval", self.interval, Span::millis(10), Span::secs(600));
    }
}
