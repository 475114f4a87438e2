//! Each item with facts that pass and facts that do not.

use millrace_replication::catalog::gauss::Mark;

use super::{facts::*, *};
use crate::check::Verdict::{self, Alarm, Failed, Passed, Skipped};

fn task(include: &[&str]) -> Task {
    let include: Vec<String> = include.iter().map(|pattern| format!("'{pattern}'")).collect();
    let text = format!(
        "[task]\nname = 'shop'\n[source]\nkind = 'postgresql'\nhosts = ['a:1']\ndatabase = 'd'\nuser = 'cdc'\n\
         [objects]\ninclude = [{}]\n[sink]\nkind = 'kafka'\nbrokers = ['b:1']\n",
        include.join(", ")
    );
    crate::config::parse(&text, std::path::Path::new("/")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn table(name: &str) -> Table {
    Table {
        schema: "public".to_owned(),
        name: name.to_owned(),
        identity: "f".to_owned(),
        primary_key: true,
        may_use: true,
        may_select: true,
        published: true,
        ..Table::default()
    }
}

/// A server on which everything is in order.
fn facts() -> Facts {
    let settings = [("wal_level", "logical"), ("max_replication_slots", "10"), ("max_wal_senders", "10")];
    Facts {
        version: 150_020,
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        replication: true,
        reads_settings: true,
        publication: Some(Publication::default()),
        tables: vec![table("a"), table("b")],
        ..Facts::default()
    }
}

fn verdicts(task: &Task, facts: &Facts) -> Vec<(&'static str, Verdict)> {
    judge(task, facts, "7", Ok(None)).into_iter().map(|item| (item.id, item.verdict)).collect()
}

/// The items that are not PASSED after a change of the facts.
fn noticed(include: &[&str], change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, Verdict)> {
    let mut facts = facts();
    change(&mut facts);
    let items = judge(&task(include), &facts, "7", Ok(None));
    for item in &items {
        let silent = matches!(item.verdict, Passed | Skipped);
        assert!(silent || item.mend.as_ref().is_some_and(|mend| !mend.is_empty()), "no mend: {item:?}");
    }
    items.into_iter().filter(|item| item.verdict != Passed).map(|item| (item.id, item.verdict)).collect()
}

#[test]
fn everything_in_order_passes_and_the_ids_are_the_listed_ones() {
    let found = verdicts(&task(&["*.*"]), &facts());
    assert!(found.iter().all(|(_, verdict)| *verdict == Passed), "{found:?}");
    assert_eq!(found.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), IDS);
}

#[test]
fn the_server() {
    let set = |name: &'static str, value: &'static str| {
        move |facts: &mut Facts| {
            facts.settings.insert(name.to_owned(), value.to_owned());
        }
    };
    assert_eq!(noticed(&["*.*"], |facts| facts.version = 90_624), [("source.version", Failed)]);
    assert_eq!(noticed(&["*.*"], set("wal_level", "replica")), [("source.wal_level", Failed)]);
    assert_eq!(noticed(&["*.*"], set("output_plugin_libraries", "test_decoding")), [("source.output_plugin", Failed)]);
    assert_eq!(noticed(&["*.*"], set("output_plugin_libraries", "")), [("source.output_plugin", Failed)]);
    assert_eq!(noticed(&["*.*"], set("output_plugin_libraries", "a, pgoutput")), []);
    assert_eq!(noticed(&["*.*"], |facts| facts.reads_settings = false), [("source.output_plugin", Skipped)]);
    assert_eq!(noticed(&["*.*"], |facts| facts.replication = false), [("source.role", Failed)]);
    assert_eq!(noticed(&["*.*"], |facts| (facts.replication, facts.superuser) = (false, true)), []);
    assert_eq!(noticed(&["*.*"], |facts| facts.slots_used = 9), []);
    assert_eq!(noticed(&["*.*"], |facts| facts.slots_used = 10), [("source.replication_slots", Failed)]);
    assert_eq!(noticed(&["*.*"], |facts| facts.senders_used = 10), [("source.wal_senders", Failed)]);
    let long = || LongTransaction { pid: Some(7), gid: None, seconds: 301 };
    assert_eq!(noticed(&["*.*"], |facts| facts.long_transactions.push(long())), [("source.long_transactions", Failed)]);
}

#[test]
fn the_publication() {
    let gone = |facts: &mut Facts| {
        facts.publication = None;
        facts.tables.iter_mut().for_each(|table| table.published = false);
    };
    let missing =
        [("source.publication", Failed), ("source.operations", Skipped), ("source.published_tables", Skipped)];
    assert_eq!(noticed(&["*.*"], gone), missing);
    assert_eq!(
        noticed(&["*.*"], |facts| facts.publication.as_mut().unwrap().left_out.push("delete")),
        [("source.operations", Alarm)]
    );
    let unpublished = |facts: &mut Facts| facts.tables[1].published = false;
    assert_eq!(noticed(&["*.*"], unpublished), [], "under *.* the publication is the selection");
    assert_eq!(noticed(&["public.*"], unpublished), [("source.published_tables", Alarm)]);
    assert_eq!(noticed(&["public.b"], unpublished), [("source.published_tables", Failed)]);
    assert_eq!(noticed(&["public.a"], unpublished), []);
    assert_eq!(noticed(&["*.*"], |facts| facts.tables[0].row_filter = true), [("source.filters", Alarm)]);
    assert_eq!(noticed(&["*.*"], |facts| facts.tables[0].column_list = true), [("source.filters", Alarm)]);

    let mut task = task(&["public.a"]);
    task.source.create_publication = true;
    let mut facts = Facts { may_create: true, ..facts() };
    gone(&mut facts);
    assert!(verdicts(&task, &facts).contains(&("source.publication", Passed)));
    facts.may_create = false;
    assert!(verdicts(&task, &facts).contains(&("source.publication", Failed)));
}

#[test]
fn a_plugin_that_needs_no_publication() {
    let mut task = task(&["*.*"]);
    task.source.decoding = crate::config::Decoding::Serial;
    let mut facts = Facts { publication: None, ..facts() };
    facts.tables.iter_mut().for_each(|table| table.published = false);
    let found = verdicts(&task, &facts);
    let noticed: Vec<_> = found.iter().filter(|(_, verdict)| *verdict != Passed).collect();
    assert_eq!(noticed, [&("source.operations", Skipped), &("source.published_tables", Skipped)]);
    facts.settings.insert("output_plugin_libraries".to_owned(), "pgoutput".to_owned());
    assert!(verdicts(&task, &facts).contains(&("source.output_plugin", Failed)));
}

#[test]
fn the_tables() {
    assert_eq!(noticed(&["public.gone", "*.*"], |_| ()), [("source.tables", Failed)]);
    assert_eq!(noticed(&["other.*", "*.*"], |_| ()), [("source.tables", Alarm)]);
    let identity = |identity: &'static str, key: bool| {
        noticed(&["*.*"], move |facts| {
            (facts.tables[0].identity, facts.tables[0].primary_key) = (identity.to_owned(), key);
        })
    };
    assert_eq!(identity("f", false), []);
    assert_eq!(identity("d", true), [("source.replica_identity", Alarm)]);
    assert_eq!(identity("i", false), [("source.replica_identity", Alarm)]);
    assert_eq!(identity("d", false), [("source.replica_identity", Failed)]);
    assert_eq!(identity("n", true), [("source.replica_identity", Failed)]);
    let unlogged = |facts: &mut Facts| (facts.tables[0].unlogged, facts.tables[0].published) = (true, false);
    assert_eq!(noticed(&["public.a"], unlogged), [("source.unlogged_tables", Alarm)]);
    assert_eq!(noticed(&["*.*"], |facts| facts.tables[0].name = "a b".into()), [("source.object_names", Alarm)]);
    assert_eq!(noticed(&["*.*"], |facts| facts.tables[0].generated_columns = 1), [("source.generated_columns", Alarm)]);
    assert_eq!(noticed(&["*.*"], |facts| facts.tables[0].may_select = false), [("source.select_privilege", Alarm)]);
    assert_eq!(noticed(&["*.*"], |facts| facts.tables[0].may_use = false), [("source.schema_usage", Alarm)]);
    let mark = |table: &str, what: &str| Mark {
        schema: "public".into(),
        table: table.into(),
        name: "x".into(),
        what: what.into(),
    };
    assert_eq!(noticed(&["*.*"], |facts| facts.types.push(mark("a", "jsonb"))), [("source.column_types", Alarm)]);
    assert_eq!(
        noticed(&["*.*"], |facts| facts.deferrable.push(mark("a", ""))),
        [("source.deferrable_constraints", Alarm)]
    );
    assert_eq!(noticed(&["public.a"], |facts| facts.types.push(mark("b", "jsonb"))), [], "it is not selected");
    // What is not sent does not matter.
    assert_eq!(
        noticed(&["*.*"], |facts| (facts.tables[0].published, facts.tables[0].identity) = (false, "n".into())),
        []
    );
}

/// What the managed service refuses is refused where a person wants it so.
#[test]
fn strict_turns_what_is_tolerated_into_failures() {
    let mut strict = task(&["*.*"]);
    strict.check.strict = true;
    let judged = |change: fn(&mut Facts)| {
        let mut facts = facts();
        change(&mut facts);
        let bad = verdicts(&strict, &facts).into_iter().filter(|(_, verdict)| *verdict != Passed);
        bad.collect::<Vec<_>>()
    };
    assert_eq!(judged(|facts| facts.tables[0].identity = "d".into()), [("source.replica_identity", Failed)]);
    assert_eq!(judged(|facts| facts.tables[0].name = "a b".into()), [("source.object_names", Failed)]);
    assert_eq!(judged(|facts| facts.tables[0].generated_columns = 1), [("source.generated_columns", Failed)]);
    assert_eq!(judged(|facts| facts.tables[0].may_select = false), [("source.select_privilege", Failed)]);
    assert_eq!(judged(|facts| facts.tables[0].row_filter = true), [("source.filters", Alarm)], "this is ours alone");
}

#[test]
fn names_of_slots() {
    let judged = |name: &str| items::slot_name::judge(name).verdict;
    for good in ["a", "_9", &"a".repeat(63)] {
        assert_eq!(judged(good), Passed, "{good}");
    }
    for bad in ["", "9a", "A", "a-b", &"a".repeat(64)] {
        assert_eq!(judged(bad), Failed, "{bad}");
    }
}

#[test]
fn partitions_count_under_the_name_the_stream_uses() {
    let mut facts = facts();
    facts.tables[0].partitioned = true;
    facts.tables[1].is_partition = true;
    let names = |facts: &Facts| selected_names(facts);
    assert_eq!(names(&facts), ["b"]);
    facts.publication.as_mut().unwrap().via_root = true;
    assert_eq!(names(&facts), ["a"]);
}

fn selected_names(facts: &Facts) -> Vec<String> {
    selected(&task(&["*.*"]), facts).into_iter().map(|table| table.name.clone()).collect()
}

#[test]
fn the_slot_and_the_position() {
    let slot = || Slot { plugin: "pgoutput".into(), database: "d".into(), confirmed: "0/9".into(), ..Slot::default() };
    let stored = Stored {
        system_identifier: "7".into(),
        slot: "millrace_shop".into(),
        end_lsn: millrace_batch::Lsn(9),
        slot_created: true,
    };
    let judged = |slot: Option<Slot>, system: &str, stored: Result<Option<&Stored>, &str>| {
        let item = items::slot::judge(&task(&["*.*"]), &Facts { slot, ..facts() }, system, stored);
        (item.verdict, item.code)
    };
    assert_eq!(judged(None, "7", Ok(None)), (Passed, None));
    assert_eq!(judged(Some(slot()), "7", Ok(Some(&stored))), (Passed, None));
    assert_eq!(judged(Some(slot()), "", Ok(Some(&stored))), (Passed, None), "an unknown system is no other system");
    assert_eq!(judged(Some(slot()), "8", Ok(Some(&stored))), (Failed, Some("system_identifier_changed")));
    assert_eq!(judged(None, "7", Ok(Some(&stored))), (Failed, Some("position_without_slot")));
    assert_eq!(judged(Some(slot()), "7", Ok(None)), (Failed, Some("slot_without_position")));
    assert_eq!(judged(Some(slot()), "7", Err("no broker")), (Skipped, None));
    let with = |change: fn(&mut Slot)| {
        let mut slot = slot();
        change(&mut slot);
        judged(Some(slot), "7", Ok(Some(&stored)))
    };
    assert_eq!(with(|slot| slot.active_pid = Some(5)), (Alarm, None));
    assert_eq!(with(|slot| slot.wal_status = Some("unreserved".into())), (Alarm, None));
    assert_eq!(with(|slot| slot.wal_status = Some("lost".into())), (Failed, Some("slot_lost")));
    assert_eq!(with(|slot| slot.plugin = "wal2json".into()), (Failed, Some("slot_mismatch")));
    assert_eq!(with(|slot| slot.confirmed = "0/A".into()), (Failed, Some("confirmed_past_position")));
}
