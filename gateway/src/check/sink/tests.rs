//! Each item with brokers that pass and brokers that do not.

use millrace_sink::TopicFacts as Topic;

use super::*;
use crate::{
    check::{
        Verdict::{self, Alarm, Failed, Passed, Skipped},
        source::Table,
    },
    config::Task,
};

fn task(keys: &str) -> Task {
    let text = format!(
        "task.name = 'shop'\n\
         source = {{ kind = 'postgresql', hosts = ['a:1'], database = 'd', user = 'cdc' }}\n\
         sink = {{ kind = 'kafka', brokers = ['b:1'] }}\n{keys}\n"
    );
    crate::config::parse(&text, std::path::Path::new("/")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn tables(names: &[(&str, &str)]) -> Vec<Table> {
    let table = |(schema, name): &(&str, &str)| Table {
        schema: (*schema).to_owned(),
        name: (*name).to_owned(),
        ..Table::default()
    };
    names.iter().map(table).collect()
}

fn topic(settings: &[(&str, &str)]) -> Topic {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Topic { partitions: 1, replicas: 1, settings }
}

/// One broker that shows its settings; the topics of the tables public.a exist.
fn facts() -> Facts {
    let broker = [("auto.create.topics.enable", "false"), ("message.max.bytes", "1048588")];
    Facts {
        brokers: 1,
        broker: broker.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        topics: [("d-public-a".to_owned(), topic(&[("max.message.bytes", "1048588")]))].into(),
    }
}

fn noticed(keys: &str, names: &[(&str, &str)], change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, Verdict)> {
    let (task, tables, mut facts) = (task(keys), tables(names), facts());
    change(&mut facts);
    let sent: Vec<&Table> = tables.iter().collect();
    let items = judge(&task, &facts, &wanted_topics(&task, Some(&sent)));
    assert_eq!(items.iter().map(|item| item.id).collect::<Vec<_>>(), IDS);
    items.into_iter().filter(|item| item.verdict != Passed).map(|item| (item.id, item.verdict)).collect()
}

const A: &[(&str, &str)] = &[("public", "a")];

#[test]
fn everything_in_order_passes() {
    assert_eq!(noticed("", A, |_| ()), []);
    assert_eq!(noticed("route = { topic_policy = 0, topic = 'd-public-a' }", A, |_| ()), []);
}

#[test]
fn names_of_topics() {
    assert_eq!(noticed("", &[("public", "a b")], |_| ()), [("sink.topic_names", Failed)]);
    assert_eq!(noticed("route.sanitize = true", &[("public", "a b")], |_| ()), [("sink.topic_names", Alarm)]);
    let long = "x".repeat(250);
    assert_eq!(noticed("", &[("public", &long)], |_| ()), [("sink.topic_names", Failed)]);
    // a-b.c and a.b-c would be one topic; a.b and a_b would be one metric.
    let twice = [("a-b", "c"), ("a", "b-c")];
    assert!(noticed("", &twice, |_| ()).contains(&("sink.topic_names", Failed)));
    let dots = "route.topic_name_format = '$schema$.$tablename$'";
    assert!(noticed(dots, &[("a", "b_c"), ("a_b", "c")], |_| ()).contains(&("sink.topic_names", Failed)));
    assert!(
        !noticed("route.topic_policy = 3", &[("a", "b"), ("a", "c")], |_| ()).contains(&("sink.topic_names", Failed))
    );
}

#[test]
fn topics_that_exist_and_that_do_not() {
    let b = [("public", "b")];
    assert_eq!(noticed("", &b, |_| ()), [("sink.topics", Alarm)]);
    assert_eq!(noticed("route.create_topics = false", &b, |_| ()), [("sink.topics", Failed)]);
    assert_eq!(noticed("route = { topic_policy = 0, topic = 'b' }", &b, |_| ()), [("sink.topics", Failed)]);
    assert_eq!(noticed("route.partitions = 3", A, |_| ()), [("sink.topic_settings", Alarm)]);
    assert_eq!(noticed("route = { partitions = 3, create_topics = false }", A, |_| ()), []);
    let retained = "route.topic_settings = { 'retention.ms' = '5' }";
    assert_eq!(noticed(retained, A, |_| ()), [], "a setting that is not shown is not judged");
    for (found, verdict) in [("5", vec![]), ("6", vec![("sink.topic_settings", Alarm)])] {
        let found = |facts: &mut Facts| {
            facts
                .topics
                .insert("d-public-a".to_owned(), topic(&[("retention.ms", found), ("max.message.bytes", "1048588")]));
        };
        assert_eq!(noticed(retained, A, found), verdict);
    }
    let compacted = |facts: &mut Facts| {
        facts.topics.insert("d-public-a".to_owned(), topic(&[("cleanup.policy", "compact")]));
    };
    assert_eq!(noticed("", A, compacted), [("sink.topic_settings", Alarm)]);
    let factor = [("sink.topics", Alarm), ("sink.replication_factor", Failed)];
    assert_eq!(noticed("route.replication_factor = 2", &b, |_| ()), factor);
    assert_eq!(noticed("position.replication_factor = 2", A, |_| ()), [("sink.replication_factor", Failed)]);
}

#[test]
fn settings_of_the_brokers() {
    let set = |name: &'static str, value: &'static str| {
        move |facts: &mut Facts| {
            facts.broker.insert(name.to_owned(), value.to_owned());
        }
    };
    assert_eq!(noticed("", A, set("auto.create.topics.enable", "true")), [("sink.auto_create", Alarm)]);
    let hidden = [("sink.version", Skipped), ("sink.auto_create", Skipped), ("sink.message_size", Skipped)];
    assert_eq!(
        noticed("", A, |facts| {
            facts.broker.clear();
            facts.topics.insert("d-public-a".to_owned(), topic(&[]));
        }),
        hidden
    );
    let protocol = |version| set("inter.broker.protocol.version", version);
    assert_eq!(noticed("", A, protocol("0.10.2-IV0")), [("sink.version", Failed)]);
    assert_eq!(noticed("", A, protocol("0.11.0-IV2")), []);
    assert_eq!(noticed("", A, protocol("3.9-IV0")), []);
    let small = |facts: &mut Facts| {
        facts.topics.insert("d-public-a".to_owned(), topic(&[("max.message.bytes", "1000")]));
    };
    assert_eq!(noticed("", A, small), [("sink.message_size", Alarm)]);
}

/// What a list of tables maps is looked for under its own name.
#[test]
fn topics_of_a_list() {
    let folder = tempfile::tempdir().unwrap();
    let listed = |list: &str, names: &[(&str, &str)]| {
        std::fs::write(folder.path().join("l.csv"), list).unwrap();
        noticed(&format!("objects.import = '{}/l.csv'", folder.path().display()), names, |_| ())
    };
    assert_eq!(
        listed("object,topic_mapping\npublic.b,d-public-a\npublic.c,d-public-a\n", &[("public", "b"), ("public", "c")]),
        []
    );
    assert_eq!(listed("object,topic_mapping\npublic.b,other\n", &[("public", "b")]), [("sink.topics", Alarm)]);
    assert_eq!(listed("object,table_mapping\npublic.b,public.a\n", &[("public", "b")]), []);
}

#[test]
fn the_place_of_the_position() {
    let positions = |topic: Topic| {
        move |facts: &mut Facts| {
            facts.topics.insert("millrace-positions".to_owned(), topic);
        }
    };
    assert_eq!(noticed("", A, positions(topic(&[("cleanup.policy", "compact")]))), []);
    assert_eq!(noticed("", A, positions(topic(&[("cleanup.policy", "delete")]))), [("position.store", Failed)]);
    assert_eq!(noticed("", A, positions(Topic { partitions: 2, ..topic(&[]) })), [("position.store", Failed)]);
    assert_eq!(
        noticed("position = { store = 'file', path = '/no/such/folder/p' }", A, |_| ()),
        [("position.store", Failed)]
    );
    let folder = tempfile::tempdir().unwrap();
    let file = format!("position = {{ store = 'file', path = '{}/p' }}", folder.path().display());
    assert_eq!(noticed(&file, A, |_| ()), []);
}

#[test]
fn without_the_tables_the_topics_are_not_judged() {
    let task = task("");
    let items = judge(&task, &facts(), &wanted_topics(&task, None));
    let skipped: Vec<&str> = items.iter().filter(|item| item.verdict == Skipped).map(|item| item.id).collect();
    assert_eq!(skipped, ["sink.topic_names", "sink.topics"]);
}
