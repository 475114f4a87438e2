//! Every layout of mppdb_decoding arrives as the same records.

use super::{SOON, Scene, commit, order, single};
use millrace_gaussdb_sim::{Options, Product};
use millrace_tests::process::peak_rss_kib;
use millrace_tests::seed;

fn arrives(name: &str, options: Options, change: impl FnOnce(&mut Scene)) {
    let mut scene = Scene::new(name, options);
    change(&mut scene);
    let (mut gateway, begins) = scene.start();
    let mut reader = scene.reader();
    commit(&scene.cluster, seed(name), 150);
    let agreement = scene.compare(&mut reader, &begins);
    assert!(agreement.changes > 200, "{agreement:?}");
    assert_eq!(agreement.repeats, 0);
    gateway.stop_cleanly();
    let slot = scene.cluster.slot(0, &scene.slot()).expect("the slot stays");
    let end = scene.cluster.truth()[0].transactions.last().expect("a transaction").end_lsn;
    assert!(slot.confirmed.is_some_and(|confirmed| confirmed.0 >= end.0 - 0x1000), "{slot:?} of {end}");
}

#[test]
fn serial_of_opengauss() {
    arrives("gs-serial", single(Product::OpenGauss), |_| {});
}

#[test]
fn serial_without_a_white_list_or_a_thread_pool() {
    let options = Options { thread_pool: false, ..single(Product::Centralized) };
    arrives("gs-all", options, |scene| {
        scene.all_sent = true;
        scene.task.set("source.white_list", "false").set("objects.include", "[\"sales.*\"]");
        scene.task.set("objects.exclude", "[\"sales.all_types\", 'sales.\"Order Notes\"']");
    });
}

#[test]
fn each_parallel_style() {
    for (style, batch) in [("b", true), ("b", false), ("j", true), ("t", true)] {
        arrives(&format!("gs-par-{style}-{batch}"), single(Product::Centralized), |scene| {
            scene.task.text("source.decoding", "parallel");
            scene.task.set("source.parallel", &format!("{{ style = \"{style}\", batch = {batch} }}"));
        });
    }
}

/// 300,000 rows in one transaction, with memory for a small part of them.
#[test]
fn a_transaction_larger_than_memory() {
    let mut scene = Scene::new("gs-large", single(Product::OpenGauss));
    scene.task.text("source.transaction_memory", "4MiB").text("pipeline.budget", "16MiB");
    let (mut gateway, begins) = scene.start();
    let mut reader = scene.reader();
    let rows: Vec<_> = (0..300_000).map(|id| order(&scene.cluster, id)).collect();
    scene.cluster.commit(0, rows);
    let agreement = scene.compare(&mut reader, &begins);
    assert_eq!(agreement.changes, 300_000);
    let rss = peak_rss_kib(gateway.process().pid());
    assert!(rss.is_some_and(|rss| rss < 600 << 10), "{rss:?} KiB at the most");
    gateway.stop_cleanly();
}

/// A slot waits for open transactions: who they are is said, and nothing is left at the server.
#[test]
fn a_long_transaction_holds_the_slot_up() {
    let mut scene = Scene::new("gs-blocked", single(Product::OpenGauss));
    scene.task.text("source.slot_timeout", "1s");
    let open = scene.cluster.open_transaction(0, "UPDATE t SET a = a", std::time::Duration::from_secs(400));
    let mut gateway = millrace_tests::gateway::Gateway::start(&scene.task);
    gateway.wait_state("retrying", SOON);
    let failure = gateway.status()["failure"].clone();
    assert_eq!(failure["code"], "slot_creation_blocked", "{failure}");
    assert!(
        failure["why"].as_str().is_some_and(|why| why.contains("process 14000000000") && why.contains(" of app (40")),
        "{failure}"
    );
    assert!(!failure.to_string().contains("UPDATE t"), "a statement may hold values: {failure}");
    scene.cluster.end_transaction(0, open);
    gateway.wait_ready(SOON);
    gateway.stop_cleanly();
}

/// A thousand tables, each announced, each with its key, in one topic.
#[test]
fn a_thousand_tables() {
    let mut options = single(Product::OpenGauss);
    for number in 0..1000 {
        let columns = [("id", "bigint"), ("v", "text")];
        options.catalogue.add(millrace_gaussdb_sim::Table::new("wide", &format!("t{number}"), &columns, 1));
    }
    let mut scene = Scene::new("gs-thousand", options);
    scene.task.set("objects.include", "[\"wide.*\"]").set("route.topic_policy", "3");
    scene.task.text("route.topic_name_format", "gs-thousand-$schema$");
    let (mut gateway, _) = scene.start();
    let catalogue = scene.cluster.catalogue();
    for number in 0..1000 {
        let table = catalogue.table("wide", &format!("t{number}")).expect("the table").clone();
        let new = vec![Some(number.to_string().into()), Some("v".into())];
        let op = millrace_gaussdb_sim::Op::Insert;
        scene.cluster.commit(0, vec![millrace_gaussdb_sim::RowChange { table, op, new, old: Vec::new() }]);
    }
    let mut reader = millrace_tests::servers::kafka().reader(&["gs-thousand-wide"]);
    let records = reader.exactly(1000, SOON);
    for (number, record) in records.iter().map(|record| (record.json(), record)).map(|(json, record)| {
        let number = json["data"][0]["id"].as_str().expect("a key").to_owned();
        assert_eq!(json["table"], format!("t{number}"));
        assert_eq!(json["pkNames"], serde_json::json!(["id"]));
        (number, record)
    }) {
        assert_eq!(record.position().expect("a header").ordinal, 0, "table t{number}");
    }
    gateway.stop_cleanly();
}

/// A source that commits nothing of the task's tables must not hold its log: keepalives move the slot in serial decoding, empty
/// transactions in parallel.
#[test]
fn an_idle_slot_moves_on() {
    for decoding in ["serial", "parallel"] {
        let mut scene = Scene::new(&format!("gs-idle-{decoding}"), single(Product::Centralized));
        scene.task.text("source.decoding", decoding);
        let (mut gateway, _) = scene.start();
        let table = scene.cluster.catalogue().table("sales", "Order Notes").expect("the table").clone();
        let cell = |text: &str| Some(text.into());
        let new = vec![cell("1"), cell("u"), cell("x")];
        let op = millrace_gaussdb_sim::Op::Insert;
        let change = millrace_gaussdb_sim::RowChange { table, op, new, old: Vec::new() };
        let commit = scene.cluster.commit(0, vec![change]).commit_lsn;
        millrace_tests::eventually("the slot moves", SOON, || {
            let confirmed = scene.cluster.slot(0, &scene.slot())?.confirmed?;
            (confirmed.0 > commit.0).then_some(())
        });
        assert_eq!(gateway.status()["records_delivered"], 0);
        gateway.stop_cleanly();
    }
}
