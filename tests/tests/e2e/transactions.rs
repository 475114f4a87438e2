//! What is committed arrives, in commit order, and nothing else does.

use crate::stage::{SOON, Stage, summary};
use millrace_tests::gateway::Gateway;
use millrace_tests::kafka::{Jvm, Kafka};
use millrace_tests::oracle::Oracle;
use millrace_tests::postgres::Postgres;
use millrace_tests::process::peak_rss_kib;
use millrace_tests::seed;
use millrace_tests::shop::{self, Workload};
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn concurrent_sessions_agree_with_the_oracle() {
    let seed = seed("shop");
    let stage = Stage::new("shop", shop::SCHEMA);
    let oracle = Oracle::observe(&stage.database, &shop::TABLES);
    let mut task = stage.task.clone();
    task.set("route.partitions", "4").set("route.partition_policy", "2");
    let mut gateway = Gateway::ready(&task);
    let workload = Workload::start(&stage.database, seed, 6, Duration::ZERO);
    stage.database.wait_until("SELECT count(*) > 4000 FROM truth.history", "t", Duration::from_secs(60));
    workload.stop();
    let topics = oracle.topics(&stage.database);
    let mut reader = stage.kafka.reader(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    let records = reader.exactly(oracle.count(&stage.database), SOON);
    assert!(records.iter().all(|record| record.position().is_some()), "every record carries its position");
    assert!(records.iter().any(|record| record.partition == 3), "four partitions are used");
    let agreement = oracle.compare(&stage.database, records);
    assert_eq!(agreement.repeats, 0, "nothing is sent twice where nothing fails");
    gateway.stop_cleanly();
}

#[test]
fn rolled_back_work_never_arrives() {
    let stage = Stage::new("rollback", "CREATE TABLE t(id int PRIMARY KEY, v text)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec(
        "BEGIN; INSERT INTO t VALUES (1,'gone'); ROLLBACK; \
         BEGIN; INSERT INTO t VALUES (2,'stays'); SAVEPOINT a; INSERT INTO t VALUES (3,'gone'); SAVEPOINT b; \
         UPDATE t SET v='gone'; ROLLBACK TO a; INSERT INTO t VALUES (4,'stays'); SAVEPOINT c; UPDATE t SET v='both' WHERE id=2; \
         RELEASE c; COMMIT; \
         BEGIN; DELETE FROM t; ROLLBACK; \
         BEGIN; INSERT INTO t VALUES (5,'last'); COMMIT",
    );
    let mut reader = stage.reader(&["t"]);
    let records = reader.exactly(4, SOON);
    assert_eq!(
        summary(records),
        [
            ("INSERT".into(), json!({"id":"2","v":"stays"})),
            ("INSERT".into(), json!({"id":"4","v":"stays"})),
            ("UPDATE".into(), json!({"id":"2","v":"both"})),
            ("INSERT".into(), json!({"id":"5","v":"last"})),
        ]
    );
    let positions: Vec<_> = records.iter().map(|record| record.position().expect("a header")).collect();
    assert!(positions[..3].iter().all(|p| p.commit_lsn == positions[0].commit_lsn), "one transaction, one commit LSN");
    assert_eq!(positions[..3].iter().map(|p| p.ordinal).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(positions[3].commit_lsn > positions[0].commit_lsn);
    let times: Vec<Value> = records[..3].iter().map(|record| record.json()["es"].clone()).collect();
    assert!(times.iter().all(|time| *time == times[0]), "one commit, one time");
    gateway.stop_cleanly();
}

#[test]
fn transactions_over_several_tables_keep_their_order() {
    let stage = Stage::new(
        "tables",
        "CREATE TABLE a(id int PRIMARY KEY); CREATE TABLE b(id int PRIMARY KEY); CREATE TABLE c(id int PRIMARY KEY)",
    );
    let mut task = stage.task.clone();
    let topic = format!("{}-all", stage.database.name());
    stage.kafka.create_topic(&topic, 1, &[]);
    task.set("route.topic_policy", "0").text("route.topic", &topic).set("route.partition_policy", "1");
    let mut gateway = Gateway::ready(&task);
    // The later transaction commits first: commit order counts, not the order of the work.
    let slow = stage.database.session();
    slow.exec("BEGIN; INSERT INTO a VALUES (1); INSERT INTO c VALUES (1)");
    stage.database.exec("BEGIN; INSERT INTO b VALUES (2); INSERT INTO a VALUES (2); COMMIT");
    slow.exec("INSERT INTO b VALUES (1); COMMIT");
    let mut reader = stage.kafka.reader(&[&topic]);
    let records = reader.exactly(5, SOON);
    let order: Vec<String> = records
        .iter()
        .map(|r| format!("{}{}", r.json()["table"], r.json()["data"][0]["id"]).replace('"', ""))
        .collect();
    assert_eq!(order, ["b2", "a2", "a1", "c1", "b1"]);
    let ids: Vec<u64> = records.iter().map(|r| r.json()["id"].as_u64().expect("an id")).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "ids rise: {ids:?}");
    gateway.stop_cleanly();
}

#[test]
fn a_changed_primary_key_shows_old_and_new() {
    let stage = Stage::new(
        "pk",
        "CREATE TABLE t(id int PRIMARY KEY, v text); CREATE TABLE pair(a int, v text, b int, PRIMARY KEY (b, a))",
    );
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1,'x'); UPDATE t SET id=2; UPDATE t SET v='y'; DELETE FROM t");
    stage.database.exec("INSERT INTO pair VALUES (1,'x',9); UPDATE pair SET a=3; DELETE FROM pair");
    let mut reader = stage.reader(&["t"]);
    let records = reader.exactly(4, SOON);
    let images: Vec<(Value, Value)> =
        records.iter().map(|r| (r.json()["data"].clone(), r.json()["old"].clone())).collect();
    assert_eq!(images[1], (json!([{"id":"2","v":"x"}]), json!([{"id":"1"}])), "the old key, and nothing invented");
    assert_eq!(images[2], (json!([{"id":"2","v":"y"}]), Value::Null), "no old image was sent");
    assert_eq!(images[3], (Value::Null, json!([{"id":"2"}])));
    assert_eq!(
        records.iter().map(|r| r.key_text()).collect::<Vec<_>>(),
        ["1", "2", "2", "2"],
        "keyed by the new image"
    );

    let mut reader = stage.reader(&["pair"]);
    let records = reader.exactly(3, SOON);
    assert_eq!(records[1].json()["old"], json!([{"a":"1","b":"9"}]));
    assert_eq!(records[1].json()["pkNames"], json!(["b", "a"]), "in key order");
    assert_eq!(
        records.iter().map(|r| r.key_text()).collect::<Vec<_>>(),
        [r#"["9","1"]"#, r#"["9","3"]"#, r#"["9","3"]"#]
    );
    gateway.stop_cleanly();
}

#[test]
fn a_table_without_primary_key_comes_whole() {
    let stage = Stage::new("nopk", "CREATE TABLE t(a int, b text); ALTER TABLE t REPLICA IDENTITY FULL");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1,NULL),(1,NULL); UPDATE t SET b=''; DELETE FROM t");
    let mut reader = stage.reader(&["t"]);
    let records = reader.exactly(6, SOON);
    let envelopes: Vec<Value> = records.iter().map(|r| r.json()).collect();
    assert!(envelopes.iter().all(|e| e["pkNames"].is_null()), "no key under FULL, whatever the stream flags");
    assert_eq!(envelopes[2]["old"], json!([{"a":"1","b":null}]));
    assert_eq!(envelopes[2]["data"], json!([{"a":"1","b":""}]));
    assert_eq!(envelopes[5]["old"], json!([{"a":"1","b":""}]));
    gateway.stop_cleanly();
}

#[test]
fn large_values_that_did_not_change() {
    let stage = Stage::new(
        "toast",
        "CREATE TABLE part(id int PRIMARY KEY, n int, big text); CREATE TABLE whole(id int PRIMARY KEY, n int, big text); \
         ALTER TABLE whole REPLICA IDENTITY FULL; ALTER TABLE part ALTER big SET STORAGE EXTERNAL; \
         ALTER TABLE whole ALTER big SET STORAGE EXTERNAL",
    );
    let mut gateway = Gateway::ready(&stage.task);
    for table in ["part", "whole"] {
        stage.database.exec(&format!(
            "INSERT INTO {table} VALUES (1,1,repeat('long ',20000)); UPDATE {table} SET n=2; UPDATE {table} SET big='short'"
        ));
    }
    let long = "long ".repeat(20000);
    let mut reader = stage.reader(&["part"]);
    let records = reader.exactly(3, SOON);
    assert_eq!(records[0].json()["data"], json!([{"id":"1","n":"1","big":long}]));
    assert_eq!(records[1].json()["data"], json!([{"id":"1","n":"2"}]), "not sent, so not invented");
    assert_eq!(records[2].json()["data"], json!([{"id":"1","n":"2","big":"short"}]));
    let mut reader = stage.reader(&["whole"]);
    let records = reader.exactly(3, SOON);
    assert_eq!(records[1].json()["data"], json!([{"id":"1","n":"2","big":long}]), "taken from the old image");
    assert_eq!(records[2].json()["old"], json!([{"id":"1","n":"2","big":long}]));
    gateway.stop_cleanly();
}

#[test]
fn truncate_delivers_nothing_and_stops_nothing() {
    let stage = Stage::new("truncate", "CREATE TABLE t(id int PRIMARY KEY); CREATE TABLE u(id int PRIMARY KEY)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1); TRUNCATE t, u; INSERT INTO t VALUES (2); SELECT pg_logical_emit_message(true,'p','x'); INSERT INTO u VALUES (3)");
    assert_eq!(summary(stage.reader(&["t"]).exactly(2, SOON))[1], ("INSERT".into(), json!({"id":"2"})));
    assert_eq!(summary(stage.reader(&["u"]).exactly(1, SOON))[0], ("INSERT".into(), json!({"id":"3"})));
    gateway.stop_cleanly();
}

#[test]
fn only_the_tables_selected_arrive() {
    let stage = Stage::new(
        "select",
        "CREATE TABLE a(id int PRIMARY KEY); CREATE TABLE b(id int PRIMARY KEY); CREATE TABLE secret_keys(id int PRIMARY KEY)",
    );
    let mut task = stage.task.clone();
    task.set("objects.include", r#"["public.*"]"#).set("objects.exclude", r#"["public.secret_*"]"#);
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO secret_keys VALUES (1); INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); INSERT INTO secret_keys VALUES (2)");
    stage.reader(&["a", "b"]).exactly(2, SOON);
    gateway.stop_cleanly();
    let topics = stage.kafka.topics();
    assert!(!topics.contains_key(&stage.topic("secret_keys")), "{topics:?}");
}

#[test]
fn three_hundred_thousand_rows_in_one_transaction_in_bounded_memory() {
    /// Rows of the transaction; each holds a kilobyte, so that holding them all would take several times the bound.
    const ROWS: usize = 300_000;
    const BOUND_MIB: u64 = 192;
    // Servers of its own: a long transaction holds up the creation of slots, and 450 MB of records go through.
    let (postgres, kafka) = (Postgres::start(""), Kafka::start(Jvm::Full, ""));
    let stage = Stage::on(&postgres, &kafka, "large", "CREATE TABLE t(id int PRIMARY KEY, v text)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec(&format!("INSERT INTO t SELECT n, rpad(n::text, 1000, 'x') FROM generate_series(1,{ROWS}) n"));
    stage.database.exec("INSERT INTO t VALUES (0,'after')");
    let mut reader = stage.reader(&["t"]);
    let mut next = 1;
    let mut checked = 0;
    reader.until("all rows", Duration::from_secs(240), |records| {
        for record in &records[checked..] {
            let envelope = record.json();
            assert_eq!(envelope["data"][0]["id"], json!((next % (ROWS + 1)).to_string()), "in order");
            next += 1;
        }
        checked = records.len();
        checked == ROWS + 1
    });
    let peak = peak_rss_kib(gateway.process().pid()).expect("it runs") / 1024;
    println!("peak RSS {peak} MiB");
    assert!(peak <= BOUND_MIB, "peak RSS {peak} MiB");
    gateway.stop_cleanly();
}
