//! Random batches through random plans equal a naive model.
//!
//! `probe` decides by the change's id and writes down everything it sees; the model below does the same without columns, projection,
//! halving or Wasm.

use crate::rows::{Change, Text, batch, csn, marks_of, probes, relation, stamp, start};
use millrace_batch::Op;
use millrace_host::{PartitionChoice, Records, positive_murmur2};
use proptest::prelude::*;

const WIDTH: usize = 4;

fn cell() -> impl Strategy<Value = Text> {
    prop_oneof![
        1 => Just(Text::Null),
        1 => Just(Text::Unsent),
        4 => prop::collection::vec(any::<u8>(), 0..6).prop_map(Text::Is)
    ]
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let row = || prop::collection::vec(cell(), WIDTH);
    let one = (0u32..2, 0u8..4, row(), row(), any::<bool>());
    prop::collection::vec(one, 0..40).prop_map(|changes| {
        let mut out = Vec::new();
        for (relation, op, new, old, with_old) in changes {
            let (op, new, old) = match op {
                0 => (Op::Insert, Some(new), None),
                1 => (Op::Update, Some(new), with_old.then_some(old)),
                2 => (Op::Delete, None, Some(old)),
                _ => (Op::Truncate, None, None),
            };
            out.push(Change { id: out.len() as u64 + 1, relation, op, new, old });
        }
        out
    })
}

/// A selection and its text; indexes below `width`.
fn selection(width: usize) -> impl Strategy<Value = String> {
    let listed = Just((0..width).collect::<Vec<_>>()).prop_shuffle().prop_flat_map(move |order| {
        (1..=width).prop_map(move |n| order[..n].iter().map(usize::to_string).collect::<Vec<_>>().join(","))
    });
    prop_oneof![Just("-".to_owned()), Just("k".to_owned()), Just("*".to_owned()), listed]
}

fn chosen(selection: &str, image: &Option<Vec<Text>>, key: Option<usize>) -> Vec<Text> {
    let Some(cells) = image else { return Vec::new() };
    match selection {
        "-" => Vec::new(),
        "*" => cells.clone(),
        "k" => key.map(|key| cells[key].clone()).into_iter().collect(),
        list => list.split(',').map(|index| cells[index.parse::<usize>().unwrap()].clone()).collect(),
    }
}

fn render(cells: &[Text]) -> Vec<u8> {
    let mut out = Vec::new();
    for cell in cells {
        match cell {
            Text::Null => out.push(b'N'),
            Text::Unsent => out.push(b'U'),
            Text::Is(text) => {
                out.extend_from_slice(format!("T{}:", text.len()).as_bytes());
                out.extend_from_slice(text);
            }
        }
    }
    out
}

/// What the map stage of `probe` makes of an image.
fn rewritten(
    image: &Option<Vec<Text>>,
    id: u64,
    sources: &[i32],
    reads: &str,
    key: Option<usize>,
) -> Option<Vec<Text>> {
    let cells = image.as_ref()?;
    let mut number = 0;
    let cell = |source: &i32| {
        if let Ok(from) = usize::try_from(*source) {
            return cells[from].clone();
        }
        let mut text = number.to_string().into_bytes();
        number += 1;
        if id.is_multiple_of(5) {
            return Text::Null;
        }
        if id.is_multiple_of(7) {
            return Text::Unsent;
        }
        text.extend(render(&chosen(reads, image, key)));
        Text::Is(text)
    };
    Some(sources.iter().map(cell).collect())
}

#[derive(Clone, Debug)]
struct Plans {
    filter: Option<(String, String, u64)>,
    map: Option<(Vec<i32>, String, String, u64)>,
    route: (String, String),
    format: (String, String),
}

fn plans() -> impl Strategy<Value = Plans> {
    // Every column at most once, any number written, in any order.
    let sources = (Just((0..WIDTH as i32).collect::<Vec<_>>()).prop_shuffle(), 0..=WIDTH, 0usize..3).prop_flat_map(
        |(order, kept, written)| {
            let mut sources = order[..kept].to_vec();
            sources.extend(std::iter::repeat_n(-1, written));
            if sources.is_empty() {
                sources.push(-1);
            }
            Just(sources).prop_shuffle()
        },
    );
    let filter = prop::option::of((selection(WIDTH), selection(WIDTH), 2u64..5));
    let map = prop::option::of((sources, selection(WIDTH), selection(WIDTH), prop_oneof![Just(0), 2u64..5]));
    (filter, map).prop_flat_map(|(filter, map)| {
        let width = map.as_ref().map_or(WIDTH, |(sources, ..)| sources.len());
        let pair = || (selection(width), selection(width));
        (Just(filter), Just(map), pair(), pair()).prop_map(|(filter, map, route, format)| Plans {
            filter,
            map,
            route,
            format,
        })
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Expected {
    change: u32,
    topic: String,
    partition: PartitionChoice,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

fn model(changes: &[Change], plans: &Plans, now: i64) -> Vec<Expected> {
    let mut out = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        let id = change.id;
        if plans.filter.as_ref().is_some_and(|(_, _, modulus)| id.is_multiple_of(*modulus)) {
            continue;
        }
        let (mut new, mut old, mut key) = (change.new.clone(), change.old.clone(), Some(0));
        if let Some((sources, reads_new, reads_old, modulus)) = &plans.map {
            if *modulus != 0 && id.is_multiple_of(*modulus) {
                continue;
            }
            (new, old) = (rewritten(&new, id, sources, reads_new, key), rewritten(&old, id, sources, reads_old, key));
            key = sources.iter().position(|source| *source == 0);
        }
        let routing = format!("h{id}").into_bytes();
        let (partition, routing) = match id.is_multiple_of(4) {
            true => (PartitionChoice::Explicit((id % 10) as u32), None),
            false => (PartitionChoice::Hash(positive_murmur2(&routing)), Some(routing)),
        };
        let stamp = stamp(change);
        let mut value = format!(
            "{now} 2 {id} {} {} {} {} {} {} {} {}|",
            change.op as u8,
            marks_of(change),
            change.relation,
            stamp.commit_lsn.0,
            csn(change),
            stamp.xid,
            stamp.commit_time,
            stamp.ordinal
        )
        .into_bytes();
        value.extend(render(&chosen(&plans.format.0, &new, key)));
        value.push(b'|');
        value.extend(render(&chosen(&plans.format.1, &old, key)));
        for number in 0..(id % 3).max(1) {
            out.push(Expected {
                change: index as u32,
                topic: if number == 1 { "chosen".into() } else { format!("t{}", id % 3) },
                partition,
                key: match id % 4 {
                    0 => None,
                    1 => routing.clone(),
                    _ => Some(format!("k{id}").into_bytes()),
                },
                value: (!id.is_multiple_of(11)).then(|| value.clone()),
                headers: if id.is_multiple_of(5) { vec![("h".into(), id.to_string().into_bytes())] } else { vec![] },
            });
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_chain_equals_the_model(changes in changes(), plans in plans()) {
        let filter = plans.filter.as_ref().map_or(String::new(), |(new, old, n)| format!("plan per {new} {old} {n}"));
        let map = plans.map.as_ref().map_or(String::new(), |(sources, new, old, n)| {
            let sources: Vec<String> = sources.iter().map(i32::to_string).collect();
            format!("plan rewrite {} {new} {old} {n}", sources.join(","))
        });
        let route = format!("plan per {} {}", plans.route.0, plans.route.1);
        let format = format!("plan {} {}", plans.format.0, plans.format.1);
        let (mut chain, topics) = start(&probes(&filter, &map, &route, &format)).unwrap();
        for id in 0..2 {
            chain.announce(&relation(id, WIDTH)).unwrap();
        }
        let mut out = Records::new();
        // The second time nothing of the first is left in a reused buffer.
        for now in [5, 6] {
            chain.process(&batch(&changes), now, &mut out).unwrap();
            let seen: Vec<Expected> = out
                .iter()
                .map(|record| Expected {
                    change: record.change,
                    topic: topics.name(record.topic).unwrap().to_string(),
                    partition: record.partition,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: record.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
                })
                .collect();
            prop_assert_eq!(&seen, &model(&changes, &plans, now));
        }
    }
}
