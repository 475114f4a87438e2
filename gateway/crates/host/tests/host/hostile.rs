//! Modules that misbehave: the gateway goes on and the right change is named.

use crate::rows::{Change, PROBE, batch, hasty, probes, relation, start_with, tight};
use millrace_host::{
    Chain, ChainSpec, Digest, Fault, FaultKind, Grant, HostEngine, HostError, LimitKind, Limits, Module, ModuleUsage,
    OnError, Records, StageKind, StageSpec, TopicTable,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PLANS: [(StageKind, &str); 4] = [
    (StageKind::Filter, "plan per * * 1000003"),
    (StageKind::Map, "plan rewrite 0,-1 * * 0"),
    (StageKind::Route, "plan per * *"),
    (StageKind::Format, "plan * *"),
];

/// A chain whose stage `kind` does `mischief`.
fn chain(kind: StageKind, mischief: &str) -> Chain {
    let limits = if mischief.ends_with("loop") { hasty() } else { tight() };
    chain_with(kind, mischief, &limits)
}

fn chain_with(kind: StageKind, mischief: &str, limits: &Limits) -> Chain {
    let config = |stage: StageKind| {
        let plan = PLANS.iter().find(|(of, _)| *of == stage).unwrap().1;
        if stage == kind { format!("{plan}; {mischief}") } else { plan.to_owned() }
    };
    let [filter, map, route, format] = StageKind::ALL.map(config);
    let (mut chain, _) = start_with(&probes(&filter, &map, &route, &format), limits).unwrap();
    chain.announce(&relation(7, 2)).unwrap();
    chain
}

fn changes(ids: std::ops::Range<u64>) -> Vec<Change> {
    ids.map(|id| Change::insert(id, 7, &["key", "secret value"])).collect()
}

fn fault(chain: &mut Chain, changes: &[Change]) -> Fault {
    let mut out = Records::new();
    match chain.process(&batch(changes), 0, &mut out) {
        Err(HostError::Fault(fault)) => {
            assert!(out.is_empty(), "half a batch came out");
            assert!(!format!("{fault}").contains("secret value"), "{fault}");
            *fault
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_mischief_in_every_stage_is_blamed_on_its_change() {
    let cases = [
        ("panic", FaultKind::Trap, "told to panic"),
        ("bomb", FaultKind::Trap, "memory limit of 33554432 bytes"),
        ("loop", FaultKind::Deadline, "no answer within 100ms"),
        ("recurse", FaultKind::Trap, "out of bounds memory access"),
        ("descend", FaultKind::Trap, "call stack exhausted"),
        ("fault", FaultKind::Guest, "told to\\nfault"),
    ];
    for kind in StageKind::ALL {
        for (mischief, expected, words) in cases {
            let mut chain = chain(kind, &format!("on 77 {mischief}"));
            let found = fault(&mut chain, &changes(40..140));
            assert_eq!((found.change, found.kind, found.kind_of_stage), (37, expected, kind), "{mischief}: {found}");
            assert_eq!((found.id, found.ordinal, found.commit_lsn.0, found.table.as_str()), (77, 80, 1077, "s.t7"));
            assert_eq!((found.digest, found.on_error), (Digest::of(PROBE), OnError::Halt));
            assert!(found.message.contains(words), "{mischief}: {}", found.message);
            // The instance is replaced and told of the table again.
            let mut out = Records::new();
            chain.process(&batch(&changes(78..90)), 0, &mut out).unwrap();
            assert!(out.len() >= 12);
        }
    }
}

#[test]
fn answers_that_break_the_contract_name_stage_and_field() {
    let fields = [
        (StageKind::Filter, "keep", "keep", "keep"),
        (StageKind::Map, "ends", "dropped", "ends"),
        (StageKind::Route, "partitions", "topic-of", "hash-ends"),
        (StageKind::Format, "marks", "changes", "marks"),
    ];
    for (kind, short, over, back) in fields {
        for (mischief, field) in [("short", short), ("over", over), ("back", back)] {
            let mut chain = chain(kind, &format!("on 77 {mischief}"));
            let found = fault(&mut chain, &changes(70..80));
            assert_eq!((found.change, found.kind), (7, FaultKind::BadOutput), "{kind} {mischief}: {found}");
            assert!(found.message.starts_with(field), "{kind} {mischief}: {}", found.message);
        }
    }
}

#[test]
fn topics_that_are_none_are_refused() {
    for kind in [StageKind::Route, StageKind::Format] {
        for (mischief, words) in [("topic", "topics: \"no/topic\" is no topic name"), ("utf8", "utf-8")] {
            let mut chain = chain(kind, &format!("on 77 {mischief}"));
            let found = fault(&mut chain, &changes(70..80));
            assert_eq!((found.change, found.kind), (7, FaultKind::BadOutput), "{kind} {mischief}: {found}");
            assert!(found.message.contains(words), "{kind} {mischief}: {}", found.message);
        }
    }
}

#[test]
fn a_million_records_of_one_change_meet_their_limit() {
    let mut chain = chain(StageKind::Format, "on 77 million");
    let found = fault(&mut chain, &changes(70..80));
    assert_eq!((found.change, found.kind), (7, FaultKind::BadOutput));
    assert!(found.message.contains("records and headers in one call, the limit is 65536"), "{}", found.message);
}

#[test]
fn too_much_output_meets_its_limit() {
    for kind in StageKind::ALL {
        // The memory limit would stop it first.
        let limits = Limits { memory_bytes: 256 << 20, ..tight() };
        let mut chain = chain_with(kind, "on 77 huge", &limits);
        let found = fault(&mut chain, &changes(77..78));
        assert_eq!(found.kind, FaultKind::Trap);
        assert!(found.message.contains("output limit of 67108864 bytes"), "{}", found.message);
    }
}

#[test]
fn a_runaway_start_or_announcement_ends() {
    let cases = [
        ("loop", "no answer within 100ms"),
        ("panic", "told to panic"),
        ("bomb", "memory limit of 33554432 bytes"),
        ("descend", "call stack exhausted"),
    ];
    for (mischief, words) in cases {
        let limits =
            if mischief == "loop" { Limits { init_timeout: hasty().call_timeout, ..hasty() } } else { tight() };
        let spec = probes("", "", &format!("init {mischief}"), "plan * *");
        let error = start_with(&spec, &limits).unwrap_err().failure();
        assert_eq!(error.code, "stage_start");
        assert!(error.why.contains(words), "{}", error.why);
        let spec = probes("", "", &format!("announce {mischief}"), "plan * *");
        let (mut chain, _) = start_with(&spec, &limits).unwrap();
        let error = chain.announce(&relation(0, 1)).unwrap_err().failure();
        assert_eq!(error.code, "stage_announce");
        assert!(error.why.contains(words), "{}", error.why);
    }
    let limits = Limits { memory_bytes: 1 << 16, ..tight() };
    let spec = probes("", "", "plan fixed t 0", "plan * *");
    let error = Chain::instantiate(&spec, &limits, &TopicTable::new()).unwrap_err().failure();
    assert_eq!(error.code, "stage_start");
    assert!(error.why.contains("memory limit of 65536 bytes"), "{}", error.why);
}

#[test]
fn a_deadline_costs_its_search_and_no_more() {
    let mut chain = chain(StageKind::Format, "on 1 loop");
    let begun = Instant::now();
    assert_eq!(fault(&mut chain, &changes(1..257)).change, 0);
    // The first change fails every call: one for the whole batch and eight halvings, 100 ms each.
    let taken = begun.elapsed();
    assert!(taken >= Duration::from_millis(900) && taken < Duration::from_secs(60), "{taken:?}");
}

#[test]
fn a_thousand_log_lines_are_no_failure() {
    let mut chain = chain(StageKind::Format, "on * log");
    let mut out = Records::new();
    chain.process(&batch(&changes(1..20)), 0, &mut out).unwrap();
    assert!(out.len() >= 19);
}

#[test]
fn a_flood_of_log_bytes_meets_the_limit_of_what_a_call_may_hand_over() {
    let mut chain = chain(StageKind::Filter, "on 77 flood");
    let found = fault(&mut chain, &changes(70..80));
    assert_eq!((found.change, found.kind), (7, FaultKind::Trap));
    assert!(found.message.contains("output limit of 67108864 bytes"), "{}", found.message);
}

#[test]
fn fuel_ends_a_call_at_the_same_place_everywhere() {
    let limits = Limits { fuel: Some(2_000_000), ..tight() };
    let engine = HostEngine::new(limits.clone(), None).unwrap();
    let module = Arc::new(Module::load_with(&engine, "probe", PROBE, None, &[Grant::Counter]).unwrap());
    let stage = |config: &str| StageSpec::new("s", module.clone(), config);
    let spec = ChainSpec {
        filters: vec![],
        maps: vec![],
        route: stage("plan fixed t 0"),
        format: stage("plan * *; on 77 loop"),
        mapping: Default::default(),
    };
    let mut chain = Chain::instantiate(&spec, &limits, &TopicTable::new()).unwrap();
    chain.announce(&relation(7, 2)).unwrap();
    let found = fault(&mut chain, &changes(70..80));
    assert_eq!((found.change, found.kind), (7, FaultKind::Fuel), "{found}");
    assert_eq!(found.message, "it burnt more than its fuel limit of 2000000");
    let usage = engine.module_usage().into_iter().find(|usage| usage.stage == StageKind::Format).unwrap();
    assert_eq!(usage.failures[FaultKind::Fuel as usize], usage.limit_hits[LimitKind::Fuel as usize]);
    assert!(usage.fuel >= 2_000_000 && usage.limit_hits[LimitKind::Fuel as usize] >= 1, "{usage:?}");
}

#[test]
fn what_a_module_uses_and_which_limits_it_meets_is_counted() {
    let limits = Limits { log_lines_per_second: 5, ..tight() };
    let engine = HostEngine::new(limits.clone(), None).unwrap();
    let module = Arc::new(Module::load_with(&engine, "probe", PROBE, None, &[Grant::Counter]).unwrap());
    let run = |config: &str, ids: std::ops::Range<u64>| {
        let mut format = StageSpec::new("o", module.clone(), config);
        format.on_error = OnError::Skip;
        let route = StageSpec::new("r", module.clone(), "plan fixed t 0");
        let spec = ChainSpec { filters: vec![], maps: vec![], route, format, mapping: Default::default() };
        let mut chain = Chain::instantiate(&spec, &limits, &TopicTable::new()).unwrap();
        chain.announce(&relation(7, 2)).unwrap();
        chain.process(&batch(&changes(ids)), 0, &mut Records::new()).unwrap();
        engine.module_usage().into_iter().find(|usage| usage.stage == StageKind::Format).unwrap()
    };
    let hit = |usage: &ModuleUsage, limit: LimitKind| usage.limit_hits[limit as usize];
    let calm = run("plan * *", 1..9);
    assert_eq!((calm.instances, calm.instances_started, calm.calls), (1, 1, 2));
    assert!(
        calm.memory_bytes > 0 && calm.memory_bytes_max >= calm.memory_bytes && calm.table_elements_max > 0,
        "{calm:?}"
    );
    assert!(calm.output_bytes > 100 && calm.output_bytes == calm.output_bytes_max, "{calm:?}");
    assert!(calm.call_time >= calm.call_time_max && !calm.call_time_max.is_zero());
    assert_eq!((calm.failures, calm.limit_hits), Default::default());

    let bomb = run("plan * *; on 3 bomb", 1..9);
    assert!(hit(&bomb, LimitKind::Memory) >= 1 && bomb.failures[FaultKind::Trap as usize] >= 1, "{bomb:?}");
    assert!(bomb.memory_bytes_max > calm.memory_bytes_max && bomb.memory_bytes_max <= 32 << 20, "{bomb:?}");
    assert_eq!(bomb.instances_started, 2 + bomb.failures[FaultKind::Trap as usize], "one for each that was lost");
    let recursive = run("plan * *; on 3 descend", 1..9);
    assert!(hit(&recursive, LimitKind::Stack) >= 1, "{recursive:?}");
    let flood = run("plan * *; on 3 log", 1..9);
    assert!(hit(&flood, LimitKind::Log) >= 990 && flood.log_lines < 20 && flood.host_call_bytes > 5000, "{flood:?}");
    assert_eq!(flood.failures, recursive.failures, "a flood of lines is no failure");
    let million = run("plan * *; on 3 million", 1..9);
    assert!(hit(&million, LimitKind::Records) >= 1, "{million:?}");
    // All chains are gone.
    let gone = engine.module_usage().into_iter().find(|usage| usage.stage == StageKind::Format).unwrap();
    assert_eq!((gone.instances, gone.memory_bytes), (0, 0));
}

#[test]
fn a_module_cannot_make_up_topics_without_end() {
    let spec = probes("", "", "plan per - -", "plan - -");
    let topics = TopicTable::with_capacity(2);
    let mut chain = Chain::instantiate(&spec, &tight(), &topics).unwrap();
    chain.announce(&relation(7, 2)).unwrap();
    let found = fault(&mut chain, &changes(0..3));
    assert_eq!(found.kind, FaultKind::BadOutput);
    assert!(found.message.contains("more than 2 different topics"), "{}", found.message);
}
