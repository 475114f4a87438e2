//! What becomes of a change that a stage cannot handle, and that its neighbours are unharmed.

use crate::rows::{Change, batch, hasty, probe, probes, relation, start_with, tight};
use millrace_host::{Chain, ChainSpec, FaultKind, OnError, PartitionChoice, Records, StageKind};

/// A chain of probes that call their modules for each change; the stage `kind` has the policy and does `mischief`.
fn chain(kind: StageKind, on_error: OnError, mischief: &str) -> Chain {
    let plans = ["plan per * * 1000003", "plan rewrite 0,-1 * * 0", "plan per * *", "plan * *"];
    let config = |stage: StageKind| {
        let plan = plans[stage as usize];
        if stage == kind { format!("{plan}; {mischief}") } else { plan.to_owned() }
    };
    let [filter, map, route, format] = StageKind::ALL.map(config);
    let mut spec = probes(&filter, &map, &route, &format);
    stage_of(&mut spec, kind).on_error = on_error;
    let limits = if mischief.ends_with("loop") { hasty() } else { tight() };
    let (mut chain, _) = start_with(&spec, &limits).unwrap();
    chain.announce(&relation(7, 2)).unwrap();
    chain
}

fn stage_of(spec: &mut ChainSpec, kind: StageKind) -> &mut millrace_host::StageSpec {
    match kind {
        StageKind::Filter => &mut spec.filters[0],
        StageKind::Map => &mut spec.maps[0],
        StageKind::Route => &mut spec.route,
        StageKind::Format => &mut spec.format,
    }
}

/// Inserts and updates in turn.
fn changes(ids: impl Iterator<Item = u64>) -> Vec<Change> {
    let change = |id: u64| {
        let text = format!("row {id}");
        let insert = Change::insert(id, 7, &["key", &text]);
        let old = id.is_multiple_of(2).then(|| vec!["key".into(), text.as_str().into()]);
        Change { old, ..insert }
    };
    ids.map(change).collect()
}

type Row = (u64, Option<Vec<u8>>, Option<Vec<u8>>, PartitionChoice, Vec<(String, Vec<u8>)>);

/// The records with the ids of their changes.
fn rows(changes: &[Change], out: &Records) -> Vec<Row> {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers = |r: &millrace_host::Record<'_>| r.headers().map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
    out.iter()
        .map(|r| (changes[r.change as usize].id, owned(r.key), owned(r.value), r.partition, headers(&r)))
        .collect()
}

fn run(chain: &mut Chain, changes: &[Change]) -> (Vec<Row>, Vec<(u64, FaultKind)>) {
    let mut out = Records::new();
    chain.process(&batch(changes), 5, &mut out).unwrap();
    for fault in out.faults() {
        let change = &changes[fault.change as usize];
        assert_eq!((fault.id, fault.ordinal, fault.commit_lsn.0), (change.id, change.id as u32 + 3, 1000 + change.id));
    }
    (rows(changes, &out), out.faults().iter().map(|fault| (changes[fault.change as usize].id, fault.kind)).collect())
}

#[test]
fn a_change_that_fails_in_any_way_in_any_stage_leaves_its_neighbours_unharmed_and_in_order() {
    let mischiefs = [
        ("panic", FaultKind::Trap),
        ("bomb", FaultKind::Trap),
        ("recurse", FaultKind::Trap),
        ("loop", FaultKind::Deadline),
        ("fault", FaultKind::Guest),
        ("short", FaultKind::BadOutput),
        ("over", FaultKind::BadOutput),
    ];
    for kind in StageKind::ALL {
        for (mischief, expected) in mischiefs {
            for culprit in [1, 77, 256] {
                let mut chain = chain(kind, OnError::DeadLetter, &format!("on {culprit} {mischief}"));
                let all = changes(1..257);
                let (seen, faults) = run(&mut chain, &all);
                assert_eq!(faults, [(culprit, expected)], "{kind} {mischief}");
                // The same chain without the change gives what must be there.
                let others = changes((1..257).filter(|id| *id != culprit));
                let (expected, none) = run(&mut chain, &others);
                assert!(none.is_empty());
                assert_eq!(seen, expected, "{kind} {mischief} on {culprit}");
            }
        }
    }
}

#[test]
fn many_faults_in_one_answer_cost_one_call() {
    for kind in StageKind::ALL {
        let mut chain = chain(kind, OnError::Skip, "on %3 fault");
        let (seen, faults) = run(&mut chain, &changes(1..257));
        assert_eq!(faults, (1..257).filter(|id| id % 3 == 0).map(|id| (id, FaultKind::Guest)).collect::<Vec<_>>());
        let (expected, _) = run(&mut chain, &changes((1..257).filter(|id| id % 3 != 0)));
        assert_eq!(seen, expected, "{kind}");
    }
}

#[test]
fn a_module_that_fails_on_every_change_lets_none_pass_and_none_vanish() {
    for kind in StageKind::ALL {
        for (mischief, expected) in [("panic", FaultKind::Trap), ("fault", FaultKind::Guest)] {
            let mut chain = chain(kind, OnError::DeadLetter, &format!("on * {mischief}"));
            let (seen, faults) = run(&mut chain, &changes(1..65));
            assert!(seen.is_empty());
            assert_eq!(faults, (1..65).map(|id| (id, expected)).collect::<Vec<_>>(), "{kind} {mischief}");
        }
    }
}

#[test]
fn faults_of_several_stages_come_in_the_order_of_the_changes() {
    let mut spec = probes(
        "plan per * * 1000003; on 9 panic",
        "plan rewrite 0,-1 * * 0; on 4 fault",
        "plan per * *; on 7 fault",
        "plan * *; on 2 panic",
    );
    for kind in StageKind::ALL {
        stage_of(&mut spec, kind).on_error = if kind == StageKind::Map { OnError::Skip } else { OnError::DeadLetter };
    }
    let (mut chain, _) = start_with(&spec, &tight()).unwrap();
    chain.announce(&relation(7, 2)).unwrap();
    let all = changes(1..11);
    let mut out = Records::new();
    chain.process(&batch(&all), 5, &mut out).unwrap();
    let faults: Vec<_> = out.faults().iter().map(|f| (f.id, f.kind_of_stage, f.on_error)).collect();
    let expected = [
        (2, StageKind::Format, OnError::DeadLetter),
        (4, StageKind::Map, OnError::Skip),
        (7, StageKind::Route, OnError::DeadLetter),
        (9, StageKind::Filter, OnError::DeadLetter),
    ];
    assert_eq!(faults, expected);
    let (_, clean) = (chain.process(&batch(&changes(20..30)), 5, &mut out), out.faults().len());
    assert_eq!(clean, 0, "faults of the batch before are gone");
}

#[test]
fn a_key_that_was_not_sent_meets_the_routers_policy() {
    use crate::rows::Text;
    let mut spec = probes("", "", "plan columns t 0", "plan * *");
    spec.route.on_error = OnError::DeadLetter;
    spec.format = probe("o", "plan * *");
    let (mut chain, _) = start_with(&spec, &tight()).unwrap();
    chain.announce(&relation(7, 2)).unwrap();
    let mut all = changes(1..6);
    all[2].new = Some(vec![Text::Unsent, "b".into()]);
    all[2].old = None;
    let (seen, faults) = run(&mut chain, &all);
    assert_eq!(faults, [(3, FaultKind::Guest)]);
    all.remove(2);
    assert_eq!(seen, run(&mut chain, &all).0);
}
