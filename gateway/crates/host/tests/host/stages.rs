//! Starts, announcements and what a plan means.

use crate::rows::{Change, PROBE, batch, engine, probes, relation, select, start, topic_router};
use millrace_host::{
    Chain, Grant, HostError, Limits, Module, PartitionChoice, Records, SchemaId, TopicTable, Verdict, positive_murmur2,
};
use std::sync::Arc;

fn code(error: HostError) -> (&'static str, String) {
    let failure = error.failure();
    assert!(failure.is_definite());
    (failure.code, failure.to_string())
}

#[test]
fn a_refused_configuration_speaks_in_the_modules_words() {
    let (code, text) = code(start(&probes("refuse no such column", "", "plan fixed t 0", "plan * *")).unwrap_err());
    assert_eq!(code, "stage_config");
    assert!(text.contains("no such column") && text.contains("stage f") && text.contains("module probe"), "{text}");
}

#[test]
fn a_module_without_the_stage_is_refused() {
    let mut spec = probes("", "", "plan fixed t 0", "plan * *");
    spec.route = select("{}");
    assert_eq!(code(start(&spec).unwrap_err()).0, "module_missing_export");
    // Nothing of it is the default router's fault.
    spec.route = topic_router("{}");
    assert!(start(&spec).is_ok());
}

#[test]
fn plans_that_cannot_be_followed_are_refused() {
    let cases = [
        ("plan per 5 - 2", "", "plan fixed t 0", "plan * *", "column 5"),
        ("plan per 1,1 - 2", "", "plan fixed t 0", "plan * *", "twice"),
        ("", "plan rewrite 0,7 - - 0", "plan fixed t 0", "plan * *", "source is 7"),
        ("", "plan rewrite 0,-2 - - 0", "plan fixed t 0", "plan * *", "source is -2"),
        ("", "plan rewrite 0,0 - - 0", "plan fixed t 0", "plan * *", "copied twice"),
        ("", "", "plan fixed no/topic 0", "plan * *", "no topic name"),
        ("", "", "plan fixed t 4294967295", "plan * *", "partition 4294967295"),
        ("", "", "plan columns t 3", "plan * *", "column 3"),
        ("", "", "plan fixed t 0", "plan 9 *", "column 9"),
    ];
    for (filter, map, route, format, expected) in cases {
        let (mut chain, _) = start(&probes(filter, map, route, format)).unwrap();
        let (code, text) = code(chain.announce(&relation(0, 3)).unwrap_err());
        assert_eq!(code, "stage_plan");
        assert!(text.contains(expected) && text.contains("s.t0"), "{expected}: {text}");
    }
    let (mut chain, _) = start(&probes("announce refuse", "", "plan fixed t 0", "plan * *")).unwrap();
    let (code, text) = code(chain.announce(&relation(0, 3)).unwrap_err());
    assert_eq!(code, "stage_announce");
    assert!(text.contains("told to refuse"), "{text}");
}

#[test]
fn a_dropped_table_stops_at_the_filter() {
    // The router would refuse it.
    let (mut chain, _) = start(&probes("plan drop", "", "announce refuse", "plan * *")).unwrap();
    assert_eq!(chain.announce(&relation(4, 2)).unwrap(), Verdict::Dropped);
    assert_eq!(chain.announce(&relation(4, 2)).unwrap(), Verdict::Dropped);
    assert!(chain.topics_of(4).is_empty());
    let mut out = Records::new();
    chain.process(&batch(&[Change::insert(1, 4, &["a", "b"])]), 0, &mut out).unwrap();
    assert!(out.is_empty());
}

#[test]
fn fixed_targets_cost_no_call_and_are_known_before_the_first_change() {
    // A call of the router would fail.
    let (mut chain, topics) =
        start(&probes("", "", "plan hash orders some.bytes; on * panic", "plan - - empty")).unwrap();
    assert_eq!(chain.announce(&relation(0, 1)).unwrap(), Verdict::Kept);
    let names: Vec<_> = chain.topics_of(0).iter().map(|id| topics.name(*id).unwrap().to_string()).collect();
    assert_eq!(names, ["orders"]);
    let mut out = Records::new();
    // Ids that are one above a multiple of 4 take the router's key.
    chain.process(&batch(&[1, 5, 8].map(|id| Change::insert(id, 0, &["a"]))), 0, &mut out).unwrap();
    let hash = PartitionChoice::Hash(positive_murmur2(b"some.bytes"));
    let keys: Vec<_> = out.iter().map(|record| (record.change, record.partition, record.key)).collect();
    assert_eq!(keys, [(0, hash, Some(&b"some.bytes"[..])), (1, hash, Some(&b"some.bytes"[..])), (2, hash, None)]);
}

#[test]
fn an_explicit_partition_leaves_no_routing_key() {
    let (mut chain, _) = start(&probes("", "", "plan fixed t 3", "plan - - empty")).unwrap();
    chain.announce(&relation(0, 1)).unwrap();
    let mut out = Records::new();
    chain.process(&batch(&[Change::insert(1, 0, &["a"])]), 0, &mut out).unwrap();
    let record = out.iter().next().unwrap();
    assert_eq!((record.partition, record.key), (PartitionChoice::Explicit(3), None));
}

#[test]
fn schemas_are_known_by_number_and_the_same_for_every_chain() {
    let spec = probes("", "", "plan hash t bytes", "plan - - ; schema shop avro-text");
    for _ in 0..2 {
        let (mut chain, _) = start(&spec).unwrap();
        chain.announce(&relation(0, 1)).unwrap();
        chain.announce(&relation(1, 1)).unwrap();
        let mut out = Records::new();
        // Keys by id: 8 none, 5 the router's, 2 and 3 the module's own; 11 is a tombstone.
        let changes = [(2, 0), (8, 0), (5, 1), (3, 1), (11, 1)];
        chain.process(&batch(&changes.map(|(id, table)| Change::insert(id, table, &["a"]))), 0, &mut out).unwrap();
        let schemas = engine().schemas();
        let name =
            |id: Option<SchemaId>| id.map(|id| schemas.get(id).unwrap()).map(|s| (s.name.clone(), s.text.clone()));
        let mut seen: Vec<_> =
            out.iter().map(|r| (changes[r.change as usize].0, name(r.schemas.key), name(r.schemas.value))).collect();
        seen.dedup();
        let schema = |what: &str, table: &str| Some((format!("shop.{what}"), format!("avro-text of {table}")));
        let expected = [
            (2, schema("key", "t0"), schema("value", "t0")),
            (8, None, schema("value", "t0")),
            (5, None, schema("value", "t1")),
            (3, schema("key", "t1"), schema("value", "t1")),
            (11, schema("key", "t1"), None),
        ];
        assert_eq!(seen, expected);
        assert_eq!(schemas.len(), 4, "two tables, key and value each, however many chains");
    }
}

#[test]
fn a_counter_counts_what_was_taken() {
    let mut spec = probes("", "", "plan fixed t 0", "plan - - ; on * count");
    let module = Module::load_with(engine(), "counting", PROBE, None, &[Grant::Counter]).unwrap();
    spec.format.module = Arc::new(module);
    let (mut chain, _) = start(&spec).unwrap();
    chain.announce(&relation(0, 1)).unwrap();
    let mut out = Records::new();
    for ids in [1..4, 4..9] {
        let changes: Vec<_> = ids.map(|id| Change::insert(id, 0, &["a"])).collect();
        chain.process(&batch(&changes), 0, &mut out).unwrap();
    }
    let counts = engine().module_counters();
    let counts: Vec<_> = counts.iter().filter(|count| &*count.module == "counting").collect();
    assert_eq!(counts.iter().map(|count| (count.name.as_str(), count.value)).collect::<Vec<_>>(), [("rows", 8)]);
}

#[test]
fn batches_that_do_not_fit_their_tables_are_refused() {
    let (mut chain, _) = start(&probes("", "", "plan fixed t 0", "plan * *")).unwrap();
    let mut out = Records::new();
    let unknown = chain.process(&batch(&[Change::insert(1, 0, &["a"])]), 0, &mut out).unwrap_err();
    assert!(matches!(unknown, HostError::Unannounced(0)));
    chain.announce(&relation(0, 2)).unwrap();
    let narrow = chain.process(&batch(&[Change::insert(1, 0, &["a"])]), 0, &mut out).unwrap_err();
    assert!(matches!(narrow, HostError::BadBatch { change: 0, .. }));
    chain.process(&batch(&[Change::insert(1, 0, &["a", "b"])]), 0, &mut out).unwrap();
    assert_eq!(out.len(), 1);
}

#[test]
fn chains_of_several_threads_share_one_table_of_topics() {
    let spec = probes("", "", "plan per - -", "plan - -");
    let topics = TopicTable::new();
    let run = || {
        let mut chain = Chain::instantiate(&spec, &Limits::default(), &topics).unwrap();
        chain.announce(&relation(0, 1)).unwrap();
        let changes: Vec<Change> = (0..300).map(|id| Change::insert(id, 0, &["a"])).collect();
        let mut out = Records::new();
        chain.process(&batch(&changes), 0, &mut out).unwrap();
        out.iter().map(|record| (record.change, topics.name(record.topic))).collect::<Vec<_>>()
    };
    let seen: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    // t0 to t2 of the router and one of the format's choice.
    assert_eq!(topics.len(), 4);
}
