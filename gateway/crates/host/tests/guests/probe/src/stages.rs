//! The four stages. What each makes of a change depends on the change's id alone, so that a test can tell it without the module.

use crate::bindings::exports::millrace::transform::{filter, format, map, route};
use crate::bindings::millrace::transform::types::{Batch, Column, Relation};
use crate::{Probe, announced, clause, image, init, interest, mischief, render};

/// `plan keep`, `plan drop`, or `plan per NEW OLD N`: drops the changes whose id is a multiple of N.
impl filter::Guest for Probe {
    fn init(config: String) -> Result<(), String> {
        init(&config)
    }

    fn announce(_: Relation) -> Result<filter::Plan, String> {
        let plan = announced()?;
        Ok(match plan[0].as_str() {
            "keep" => filter::Plan::Keep,
            "drop" => filter::Plan::Drop,
            _ => filter::Plan::PerChange(interest(&plan[1], &plan[2])),
        })
    }

    fn process(batch: Batch) -> filter::Verdicts {
        let modulus: u64 = crate::clause("plan").unwrap()[3].parse().unwrap();
        let mut faults = Vec::new();
        let mut keep = vec![0u8; batch.ids.len().div_ceil(8)];
        for (index, id) in batch.ids.iter().enumerate() {
            if id % modulus != 0 {
                keep[index / 8] |= 1 << (index % 8);
            }
        }
        match mischief(&batch, &mut faults).as_deref() {
            Some("short") => keep.truncate(keep.len() - 1),
            Some("over") => keep.push(255),
            Some("back") => *keep.last_mut().unwrap() |= 128,
            Some("huge") => keep = vec![0; 80 << 20],
            _ => {}
        }
        filter::Verdicts { keep, faults }
    }
}

/// `plan unchanged`, or `plan rewrite SOURCES NEW OLD N`: sources like `1,-1,0`; drops the multiples of N unless that is 0. A written
/// cell is its number and the cells read of its image; NULL where the id is a multiple of 5, not sent where it is one of 7.
impl map::Guest for Probe {
    fn init(config: String) -> Result<(), String> {
        init(&config)
    }

    fn announce(before: Relation) -> Result<map::Plan, String> {
        let plan = announced()?;
        if plan[0] == "unchanged" {
            return Ok(map::Plan::Unchanged);
        }
        let sources: Vec<i32> = plan[1].split(',').map(|source| source.parse().unwrap()).collect();
        let columns = sources.iter().enumerate().map(|(index, source)| match usize::try_from(*source) {
            Ok(from) if from < before.columns.len() => before.columns[from].clone(),
            _ => Column {
                name: format!("w{index}"),
                type_name: "text".into(),
                type_oid: 25,
                type_modifier: -1,
                jdbc_type: 12,
                key_position: 0,
            },
        });
        let after = Relation { columns: columns.collect(), ..before };
        let reads = interest(&plan[2], &plan[3]);
        Ok(map::Plan::Rewritten(map::Rewrite { after, sources, reads, may_drop: plan[4] != "0" }))
    }

    fn process(batch: Batch) -> map::Mapped {
        let plan = crate::clause("plan").unwrap();
        let written = plan[1].split(',').filter(|source| *source == "-1").count();
        let modulus: u64 = plan[4].parse().unwrap();
        let mut out = map::Mapped { data: Vec::new(), ends: Vec::new(), dropped: Vec::new(), faults: Vec::new() };
        let mischief = mischief(&batch, &mut out.faults);
        for change in 0..batch.ids.len() {
            let id = batch.ids[change];
            if out.faults.iter().any(|fault| fault.index as usize == change) {
                continue;
            }
            if modulus != 0 && id % modulus == 0 {
                out.dropped.push(change as u32);
                continue;
            }
            for old in [false, true].into_iter().filter(|old| batch.marks[change] & if *old { 2 } else { 1 } != 0) {
                for number in 0..written {
                    let flag = if id % 5 == 0 {
                        1 << 31
                    } else if id % 7 == 0 {
                        1 << 30
                    } else {
                        out.data.extend_from_slice(number.to_string().as_bytes());
                        image(&batch, change, old).for_each(|cell| render(&batch, cell, &mut out.data));
                        0
                    };
                    out.ends.push(out.data.len() as u32 | flag);
                }
            }
        }
        match mischief.as_deref() {
            Some("short") => drop(out.ends.pop()),
            Some("over") => out.dropped.push(batch.ids.len() as u32),
            Some("back") => out.ends[0] = (1 << 30) - 1,
            Some("huge") => out.data = vec![0; 80 << 20],
            _ => {}
        }
        out
    }
}

/// `plan fixed T 3`, `plan hash T bytes`, `plan columns T 0,1`, or `plan per NEW OLD`: topic `t` and the id modulo 3; partition the id
/// modulo 10 where it is a multiple of 4, else the hash of `h` and the id.
impl route::Guest for Probe {
    fn init(config: String) -> Result<(), String> {
        init(&config)
    }

    fn announce(_: Relation) -> Result<route::Plan, String> {
        let plan = announced()?;
        let topic = plan[1].clone();
        Ok(match plan[0].as_str() {
            "fixed" => route::Plan::Fixed(route::Target {
                topic,
                partition: route::Partition::Number(plan[2].parse().unwrap()),
            }),
            "hash" => route::Plan::Fixed(route::Target {
                topic,
                partition: route::Partition::HashOf(plan[2].clone().into_bytes()),
            }),
            "columns" => {
                let columns = plan[2].split(',').map(|column| column.parse().unwrap()).collect();
                route::Plan::ByColumns(route::Hashed { topic, columns })
            }
            _ => route::Plan::PerChange(interest(&plan[1], &plan[2])),
        })
    }

    fn process(batch: Batch) -> route::Routes {
        let mut out = route::Routes {
            topics: vec!["t0".into(), "t1".into(), "t2".into()],
            arena: Vec::new(),
            topic_of: Vec::new(),
            partitions: Vec::new(),
            hash_ends: Vec::new(),
            faults: Vec::new(),
        };
        for id in &batch.ids {
            out.topic_of.push((id % 3) as u32);
            if id % 4 == 0 {
                out.partitions.push((id % 10) as i32);
            } else {
                out.partitions.push(-1);
                out.arena.extend_from_slice(format!("h{id}").as_bytes());
            }
            out.hash_ends.push(out.arena.len() as u32);
        }
        match mischief(&batch, &mut out.faults).as_deref() {
            Some("short") => drop(out.partitions.pop()),
            Some("over") => out.topic_of[0] = 3,
            Some("back") => out.hash_ends[0] = u32::MAX,
            Some("huge") => out.arena = vec![0; 80 << 20],
            Some("utf8") => out.topics[0] = crate::not_utf8(),
            Some("topic") => out.topics[0] = "no/topic".into(),
            Some("partition") => {
                out.partitions.fill(4_000_000);
                out.hash_ends.fill(0);
                out.arena.clear();
            }
            _ => {}
        }
        out
    }
}

/// `schema NAME TEXT`: keys and values have schemas NAME.key and NAME.value, whose text ends with the table's name.
/// `plan NEW OLD`: records as many as the id modulo 3, but at least one; no key where the id is a multiple of 4, the router's where it
/// is one more, else `k` and the id; a tombstone where it is a multiple of 11; a header `h` where it is one of 5. The value is
/// everything seen. `plan NEW OLD empty`: one record without value. `plan NEW OLD none`: no record, at once.
impl format::Guest for Probe {
    fn init(config: String) -> Result<(), String> {
        init(&config)
    }

    fn announce(before: Relation) -> Result<format::Plan, String> {
        let plan = announced()?;
        let schema = |what: &str| {
            clause("schema").map(|words| format::Schema {
                language: format::SchemaLanguage::Avro,
                name: format!("{}.{what}", words[0]),
                text: format!("{} of {}", words[1], before.table),
            })
        };
        Ok(format::Plan { reads: interest(&plan[0], &plan[1]), key_schema: schema("key"), value_schema: schema("value") })
    }

    fn process(batch: Batch) -> format::Records {
        let word = crate::clause("plan").unwrap().get(2).cloned();
        let (empty, none) = (word.as_deref() == Some("empty"), word.as_deref() == Some("none"));
        let mut out = format::Records {
            arena: Vec::new(),
            changes: Vec::new(),
            key_ends: Vec::new(),
            value_ends: Vec::new(),
            topic_of: Vec::new(),
            marks: Vec::new(),
            topics: vec!["chosen".into()],
            headers: format::Headers {
                names: vec!["h".into()],
                arena: Vec::new(),
                record_of: Vec::new(),
                name_of: Vec::new(),
                value_ends: Vec::new(),
            },
            faults: Vec::new(),
        };
        if none {
            return out;
        }
        for change in 0..batch.ids.len() {
            let id = batch.ids[change];
            for number in 0..if empty { 1 } else { (id % 3).max(1) } {
                let mut marks = match id % 4 {
                    0 => 1,
                    1 => 4,
                    _ => {
                        out.arena.extend_from_slice(format!("k{id}").as_bytes());
                        0
                    }
                };
                out.key_ends.push(out.arena.len() as u32);
                if id % 11 == 0 {
                    marks |= 2;
                } else if !empty {
                    value(&batch, change, &mut out.arena);
                }
                if id % 5 == 0 {
                    out.headers.record_of.push(out.changes.len() as u32);
                    out.headers.name_of.push(0);
                    out.headers.arena.extend_from_slice(id.to_string().as_bytes());
                    out.headers.value_ends.push(out.headers.arena.len() as u32);
                }
                out.changes.push(change as u32);
                out.value_ends.push(out.arena.len() as u32);
                out.topic_of.push(if number == 1 { 0 } else { -1 });
                out.marks.push(marks);
            }
        }
        match mischief(&batch, &mut out.faults).as_deref() {
            Some("short") => drop(out.marks.pop()),
            Some("over") => out.changes.fill(batch.ids.len() as u32),
            Some("back") => out.value_ends[0] = u32::MAX,
            Some("utf8") => out.topics[0] = crate::not_utf8(),
            Some("topic") => out.topics[0] = "no/topic".into(),
            Some("million") => {
                for _ in 0..1_000_000 {
                    out.changes.push(batch.ids.len() as u32 - 1);
                    out.key_ends.push(out.arena.len() as u32);
                    out.value_ends.push(out.arena.len() as u32);
                    out.topic_of.push(-1);
                    out.marks.push(1);
                }
            }
            Some("huge") => out.arena = vec![0; 80 << 20],
            _ => {}
        }
        out
    }
}

fn value(batch: &Batch, change: usize, out: &mut Vec<u8>) {
    let head = format!(
        "{} {} {} {} {} {} {} {} {} {} {}|",
        batch.now,
        batch.shard,
        batch.ids[change],
        batch.ops[change],
        batch.marks[change],
        batch.relations[change],
        batch.commit_lsns[change],
        batch.csns[change],
        batch.xids[change],
        batch.commit_times[change],
        batch.ordinals[change]
    );
    out.extend_from_slice(head.as_bytes());
    image(batch, change, false).for_each(|cell| render(batch, cell, out));
    out.push(b'|');
    image(batch, change, true).for_each(|cell| render(batch, cell, out));
}
