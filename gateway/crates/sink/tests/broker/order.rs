//! Order and completeness on a real broker, which checks sequence numbers as the mock does not.

use std::time::{Duration, Instant};

use millrace_sink::{Header, KafkaConfig, OutRecord, Producer, TopicWanted, Topics, record_size};

use crate::{
    failure_of,
    kafka::{self, Kafka},
    read, record, send,
};

fn topic(config: &KafkaConfig, name: &str, partitions: u32, settings: &[(&str, &str)]) {
    let wanted = TopicWanted {
        name: name.to_owned(),
        partitions,
        replication_factor: 1,
        settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    Topics::connect(config).unwrap().ensure(&[wanted]).unwrap();
}

#[test]
fn what_is_sent_is_what_is_read() {
    let config = KafkaConfig::new([kafka::shared().address()]);
    topic(&config, "order-content", 1, &[]);
    let producer = Producer::start(&config).unwrap();
    let handle = producer.topic("order-content", None).unwrap();
    let headers = [Header { name: "millrace", value: &[0, 1, 255] }, Header { name: "empty", value: b"" }];
    let full =
        OutRecord { key: Some(b"k"), headers: &headers, timestamp_ms: 1_700_000_000_123, ..record(0, 0, b"{\"a\":1}") };
    send(&producer, &handle, &full).unwrap();
    send(&producer, &handle, &OutRecord { key: Some(b""), value: None, ..record(1, 0, b"") }).unwrap();
    send(&producer, &handle, &record(2, 0, b"")).unwrap();
    assert_eq!(producer.flush(Duration::from_secs(30)), Ok(3));
    let found = read::all(&kafka::shared().address(), "order-content", 1);
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].key.as_deref(), found[0].value.as_deref()), (Some(&b"k"[..]), Some(&b"{\"a\":1}"[..])));
    assert_eq!(found[0].timestamp_ms, Some(1_700_000_000_123));
    let expected = [("millrace".to_owned(), vec![0, 1, 255]), ("empty".to_owned(), Vec::new())];
    assert_eq!(found[0].headers, expected);
    assert_eq!((found[1].key.as_deref(), found[1].value.as_deref()), (Some(&b""[..]), None));
    assert_eq!((found[2].key.as_deref(), found[2].value.as_deref()), (None, Some(&b""[..])));
}

#[test]
fn a_broker_that_hangs_costs_neither_order_nor_repeats() {
    let broker = Kafka::start();
    let mut config = KafkaConfig::new([broker.address()]);
    // Shorter than the broker hangs: requests are given up and sent again, whether or not they had been served.
    config.extra.insert("socket.timeout.ms".into(), "1000".into());
    config.extra.insert("reconnect.backoff.max.ms".into(), "100".into());
    topic(&config, "t", 1, &[]);
    let producer = Producer::start(&config).unwrap();
    let handle = producer.topic("t", None).unwrap();
    // The broker knows the producer before it hangs: until then the second record would wait for the first.
    send(&producer, &handle, &record(0, 0, b"0")).unwrap();
    assert_eq!(producer.flush(Duration::from_secs(30)), Ok(1));
    let mut seq = 1u64;
    for _ in 0..4 {
        let resume = Instant::now() + Duration::from_millis(1600);
        let mut stopped = false;
        while Instant::now() < resume {
            send(&producer, &handle, &record(seq, 0, seq.to_string().as_bytes())).unwrap();
            seq += 1;
            if !stopped {
                broker.signal("STOP");
                stopped = true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        broker.signal("CONT");
        for _ in 0..50 {
            send(&producer, &handle, &record(seq, 0, seq.to_string().as_bytes())).unwrap();
            seq += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(producer.flush(Duration::from_secs(60)), Ok(seq));
    let numbers: Vec<u64> = read::all(&broker.address(), "t", 1).iter().map(read::Read::number).collect();
    assert_eq!(numbers, (0..seq).collect::<Vec<_>>());
}

#[test]
fn nothing_overtakes_a_record_the_broker_refuses() {
    let config = KafkaConfig::new([kafka::shared().address()]);
    // The limit is not told to the producer, as where settings may not be read, so the broker is who refuses.
    topic(&config, "order-gap", 1, &[("max.message.bytes", "300000")]);
    let config = KafkaConfig { batch_bytes: 20_000, ..config };
    let producer = Producer::start(&config).unwrap();
    let handle = producer.topic("order-gap", None).unwrap();
    let mut text = [b' '; 1000];
    let large = vec![b'x'; 400_000];
    for seq in 0..2000u64 {
        text[..20].copy_from_slice(format!("{seq:>20}").as_bytes());
        let value = if seq == 1000 { &large[..] } else { &text[..] };
        if send(&producer, &handle, &record(seq, 0, value)).is_err() {
            break;
        }
    }
    let failure = failure_of(&producer);
    assert!(failure.code == "message_too_large" && failure.is_definite(), "{failure}");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(producer.watermark(), 1000);
    let numbers: Vec<u64> =
        read::all(&kafka::shared().address(), "order-gap", 1).iter().map(read::Read::number).collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>(), "no record behind the refused one may be there");
}

#[test]
fn the_broker_takes_every_size_that_passes_here() {
    let limit = 100_000;
    let config = KafkaConfig { batch_bytes: limit, ..KafkaConfig::new([kafka::shared().address()]) };
    topic(&config, "order-size", 1, &[("max.message.bytes", "100000")]);
    let producer = Producer::start(&config).unwrap();
    let handle = producer.topic("order-size", Some(limit)).unwrap();
    let headers = [Header { name: "millrace", value: &[7; 23] }];
    let mut seq = 0;
    for (key_len, headers) in
        [(0, &headers[..0]), (0, &headers[..]), (1, &headers[..]), (200, &headers[..]), (70_000, &headers[..])]
    {
        let key = vec![b'k'; key_len];
        let fixed = record_size(Some(&key), Some(b""), headers);
        for over in [0, 1] {
            let value = vec![b'v'; limit - fixed + over];
            let sent = OutRecord { key: Some(&key), headers, ..record(seq, 0, &value) };
            match send(&producer, &handle, &sent) {
                Ok(()) => {
                    assert_eq!(over, 0);
                    seq += 1;
                }
                Err(failure) => assert_eq!((over, failure.code), (1, "message_too_large")),
            }
        }
        // Small ones of every length beside it, so that batches with several records come near the limit too.
        for n in 0..300usize {
            let value = vec![b's'; n * 7 % 3000];
            send(&producer, &handle, &record(seq, 0, &value)).unwrap();
            seq += 1;
        }
    }
    assert_eq!(producer.flush(Duration::from_secs(30)), Ok(seq));

    let wide = Producer::start(&KafkaConfig::new([kafka::shared().address()])).unwrap();
    let failure = wide.topic("order-size", Some(limit)).unwrap_err();
    assert_eq!((failure.code, failure.is_definite()), ("batch_exceeds_topic", true));
}

#[test]
fn a_topic_that_is_not_there_is_told_and_not_made() {
    let mut config = KafkaConfig::new([kafka::shared().address()]);
    config.extra.insert("topic.metadata.propagation.max.ms".into(), "500".into());
    let producer = Producer::start(&config).unwrap();
    let handle = producer.topic("order-nowhere", None).unwrap();
    send(&producer, &handle, &record(0, 0, b"x")).unwrap();
    let failure = failure_of(&producer);
    assert!(failure.code == "kafka_unknown_topic" && failure.is_definite(), "{failure}");
    assert_eq!(Topics::connect(&config).unwrap().describe(&["order-nowhere"]), Ok(Vec::new()));
}
