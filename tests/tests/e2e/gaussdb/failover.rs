//! Servers and gateways that die: nothing is lost, and what comes again carries its id.

use super::{SOON, Scene, commit};
use millrace_gaussdb_sim::Options;
use millrace_tests::gateway::Gateway;
use millrace_tests::{eventually, seed};
use std::time::Duration;

/// Commits little by little, so that something is always under way.
fn trickle(scene: &Scene, seed: u64, rounds: u64, mut between: impl FnMut(u64)) {
    for round in 0..rounds {
        commit(&scene.cluster, seed.wrapping_add(round), 5);
        between(round);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn kill_9_of_the_gateway_under_load() {
    let scene = Scene::new("gs-kill", Options::new());
    let (mut gateway, begins) = scene.start();
    let mut reader = scene.reader();
    trickle(&scene, seed("kill"), 60, |round| {
        if round % 20 == 10 {
            gateway.kill();
            gateway = Gateway::start(&scene.task);
        }
    });
    let agreement = scene.compare(&mut reader, &begins);
    assert!(agreement.changes > 300, "{agreement:?}");
    gateway.wait_ready(SOON);
    gateway.stop_cleanly();
}

/// The standby takes over with the slot where the last checkpoint left it.
#[test]
fn failover_of_a_data_node_under_load() {
    let scene = Scene::new("gs-failover", Options::new());
    let (mut gateway, begins) = scene.start();
    let mut reader = scene.reader();
    let before = scene.cluster.data_port(1);
    trickle(&scene, seed("failover"), 60, |round| {
        if round == 30 {
            scene.cluster.failover(1);
        }
    });
    assert_ne!(scene.cluster.data_port(1), before);
    scene.compare(&mut reader, &begins);
    gateway.wait_ready(SOON);
    gateway.stop_cleanly();
}

#[test]
fn a_confirmed_position_moved_back_brings_nothing_anew() {
    let scene = Scene::new("gs-back", Options::new());
    let (mut gateway, begins) = scene.start();
    let mut reader = scene.reader();
    commit(&scene.cluster, seed("back"), 50);
    scene.compare(&mut reader, &begins);
    let first = scene.cluster.truth()[0].transactions[0].commit_lsn;
    scene.cluster.move_confirmed(0, &scene.slot(), first);
    commit(&scene.cluster, seed("back again"), 50);
    scene.compare(&mut reader, &begins);
    gateway.stop_cleanly();
}

#[test]
fn kill_of_a_data_node_that_comes_back() {
    let scene = Scene::new("gs-node", Options { standbys: false, ..Options::new() });
    let (mut gateway, begins) = scene.start();
    let mut reader = scene.reader();
    commit(&scene.cluster, seed("node"), 30);
    scene.cluster.kill(2);
    eventually("its shard retries, the others stream", SOON, || {
        let status = gateway.status();
        (status["shards"][2]["state"] == "retrying" && status["shards"][0]["state"] == "streaming").then_some(())
    });
    scene.cluster.restart(2).expect("it comes back");
    commit(&scene.cluster, seed("node again"), 30);
    scene.compare(&mut reader, &begins);
    gateway.wait_ready(SOON);
    gateway.stop_cleanly();
}
