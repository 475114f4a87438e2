//! The life of a task of several shards: one word for all, a status for each, and only its own slots on every primary.

use super::{SOON, Scene, commit, order};
use millrace_gaussdb_sim::Options;
use millrace_tests::eventually;
use millrace_tests::gateway::{Gateway, millrace};
use serde_json::{Value, json};

fn act(gateway: &mut Gateway, action: &str) -> Value {
    let (code, view) = gateway.send("POST", &format!("/v1/task/{action}"), &Value::Null);
    assert_eq!(code, 200, "{action}: {view}");
    view
}

/// Statuses of the shards.
fn shards(view: &Value) -> Vec<&str> {
    view["shards"].as_array().expect("shards").iter().map(|shard| shard["status"].as_str().expect("text")).collect()
}

/// A second task's slots on every node, left there by a process that has ended.
fn leave_slots_of_another(scene: &Scene, name: &str) -> String {
    let slot = name.replace('-', "_");
    let mut other = scene.task.clone();
    other.text("task.name", name).text("source.slot", &slot).text("position.topic", &format!("{name}-positions"));
    Gateway::ready(&other).stop_cleanly();
    slot
}

#[test]
fn pause_resume_reset_and_stop_of_three_shards() {
    let scene = Scene::new("gs-life", Options::new());
    let other = leave_slots_of_another(&scene, "gs-life-other");
    let (mut gateway, begins) = scene.start();
    let mut reader = scene.reader();
    commit(&scene.cluster, 7, 40);
    let paused = act(&mut gateway, "pause");
    assert_eq!((&paused["status"], shards(&paused)), (&json!("PAUSED"), vec!["PAUSED"; 3]), "{paused}");
    for node in 0..3 {
        assert!(!scene.cluster.slot(node, &scene.slot()).expect("kept").active, "nobody reads node {node}");
    }
    commit(&scene.cluster, 8, 40);
    // A restart of the process is no resume, on any shard.
    gateway.stop_cleanly();
    let mut gateway = Gateway::start(&scene.task);
    gateway.wait_state("paused", SOON);
    let resumed = act(&mut gateway, "resume");
    assert_eq!(shards(&resumed), ["INCRE_TRANSFER_STARTED"; 3]);
    let agreement = scene.compare(&mut reader, &begins);
    assert_eq!(agreement.repeats, 0, "a pause drains: {agreement:?}");
    // One shard fails: the task has its status, the others go on, and a reset of it is one of all.
    scene.cluster.lose_slot(2, &scene.slot());
    let failed = eventually("shard 2 waits for a person", SOON, || {
        let (_, body) = gateway.get("/v1/task")?;
        let view: Value = serde_json::from_str(&body).expect("JSON");
        (view["waits_for_person"] == true).then_some(view)
    });
    assert_eq!(shards(&failed), ["INCRE_TRANSFER_STARTED", "INCRE_TRANSFER_STARTED", "INCRE_TRANSFER_FAILED"]);
    assert_eq!(failed["status"], "INCRE_TRANSFER_FAILED");
    let reset = act(&mut gateway, "reset");
    assert_eq!(shards(&reset), ["INCRE_TRANSFER_STARTED"; 3], "{reset}");
    let before = reader.records().len();
    (0..3).for_each(|node| drop(scene.cluster.commit(node, vec![order(&scene.cluster, 1_000_000 + node as u64)])));
    reader.until("what came after the reset", SOON, |records| records.len() >= before + 3);
    let over = act(&mut gateway, "stop");
    assert_eq!(shards(&over), ["RELEASE_RESOURCE_COMPLETE"; 3], "{over}");
    for node in 0..3 {
        assert_eq!(
            scene.cluster.slots(node),
            std::slice::from_ref(&other),
            "its own slot on node {node}, and no other"
        );
    }
    gateway.stop_cleanly();
}

#[test]
fn slot_list_and_drop_reach_every_primary_and_no_slot_of_another() {
    let scene = Scene::new("gs-clean", Options::new());
    let other = leave_slots_of_another(&scene, "gs-clean-other");
    let (mut gateway, _) = scene.start();
    gateway.kill();
    let file = scene.task.write().display().to_string();
    let listed = millrace(&["slot", "list", &file, "--json"]);
    let told: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let nodes = told["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 3, "{told}");
    for node in nodes {
        let own = node["slots"].as_array().expect("slots").iter().filter(|slot| slot["own"] == true).count();
        assert_eq!((own, node["slots"].as_array().map(Vec::len)), (1, Some(2)), "{node}");
    }
    // After a failover of a node its slots are on the new primary.
    scene.cluster.failover(1);
    eventually("the slots are idle", SOON, || {
        (0..3).all(|node| scene.cluster.slot(node, &scene.slot()).is_none_or(|slot| !slot.active)).then_some(())
    });
    let dropped = millrace(&["slot", "drop", &file, "--yes", "--json"]);
    assert_eq!(dropped.status.code(), Some(0), "{dropped:?}");
    for node in 0..3 {
        assert_eq!(scene.cluster.slots(node), std::slice::from_ref(&other), "node {node}");
    }
    let again = millrace(&["slot", "list", &file]);
    assert_eq!(String::from_utf8_lossy(&again.stdout).matches("another's").count(), 3, "{again:?}");
}
