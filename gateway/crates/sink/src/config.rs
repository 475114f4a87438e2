//! What an operator may say about the brokers, as typed fields.
//!
//! Owns the fields and their translation to librdkafka's properties (names and bounds: librdkafka's CONFIGURATION.md). Must not know
//! the configuration file; the gateway fills these fields. What keeps records in order and safe is set last and cannot be overridden.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use millrace_batch::Failure;
use rdkafka::ClientConfig;
use zeroize::Zeroizing;

use crate::{TokenSource, properties::refused_property, stores};

/// A secret text: never printed, wiped when dropped (I9).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `security.protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Neither TLS nor login.
    #[default]
    Plaintext,
    /// TLS, verified.
    Ssl,
    /// Login without TLS.
    SaslPlaintext,
    /// Login inside TLS, verified.
    SaslSsl,
}

impl Protocol {
    fn as_str(self) -> &'static str {
        match self {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        }
    }
}

/// A store as Java tools write it, or PEM; which one it is is told by its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The file.
    pub path: PathBuf,
    /// Its password, where it has one.
    pub password: Option<Secret>,
}

/// Files of the TLS protocols. The broker's certificate is always verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities to trust; `None` here and in `trust_store`: those of the system.
    pub ca: Option<PathBuf>,
    /// Store of the authorities to trust, instead of `ca`.
    pub trust_store: Option<Store>,
    /// PEM file of the client certificate.
    pub cert: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// Store of the client certificate and key, instead of `cert` and `key`.
    pub key_store: Option<Store>,
    /// Password of the key itself.
    pub key_password: Option<Secret>,
    /// Whether the certificate must be the host's; `false` only where brokers are reached under names that it does not have.
    pub verify_host: bool,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            ca: None,
            trust_store: None,
            cert: None,
            key: None,
            key_store: None,
            key_password: None,
            verify_host: true,
        }
    }
}

/// How the client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password as it is; only sensible inside TLS.
    Plain,
    /// Salted challenge and response with SHA-256.
    ScramSha256,
    /// Salted challenge and response with SHA-512.
    ScramSha512,
    /// A bearer token.
    OauthBearer,
    /// A Kerberos ticket, taken with a key table; only where the build has it.
    Gssapi,
}

impl SaslMechanism {
    fn as_str(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            SaslMechanism::OauthBearer => "OAUTHBEARER",
            SaslMechanism::Gssapi => "GSSAPI",
        }
    }
}

/// Login of the SASL protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sasl {
    /// PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
    Password {
        /// One of these three.
        mechanism: SaslMechanism,
        /// Who logs in.
        username: String,
        /// Its password.
        password: Secret,
    },
    /// OAUTHBEARER.
    Token(TokenSource),
    /// GSSAPI.
    Kerberos(Kerberos),
}

impl Sasl {
    fn mechanism(&self) -> SaslMechanism {
        match self {
            Sasl::Password { mechanism, .. } => *mechanism,
            Sasl::Token(_) => SaslMechanism::OauthBearer,
            Sasl::Kerberos(_) => SaslMechanism::Gssapi,
        }
    }
}

/// Login with Kerberos. `kinit` keeps the ticket fresh; the library runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kerberos {
    /// Principal that logs in, as `name@REALM`.
    pub principal: String,
    /// Its key table.
    pub keytab: PathBuf,
    /// First part of the brokers' principal, mostly `kafka`.
    pub service: String,
}

/// Whether this build can log in with Kerberos.
pub const HAS_GSSAPI: bool = cfg!(feature = "gssapi");

/// `compression.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// None.
    #[default]
    None,
    /// LZ4.
    Lz4,
    /// Zstandard; brokers from 2.1, older ones get it uncompressed.
    Zstd,
    /// Snappy.
    Snappy,
    /// Gzip.
    Gzip,
}

impl Compression {
    fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
            Compression::Snappy => "snappy",
            Compression::Gzip => "gzip",
        }
    }
}

/// The brokers and how records reach them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Brokers to start from, `host:port` each.
    pub brokers: Vec<String>,
    /// Protection of the connection.
    pub protocol: Protocol,
    /// Files for the TLS protocols.
    pub tls: Tls,
    /// Login for the SASL protocols.
    pub sasl: Option<Sasl>,
    /// Name the brokers log.
    pub client_id: String,
    /// How long a record may wait for others of its batch.
    pub linger: Duration,
    /// Compression of batches. It runs on librdkafka's thread of the broker: at most one core per broker.
    pub compression: Compression,
    /// Most bytes of values that are produced and not acknowledged.
    pub queue_bytes: usize,
    /// Most bytes of a batch with more than one record; no topic produced to may have a lower `max.message.bytes`.
    pub batch_bytes: usize,
    /// Largest record, counted as [`record_size`](crate::record_size) does.
    pub max_message_bytes: usize,
    /// Further properties of librdkafka, see [`refused_property`].
    pub extra: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// Defaults for these brokers: plaintext, linger 5 ms, no compression, 32 MiB of queue, batches to 512 KiB, records to the
    /// brokers' default limit (`message.max.bytes` = 1,048,588).
    ///
    /// Why no compression: it is the gateway's CPU that runs out first. `examples/producer_cost` on a real broker, documents of 835
    /// bytes with one header, two cores that were busy with other work too: none 3.0 us per record, lz4 4.2, snappy 4.0, zstd 5.5; the
    /// broker saved 0.7 to 1.5 us. Where the network, the broker or its disks are scarcer, lz4 is the one to choose. Why
    /// 512 KiB batches: half the brokers' default limit, and no slower than 976 KiB within the noise.
    pub fn new(brokers: impl IntoIterator<Item = impl Into<String>>) -> KafkaConfig {
        KafkaConfig {
            brokers: brokers.into_iter().map(Into::into).collect(),
            protocol: Protocol::Plaintext,
            tls: Tls::default(),
            sasl: None,
            client_id: "millrace".to_owned(),
            linger: Duration::from_millis(5),
            compression: Compression::None,
            queue_bytes: 32 << 20,
            batch_bytes: 512 << 10,
            max_message_bytes: 1_048_588,
            extra: BTreeMap::new(),
        }
    }

    /// Everything that is wrong with the fields; empty where nothing is. No secret is ever part of it.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.brokers.is_empty()
            || self.brokers.iter().any(|broker| broker.is_empty() || broker.contains([',', '\0']))
        {
            found.push("brokers: one or more host:port".to_owned());
        }
        let wants_login = matches!(self.protocol, Protocol::SaslPlaintext | Protocol::SaslSsl);
        if wants_login != self.sasl.is_some() {
            found.push("sasl: goes with the protocols sasl_plaintext and sasl_ssl, and they need it".to_owned());
        }
        let tls = matches!(self.protocol, Protocol::Ssl | Protocol::SaslSsl);
        if !tls && self.tls != Tls::default() {
            found.push("tls: goes with the protocols ssl and sasl_ssl".to_owned());
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            found.push("tls: cert and key go together".to_owned());
        }
        if self.tls.ca.is_some() && self.tls.trust_store.is_some() {
            found.push("tls: ca or trust_store, not both".to_owned());
        }
        if self.tls.cert.is_some() && self.tls.key_store.is_some() {
            found.push("tls: cert and key, or key_store".to_owned());
        }
        match &self.sasl {
            Some(Sasl::Kerberos(_)) if !HAS_GSSAPI => {
                found.push("sasl: this build has no GSSAPI (cargo feature \"gssapi\")".to_owned());
            }
            Some(Sasl::Kerberos(kerberos)) => {
                // These go into a command line of librdkafka's.
                let plain = |text: &str| {
                    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/@".contains(c))
                };
                let keytab = kerberos.keytab.to_str().unwrap_or_default();
                if ![kerberos.principal.as_str(), keytab, &kerberos.service].into_iter().all(plain) {
                    let rule = "sasl: principal, keytab and service have letters, digits, '.', '_', '-', '/' and '@'";
                    found.push(rule.to_owned());
                }
            }
            Some(Sasl::Password { mechanism: SaslMechanism::OauthBearer | SaslMechanism::Gssapi, .. }) => {
                found.push("sasl: the mechanism takes no password".to_owned());
            }
            _ => {}
        }
        if self.linger > Duration::from_secs(900) {
            found.push("linger: at most 900 s".to_owned());
        }
        if !(1 << 20..=2047 << 30).contains(&self.queue_bytes) {
            found.push("queue_bytes: 1 MiB to 2047 GiB".to_owned());
        }
        if !(1000..=1_000_000_000).contains(&self.max_message_bytes) {
            found.push("max_message_bytes: 1000 to 1,000,000,000".to_owned());
        }
        if !(1..=i32::MAX as usize).contains(&self.batch_bytes) {
            found.push("batch_bytes: 1 to 2,147,483,647".to_owned());
        }
        for name in self.extra.keys() {
            found.extend(refused_property(name).map(|why| format!("extra.{name}: {why}")));
        }
        found
    }

    /// Where the token of the login comes from, if it is one of a token.
    pub(crate) fn token(&self) -> Option<&TokenSource> {
        match &self.sasl {
            Some(Sasl::Token(source)) => Some(source),
            _ => None,
        }
    }

    /// Properties of any client: where the brokers are and how to reach them.
    pub(crate) fn client(&self) -> Result<ClientConfig, Failure> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(Failure::definite(
                "kafka_config",
                "reading the Kafka settings",
                problems.join("; "),
                "correct these settings",
            ));
        }
        let mut client = ClientConfig::new();
        for (name, value) in &self.extra {
            client.set(name, value);
        }
        client.set("bootstrap.servers", self.brokers.join(","));
        client.set("client.id", &self.client_id);
        client.set("security.protocol", self.protocol.as_str());
        // A topic that is not there is an error to report, not to be made with the brokers' defaults.
        client.set("allow.auto.create.topics", "false");
        if matches!(self.protocol, Protocol::Ssl | Protocol::SaslSsl) {
            client.set("enable.ssl.certificate.verification", "true");
            let check = if self.tls.verify_host { "https" } else { "none" };
            client.set("ssl.endpoint.identification.algorithm", check);
        }
        for (name, path) in [
            ("ssl.ca.location", &self.tls.ca),
            ("ssl.certificate.location", &self.tls.cert),
            ("ssl.key.location", &self.tls.key),
        ] {
            if let Some(path) = path {
                client.set(name, path.display().to_string());
            }
        }
        if let Some(store) = &self.tls.trust_store {
            client.set("ssl.ca.pem", stores::trusted(&store.path, store.password.as_ref())?);
        }
        if let Some(store) = &self.tls.key_store {
            let password = self.tls.key_password.as_ref();
            let identity = stores::identity(&store.path, store.password.as_ref(), password)?;
            client.set("ssl.certificate.pem", identity.certificates);
            client.set("ssl.key.pem", identity.key.expose());
        } else if let Some(password) = &self.tls.key_password {
            client.set("ssl.key.password", password.expose());
        }
        if let Some(sasl) = &self.sasl {
            client.set("sasl.mechanism", sasl.mechanism().as_str());
            match sasl {
                Sasl::Password { username, password, .. } => {
                    client.set("sasl.username", username);
                    client.set("sasl.password", password.expose());
                }
                Sasl::Token(_) => {}
                Sasl::Kerberos(kerberos) => {
                    client.set("sasl.kerberos.principal", &kerberos.principal);
                    client.set("sasl.kerberos.keytab", kerberos.keytab.display().to_string());
                    client.set("sasl.kerberos.service.name", &kerberos.service);
                }
            }
        }
        Ok(client)
    }

    /// Properties of the producer of records. `queue_records` bounds their number beside `queue_bytes`.
    pub(crate) fn producer(&self, queue_records: usize) -> Result<ClientConfig, Failure> {
        let mut client = self.client()?;
        client.set("linger.ms", (self.linger.as_micros() as f64 / 1000.0).to_string());
        client.set("compression.type", self.compression.as_str());
        client.set("queue.buffering.max.messages", queue_records.to_string());
        client.set("queue.buffering.max.kbytes", self.queue_bytes.div_ceil(1024).to_string());
        client.set("batch.size", self.batch_bytes.to_string());
        client.set("batch.num.messages", "10000");
        client.set("message.max.bytes", self.max_message_bytes.to_string());
        // Last, so that nothing above can weaken them: no reordering, no duplicates within a session, no silent expiry, and a
        // record that cannot be delivered stops all that follow it (I1, I3).
        client.set("enable.idempotence", "true");
        client.set("acks", "all");
        client.set("max.in.flight.requests.per.connection", "5");
        client.set("message.timeout.ms", "0");
        client.set("enable.gapless.guarantee", "true");
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_order_cannot_be_overridden() {
        for name in ["enable.idempotence", "acks", "message.timeout.ms", "max.in.flight", "enable.gapless.guarantee"] {
            let mut config = KafkaConfig::new(["a:1"]);
            config.extra.insert(name.into(), "1".into());
            let failure = config.producer(10).unwrap_err();
            assert!(failure.is_definite() && failure.code == "kafka_config" && failure.why.contains(name), "{failure}");
        }
        let config = KafkaConfig::new(["a:1"]).producer(10).unwrap();
        assert_eq!(config.get("enable.idempotence"), Some("true"));
        assert_eq!(config.get("message.timeout.ms"), Some("0"));
    }

    #[test]
    fn librdkafka_takes_every_field() {
        let mut config = KafkaConfig::new(["a:1", "b:2"]);
        config.protocol = Protocol::SaslSsl;
        config.sasl = Some(Sasl::Password {
            mechanism: SaslMechanism::ScramSha512,
            username: "u".into(),
            password: Secret::new("hunter2"),
        });
        config.compression = Compression::Zstd;
        config.linger = Duration::from_micros(1500);
        config.extra.insert("socket.keepalive.enable".into(), "true".into());
        assert_eq!(config.problems(), Vec::<String>::new());
        assert!(config.producer(10).unwrap().create_native_config().is_ok());
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let mut config = KafkaConfig::new(["a:1,b:2"]);
        config.protocol = Protocol::SaslSsl;
        config.tls.cert = Some("c".into());
        config.queue_bytes = 1;
        config.extra.insert("plugin.library.paths".into(), "x".into());
        assert_eq!(config.problems().len(), 5, "{:?}", config.problems());
    }
}
