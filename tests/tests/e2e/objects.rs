//! The tables of a task: lists of them as files, what the source has to choose from, and another selection while the task runs.

use crate::gaussdb::{Scene, single};
use crate::stage::{SOON, Stage};
use millrace_gaussdb_sim::Product;
use millrace_tests::gateway::{Gateway, millrace};
use millrace_tests::task::Task;
use millrace_tests::topics::Record;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A file in the task's folder; gives its path.
fn file(task: &Task, name: &str, content: &str) -> PathBuf {
    let path = task.dir().join(name);
    std::fs::write(&path, content).expect("write a list");
    path
}

/// A task that reads the tables of this list.
fn listed(stage: &Stage<'_>, list: &str) -> Task {
    let mut task = stage.task.clone();
    file(&task, "tables.csv", list);
    task.unset("objects.include").text("objects.import", "tables.csv");
    task
}

/// Runs `millrace objects ... --json`; gives the answer and the exit code.
fn objects(args: &[&str]) -> (Value, Option<i32>) {
    let args: Vec<&str> = ["objects"].iter().chain(args).copied().chain(["--json"]).collect();
    let out = millrace(&args);
    let answer = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {out:?}"));
    (answer, out.status.code())
}

fn names(record: &Record) -> (String, String) {
    let envelope = record.json();
    let text = |key: &str| envelope[key].as_str().expect("a name").to_owned();
    (text("schema"), text("table"))
}

#[test]
fn a_list_renames_tables_and_leaves_the_others_out() {
    let stage = Stage::new(
        "renamed",
        "CREATE TABLE orders(id int PRIMARY KEY); CREATE TABLE \"Items\"(id int PRIMARY KEY); CREATE TABLE hidden(id int PRIMARY KEY)",
    );
    let task = listed(&stage, "object,table_mapping\npublic.orders,shop.sales\npublic.Items,\n,\n");
    let mut gateway = Gateway::ready(&task);
    stage.database.exec(
        "BEGIN; INSERT INTO hidden VALUES (1); INSERT INTO orders VALUES (7); INSERT INTO \"Items\" VALUES (8); COMMIT",
    );
    stage.database.exec("INSERT INTO hidden VALUES (2); INSERT INTO orders VALUES (9)");
    let sales = format!("{}-shop-sales", stage.database.name());
    let mut reader = stage.kafka.reader(&[&sales]);
    let records = reader.exactly(2, SOON);
    assert!(records.iter().all(|record| names(record) == ("shop".into(), "sales".into())), "{records:?}");
    assert_eq!((records[0].key_text(), records[1].key_text()), ("7".into(), "9".into()));
    assert_eq!(names(&stage.reader(&["Items"]).exactly(1, SOON)[0]), ("public".into(), "Items".into()));
    let topics = stage.kafka.topics();
    for none in ["hidden", "orders"] {
        assert!(!topics.contains_key(&stage.topic(none)), "{topics:?}");
    }
    gateway.stop_cleanly();
    let printed = millrace(&["config", "print", &task.write().display().to_string()]);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("tables.csv"), "{printed:?}");
}

#[test]
fn a_list_sends_tables_to_topics_of_their_own() {
    let stage = Stage::new(
        "retopic",
        "CREATE TABLE orders(id int PRIMARY KEY); CREATE TABLE items(id int PRIMARY KEY); CREATE TABLE more(id int PRIMARY KEY)",
    );
    let shared = format!("{}.shared", stage.database.name());
    let list = format!("object,topic_mapping\npublic.orders,{shared}\npublic.items,{shared}\npublic.more,\n");
    let mut task = listed(&stage, &list);
    task.set("route.partitions", "3");
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO orders VALUES (1); INSERT INTO items VALUES (1); INSERT INTO more VALUES (1)");
    let mut reader = stage.kafka.reader(&[&shared]);
    let records = reader.exactly(2, SOON);
    assert_eq!(records[0].partition, records[1].partition, "the key decides, as the policy says");
    let mut tables: Vec<String> = records.iter().map(|record| names(record).1).collect();
    tables.sort();
    assert_eq!(tables, ["items", "orders"]);
    assert_eq!(names(&stage.reader(&["more"]).exactly(1, SOON)[0]).1, "more");
    assert_eq!(stage.kafka.topics().get(&shared), Some(&3));
    gateway.stop_cleanly();
}

/// Template, list, search, pages, check with failure detail, and export; in both forms of workbook and table.
#[test]
fn tables_are_chosen_from_a_live_source() {
    let stage = Stage::new(
        "chosen",
        "CREATE TABLE orders(id int PRIMARY KEY); CREATE TABLE order_lines(id int PRIMARY KEY); CREATE TABLE other(id int PRIMARY KEY); \
         CREATE TABLE \"a  b\"(id int PRIMARY KEY); CREATE TABLE \"what?\"(id int PRIMARY KEY); CREATE SCHEMA empty",
    );
    let mut task = stage.task.clone();
    task.set("objects.include", r#"["public.orders", "public.other"]"#);
    let path = task.write().display().to_string();
    let (answer, code) = objects(&["list", &path]);
    assert_eq!((code, answer["total"].as_u64()), (Some(0), Some(5)), "{answer:#}");
    let row = |answer: &Value, table: &str| {
        let rows = answer["tables"].as_array().expect("tables").clone();
        rows.into_iter().find(|row| row["table"] == table).unwrap_or_else(|| panic!("no {table} in {answer:#}"))
    };
    assert_eq!(
        (&row(&answer, "orders")["selected"], &row(&answer, "order_lines")["selected"]),
        (&json!(true), &json!(false))
    );
    let spaced = row(&answer, "a  b");
    assert_eq!((&spaced["shown"], &spaced["selectable"]), (&json!("public.a b"), &json!(false)));
    assert_eq!(row(&answer, "what?")["selectable"], false);
    let schemas: Vec<&Value> = answer["tables"].as_array().expect("tables").iter().map(|row| &row["schema"]).collect();
    assert!(
        schemas.iter().all(|schema| **schema == "public"),
        "no schema of the server, none without tables: {schemas:?}"
    );

    let (answer, _) = objects(&["search", &path, "ORDER", "--page-size", "1", "--page", "2"]);
    assert_eq!((answer["total"].as_u64(), answer["pages"].as_u64()), (Some(2), Some(2)));
    assert_eq!(answer["tables"][0]["table"], "orders", "{answer:#}");
    stage.database.exec("CREATE TABLE order_new(id int PRIMARY KEY)");
    assert_eq!(objects(&["search", &path, "order"]).0["total"], 3, "the catalogue is read anew");

    for form in ["csv", "xlsx"] {
        let list = task.dir().join(format!("list.{form}"));
        let list = list.to_str().expect("a path");
        assert_eq!(objects(&["template", "-o", list, "--mapping", "topic"]).1, Some(0));
        assert_eq!(objects(&["export", &path, "-o", list]).0["tables"], 2, "over the template");
        let (answer, code) = objects(&["check", &path, "--import", list]);
        assert_eq!((code, &answer["refused"]), (Some(0), &json!([])), "what is exported can be imported: {answer:#}");
    }
    let good = file(&task, "good (2).csv", "object,table_mapping\npublic.orders,\npublic.ORDERS,\n");
    let detail = task.dir().join("detail.csv");
    let detail = detail.to_str().expect("a path");
    let (answer, code) = objects(&["check", &path, "--import", good.to_str().expect("a path"), "--detail", detail]);
    assert_eq!((code, answer["refused"][0]["line"].as_u64()), (Some(3), Some(3)), "case counts: {answer:#}");
    let bad =
        file(&task, "bad.csv", "object,table_mapping\npublic.a b,\npublic.what?,\norders,x\npublic.orders,a.b.c\n");
    let (answer, _) = objects(&["check", &path, "--import", bad.to_str().expect("a path"), "--detail", detail]);
    assert_eq!(answer["refused"].as_array().map(Vec::len), Some(4), "{answer:#}");
    let written = std::fs::read_to_string(detail).expect("the detail");
    assert_eq!((written.lines().count(), written.lines().next()), (5, Some("line,object,target,rule")), "{written}");
    // The task file itself is refused with the rows of its list.
    let task = listed(&stage, "object,table_mapping\npublic.a b,\n");
    let out = millrace(&["check", &task.write().display().to_string(), "--json"]);
    let told: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(
        (out.status.code(), &told["problems"][0]["path"]),
        (Some(2), &json!("objects.import line 2")),
        "{told:#}"
    );
}

/// Ids of these tables' records, each once.
fn ids(stage: &Stage<'_>, table: &str, count: usize) -> Vec<i64> {
    let mut reader = stage.reader(&[table]);
    let id = |record: &Record| record.json()["data"][0]["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    reader.exactly(count, SOON).iter().map(id).collect()
}

#[test]
fn the_selection_changes_while_the_task_runs() {
    let stage = Stage::new(
        "edited",
        "CREATE TABLE kept(id int PRIMARY KEY); CREATE TABLE gone(id int PRIMARY KEY); CREATE TABLE fresh(id int PRIMARY KEY)",
    );
    stage.database.exec(&format!("DROP PUBLICATION {}", stage.task.slot()));
    stage.database.exec(
        "ALTER TABLE kept OWNER TO millrace; ALTER TABLE gone OWNER TO millrace; ALTER TABLE fresh OWNER TO millrace",
    );
    stage.database.exec(&format!("GRANT CREATE ON DATABASE \"{}\" TO millrace", stage.database.name()));
    let mut task = listed(&stage, "object,table_mapping\npublic.kept,\npublic.gone,\n");
    task.set("source.create_publication", "true");
    let audit = task.dir().join("audit.log");
    task.text("monitoring.audit_file", &audit.display().to_string());
    let path = task.write().display().to_string();
    let mut gateway = Gateway::ready(&task);
    stage.database.exec(
        "INSERT INTO kept SELECT generate_series(1,50); INSERT INTO gone VALUES (1); INSERT INTO fresh VALUES (1)",
    );
    let session = stage.database.session();
    let set = |list: &str| {
        let list = file(&task, "next.csv", list);
        objects(&["set", &path, "--import", list.to_str().expect("a path")])
    };
    // What cannot be is refused, and the stream goes on.
    for (list, why) in [
        ("object,table_mapping\npublic.kept,\npublic.missing,\n", "objects_refused"),
        ("object,table_mapping\npublic.kept,a.b\n", "objects_mapped"),
    ] {
        let (answer, code) = set(list);
        assert_eq!(code, Some(3), "{answer:#}");
        assert!(answer["error"]["why"].as_str().is_some_and(|text| text.contains(why)), "{answer:#}");
    }
    let (answer, _) = set("object,table_mapping\npublic.kept,\npublic.gone,\n");
    assert_eq!(answer["changed"], false, "{answer:#}");
    // A change between the commits of a busy source.
    let inserts = std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            for id in 51..=450 {
                session.exec(&format!("INSERT INTO kept VALUES ({id})"));
            }
        });
        let (answer, code) = set("object,table_mapping\npublic.kept,\npublic.fresh,\n");
        assert_eq!(code, Some(0), "{answer:#}");
        assert_eq!((&answer["added"], &answer["removed"]), (&json!(["public.fresh"]), &json!(["public.gone"])));
        busy.join().expect("the inserts");
        450
    });
    gateway.wait_ready(SOON);
    stage.database.exec("INSERT INTO gone VALUES (2); INSERT INTO fresh VALUES (2); INSERT INTO kept VALUES (451)");
    assert_eq!(
        ids(&stage, "kept", inserts + 1),
        (1..=451).collect::<Vec<_>>(),
        "nothing is lost, repeated or out of order"
    );
    assert_eq!((ids(&stage, "fresh", 1), ids(&stage, "gone", 1)), (vec![2], vec![1]));
    let published = stage.database.one(&format!(
        "SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_publication_tables WHERE pubname = '{}'",
        stage.task.slot()
    ));
    assert_eq!(published.as_deref(), Some("fresh,kept"), "the source sends what is selected");
    let lines = std::fs::read_to_string(&audit).expect("the audit file");
    let edits = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let edits: Vec<String> = edits
        .filter(|line| line["what"] == "edit-objects")
        .map(|line| line["result"].as_str().expect("a result").to_owned())
        .collect();
    let each = ["accepted", "failed", "accepted", "failed", "accepted", "done", "accepted", "done"];
    assert_eq!(edits, each, "the life of the task hears of each edit, and goes on: {lines}");
    // A list cannot give way to patterns while the task runs.
    let mut patterns = stage.task.clone();
    patterns.set("objects.include", r#"["public.kept"]"#).write();
    let (answer, code) = objects(&["set", &path]);
    assert!(
        code == Some(3) && answer["error"]["why"].as_str().is_some_and(|why| why.contains("objects_mode")),
        "{answer:#}"
    );
    task.write();
    gateway.kill();
    let mut gateway = Gateway::ready(&task);
    stage.database.exec("INSERT INTO gone VALUES (3); INSERT INTO fresh VALUES (3)");
    assert_eq!(ids(&stage, "fresh", 2), [2, 3], "a restart reads what ran");
    assert_eq!(ids(&stage, "gone", 1), [1]);
    gateway.stop_cleanly();
}

/// The white list of a GaussDB is the new selection's, and what was confirmed before keeps its ids.
#[test]
fn the_selection_of_a_gaussdb_changes_while_the_task_runs() {
    let mut scene = Scene::new("gs-edit", single(Product::OpenGauss));
    scene.task.set("objects.include", r#"["sales.orders"]"#);
    let (mut gateway, _) = scene.start();
    let order = |id| vec![crate::gaussdb::order(&scene.cluster, id)];
    scene.cluster.commit(0, order(1));
    let topic = "gs-edit-orders";
    let mut reader = millrace_tests::servers::kafka().reader(&[topic]);
    reader.exactly(1, SOON);
    scene.task.set("objects.include", r#"["sales.orders", "sales.audit"]"#);
    let path: String = scene.task.write().display().to_string();
    let (answer, code) = objects(&["set", &path]);
    assert_eq!((code, &answer["added"]), (Some(0), &json!(["sales.audit"])), "{answer:#}");
    gateway.wait_ready(SOON);
    scene.cluster.commit(0, order(2));
    let records = reader.exactly(2, SOON);
    let ids: Vec<u64> = records.iter().map(|record| record.json()["id"].as_u64().expect("an id")).collect();
    assert!(ids[0] < ids[1], "{ids:?}");
    // An audit row arrives now.
    crate::gaussdb::commit(&scene.cluster, 7, 40);
    let mut audit = millrace_tests::servers::kafka().reader(&["gs-edit-audit"]);
    audit.until("an audit row", SOON, |records| !records.is_empty());
    gateway.stop_cleanly();
}
