//! Scripted faults of the mock cluster: what is acknowledged, and what never is.

use std::time::Duration;

use millrace_sink::{KafkaConfig, Producer, SendError, TopicHandle};
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr as Answer},
};

use crate::{failure_of, read, record, send};

fn cluster(topic: &str, partitions: i32) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic, partitions, 1).unwrap();
    cluster
}

fn producer(cluster: &MockCluster<'static, DefaultProducerContext>, topic: &str) -> (Producer, TopicHandle) {
    let mut config = KafkaConfig::new([cluster.bootstrap_servers()]);
    config.extra.insert("reconnect.backoff.max.ms".into(), "200".into());
    let producer = Producer::start(&config).unwrap();
    let topic = producer.topic(topic, None).unwrap();
    (producer, topic)
}

#[test]
fn a_refused_batch_fails_the_producer_and_the_watermark_stops_before_it() {
    for (answer, code) in [
        (Answer::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "message_too_large"),
        (Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "kafka_topic_authorization"),
        (Answer::RD_KAFKA_RESP_ERR_INVALID_RECORD, "kafka_record_refused"),
    ] {
        let cluster = cluster("t", 1);
        let (producer, topic) = producer(&cluster, "t");
        for seq in 0..100 {
            send(&producer, &topic, &record(seq, 0, b"before")).unwrap();
        }
        assert_eq!(producer.flush(Duration::from_secs(30)), Ok(100));
        cluster.request_errors(RDKafkaApiKey::Produce, &[answer]);
        for seq in 100..150 {
            if send(&producer, &topic, &record(seq, 0, b"behind")).is_err() {
                break;
            }
        }
        let failure = failure_of(&producer);
        assert!(failure.code == code && failure.is_definite(), "{failure}");
        assert!(failure.tried.contains("topic t partition 0"), "{failure}");
        // Nothing is taken any more, and the watermark stays where the failure began.
        let next = 100 + producer.in_flight();
        let Err(SendError::Failed(again)) = producer.send(&topic, &record(next, 0, b"x")) else { panic!("taken") };
        assert_eq!(again.code, code);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(producer.watermark(), 100);
        assert_eq!(producer.flush(Duration::from_secs(1)).unwrap_err().code, code);
    }
}

#[test]
fn passing_errors_and_a_broker_that_goes_and_comes_lose_nothing() {
    let cluster = cluster("t", 3);
    let (producer, topic) = producer(&cluster, "t");
    let passing = [
        Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Answer::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    ];
    cluster.request_errors(RDKafkaApiKey::Produce, &passing);
    for seq in 0..3000u64 {
        if seq == 1500 {
            cluster.broker_down(1).unwrap();
        }
        send(&producer, &topic, &record(seq, (seq % 3) as i32, seq.to_string().as_bytes())).unwrap();
    }
    std::thread::sleep(Duration::from_millis(500));
    assert!(producer.failure().is_none() && producer.in_flight() >= 1500 && producer.in_flight_bytes() > 0);
    cluster.broker_up(1).unwrap();
    assert_eq!(producer.flush(Duration::from_secs(60)), Ok(3000));
    assert_eq!((producer.in_flight(), producer.in_flight_bytes()), (0, 0));
    let found = read::all(&cluster.bootstrap_servers(), "t", 3);
    for partition in 0..3 {
        let numbers: Vec<u64> = found.iter().filter(|r| r.partition == partition).map(read::Read::number).collect();
        assert_eq!(numbers, (0..1000).map(|n| n * 3 + partition as u64).collect::<Vec<_>>());
    }
}

/// The broker refuses the first request to a partition for now and accepts the one behind it, as a real one may while it knows nothing
/// of the producer. librdkafka would take the second's success as the first's and report the first record delivered.
#[test]
fn the_first_record_of_a_partition_is_not_lost_behind_the_second() {
    let cluster = cluster("t", 2);
    let (producer, topic) = producer(&cluster, "t");
    // The producer has its id and its connection before the fault.
    send(&producer, &topic, &record(0, 1, b"0")).unwrap();
    assert_eq!(producer.flush(Duration::from_secs(30)), Ok(1));
    cluster.broker_round_trip_time(1, Duration::from_millis(200)).unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, &[Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS]);
    send(&producer, &topic, &record(1, 0, b"1")).unwrap();
    // Long enough for the first to be on its way, short enough for its answer not to be here.
    std::thread::sleep(Duration::from_millis(100));
    send(&producer, &topic, &record(2, 0, b"2")).unwrap();
    assert_eq!(producer.flush(Duration::from_secs(30)), Ok(3));
    let found = read::all(&cluster.bootstrap_servers(), "t", 2);
    let numbers: Vec<u64> = found.iter().filter(|r| r.partition == 0).map(read::Read::number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn a_full_queue_is_told_and_nothing_of_it_is_lost() {
    let cluster = cluster("t", 1);
    let mut config = KafkaConfig::new([cluster.bootstrap_servers()]);
    config.queue_bytes = 1 << 20;
    config.extra.insert("reconnect.backoff.max.ms".into(), "200".into());
    let producer = Producer::start(&config).unwrap();
    let topic = producer.topic("t", None).unwrap();
    send(&producer, &topic, &record(0, 0, b"x")).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    cluster.broker_down(1).unwrap();
    let value = vec![b'x'; 10_000];
    let mut seq = 1;
    while producer.send(&topic, &record(seq, 0, &value)) != Err(SendError::QueueFull) {
        seq += 1;
        assert!(seq < 1000, "1 MiB holds 104 of these");
    }
    cluster.broker_up(1).unwrap();
    send(&producer, &topic, &record(seq, 0, &value)).unwrap();
    assert_eq!(producer.flush(Duration::from_secs(30)), Ok(seq + 1));
}

#[test]
fn what_cannot_be_produced_is_told_at_once() {
    let cluster = cluster("t", 2);
    let (producer, topic) = producer(&cluster, "t");
    send(&producer, &topic, &record(0, 1, b"x")).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    // A record that is too large is refused alone: its number is free for another one.
    let large = vec![b'x'; 1_100_000];
    assert_eq!(send(&producer, &topic, &record(1, 1, &large)).unwrap_err().code, "message_too_large");
    send(&producer, &topic, &record(1, 1, b"x")).unwrap();
    assert_eq!(producer.flush(Duration::from_secs(30)), Ok(2));
    let failure = send(&producer, &topic, &record(2, 7, b"x")).unwrap_err();
    assert_eq!((failure.code, failure.is_definite()), ("kafka_unknown_topic", true));
    assert_eq!(producer.failure(), Some(failure));
}

#[test]
fn a_purge_ends_it_and_acknowledges_nothing() {
    let cluster = cluster("t", 1);
    let (producer, topic) = producer(&cluster, "t");
    send(&producer, &topic, &record(0, 0, b"x")).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    cluster.broker_down(1).unwrap();
    for seq in 1..100 {
        send(&producer, &topic, &record(seq, 0, b"x")).unwrap();
    }
    producer.purge();
    let failure = failure_of(&producer);
    assert_eq!((failure.code, failure.is_definite()), ("kafka_purged", false));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(producer.watermark(), 1);
}

#[test]
#[should_panic(expected = "with the producer that opened it")]
fn a_topic_of_another_producer_is_a_defect() {
    let cluster = cluster("t", 1);
    let (_first, topic) = producer(&cluster, "t");
    let (second, _) = producer(&cluster, "t");
    let _ = second.send(&topic, &record(0, 0, b"x"));
}
