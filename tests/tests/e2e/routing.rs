//! Topics and partitions: the documented policies, hashed as Kafka's Java client hashes.

use crate::stage::{SOON, Stage};
use millrace_tests::gateway::Gateway;

/// Kafka's `Utils.murmur2`, written anew from its description so that the gateway's own cannot agree with itself.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(bytes.len()).expect("a short key");
    let mut h = 0x9747_b28c ^ length;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("four bytes")).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (n, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * n);
        }
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

/// The partition of the Java client's default partitioner.
fn partition(key: &str, partitions: u32) -> i32 {
    ((murmur2(key.as_bytes()) & 0x7fff_ffff) % partitions).try_into().expect("a partition")
}

#[test]
fn the_hash_of_this_test_is_that_of_the_java_client() {
    // Kafka, clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2.
    for (key, want) in [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ] {
        assert_eq!(murmur2(key.as_bytes()).cast_signed(), want, "{key}");
    }
}

#[test]
fn by_primary_key() {
    let stage = Stage::new(
        "bykey",
        "CREATE TABLE t(id text PRIMARY KEY); CREATE TABLE pair(a int, b text, PRIMARY KEY (b, a)); \
         CREATE TABLE nokey(v int); ALTER TABLE nokey REPLICA IDENTITY FULL",
    );
    let mut task = stage.task.clone();
    task.set("route.partitions", "7").set("route.topic_policy", "1").set("route.partition_policy", "2");
    let mut gateway = Gateway::ready(&task);
    stage.database.exec(
        "INSERT INTO t SELECT 'key '||n FROM generate_series(1,200) n; INSERT INTO t VALUES (''),('数据'),('\"'); \
         INSERT INTO pair SELECT n, 'b\"'||n FROM generate_series(1,50) n; INSERT INTO nokey SELECT generate_series(1,50)",
    );
    let mut reader = stage.reader(&["t"]);
    for record in reader.exactly(203, SOON) {
        let id = record.json()["data"][0]["id"].as_str().expect("a key").to_owned();
        assert_eq!((record.key_text(), record.partition), (id.clone(), partition(&id, 7)));
    }
    let mut reader = stage.reader(&["pair"]);
    for record in reader.exactly(50, SOON) {
        let image = &record.json()["data"][0];
        let key = format!("[{},{}]", image["b"], image["a"]);
        assert_eq!((record.key_text(), record.partition), (key.clone(), partition(&key, 7)));
    }
    let name = format!("{}.public.nokey", stage.database.name());
    let mut reader = stage.reader(&["nokey"]);
    for record in reader.exactly(50, SOON) {
        assert_eq!(
            (record.key_text(), record.partition),
            (name.clone(), partition(&name, 7)),
            "falls back to the table's name"
        );
    }
    gateway.stop_cleanly();
}

#[test]
fn every_allowed_pair_of_policies() {
    // drs: topic policy, the partition policies it may be combined with.
    let pairs = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 0), (2, 1), (2, 3), (3, 0), (3, 1)];
    for (topic_policy, partition_policy) in pairs {
        let stage = Stage::new(
            &format!("pair{topic_policy}{partition_policy}"),
            "CREATE TABLE one(id int PRIMARY KEY); CREATE TABLE two(id int PRIMARY KEY)",
        );
        let database = stage.database.name();
        let mut task = stage.task.clone();
        let single = format!("{database}-single");
        task.set("route.topic_policy", &topic_policy.to_string());
        task.set("route.partition_policy", &partition_policy.to_string()).set("route.partitions", "5");
        if topic_policy == 0 {
            // A topic that is named is there already, by contract.
            task.text("route.topic", &single);
            stage.kafka.create_topic(&single, 5, &[]);
        }
        let topic = |table: &str| match topic_policy {
            0 => single.clone(),
            1 => format!("{database}-public-{table}"),
            2 => database.to_owned(),
            _ => format!("{database}-public"),
        };
        let mut gateway = Gateway::ready(&task);
        stage
            .database
            .exec("INSERT INTO one SELECT generate_series(1,10); INSERT INTO two SELECT generate_series(1,10)");
        let topics: std::collections::BTreeSet<String> = ["one", "two"].into_iter().map(topic).collect();
        let mut reader = stage.kafka.reader(&topics.iter().map(String::as_str).collect::<Vec<_>>());
        for record in reader.exactly(20, SOON) {
            let envelope = record.json();
            let (table, id) = (envelope["table"].as_str().expect("a table"), &envelope["data"][0]["id"]);
            assert_eq!(record.topic, topic(table));
            let want = match partition_policy {
                0 => partition(&format!("{database}.public.{table}"), 5),
                1 => 0,
                2 => partition(id.as_str().expect("a key"), 5),
                _ => partition(&format!("{database}.public"), 5),
            };
            assert_eq!(record.partition, want, "policies {topic_policy} and {partition_policy}: {envelope}");
        }
        gateway.stop_cleanly();
    }
}

#[test]
fn topics_are_made_as_configured_and_taken_as_they_are() {
    let stage = Stage::new("made", "CREATE TABLE fresh(id int PRIMARY KEY); CREATE TABLE there(id int PRIMARY KEY)");
    stage.kafka.create_topic(&stage.topic("there"), 2, &[]);
    let mut task = stage.task.clone();
    task.set("route.partitions", "6")
        .set("route.topic_settings", r#"{ "retention.ms" = "3600000", "cleanup.policy" = "delete" }"#);
    let mut gateway = Gateway::ready(&task);
    stage
        .database
        .exec("INSERT INTO fresh SELECT generate_series(1,30); INSERT INTO there SELECT generate_series(1,30)");
    stage.reader(&["fresh", "there"]).exactly(60, SOON);
    let topics = stage.kafka.topics();
    assert_eq!((topics[&stage.topic("fresh")], topics[&stage.topic("there")]), (6, 2));
    assert_eq!(stage.kafka.topic_setting(&stage.topic("fresh"), "retention.ms").as_deref(), Some("3600000"));
    let positions = format!("{}-positions", stage.database.name());
    assert_eq!(topics[&positions], 1);
    assert_eq!(stage.kafka.topic_setting(&positions, "cleanup.policy").as_deref(), Some("compact"));
    gateway.stop_cleanly();
}

#[test]
fn topics_that_would_collide_are_refused_before_the_start() {
    let stage = Stage::new(
        "collide",
        "CREATE SCHEMA \"a-b\"; CREATE SCHEMA a; CREATE TABLE \"a-b\".c(id int PRIMARY KEY); CREATE TABLE a.\"b-c\"(id int PRIMARY KEY)",
    );
    let publication = stage.task.slot();
    stage.database.exec(&format!("ALTER PUBLICATION {publication} ADD TABLE \"a-b\".c, a.\"b-c\""));
    let mut task = stage.task.clone();
    task.set("objects.include", "[\"*.*\"]");
    for (format, start) in [("$schema$-$tablename$", "topic"), ("$schema$.$tablename$", "")] {
        task.text("route.topic_name_format", format);
        if start.is_empty() {
            // Another separator tells them apart: nothing else was wrong.
            Gateway::ready(&task).stop_cleanly();
            continue;
        }
        let mut gateway = Gateway::start(&task);
        let status = gateway.wait_halted("stage_announce", SOON).to_string();
        assert!(status.contains("would collide") && status.contains("a-b-c"), "{status}");
        assert!(!stage.kafka.topics().contains_key("a-b-c"), "no topic is made");
        gateway.stop_cleanly();
    }
}

#[test]
fn a_cap_on_topics_that_are_created() {
    let stage = Stage::new(
        "topiccap",
        "CREATE TABLE t1(id int PRIMARY KEY); CREATE TABLE t2(id int PRIMARY KEY); CREATE TABLE t3(id int PRIMARY KEY)",
    );
    let mut task = stage.task.clone();
    task.set("route.max_topics", "2");
    let mut gateway = Gateway::start(&task);
    let status = gateway.wait_halted("topic_limit", SOON).to_string();
    assert!(status.contains("route.max_topics allows 2"), "{status}");
    assert!(!stage.kafka.topics().contains_key(&stage.topic("t1")), "none of them is made");
    gateway.stop_cleanly();
    // A topic that is there already is not created.
    for table in ["t1", "t2", "t3"] {
        stage.kafka.create_topic(&stage.topic(table), 1, &[]);
    }
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("CREATE TABLE t4(id int PRIMARY KEY)");
    stage.database.exec(&format!("ALTER PUBLICATION {} ADD TABLE t4", task.slot()));
    stage.database.exec("INSERT INTO t1 VALUES (1); INSERT INTO t4 VALUES (1)");
    gateway.wait_halted("topic_limit", SOON);
    gateway.stop_cleanly();
    task.set("route.max_topics", "4");
    let mut gateway = Gateway::ready(&task);
    // What was delivered before the halt may come again.
    let topic = stage.topic("t4");
    stage.reader(&["t1", "t4"]).until("the fourth topic", SOON, |records| records.iter().any(|r| r.topic == topic));
    gateway.stop_cleanly();
}

#[test]
fn an_update_of_the_key_goes_to_the_new_key_or_is_split() {
    for split in [false, true] {
        let stage =
            Stage::new(if split { "keysplit" } else { "keymove" }, "CREATE TABLE t(id text PRIMARY KEY, v text)");
        let mut task = stage.task.clone();
        task.set("route.partitions", "7").set("route.split_key_changes", &split.to_string());
        let mut gateway = Gateway::ready(&task);
        stage
            .database
            .exec("INSERT INTO t VALUES ('old','x'); UPDATE t SET id = 'new'; UPDATE t SET v = 'y'; DELETE FROM t");
        let count = if split { 5 } else { 4 };
        let mut records = stage.reader(&["t"]).exactly(count, SOON).to_vec();
        records.sort_by_key(|record| record.json()["id"].as_u64());
        let told: Vec<(String, String, i32)> = records
            .iter()
            .map(|record| {
                (record.json()["type"].as_str().expect("a type").to_owned(), record.key_text(), record.partition)
            })
            .collect();
        let of = |op: &str, key: &str| (op.to_owned(), key.to_owned(), partition(key, 7));
        let ends = [of("UPDATE", "new"), of("DELETE", "new")];
        let begins = if split {
            vec![of("INSERT", "old"), of("DELETE", "old"), of("INSERT", "new")]
        } else {
            vec![of("INSERT", "old"), of("UPDATE", "new")]
        };
        assert_eq!(told, [&begins[..], &ends].concat());
        let ids: Vec<u64> = records.iter().filter_map(|record| record.json()["id"].as_u64()).collect();
        assert_eq!(ids, (1..=count as u64).collect::<Vec<_>>());
        if split {
            assert_eq!(records[2].json()["data"], serde_json::json!([{ "id": "new", "v": "x" }]));
            assert_eq!(records[1].position().map(|at| at.ordinal + 1), records[2].position().map(|at| at.ordinal));
        } else {
            assert!(gateway.log().contains("primary_key_updated"), "it is told");
        }
        gateway.stop_cleanly();
    }
}

#[test]
fn headers_can_be_switched_off() {
    let stage = Stage::new("bare", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut task = stage.task.clone();
    task.set("sink.headers", "false");
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO t VALUES (1)");
    assert!(stage.reader(&["t"]).exactly(1, SOON)[0].headers.is_empty());
    gateway.stop_cleanly();
}

#[test]
fn every_codec_is_read_by_consumers() {
    for codec in ["lz4", "zstd", "snappy", "gzip"] {
        let stage = Stage::new(codec, "CREATE TABLE t(id int PRIMARY KEY, v text)");
        let mut task = stage.task.clone();
        task.text("sink.compression", codec);
        let mut gateway = Gateway::ready(&task);
        stage.database.exec("INSERT INTO t SELECT n, repeat('abc',50) FROM generate_series(1,500) n");
        stage.reader(&["t"]).exactly(500, SOON);
        gateway.stop_cleanly();
    }
}
