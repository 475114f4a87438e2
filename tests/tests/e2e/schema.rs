//! Tables that change while they are streamed.

use crate::stage::{SOON, Stage};
use millrace_tests::gateway::Gateway;
use serde_json::{Value, json};

#[test]
fn alter_table_while_streaming() {
    let stage = Stage::new("alter", "CREATE TABLE t(id int PRIMARY KEY, a text, b text)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (1,'a','b')");
    stage.database.exec("ALTER TABLE t ADD c numeric(4,1) DEFAULT 7.5; INSERT INTO t VALUES (2,'a','b',1)");
    stage.database.exec("ALTER TABLE t DROP a; UPDATE t SET b='new' WHERE id=1");
    stage
        .database
        .exec("ALTER TABLE t RENAME b TO bee; ALTER TABLE t ALTER id TYPE bigint; INSERT INTO t VALUES (3,'x',2)");
    // In one transaction: rows before and after the change.
    stage.database.exec(
        "BEGIN; INSERT INTO t VALUES (4,'x',2); ALTER TABLE t ADD d text; INSERT INTO t VALUES (5,'x',2,'d'); COMMIT",
    );
    let mut reader = stage.reader(&["t"]);
    // The order of a key's columns is only in the catalogue, which tells today's: the gateway has to be there in time.
    reader.exactly(6, SOON);
    stage.database.exec(
        "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (bee, id); INSERT INTO t VALUES (6,'y',0)",
    );
    let envelopes: Vec<Value> = reader.exactly(7, SOON).iter().map(|record| record.json()).collect();
    let rows: Vec<Value> = envelopes.iter().map(|envelope| envelope["data"][0].clone()).collect();
    assert_eq!(
        rows,
        [
            json!({"id":"1","a":"a","b":"b"}),
            json!({"id":"2","a":"a","b":"b","c":"1.0"}),
            json!({"id":"1","b":"new","c":"7.5"}),
            json!({"id":"3","bee":"x","c":"2.0"}),
            json!({"id":"4","bee":"x","c":"2.0"}),
            json!({"id":"5","bee":"x","c":"2.0","d":"d"}),
            json!({"id":"6","bee":"y","c":"0.0","d":null}),
        ]
    );
    assert_eq!(envelopes[0]["columnType"], json!({"id":"integer","a":"text","b":"text"}));
    assert_eq!(envelopes[3]["columnType"], json!({"id":"bigint","bee":"text","c":"numeric"}));
    assert_eq!(envelopes[5]["pkNames"], json!(["id"]));
    assert_eq!(envelopes[6]["pkNames"], json!(["bee", "id"]));
    gateway.stop_cleanly();
}

#[test]
fn the_shape_of_a_change_is_that_of_its_time() {
    // Everything happens while the gateway is away: what it reads later is described by the stream, not by today's catalogue.
    let stage = Stage::new("away", "CREATE TABLE t(id int PRIMARY KEY, v text)");
    Gateway::ready(&stage.task).stop_cleanly();
    stage.database.exec("INSERT INTO t VALUES (1,'old')");
    stage.database.exec("ALTER TABLE t RENAME v TO w; ALTER TABLE t ADD x int; INSERT INTO t VALUES (2,'new',3)");
    let mut gateway = Gateway::ready(&stage.task);
    let mut reader = stage.reader(&["t"]);
    let records = reader.exactly(2, SOON);
    assert_eq!(records[0].json()["data"], json!([{"id":"1","v":"old"}]));
    assert_eq!(records[1].json()["data"], json!([{"id":"2","w":"new","x":"3"}]));
    gateway.stop_cleanly();
}

#[test]
fn a_primary_key_that_changed_while_the_gateway_was_away_is_not_guessed() {
    let stage = Stage::new("rekey", "CREATE TABLE t(id int PRIMARY KEY, v text NOT NULL)");
    Gateway::ready(&stage.task).stop_cleanly();
    stage.database.exec("INSERT INTO t VALUES (1,'before')");
    stage.database.exec("ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (v)");
    let mut gateway = Gateway::start(&stage.task);
    gateway.wait_halted("key_disagreement", SOON);
    gateway.stop_cleanly();
    // As the mend says.
    stage.database.exec("ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (id)");
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec("INSERT INTO t VALUES (2,'after')");
    assert_eq!(stage.reader(&["t"]).exactly(2, SOON)[1].json()["pkNames"], json!(["id"]));
    gateway.stop_cleanly();
}

#[test]
fn odd_names_arrive_as_they_are() {
    let stage = Stage::new(
        "names",
        r#"CREATE TABLE "Orders-2024"("Key" int PRIMARY KEY, "with space" text, "quo""te" text, "naïve 数据" text, "<a>&'='" text)"#,
    );
    let mut gateway = Gateway::ready(&stage.task);
    stage.database.exec(r#"INSERT INTO "Orders-2024" VALUES (1,'a','b','c','d')"#);
    let mut reader = stage.reader(&["Orders-2024"]);
    let envelope = reader.exactly(1, SOON)[0].json();
    assert_eq!(envelope["data"], json!([{"Key":"1","with space":"a","quo\"te":"b","naïve 数据":"c","<a>&'='":"d"}]));
    assert_eq!((&envelope["table"], &envelope["pkNames"]), (&json!("Orders-2024"), &json!(["Key"])));
    gateway.stop_cleanly();
}

#[test]
fn a_partitioned_table_arrives_under_the_names_its_publication_gives() {
    let stage = Stage::new(
        "parted",
        "CREATE TABLE t(id int PRIMARY KEY, v text) PARTITION BY RANGE (id); \
         CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (10) TO (20)",
    );
    stage.database.exec(&format!("ALTER PUBLICATION {} SET (publish_via_partition_root = true)", stage.task.slot()));
    let mut gateway = Gateway::ready(&stage.task);
    // Moving a row to another partition is an update of the whole and a delete and an insert of its parts.
    stage.database.exec("INSERT INTO t VALUES (1,'x'); UPDATE t SET id=11; DELETE FROM t");
    let mut reader = stage.reader(&["t"]);
    let envelopes: Vec<Value> = reader
        .until("the delete", SOON, |r| {
            r.last().is_some_and(|r| r.json()["type"] == "DELETE" && r.json()["old"][0]["id"] == "11")
        })
        .iter()
        .map(|r| r.json())
        .collect();
    assert!(envelopes.iter().all(|envelope| envelope["table"] == "t"));
    assert_eq!(envelopes[0]["data"], json!([{"id":"1","v":"x"}]));
    gateway.stop_cleanly();
}
