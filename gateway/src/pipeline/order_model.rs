//! The order of a key in every pair of policies: random changes through parallel workers that end in any order (I3).
//!
//! The chains are those of a task, with the default modules; what is checked is what a consumer of one partition sees.

use std::{cell::RefCell, collections::BTreeMap, path::Path};

use millrace_batch::{Batch, ChangeStamp, Column, Lsn, Op, Relation, ReplicaIdentity, marks};
use millrace_host::{Chain, PartitionChoice, Records, TopicTable};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::order::Reorder;
use crate::task::modules::Loaded;

/// Schema, name and number of key columns of the tables; each has two columns of which the key is the first ones.
const TABLES: [(&str, &str, u16); 4] = [("a", "one", 1), ("a", "two", 2), ("b", "one", 1), ("b", "keyless", 0)];
/// Topic policies with the partition policies they allow.
const PAIRS: [(u8, u8); 11] = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 0), (2, 1), (2, 3), (3, 0), (3, 1)];
const WORKERS: usize = 3;

fn relation(id: usize) -> Relation {
    let (schema, table, keys) = TABLES[id];
    let column = |n: u16| Column {
        name: format!("c{n}"),
        type_name: "text".into(),
        type_oid: 25,
        type_modifier: -1,
        jdbc_type: 12,
        key_position: if n < keys { n + 1 } else { 0 },
    };
    Relation {
        id: id as u32,
        source_oid: id as u32,
        database: "d".into(),
        schema: schema.into(),
        table: table.into(),
        identity: ReplicaIdentity::Full,
        columns: (0..2).map(column).collect(),
    }
}

/// Table, operation and the two cells; an update has the cells of its old image too.
type Change = (usize, u8, [u8; 2], [u8; 2]);

fn push(batch: &mut Batch, number: usize, change: &Change) {
    let (table, op, new, old) = change;
    let (op, images): (Op, &[[u8; 2]]) = match op {
        0 => (Op::Insert, &[*new]),
        1 => (Op::Update, &[*new, *old]),
        _ => (Op::Delete, &[*old]),
    };
    let id = number as u64 + 1;
    let stamp =
        ChangeStamp { id, commit_lsn: Lsn(id), xid: id, commit_time: 0, ordinal: 0, relation: *table as u32, op };
    batch.begin_change(stamp);
    for cell in images.iter().flatten() {
        assert!(batch.push_text(&[b'a' + cell]));
    }
    match op {
        Op::Insert => batch.finish_change(2, 0, marks::NEW),
        Op::Update => batch.finish_change(2, 2, marks::NEW | marks::OLD),
        _ => batch.finish_change(0, 2, marks::OLD),
    }
}

/// What must stay together under a partition policy, in words of its own.
fn group(policy: u8, change: &Change) -> String {
    let (table, op, new, old) = change;
    let (schema, name, keys) = TABLES[*table];
    let row = if *op == 2 { old } else { new };
    match policy {
        0 => format!("{schema}.{name}"),
        1 => String::new(),
        2 => format!("{schema}.{name} {:?}", &row[..usize::from(keys)]),
        _ => schema.to_owned(),
    }
}

struct Pair {
    partition_policy: u8,
    topic_policy: u8,
    chains: Vec<Chain>,
}

#[test]
fn every_key_keeps_its_order_under_every_pair_of_policies() {
    let text = "task.name = 'order'\nsource = { kind = 'postgresql', hosts = ['a:1'], database = 'd', user = 'u' }\n\
                sink = { kind = 'kafka', brokers = ['b:1'] }";
    let task = crate::config::parse(text, Path::new("/")).unwrap();
    let loaded = Loaded::load(&task).unwrap();
    let topics = TopicTable::new();
    let pair = |(topic_policy, partition_policy): (u8, u8)| {
        let mut spec = loaded.spec.clone();
        let topic = if topic_policy == 0 { r#","topic":"all""# } else { "" };
        spec.route.config_json =
            format!(r#"{{"topic_policy":{topic_policy},"partition_policy":{partition_policy}{topic}}}"#);
        let chain = |_| {
            let mut chain = Chain::instantiate(&spec, loaded.engine.limits(), &topics).unwrap();
            for id in 0..TABLES.len() {
                chain.announce(&relation(id)).unwrap();
            }
            chain
        };
        Pair { partition_policy, topic_policy, chains: (0..WORKERS).map(chain).collect() }
    };
    let pairs = RefCell::new(PAIRS.map(pair));

    let cell = || 0u8..3;
    let change = (0..TABLES.len(), 0u8..3, [cell(), cell()], [cell(), cell()]);
    // Batches with the worker of each and the order in which they end.
    let input =
        prop::collection::vec((prop::collection::vec(change, 1..6), 0..WORKERS), 1..12).prop_flat_map(|batches| {
            let order: Vec<usize> = (0..batches.len()).collect();
            (Just(batches), Just(order).prop_shuffle(), 1u32..8)
        });
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&input, |(batches, ended, partitions)| {
        for pair in pairs.borrow_mut().iter_mut() {
            let changes: Vec<&Change> = batches.iter().flat_map(|(changes, _)| changes).collect();
            let mut first = 0;
            let mut work = Vec::new();
            for (changes, worker) in &batches {
                let mut batch = Batch::new(0);
                for change in changes {
                    push(&mut batch, first, change);
                    first += 1;
                }
                work.push((batch, *worker));
            }
            // Workers end in any order; deliver sends in the order of the stream.
            let mut reorder = Reorder::default();
            let mut sent: BTreeMap<(u32, u32), Vec<u64>> = BTreeMap::new();
            let mut place_of: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
            for number in &ended {
                let (batch, worker) = &work[*number];
                let mut records = Records::new();
                pair.chains[*worker].process(batch, 0, &mut records).unwrap();
                reorder.put(*number as u64, (batch, records));
                while let Some((batch, records)) = reorder.take() {
                    for record in records.iter() {
                        let partition = match record.partition {
                            PartitionChoice::Hash(hash) => hash % partitions,
                            PartitionChoice::Explicit(number) => number,
                        };
                        let id = batch.ids()[record.change as usize];
                        sent.entry((record.topic.0, partition)).or_default().push(id);
                        place_of.insert(id, (record.topic.0, partition));
                    }
                }
            }
            prop_assert_eq!(place_of.len(), changes.len(), "every change has its record");
            for ids in sent.values() {
                prop_assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "a partition is in commit order: {:?}", ids);
            }
            // Everything of a group that goes to one topic is in one partition, hence in order.
            let mut places: BTreeMap<(String, u32), u32> = BTreeMap::new();
            for (number, change) in changes.iter().enumerate() {
                let (topic, partition) = place_of[&(number as u64 + 1)];
                let of_group = *places.entry((group(pair.partition_policy, change), topic)).or_insert(partition);
                prop_assert_eq!(of_group, partition, "{:?} under {}", change, pair.topic_policy);
                prop_assert!(pair.partition_policy != 1 || partition == 0);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
