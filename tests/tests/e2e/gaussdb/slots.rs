//! What moves a slot, what makes one for a while, and what a database may not set.

use super::{SOON, Scene, commit, order, single};
use crate::capture::{events, of, start as capture};
use millrace_gaussdb_sim::{Op, Options, Product, RowChange, Table};
use millrace_tests::gateway::{Gateway, millrace};
use millrace_tests::{eventually, seed};
use serde_json::json;

/// Where a slot of a node is confirmed.
fn confirmed(scene: &Scene, node: usize) -> u64 {
    scene.cluster.slot(node, &scene.slot()).and_then(|slot| slot.confirmed).map_or(0, |lsn| lsn.0)
}

/// The log grows by the work of others and parallel decoding may not confirm a keepalive: without a heartbeat the slot stays, with one it
/// moves, on every node where the row is replicated.
#[test]
fn a_heartbeat_moves_an_idle_parallel_slot() {
    let mut options = Options { data_nodes: 2, ..Options::new() };
    options.catalogue.add(Table::new("sales", "heartbeat", &[("id", "bigint")], 1).replicated());
    let mut scene = Scene::new("gs-beat", options);
    scene.task.text("source.decoding", "parallel");
    let (mut gateway, begins) = scene.start();
    (0..2).for_each(|node| scene.cluster.grow_log(node, 64 << 20));
    std::thread::sleep(std::time::Duration::from_secs(3));
    for (node, begin) in begins.iter().enumerate() {
        assert_eq!(confirmed(&scene, node), *begin, "a keepalive of parallel decoding says nothing of what was sent");
    }
    gateway.stop_cleanly();
    scene.task.set("source.heartbeat", "{ query = \"INSERT INTO sales.heartbeat VALUES (1)\", interval = \"1s\" }");
    let mut gateway = Gateway::ready(&scene.task);
    for (node, begin) in begins.iter().enumerate() {
        eventually("the slot moves", SOON, || (confirmed(&scene, node) >= begin + (64 << 20)).then_some(()));
    }
    assert_eq!(gateway.status()["records_delivered"], 0, "the heartbeat's table is not of the task");
    gateway.stop_cleanly();
}

/// A busy shard and one whose tables rest: each moves its own slot.
#[test]
fn one_idle_and_one_busy_shard() {
    let scene = Scene::new("gs-uneven", Options { data_nodes: 2, ..Options::new() });
    let (mut gateway, begins) = scene.start();
    let mut reader = scene.reader();
    scene.cluster.grow_log(1, 32 << 20);
    for id in 0..500 {
        scene.cluster.commit(0, vec![order(&scene.cluster, id)]);
    }
    let agreement = scene.compare(&mut reader, &begins);
    assert_eq!((agreement.changes, agreement.repeats), (500, 0));
    eventually("the idle shard's slot moves too", SOON, || {
        (confirmed(&scene, 1) >= begins[1] + (32 << 20)).then_some(())
    });
    let end = scene.cluster.truth()[0].transactions.last().expect("a transaction").end_lsn;
    eventually("the busy shard's slot moves", SOON, || (confirmed(&scene, 0) >= end.0).then_some(()));
    eventually("neither is behind", SOON, || {
        let status = gateway.status();
        status["shards"].as_array()?.iter().all(|shard| shard["lag_bytes"] == 0).then_some(())
    });
    let (_, metrics) = gateway.get("/metrics").expect("metrics");
    for (shard, count) in [(0, 500), (1, 0)] {
        let line = format!("millrace_records_delivered_total{{task=\"gs-uneven\",shard=\"{shard}\"}} {count}");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    gateway.stop_cleanly();
}

/// Digits that were stored would be missing: the task does not begin, and `check` has the statement.
#[test]
fn a_setting_that_cuts_numerics_is_refused() {
    let mut options = single(Product::OpenGauss);
    let set = |value: &str| ("behavior_compat_options".to_owned(), value.to_owned());
    options.catalogue.settings.extend([set("display_leading_zero,hide_tailing_zero")]);
    let scene = Scene::new("gs-zeros", options);
    let mut gateway = Gateway::start(&scene.task);
    gateway.wait_halted("database_setting", SOON);
    let out = millrace(&["check", &scene.task.write().display().to_string(), "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let items = report["items"].as_array().expect("items");
    let item = items.iter().find(|item| item["item"] == "source.session_settings").expect("the item");
    assert_eq!(item["result"], "FAILED", "{item}");
    let mend = item["mend"].as_str().expect("a mend");
    assert!(mend.ends_with("SET behavior_compat_options = 'display_leading_zero';"), "{mend}");
    assert_eq!(scene.cluster.slots(0), [] as [String; 0]);
}

/// The family has no temporary slots: the capture's own is dropped when it ends.
#[test]
fn a_capture_of_a_data_node_leaves_no_slot() {
    let scene = Scene::new("gs-capture", Options { data_nodes: 2, ..Options::new() });
    let (mut gateway, _) = scene.start();
    let task = scene.task.write();
    let file = scene.task.dir().join("captured.jsonl");
    let mut child = capture(&task, &file, &["--shard", "1", "--limit", "3", "--json"]);
    commit(&scene.cluster, seed("capture"), 1);
    for id in 0..3 {
        scene.cluster.commit(0, vec![order(&scene.cluster, id)]);
        scene.cluster.commit(1, vec![order(&scene.cluster, 100 + id)]);
    }
    assert!(child.wait().expect("its end").success());
    let seen = events(&file);
    assert_eq!((&seen[0]["capture"]["shard"], &seen[0]["capture"]["source"]), (&json!(1), &json!("serial")));
    assert_eq!(of(&seen, "change").len(), 3);
    for node in 0..2 {
        assert_eq!(scene.cluster.slots(node), [scene.slot()], "node {node}");
    }
    let text = |path: &std::path::Path| path.display().to_string();
    let out = millrace(&["capture", &text(&task), "-o", &text(&file), "--shard", "2", "--limit", "1", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(answer["error"]["code"], "no_such_shard", "{answer}");
    gateway.stop_cleanly();
}

/// A slot of parallel decoding made while the log moved on, and a failover in the middle of a large transaction: the transaction comes whole.
#[test]
fn a_failover_inside_a_large_transaction() {
    for decoding in ["serial", "parallel"] {
        let mut scene = Scene::new(&format!("gs-mid-{decoding}"), Options { data_nodes: 1, ..Options::new() });
        scene.task.text("source.decoding", decoding).text("source.transaction_memory", "1MiB");
        let (mut gateway, begins) = scene.start();
        let mut reader = scene.reader();
        scene.cluster.inject(0, millrace_gaussdb_sim::Fault::Reset { after: 300_000 });
        let table = scene.cluster.catalogue().table("sales", "orders").expect("the table").clone();
        let row = |id: u64| RowChange { table: table.clone(), op: Op::Insert, ..order(&scene.cluster, id) };
        scene.cluster.commit(0, (0..20_000).map(row).collect());
        scene.cluster.failover(0);
        let agreement = scene.compare(&mut reader, &begins);
        assert_eq!(agreement.changes, 20_000);
        gateway.wait_ready(SOON);
        gateway.stop_cleanly();
    }
}
