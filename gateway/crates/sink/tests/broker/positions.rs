//! The position topic on a real broker: the mock neither fences nor hides what was not committed.

use std::time::Duration;

use millrace_batch::Lsn;
use millrace_position::{Position, PositionRecord, PositionStore, SlotState, version_for};
use millrace_sink::{KafkaConfig, PositionTopic, PositionTopicOptions, TopicWanted, Topics, read_positions};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::kafka;

fn options(topic: &str, task: &str, shard: u16) -> PositionTopicOptions {
    PositionTopicOptions { topic: topic.to_owned(), task: task.to_owned(), shard, replication_factor: 1 }
}

fn record(task: &str, shard: u16, lsn: u64) -> PositionRecord {
    PositionRecord {
        version: version_for(&[]),
        task: task.to_owned(),
        position: Position { shard, end_lsn: Lsn(lsn), ordinal: 0, next_id: lsn },
        shards: 2,
        node: None,
        source_kind: "postgresql".into(),
        decoding: "pgoutput".into(),
        system_identifier: "1".into(),
        timeline: Some(1),
        slot: "s".into(),
        slot_state: SlotState::Created,
        partitions: Default::default(),
        modules: Vec::new(),
        selection: String::new(),
        paused: false,
        written_at_ms: 0,
    }
}

#[test]
fn the_next_owner_reads_what_the_last_one_wrote_and_fences_it() {
    let config = KafkaConfig::new([kafka::shared().address()]);
    let own = options("positions", "shop", 0);
    let (mut first, none) = PositionTopic::open(&config, &own).unwrap();
    assert_eq!(none, None);
    for lsn in 1..=20 {
        first.write(&record("shop", 0, lsn)).unwrap();
    }
    // Another shard and another task whose name continues this one's are no concern of it.
    let (mut other, none) = PositionTopic::open(&config, &options("positions", "shop", 1)).unwrap();
    assert_eq!(none, None);
    other.write(&record("shop", 1, 7)).unwrap();
    let (mut longer, _) = PositionTopic::open(&config, &options("positions", "shop/1", 0)).unwrap();
    longer.write(&record("shop/1", 0, 9)).unwrap();

    let (mut second, found) = PositionTopic::open(&config, &own).unwrap();
    assert_eq!(found, Some(record("shop", 0, 20)));
    let failure = first.write(&record("shop", 0, 21)).unwrap_err();
    assert!(failure.code == "position_fenced" && failure.is_definite(), "{failure}");
    assert_eq!(first.write(&record("shop", 0, 22)).unwrap_err().code, "position_fenced", "it stays spent");
    second.write(&record("shop", 0, 30)).unwrap();

    let all = read_positions(&config, "positions", "shop", Duration::from_secs(20)).unwrap();
    assert_eq!(all.into_values().collect::<Vec<_>>(), [record("shop", 0, 30), record("shop", 1, 7)]);
    second.forget().unwrap();
    let (_third, found) = PositionTopic::open(&config, &own).unwrap();
    assert_eq!(found, None);
    let all = read_positions(&config, "positions", "shop", Duration::from_secs(20)).unwrap();
    assert_eq!(all.into_keys().collect::<Vec<_>>(), [1]);
}

fn foreign(id: Option<&str>) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka::shared().address());
    if let Some(id) = id {
        config.set("transactional.id", id).set("transaction.timeout.ms", "3000");
    }
    config.create().unwrap()
}

#[test]
fn a_record_far_back_is_found_and_an_uncommitted_one_is_not() {
    let config = KafkaConfig::new([kafka::shared().address()]);
    let own = options("positions-long", "long", 0);
    let (mut store, _) = PositionTopic::open(&config, &own).unwrap();
    store.write(&record("long", 0, 5)).unwrap();
    let filler = foreign(None);
    for n in 0..3000 {
        filler
            .send(BaseRecord::to("positions-long").partition(0).key(&format!("other/{}", n % 9)).payload("x"))
            .unwrap();
    }
    filler.flush(Duration::from_secs(30)).unwrap();
    // A transaction of the same owner that dies halfway: the next open must neither see it nor lose what was before it.
    drop(store);
    let zombie = foreign(Some(&own.transactional_id()));
    zombie.init_transactions(Duration::from_secs(30)).unwrap();
    zombie.begin_transaction().unwrap();
    let late = record("long", 0, 6).encode().unwrap();
    zombie.send(BaseRecord::to("positions-long").partition(0).key("long/0").payload(&late)).unwrap();
    zombie.flush(Duration::from_secs(30)).unwrap();
    let (_store, found) = PositionTopic::open(&config, &own).unwrap();
    assert_eq!(found, Some(record("long", 0, 5)));
    assert!(zombie.commit_transaction(Duration::from_secs(10)).is_err(), "the zombie was fenced");
}

#[test]
fn a_stranger_with_an_open_transaction_delays_and_hides_nothing() {
    let config = KafkaConfig::new([kafka::shared().address()]);
    let own = options("positions-held", "held", 0);
    let (store, _) = PositionTopic::open(&config, &own).unwrap();
    let holder = foreign(Some("stranger"));
    holder.init_transactions(Duration::from_secs(30)).unwrap();
    holder.begin_transaction().unwrap();
    holder.send(BaseRecord::to("positions-held").partition(0).key("other/0").payload("x")).unwrap();
    holder.flush(Duration::from_secs(30)).unwrap();
    // Committed after the stranger began: the end of what read_committed shows lies before it until that transaction ends.
    let mut store = store;
    store.write(&record("held", 0, 8)).unwrap();
    let (_store, found) = PositionTopic::open(&config, &own).unwrap();
    assert_eq!(found, Some(record("held", 0, 8)));
}

#[test]
fn a_topic_that_would_lose_positions_is_refused() {
    let config = KafkaConfig::new([kafka::shared().address()]);
    let topic = |name: &str, partitions, policy: &str| TopicWanted {
        name: name.to_owned(),
        partitions,
        replication_factor: 1,
        settings: [("cleanup.policy".to_owned(), policy.to_owned())].into(),
    };
    let wanted = [
        topic("unfit-two", 2, "compact"),
        topic("unfit-delete", 1, "delete"),
        topic("unfit-both", 1, "compact,delete"),
    ];
    Topics::connect(&config).unwrap().ensure(&wanted).unwrap();
    for TopicWanted { name, .. } in wanted {
        let failure = PositionTopic::open(&config, &options(&name, "unfit", 0)).err().unwrap();
        assert!(failure.code == "position_topic_unfit" && failure.is_definite(), "{failure}");
    }
}

#[test]
fn a_record_of_a_later_release_is_refused() {
    let config = KafkaConfig::new([kafka::shared().address()]);
    let own = options("positions-newer", "newer", 0);
    drop(PositionTopic::open(&config, &own).unwrap());
    let later = foreign(None);
    later.send(BaseRecord::to("positions-newer").partition(0).key("newer/0").payload("{\"version\":1000}")).unwrap();
    later.flush(Duration::from_secs(30)).unwrap();
    let failure = PositionTopic::open(&config, &own).err().unwrap();
    assert!(failure.code == "position_newer_version" && failure.is_definite(), "{failure}");
}
