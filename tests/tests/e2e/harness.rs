//! The harness itself: servers come and go, and the oracle notices what it is there to notice.

use millrace_tests::kafka::{Jvm, Kafka};
use millrace_tests::oracle::Oracle;
use millrace_tests::postgres::{Postgres, Stop};
use millrace_tests::shop::{self, Workload};
use millrace_tests::topics::Record;
use millrace_tests::{seed, servers};
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
