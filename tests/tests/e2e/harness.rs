//! The harness itself: servers come and go, and the oracle notices what it is there to notice.

use millrace_tests::kafka::{Jvm, Kafka};
use millrace_tests::oracle::Oracle;
use millrace_tests::postgres::{Postgres, Stop};
use millrace_tests::shop::{self, Workload};
use millrace_tests::topics::Record;
use millrace_tests::{seed, servers};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn servers_keep_their_data_across_restarts() {
    let mut postgres = Postgres::start("");
    let database = postgres.database("restart");
    database.exec("CREATE TABLE t(id int); INSERT INTO t VALUES (1)");
    postgres.stop(Stop::Immediate);
    postgres.start_again();
    assert_eq!(database.one("SELECT count(*) FROM t").as_deref(), Some("1"));
    postgres.restart_with("wal_level = replica");
    assert_eq!(database.one("SHOW wal_level").as_deref(), Some("replica"));

    let mut kafka = Kafka::start(Jvm::Light, "");
    kafka.create_topic("kept", 3, &[("retention.ms", "1234567")]);
    kafka.kill();
    kafka.start_again();
    assert_eq!(kafka.topics().get("kept"), Some(&3));
    assert_eq!(kafka.topic_setting("kept", "retention.ms").as_deref(), Some("1234567"));
    kafka.delete_topic("kept");
    kafka.stop();
}

#[test]
fn readers_see_every_partition_key_and_header() {
    let kafka = servers::kafka();
    let mut reader = kafka.reader(&["harness-one", "harness-two"]);
    kafka.create_topic("harness-one", 3, &[]);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", kafka.address()).create().expect("create a producer");
    let mut end_offsets = kafka.end_offsets("harness-two");
    assert_eq!(end_offsets(), 0);
    kafka.create_topic("harness-two", 1, &[]);
    for (n, topic) in ["harness-one", "harness-one", "harness-two"].into_iter().enumerate() {
        let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("v") });
        let (key, value, partition) = (n.to_string(), format!("{{\"n\":{n}}}"), if n == 0 { 2 } else { 0 });
        let record = BaseRecord::to(topic).key(&key).payload(&value).partition(partition).headers(headers);
        producer.send(record).map_err(|(e, _)| e).expect("send");
    }
    producer.flush(Duration::from_secs(10)).expect("flush");
    let mut records: Vec<_> = reader.exactly(3, Duration::from_secs(10)).to_vec();
    records.sort_by_key(Record::key_text);
    assert_eq!(
        records.iter().map(|r| (r.topic.as_str(), r.partition)).collect::<Vec<_>>(),
        [("harness-one", 2), ("harness-one", 0), ("harness-two", 0)]
    );
    assert!(records.iter().all(|r| r.headers == [("h".to_owned(), b"v".to_vec())] && r.position().is_none()));
    assert_eq!((records[1].json()["n"].as_u64(), end_offsets()), (Some(1), 1));
    let short =
        catch_unwind(AssertUnwindSafe(|| kafka.reader(&["harness-one"]).exactly(1, Duration::from_secs(10)).len()));
    assert!(short.is_err(), "one record more than there should be is noticed");
}

/// Records as a faultless gateway would make them from the history.
fn faultless(history: &[Vec<Option<String>>]) -> Vec<Record> {
    let record = |(offset, row): (usize, &Vec<Option<String>>)| {
        let image = |column: usize| row[column].as_deref().map(|json| serde_json::from_str(json).expect("JSON"));
        let (new, old): (Option<Value>, Option<Value>) = (image(2), image(3));
        let envelope = json!({
            "id": offset, "ts": 1, "table": row[0], "type": row[1], "data": new.map(|row| [row]), "old": old.map(|row| [row]),
        });
        Record {
            topic: "t".to_owned(),
            partition: 0,
            offset: offset.try_into().expect("an offset"),
            timestamp: None,
            key: None,
            value: Some(envelope.to_string().into_bytes()),
            headers: Vec::new(),
        }
    };
    history.iter().enumerate().map(record).collect()
}

#[test]
fn the_oracle_notices_loss_disorder_damage_and_invention() {
    let seed = seed("oracle");
    let database = Arc::new(servers::postgres().database("oracle"));
    database.exec(shop::SCHEMA);
    // Whole old images, so that what the oracle recorded is what a faultless gateway delivers.
    database.exec("ALTER TABLE customers REPLICA IDENTITY FULL; ALTER TABLE order_items REPLICA IDENTITY FULL");
    let oracle = Oracle::observe(&database, &shop::TABLES);
    let workload = Workload::start(&database, seed, 4, Duration::ZERO);
    database.wait_until("SELECT count(*) > 500 FROM truth.history", "t", Duration::from_secs(30));
    let tally = workload.stop();
    assert!(tally.rolled_back.load(std::sync::atomic::Ordering::Relaxed) > 0, "some transactions roll back");

    let history = database.rows("SELECT tab, op, new, old FROM truth.history ORDER BY seq");
    let whole = faultless(&history);
    let agreement = oracle.compare(&database, &whole);
    assert_eq!((agreement.changes, agreement.repeats), (history.len(), 0));

    let mut repeated = whole.clone();
    repeated.extend(whole[100..].to_vec());
    assert_eq!(oracle.compare(&database, &repeated).repeats, whole.len() - 100, "sent again is allowed");

    let update = (1..history.len()).find(|&n| history[n][1].as_deref() == Some("UPDATE")).expect("an update");
    let mut lost = whole.clone();
    lost.remove(update);
    let mut late = whole.clone();
    let moved = late.remove(update);
    late.push(moved);
    let mut swapped = whole.clone();
    // Two updates of a customer change places, ids and all: only the comparison of contents can tell.
    let customer = |n: usize| {
        let new: Value = serde_json::from_str(history[n][2].as_deref()?).expect("JSON");
        (history[n][1].as_deref() == Some("UPDATE")).then(|| new["id"].as_str().map(str::to_owned))?
    };
    let pair = |n: usize| {
        Some((
            n,
            (n + 1..history.len())
                .find(|&m| customer(n).is_some() && customer(m) == customer(n) && history[m][2] != history[n][2])?,
        ))
    };
    let mut customers = (0..history.len()).filter(|&n| history[n][0].as_deref() == Some("customers"));
    let (one, other) = customers.find_map(pair).expect("two updates of one customer");
    let with_id = |record: &Record, id: usize| {
        let mut envelope = record.json();
        envelope["id"] = json!(id);
        Some(envelope.to_string().into_bytes())
    };
    swapped[one].value = with_id(&whole[other], one);
    swapped[other].value = with_id(&whole[one], other);
    let mut invented = whole.clone();
    let mut extra = invented[update].clone();
    extra.value = with_id(&extra, history.len());
    invented.push(extra);
    let mut damaged = whole.clone();
    let mut envelope = damaged[update].json();
    let (_, value) = envelope["data"][0].as_object_mut().expect("an image").iter_mut().next().expect("a column");
    *value = json!("damaged");
    damaged[update].value = Some(envelope.to_string().into_bytes());
    let mut differs = whole.clone();
    differs.push(damaged[update].clone());

    let broken = [lost, late, swapped, invented, damaged, differs];
    for (n, records) in broken.iter().enumerate() {
        let verdict = catch_unwind(AssertUnwindSafe(|| oracle.compare(&database, records)));
        assert!(verdict.is_err(), "fault {n} was not noticed");
    }
}
