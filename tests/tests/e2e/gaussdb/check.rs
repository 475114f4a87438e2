//! `millrace check` against a simulated GaussDB: each item with the catalogue that passes it and the one that does not.

use super::{SOON, Scene, single};
use millrace_gaussdb_sim::{Options, Product, Table};
use millrace_tests::gateway::{Gateway, millrace};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The report of a check.
fn report(scene: &Scene) -> Value {
    let out = millrace(&["check", &scene.task.write().display().to_string(), "--json"]);
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {out:?}"))
}

/// Items with this result, each once.
fn with_result(report: &Value, result: &str) -> Vec<String> {
    let items = report["items"].as_array().unwrap_or_else(|| panic!("no items: {report:#}"));
    let named = items.iter().filter(|item| item["result"] == result).filter_map(|item| item["item"].as_str());
    let mut names: Vec<String> = named.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Changes `sales.orders` of the catalogue.
fn change(scene: &Scene, change: impl FnOnce(&mut Table)) {
    scene.cluster.change_catalogue(|catalogue| {
        let table = catalogue.tables.iter_mut().find(|table| table.name == "orders").expect("the table");
        change(Arc::make_mut(table));
    });
}

#[test]
fn every_item_about_the_source_is_found_in_its_catalogue() {
    let mut scene = Scene::new("gs-check", single(Product::OpenGauss));
    scene.task.set("objects.include", r#"["sales.orders"]"#);
    let fresh = scene.cluster.catalogue().table("sales", "orders").expect("the table").clone();
    assert_eq!(with_result(&report(&scene), "FAILED"), Vec::<String>::new());
    type Case = (&'static str, &'static str, fn(&mut Table));
    let cases: [Case; 9] = [
        ("source.table_kinds", "FAILED", |table| table.options = vec!["orientation=column".to_owned()]),
        ("source.table_kinds", "FAILED", |table| table.options = vec!["compression=yes".to_owned()]),
        ("source.table_kinds", "FAILED", |table| table.persistence = 'g'),
        ("source.unlogged_tables", "ALARM", |table| table.persistence = 'u'),
        ("source.interval_partitions", "ALARM", |table| table.partition_strategy = Some('i')),
        ("source.deferrable_constraints", "FAILED", |table| table.deferrable = vec!["late".to_owned()]),
        ("source.generated_columns", "FAILED", |table| table.generated = vec!["amount".to_owned()]),
        ("source.column_types", "ALARM", |table| {
            table.columns.push(millrace_gaussdb_sim::Column::new("extra", "jsonb"));
        }),
        ("source.replica_identity", "FAILED", |table| {
            (table.key, table.identity) = (Vec::new(), millrace_gaussdb_sim::Identity::Default);
        }),
    ];
    for (item, result, break_it) in cases {
        change(&scene, break_it);
        let broken = report(&scene);
        assert!(with_result(&broken, result).iter().any(|name| name == item), "{item}: {broken:#}");
        change(&scene, |table| *table = Table::clone(&fresh));
    }
    let set = |name: &str, value: &str| {
        scene.cluster.change_catalogue(|catalogue| drop(catalogue.settings.insert(name.to_owned(), value.to_owned())));
    };
    for (name, bad, good, item) in [
        ("wal_level", "hot_standby", "logical", "source.wal_level"),
        ("enable_slot_log", "off", "on", "source.slot_log"),
        ("max_replication_slots", "0", "20", "source.replication_slots"),
        ("max_wal_senders", "0", "20", "source.wal_senders"),
    ] {
        set(name, bad);
        let broken = report(&scene);
        assert!(with_result(&broken, "FAILED").iter().any(|failed| failed == item), "{item}: {broken:#}");
        set(name, good);
    }
    for (denied, item) in [("sales", "source.schema_usage"), ("sales.orders", "source.select_privilege")] {
        scene.cluster.change_role("cdc", |role| role.denied = vec![denied.to_owned()]);
        let broken = report(&scene);
        assert!(with_result(&broken, "FAILED").iter().any(|failed| failed == item), "{item}: {broken:#}");
    }
    scene.cluster.change_role("cdc", |role| role.denied.clear());
    let open = scene.cluster.open_transaction(0, "UPDATE t SET v = 1", Duration::from_secs(301));
    assert!(with_result(&report(&scene), "FAILED").contains(&"source.long_transactions".to_owned()));
    scene.cluster.end_transaction(0, open);
    assert_eq!(with_result(&report(&scene), "FAILED"), Vec::<String>::new(), "everything is mended");
}

/// The declared nodes are compared with the cluster's, and what fails on a node names it.
#[test]
fn data_nodes_are_compared_and_named() {
    let mut scene = Scene::new("gs-check-nodes", Options::new());
    let nodes = scene.cluster.data_nodes().len();
    let whole = report(&scene);
    assert!(with_result(&whole, "PASSED").contains(&"source.nodes".to_owned()), "{whole:#}");
    let name = scene.cluster.data_nodes()[0].to_owned();
    let one = format!("[{{ name = \"{name}\", hosts = [\"127.0.0.1:{}\"] }}]", scene.cluster.data_port(0));
    scene.task.set("source.nodes", &one);
    let part = report(&scene);
    assert!(nodes > 1 && with_result(&part, "ALARM").contains(&"source.nodes".to_owned()), "{part:#}");
    scene.task.unset("source.nodes");
    scene.cluster.change_catalogue(|catalogue| {
        catalogue.settings.insert("enable_slot_log".to_owned(), "off".to_owned());
    });
    let off = report(&scene);
    let failed = off["items"].as_array().expect("items").iter().filter(|item| item["item"] == "source.slot_log");
    let jobs: Vec<&str> = failed.filter_map(|item| item["failed_sub_jobs"][0].as_str()).collect();
    assert_eq!(jobs, scene.cluster.data_nodes(), "{off:#}");
}

/// One check for all shards: below 100 % no node gets a slot.
#[test]
fn a_first_start_of_all_shards_waits_for_the_check() {
    let mut scene = Scene::new("gs-check-start", Options::new());
    scene.task.unset("check.at_start");
    scene.cluster.change_catalogue(|catalogue| {
        catalogue.settings.insert("enable_slot_log".to_owned(), "off".to_owned());
    });
    let mut gateway = Gateway::start(&scene.task);
    gateway.wait_state("halted", SOON);
    let status = gateway.status();
    let why = status["failure"]["why"].as_str().unwrap_or_default();
    assert!(status["failure"]["code"] == "precheck_failed" && why.contains("source.slot_log"), "{status:#}");
    let slots: Vec<String> = (0..3).flat_map(|node| scene.cluster.slots(node)).collect();
    assert!(!slots.contains(&scene.slot()), "{slots:?}");
    gateway.stop(SOON);
}
