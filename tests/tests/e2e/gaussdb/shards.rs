//! A distributed GaussDB: one shard for each data node.

use super::{SOON, Scene, TABLES, commit, oracle, order};
use millrace_gaussdb_sim::{Fault, Op, Options, RowChange};
use millrace_tests::gateway::Gateway;
use millrace_tests::{eventually, seed};
use serde_json::json;

fn country(scene: &Scene, code: &str) -> RowChange {
    let table = scene.cluster.catalogue().table("sales", "countries").expect("the table").clone();
    RowChange { table, op: Op::Insert, new: vec![Some(code.into()), Some("somewhere".into())], old: Vec::new() }
}

#[test]
fn all_nodes_arrive_and_what_every_node_has_once() {
    let scene = Scene::new("gs-shards", Options::new());
    let (mut gateway, begins) = scene.start();
    let mut reader = scene.reader();
    commit(&scene.cluster, seed("shards"), 100);
    for code in ["de", "fr", "cn"] {
        scene.cluster.commit_everywhere(&[country(&scene, code)]);
    }
    commit(&scene.cluster, seed("shards again"), 100);
    let agreement = scene.compare(&mut reader, &begins);
    assert_eq!(agreement.repeats, 0);
    let status = gateway.status();
    let nodes: Vec<&serde_json::Value> =
        status["shards"].as_array().expect("shards").iter().map(|shard| &shard["node"]).collect();
    assert_eq!(nodes, [&json!("dn_6001"), &json!("dn_6002"), &json!("dn_6003")]);
    assert_eq!(status["records_delivered"], agreement.changes);
    let (_, metrics) = gateway.get("/metrics").expect("metrics");
    assert!(metrics.contains("millrace_records_delivered_total{task=\"gs-shards\",shard=\"2\"}"), "{metrics}");
    gateway.stop_cleanly();

    // A restart goes on behind what is durable.
    let mut gateway = Gateway::ready(&scene.task);
    commit(&scene.cluster, seed("shards after"), 20);
    scene.compare(&mut reader, &begins);
    gateway.stop_cleanly();
}

#[test]
fn a_stalled_node_stops_no_other() {
    let scene = Scene::new("gs-stall", Options::new());
    let (mut gateway, begins) = scene.start();
    let mut reader = scene.reader();
    scene.cluster.inject(1, Fault::Stall);
    commit(&scene.cluster, seed("stall"), 60);
    let truth = scene.cluster.truth();
    let others: usize = oracle::count(&[truth[0].clone()], &TABLES, &begins[..1]) + {
        // The third node's changes, counted as those of a first: it has no replicated ones here.
        oracle::count(&[truth[2].clone()], &TABLES, &begins[2..])
    };
    reader.until("the other nodes", SOON, |records| oracle::distinct(records) >= others);
    assert!(reader.records().iter().all(|record| record.position().expect("a header").shard != 1));
    eventually("the stalled shard shows its lag", SOON, || {
        let status = gateway.status();
        (status["shards"][1]["lag_bytes"].as_u64()? > 0 && status["shards"][0]["lag_bytes"] == 0).then_some(())
    });
    scene.cluster.clear_faults(1);
    scene.compare(&mut reader, &begins);
    gateway.stop_cleanly();
}

#[test]
fn a_slot_dropped_under_us_halts_its_shard_alone() {
    let scene = Scene::new("gs-drop", Options::new());
    let (mut gateway, _) = scene.start();
    let mut reader = scene.reader();
    scene.cluster.lose_slot(2, &scene.slot());
    eventually("shard 2 is halted", SOON, || {
        let status = gateway.status();
        (status["shards"][2]["failure"]["code"] == "position_without_slot" && status["state"] == "halted").then_some(())
    });
    scene.cluster.commit(0, vec![order(&scene.cluster, 1)]);
    scene.cluster.commit(1, vec![order(&scene.cluster, 2)]);
    reader.until("the others go on", SOON, |records| oracle::distinct(records) == 2);
    let status = gateway.status();
    assert_eq!((&status["shards"][0]["state"], &status["ready"]), (&json!("streaming"), &json!(false)));
}

#[test]
fn another_set_of_nodes_is_refused() {
    let mut scene = Scene::new("gs-topology", Options::new());
    let (mut gateway, _) = scene.start();
    gateway.stop_cleanly();
    let host = |node: usize| format!("hosts = [\"127.0.0.1:{}\"]", scene.cluster.data_port(node));
    let nodes = |names: [&str; 2]| {
        let node = |(at, name): (usize, &str)| format!("{{ name = \"{name}\", {} }}", host(at));
        format!("[{}, {}]", node((0, names[0])), node((1, names[1])))
    };
    let two = nodes(["dn_6001", "dn_6002"]);
    scene.task.set("source.nodes", &two);
    let mut gateway = Gateway::start(&scene.task);
    gateway.wait_state("halted", SOON);
    assert_eq!(gateway.status()["failure"]["code"], "topology_changed");
}

/// Known to no shard when the sessions began: the first row makes all but the first shard ask the coordinator.
#[test]
fn a_table_of_every_node_made_later_comes_once() {
    let mut scene = Scene::new("gs-later", Options::new());
    scene.task.set("objects.include", "[\"sales.orders\", \"sales.currencies\"]");
    let (mut gateway, _) = scene.start();
    let table = millrace_gaussdb_sim::Table::new("sales", "currencies", &[("code", "text"), ("name", "text")], 1);
    scene.cluster.change_catalogue(|catalogue| {
        catalogue.add(table.replicated());
    });
    let table = scene.cluster.catalogue().table("sales", "currencies").expect("the table").clone();
    let new = vec![Some("eur".into()), Some("Euro".into())];
    scene.cluster.commit_everywhere(&[RowChange { table, op: Op::Insert, new, old: Vec::new() }]);
    for node in 0..3 {
        scene.cluster.commit(node, vec![order(&scene.cluster, node as u64)]);
    }
    let mut orders = millrace_tests::servers::kafka().reader(&["gs-later-orders"]);
    orders.exactly(3, SOON);
    let mut currencies = millrace_tests::servers::kafka().reader(&["gs-later-currencies"]);
    let records = currencies.exactly(1, SOON);
    assert_eq!(records[0].position().expect("a header").shard, 0);
    gateway.wait_ready(SOON);
    assert!(gateway.log().contains("replicated_table_appeared"), "{}", gateway.log());
    gateway.stop_cleanly();
}
