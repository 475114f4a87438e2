//! Topics and the way to the cluster, on a real broker.

use std::collections::BTreeMap;

use millrace_sink::{KafkaConfig, Producer, Protocol, Sasl, SaslMechanism, Secret, TopicState, TopicWanted, Topics};

use crate::{failure_of, kafka};

fn wanted(name: &str, partitions: u32) -> TopicWanted {
    let settings = BTreeMap::from([("max.message.bytes".to_owned(), "700000".to_owned())]);
    TopicWanted { name: name.to_owned(), partitions, replication_factor: 1, settings }
}

#[test]
fn missing_topics_are_made_and_existing_ones_given_as_they_are() {
    let topics = Topics::connect(&KafkaConfig::new([kafka::shared().address()])).unwrap();
    let cluster = topics.cluster().unwrap();
    assert_eq!(cluster.brokers, [kafka::shared().address()]);
    assert!(cluster.id.is_some_and(|id| !id.is_empty()));
    let state = |partitions, created| TopicState {
        name: "topics-a".to_owned(),
        partitions,
        created,
        max_message_bytes: Some(700_000),
        cleanup_policy: Some("delete".to_owned()),
    };
    assert_eq!(topics.describe(&["topics-a"]), Ok(Vec::new()));
    assert_eq!(topics.ensure(&[wanted("topics-a", 3)]), Ok(vec![state(3, true)]));
    let found = topics.ensure(&[wanted("topics-b", 1), wanted("topics-a", 5)]).unwrap();
    assert_eq!(found[1], state(3, false));
    assert!(found[0].created && found[0].name == "topics-b");
}

#[test]
fn what_the_cluster_refuses_is_definite() {
    let topics = Topics::connect(&KafkaConfig::new([kafka::shared().address()])).unwrap();
    let mut replicated = wanted("topics-r", 1);
    replicated.replication_factor = 3;
    let mut odd = wanted("topics-o", 1);
    odd.settings.insert("no.such.setting".into(), "1".into());
    for (wanted, code) in [
        (replicated, "replication_factor"),
        (odd, "topic_create_refused"),
        (wanted("no/such name", 1), "topic_create_refused"),
    ] {
        let failure = topics.ensure(std::slice::from_ref(&wanted)).unwrap_err();
        assert!(failure.code == code && failure.is_definite() && failure.tried.contains(&wanted.name), "{failure}");
    }
    assert_eq!(topics.describe(&["topics-r", "topics-o", "no/such name"]), Ok(Vec::new()));
}

#[test]
fn a_refused_login_is_definite_and_shows_no_password() {
    let (user, password) = kafka::LOGIN;
    let config = |password: &str| {
        let mut config = KafkaConfig::new([kafka::shared().sasl_address()]);
        config.protocol = Protocol::SaslPlaintext;
        config.sasl = Some(Sasl::Password {
            mechanism: SaslMechanism::Plain,
            username: user.to_owned(),
            password: Secret::new(password),
        });
        config
    };
    assert!(Topics::connect(&config(password)).is_ok());
    let bad = config("hunter2");
    let failure = Topics::connect(&bad).err().unwrap();
    assert!(failure.code == "kafka_authentication" && failure.is_definite(), "{failure}");
    assert!(!failure.to_string().contains("hunter2"));
    // A producer learns it from the callback alone.
    let producer = Producer::start(&bad).unwrap();
    assert_eq!(failure_of(&producer).code, "kafka_authentication");
}

#[test]
fn a_cluster_that_is_not_there_is_transient() {
    let failure = Topics::connect(&KafkaConfig::new(["127.0.0.1:1"])).err().unwrap();
    assert!(failure.code == "kafka_unreachable" && !failure.is_definite(), "{failure}");
    assert!(failure.why.contains("127.0.0.1:1"), "{failure}");
}
