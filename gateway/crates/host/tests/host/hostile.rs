//! Modules that misbehave: the gateway goes on and the right change is named.

use crate::rows::{Change, batch, hasty, probes, relation, start_with, tight};
use millrace_host::{Chain, Fault, FaultKind, HostError, Limits, Records, StageKind, TopicTable};
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
        ("fault", FaultKind::Guest, "told to\\nfault"),
    ];
    for kind in StageKind::ALL {
        for (mischief, expected, words) in cases {
            let mut chain = chain(kind, &format!("on 77 {mischief}"));
            let found = fault(&mut chain, &changes(40..140));
            assert_eq!((found.change, found.kind, found.kind_of_stage), (37, expected, kind), "{mischief}: {found}");
            assert_eq!((found.ordinal, found.commit_lsn.0, found.table.as_str()), (80, 1077, "s.t7"));
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
        (StageKind::Filter, "keep", "keep"),
        (StageKind::Map, "ends", "dropped"),
        (StageKind::Route, "partitions", "topic-of"),
        (StageKind::Format, "marks", "changes"),
    ];
    for (kind, short, over) in fields {
        for (mischief, field) in [("short", short), ("over", over)] {
            let mut chain = chain(kind, &format!("on 77 {mischief}"));
            let found = fault(&mut chain, &changes(70..80));
            assert_eq!((found.change, found.kind), (7, FaultKind::BadOutput), "{kind} {mischief}: {found}");
            assert!(found.message.starts_with(field), "{kind} {mischief}: {}", found.message);
        }
    }
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
    for (mischief, words) in [("loop", "no answer within 100ms"), ("panic", "told to panic")] {
        let limits = if mischief == "loop" { hasty() } else { tight() };
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
fn a_module_cannot_make_up_topics_without_end() {
    let spec = probes("", "", "plan per - -", "plan - -");
    let topics = TopicTable::with_capacity(2);
    let mut chain = Chain::instantiate(&spec, &tight(), &topics).unwrap();
    chain.announce(&relation(7, 2)).unwrap();
    let found = fault(&mut chain, &changes(0..3));
    assert_eq!(found.kind, FaultKind::BadOutput);
    assert!(found.message.contains("more than 2 different topics"), "{}", found.message);
}
