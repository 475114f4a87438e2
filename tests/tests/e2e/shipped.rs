//! Modules of the gateway's own, named in a task file.

use crate::refusals::refused;
use crate::stage::{SOON, Stage};
use millrace_tests::gateway::Gateway;
use serde_json::{Value, json};

/// A masked column, in Debezium's envelope: two built-in modules in one chain, with what only a live stream tells (the declared
/// scale of a numeric).
#[test]
fn built_in_modules_make_a_chain() {
    let stage = Stage::new(
        "builtin",
        "CREATE TABLE t(id int PRIMARY KEY, card text, price numeric(10,2), at timestamp(3)); \
         ALTER TABLE t REPLICA IDENTITY FULL",
    );
    let mut task = stage.task.clone();
    task.append(
        "[[modules.map]]\npath = \"builtin:mask\"\n\
         config = { rules = [{ columns = [\"public.t.card\"], do = \"redact\", with = \"*\", keep_last = 4 }] }\n\
         [modules.format]\npath = \"builtin:debezium-json\"\nconfig = { topic_prefix = \"shop\" }\n",
    );
    let mut gateway = Gateway::ready(&task);
    stage.database.exec(
        "INSERT INTO t VALUES (1, '4111111111111111', 12.34, '2021-12-16 12:31:49.344'); \
         UPDATE t SET price = -0.01 WHERE id = 1; DELETE FROM t",
    );
    let mut reader = stage.reader(&["t"]);
    let records = reader.exactly(4, SOON);
    assert!(records.iter().all(|record| record.key_text() == r#"{"id":1}"#));
    let rows: Vec<Value> =
        records[..3].iter().map(|r| json!([r.json()["op"], r.json()["before"], r.json()["after"]])).collect();
    // 1234 and -1 as two's complement in base64.
    let row = |price: &str| json!({ "id": 1, "card": "*1111", "price": price, "at": 1_639_657_909_344_i64 });
    assert_eq!(
        rows,
        [json!(["c", null, row("BNI=")]), json!(["u", row("BNI="), row("/w==")]), json!(["d", row("/w=="), null]),]
    );
    assert!(records[3].value.is_none(), "a tombstone");
    gateway.stop_cleanly();
}

#[test]
fn a_name_that_is_not_built_in() {
    let stage = Stage::new("notbuiltin", "CREATE TABLE t(id int PRIMARY KEY)");
    let mut task = stage.task.clone();
    task.append("[modules.format]\npath = \"builtin:xml\"\n");
    refused(&task, "module_unreadable");
}
