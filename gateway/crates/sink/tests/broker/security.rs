//! Every protocol and mechanism against a real broker, with right and wrong secrets, and rights that are missing.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use millrace_sink::{
    KafkaConfig, PositionTopic, PositionTopicOptions, Producer, Protocol, Sasl, SaslMechanism, Secret, Store,
    TokenSource, TopicWanted, Topics,
};

use crate::{
    failure_of,
    kafka::{Kafka, free_port},
    record, send,
};

struct Secured {
    kafka: Kafka,
    tls: u16,
    mutual: u16,
    sasl_tls: u16,
    /// Advertised under an address that the certificate does not have.
    stranger: u16,
}

fn stores(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores").join(name)
}

fn broker() -> &'static Secured {
    static SHARED: OnceLock<Secured> = OnceLock::new();
    SHARED.get_or_init(|| {
        let [tls, mutual, sasl_tls, stranger] = [free_port(), free_port(), free_port(), free_port()];
        let lines = |listeners: &crate::kafka::Listeners| {
            let sasl = listeners.sasl_port;
            let (broker, trust) = (stores("broker.p12"), stores("trust.p12"));
            let mechanism = |listener: &str, name: &str, module: &str| {
                format!("listener.name.{listener}.{name}.sasl.jaas.config=org.apache.kafka.common.security.{module}\n")
            };
            let mut text = format!(
                "listeners=PLAINTEXT://127.0.0.1:@BROKER@,CONTROLLER://127.0.0.1:@CONTROLLER@,SASL_PLAINTEXT://127.0.0.1:{sasl},\
                 SSL://127.0.0.1:{tls},MTLS://127.0.0.1:{mutual},SASL_SSL://127.0.0.1:{sasl_tls},STRANGER://127.0.0.2:{stranger}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER@,SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://localhost:{tls},\
                 MTLS://localhost:{mutual},SASL_SSL://localhost:{sasl_tls},STRANGER://127.0.0.2:{stranger}\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,\
                 MTLS:SSL,SASL_SSL:SASL_SSL,STRANGER:SSL\n\
                 sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
                 ssl.keystore.type=PKCS12\nssl.keystore.location={}\nssl.keystore.password=changeit\n\
                 listener.name.mtls.ssl.client.auth=required\nlistener.name.mtls.ssl.truststore.type=PKCS12\n\
                 listener.name.mtls.ssl.truststore.location={}\nlistener.name.mtls.ssl.truststore.password=changeit\n\
                 authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                 super.users=User:ANONYMOUS;User:alice;User:carol;User:token;User:CN=client\n",
                broker.display(),
                trust.display()
            );
            for listener in ["sasl_ssl", "sasl_plaintext"] {
                text += &mechanism(listener, "plain", "plain.PlainLoginModule required user_alice=\"alice-pw\";");
                text += &mechanism(listener, "scram-sha-256", "scram.ScramLoginModule required;");
                text += &mechanism(listener, "scram-sha-512", "scram.ScramLoginModule required;");
                let module = "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";";
                text += &mechanism(listener, "oauthbearer", module);
            }
            text
        };
        let users = [
            "--add-scram",
            "SCRAM-SHA-256=[name=bob,password=bob-pw]",
            "--add-scram",
            "SCRAM-SHA-512=[name=carol,password=carol-pw]",
        ];
        let kafka = Kafka::start_with(&lines, &users);
        let topics = Topics::connect(&KafkaConfig::new([kafka.address()])).unwrap();
        topics.ensure(&[wanted("there")]).unwrap();
        Secured { kafka, tls, mutual, sasl_tls, stranger }
    })
}

fn wanted(name: &str) -> TopicWanted {
    TopicWanted { name: name.to_owned(), partitions: 1, replication_factor: 1, settings: Default::default() }
}

fn password(mechanism: SaslMechanism, username: &str, password: &str) -> Option<Sasl> {
    Some(Sasl::Password { mechanism, username: username.to_owned(), password: Secret::new(password) })
}

fn store(name: &str) -> Option<Store> {
    Some(Store { path: stores(name), password: Some(Secret::new("changeit")) })
}

fn tls(port: u16) -> KafkaConfig {
    let mut config = KafkaConfig::new([format!("localhost:{port}")]);
    config.protocol = Protocol::Ssl;
    config.tls.trust_store = store("trust.jks");
    config
}

/// One record goes through, and the cluster answers a client that asks.
pub(crate) fn works(config: &KafkaConfig) {
    let topics = Topics::connect(config).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(topics.describe(&["there"]).unwrap().len(), 1);
    let producer = Producer::start(config).unwrap();
    let topic = producer.topic("there", None).unwrap();
    send(&producer, &topic, &record(0, 0, b"x")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let reached = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), producer.reached(1)).await });
    reached.expect("acknowledged in time").unwrap_or_else(|failure| panic!("{failure}"));
}

/// Refused for good under this code, by whoever comes first.
pub(crate) fn refused(config: &KafkaConfig, code: &str) {
    let failure = Topics::connect(config).err().expect("must be refused");
    assert_eq!((failure.code, failure.is_definite()), (code, true), "{failure}");
    for secret in ["-pw", "changeit", "not-the-one"] {
        assert!(!failure.to_string().contains(secret), "{failure}");
    }
    match Producer::start(config) {
        Err(failure) => assert_eq!(failure.code, code),
        Ok(producer) => assert_eq!(failure_of(&producer).code, code),
    }
}

#[test]
fn tls_with_every_kind_of_store() {
    let port = broker().tls;
    for name in ["trust.jks", "trust.p12", "authority.pem"] {
        let mut config = tls(port);
        config.tls.trust_store = store(name);
        works(&config);
    }
    let mut config = tls(port);
    config.tls.trust_store = None;
    config.tls.ca = Some(stores("authority.pem"));
    works(&config);

    config.tls.ca = Some(stores("stranger.pem"));
    refused(&config, "kafka_tls");
    config.tls.ca = None;
    config.tls.trust_store = Some(Store { path: stores("trust.jks"), password: Some(Secret::new("not-the-one")) });
    let failure = Topics::connect(&config).err().unwrap();
    assert_eq!((failure.code, failure.is_definite()), ("kafka_store", true));
}

#[test]
fn the_host_name_is_verified_unless_switched_off() {
    let mut config = KafkaConfig::new([format!("127.0.0.2:{}", broker().stranger)]);
    config.protocol = Protocol::Ssl;
    config.tls.trust_store = store("trust.p12");
    refused(&config, "kafka_tls");
    config.tls.verify_host = false;
    works(&config);
    // What is switched off is the name alone.
    config.tls.trust_store = None;
    config.tls.ca = Some(stores("stranger.pem"));
    refused(&config, "kafka_tls");
}

#[test]
fn mutual_tls_with_every_kind_of_store() {
    let port = broker().mutual;
    for name in ["client.jks", "client.p12", "legacy.p12", "client.pem"] {
        let mut config = tls(port);
        config.tls.key_store = store(name);
        config.tls.key_password = (name == "client.jks").then(|| Secret::new("keypass1"));
        works(&config);
    }
    let mut config = tls(port);
    (config.tls.cert, config.tls.key) = (Some(stores("client.pem")), Some(stores("client.pem")));
    works(&config);
    refused(&tls(port), "kafka_tls");
}

#[test]
fn every_mechanism_with_right_and_wrong_secrets_inside_tls_and_without() {
    let secured = broker();
    for (protocol, address) in [
        (Protocol::SaslSsl, format!("localhost:{}", secured.sasl_tls)),
        (Protocol::SaslPlaintext, secured.kafka.sasl_address()),
    ] {
        let mut config = KafkaConfig::new([address]);
        config.protocol = protocol;
        if protocol == Protocol::SaslSsl {
            config.tls.trust_store = store("trust.p12");
        }
        for (mechanism, user, secret) in
            [(SaslMechanism::Plain, "alice", "alice-pw"), (SaslMechanism::ScramSha512, "carol", "carol-pw")]
        {
            config.sasl = password(mechanism, user, secret);
            works(&config);
            config.sasl = password(mechanism, user, "not-the-one");
            refused(&config, "kafka_authentication");
        }
        config.sasl = password(SaslMechanism::ScramSha256, "bob", "not-the-one");
        refused(&config, "kafka_authentication");
        // Known under the other digest only.
        config.sasl = password(SaslMechanism::ScramSha256, "carol", "carol-pw");
        refused(&config, "kafka_authentication");

        let part = |text: &str| {
            openssl::base64::encode_block(text.as_bytes()).replace('=', "").replace('+', "-").replace('/', "_")
        };
        let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let token = |sub: &str, iat: u64, exp: u64| {
            let claims = format!(r#"{{"sub":"{sub}","iat":{iat},"exp":{exp}}}"#);
            TokenSource::Text(Secret::new(format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims))))
        };
        config.sasl = Some(Sasl::Token(token("token", seconds, seconds + 3600)));
        works(&config);
        // Issued in the future: the broker refuses it.
        config.sasl = Some(Sasl::Token(token("token", seconds + 3000, seconds + 3600)));
        refused(&config, "kafka_authentication");
    }
}

/// Gives bob rights: TYPE/RESOURCE/OPERATION.
fn grant(secured: &Secured, rights: &[&str]) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/kafka/Acls.java");
    let mut command = std::process::Command::new("java");
    command.arg("-cp").arg(format!("{}/*", crate::kafka::libs().display())).arg(sources);
    let out = command.arg(secured.kafka.address()).arg("User:bob").args(rights).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    // The broker reads them from its log a moment later.
    std::thread::sleep(Duration::from_millis(500));
}

#[test]
fn missing_rights_are_told_apart() {
    let secured = broker();
    let mut config = KafkaConfig::new([secured.kafka.sasl_address()]);
    config.protocol = Protocol::SaslPlaintext;
    // Logs in, and may do nothing.
    config.sasl = password(SaslMechanism::ScramSha256, "bob", "bob-pw");
    let options =
        PositionTopicOptions { topic: "there-positions".into(), task: "shop".into(), shard: 0, replication_factor: 1 };
    drop(PositionTopic::open(&KafkaConfig::new([secured.kafka.address()]), &options).unwrap());
    let exactly = |failure: millrace_batch::Failure, code: &str, named: &str| {
        assert_eq!((failure.code, failure.is_definite()), (code, true), "{failure}");
        assert!(failure.to_string().contains(named), "{failure}");
    };

    // Creating a topic.
    let topics = Topics::connect(&config).unwrap();
    grant(secured, &["TOPIC/new/DESCRIBE"]);
    exactly(topics.ensure(&[wanted("new")]).unwrap_err(), "kafka_topic_authorization", "creating");
    grant(secured, &["TOPIC/new/CREATE"]);
    topics.ensure(&[wanted("new")]).unwrap();

    // Writing to one that may be seen.
    grant(secured, &["TOPIC/there/DESCRIBE", "CLUSTER/kafka-cluster/IDEMPOTENT_WRITE"]);
    let producer = Producer::start(&config).unwrap();
    let topic = producer.topic("there", None).unwrap();
    send(&producer, &topic, &record(0, 0, b"x")).unwrap();
    exactly(failure_of(&producer), "kafka_topic_authorization", "there");
    grant(secured, &["TOPIC/there/WRITE"]);
    works(&config);

    // The transactional id: everything else about the position topic is allowed.
    let rights =
        ["READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"].map(|right| format!("TOPIC/there-positions/{right}"));
    grant(secured, &rights.iter().map(String::as_str).collect::<Vec<_>>());
    let failure = PositionTopic::open(&config, &options).err().unwrap();
    exactly(failure, "kafka_transactional_id_authorization", "transactional");
}
