//! What is wrong with a node, one thing at a time, and the item that says so.

use millrace_batch::Lsn;
use millrace_replication::{
    Deployment, Product, ProductVersion, SystemIdentity,
    catalog::{OpenTransaction, ReplicaIdentity, SlotState, gauss},
};

use super::{Facts, items as judge};
use crate::{
    check::{
        Verdict::{self, Alarm, Failed, Passed, Skipped},
        source::Stored,
    },
    config::{self, Task},
};

fn task(lines: &str) -> Task {
    let text = format!(
        "task.name = 'shop'\nsource.kind = 'gaussdb'\nsource.hosts = ['a:8000']\nsource.database = 'd'\nsource.user = 'u'\n\
         source.slot = 's'\nsink.kind = 'blackhole'\nposition.store = 'file'\nposition.path = 'p'\n{lines}"
    );
    config::parse(&text, std::path::Path::new("/")).unwrap()
}

fn table(name: &str) -> gauss::CheckedTable {
    gauss::CheckedTable {
        oid: 16_400,
        schema: "public".to_owned(),
        name: name.to_owned(),
        temporary: false,
        unlogged: false,
        replica_identity: ReplicaIdentity::Full,
        primary_key: true,
        columnar: false,
        compressed: false,
        interval_partitioned: false,
        usable: true,
        selectable: true,
    }
}

/// A node on which everything is in order.
fn facts() -> Facts {
    let settings = [
        ("wal_level", "logical"),
        ("enable_slot_log", "on"),
        ("max_replication_slots", "64"),
        ("max_wal_senders", "64"),
    ];
    Facts {
        server: gauss::GaussServer {
            product: Some(ProductVersion { product: Product::GaussDb, version: "505.2.1".to_owned() }),
            version: String::new(),
            deployment: Some(Deployment::Distributed),
            encoding: "UTF8".to_owned(),
            compatibility: "A".to_owned(),
        },
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        database: Default::default(),
        role: gauss::GaussRole {
            name: "u".to_owned(),
            replication: true,
            administrator: false,
            member: false,
            may_connect: true,
        },
        slots_used: 1,
        slot: None,
        tables: vec![table("a"), table("b")],
        open: Vec::new(),
        system: SystemIdentity { system_id: "7".to_owned(), timeline: 1, wal_flush: Lsn(900), database: None },
        deferrable: Vec::new(),
        types: Vec::new(),
        generated: Some(Vec::new()),
    }
}

fn slot(confirmed: u64) -> SlotState {
    SlotState {
        name: "s".to_owned(),
        plugin: Some("mppdb_decoding".to_owned()),
        database: Some("d".to_owned()),
        temporary: false,
        active: false,
        active_pid: None,
        wal_status: None,
        invalidation_reason: None,
        restart_lsn: Some(Lsn(1)),
        confirmed_flush_lsn: Some(Lsn(confirmed)),
        retained_bytes: Some(0),
        lag_bytes: None,
        safe_wal_bytes: None,
    }
}

/// The items that are not PASSED after a change of the facts.
fn noticed(lines: &str, stored: Option<Stored>, change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, Verdict)> {
    let mut facts = facts();
    change(&mut facts);
    let items = judge::items(&task(lines), &facts, Ok(stored));
    assert!(items.iter().map(|item| item.id).eq(judge::IDS));
    let noticed = items.iter().filter(|item| item.verdict != Passed);
    for item in noticed.clone().filter(|item| item.verdict != Skipped) {
        assert!(item.mend.as_ref().is_some_and(|mend| !mend.is_empty()), "{item:?}");
    }
    noticed.map(|item| (item.id, item.verdict)).collect()
}

fn alone(change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, Verdict)> {
    noticed("", None, change)
}

#[test]
fn a_node_in_order_passes() {
    assert_eq!(alone(|_| {}), []);
}

#[test]
fn settings_and_rights() {
    let set = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        alone(move |facts| drop(facts.settings.insert(name, value)))
    };
    assert_eq!(set("wal_level", "hot_standby"), [("source.wal_level", Failed)]);
    assert_eq!(set("enable_slot_log", "off"), [("source.slot_log", Failed)]);
    assert_eq!(set("max_replication_slots", "1"), [("source.replication_slots", Failed)]);
    assert_eq!(set("max_replication_slots", "2"), []);
    assert_eq!(set("max_wal_senders", "1"), [("source.wal_senders", Failed)]);
    assert_eq!(set("max_wal_senders", "2"), []);
    assert_eq!(alone(|facts| facts.role.replication = false), [("source.role", Failed)]);
    assert_eq!(alone(|facts| facts.role.may_connect = false), [("source.role", Failed)]);
    assert_eq!(alone(|facts| (facts.role.replication, facts.role.member) = (false, true)), []);
    let administrator = |separated: &str| {
        let separated = separated.to_owned();
        alone(move |facts| {
            (facts.role.replication, facts.role.administrator) = (false, true);
            facts.settings.insert("enableSeparationOfDuty".to_owned(), separated);
        })
    };
    assert_eq!((administrator("off"), administrator("on")), (vec![], vec![("source.role", Failed)]));
    assert_eq!(alone(|facts| facts.server.encoding = "SQL_ASCII".to_owned()), [("source.encoding", Failed)]);
    assert_eq!(alone(|facts| facts.server.product = None), [("source.version", Alarm)]);
}

#[test]
fn what_parallel_decoding_loses_is_said() {
    let parallel = "source.decoding = 'parallel'";
    assert_eq!(noticed(parallel, None, |_| {}), [("source.decoding", Alarm)]);
    let interval = |facts: &mut Facts| facts.tables[0].interval_partitioned = true;
    assert_eq!(noticed(parallel, None, interval), [("source.decoding", Alarm), ("source.interval_partitions", Failed)]);
    assert_eq!(alone(interval), [("source.interval_partitions", Alarm)]);
    let german = |facts: &mut Facts| drop(facts.database.insert("datestyle".to_owned(), "German".to_owned()));
    assert_eq!(noticed(parallel, None, german), [("source.decoding", Alarm), ("source.session_settings", Failed)]);
    assert_eq!(alone(german), [], "serial decoding obeys the session");
    let zeros = |facts: &mut Facts| {
        facts
            .settings
            .insert("behavior_compat_options".to_owned(), "display_leading_zero, hide_tailing_zero".to_owned());
    };
    assert_eq!(alone(zeros), [("source.session_settings", Failed)], "no session of ours sets it");
    let of_database = |facts: &mut Facts| {
        facts.database.insert("behavior_compat_options".to_owned(), "hide_tailing_zero".to_owned());
    };
    assert_eq!(noticed(parallel, None, of_database), [("source.decoding", Alarm), ("source.session_settings", Failed)]);
}

#[test]
fn tables() {
    assert_eq!(alone(|facts| facts.tables[0].columnar = true), [("source.table_kinds", Failed)]);
    assert_eq!(alone(|facts| facts.tables[0].unlogged = true), [("source.unlogged_tables", Alarm)]);
    assert_eq!(alone(|facts| facts.tables[0].temporary = true), [("source.table_kinds", Failed)]);
    assert_eq!(alone(|facts| facts.tables[0].compressed = true), [("source.table_kinds", Failed)]);
    assert_eq!(alone(|facts| facts.tables[0].usable = false), [("source.schema_usage", Failed)]);
    let mark = |table: &str, what: &str| gauss::Mark {
        schema: "public".to_owned(),
        table: table.to_owned(),
        name: "x".to_owned(),
        what: what.to_owned(),
    };
    assert_eq!(alone(|facts| facts.types.push(mark("a", "jsonb"))), [("source.column_types", Alarm)]);
    let strict = "check.strict = true";
    assert_eq!(noticed(strict, None, |facts| facts.types.push(mark("a", "xml"))), [("source.column_types", Failed)]);
    assert_eq!(alone(|facts| facts.deferrable.push(mark("a", ""))), [("source.deferrable_constraints", Failed)]);
    assert_eq!(alone(|facts| facts.generated = Some(vec![mark("a", "")])), [("source.generated_columns", Failed)]);
    assert_eq!(alone(|facts| facts.generated = None), [("source.generated_columns", Skipped)]);
    let elsewhere = |facts: &mut Facts| facts.generated = Some(vec![mark("b", "")]);
    assert_eq!(noticed("objects.include = ['public.a']", None, elsewhere), [], "it is not selected");
    assert_eq!(alone(|facts| facts.tables[0].selectable = false), [("source.select_privilege", Failed)]);
    assert_eq!(alone(|facts| facts.tables[0].name = "a b".to_owned()), [("source.object_names", Failed)]);
    let identity = |identity, primary_key| {
        alone(move |facts| {
            (facts.tables[0].replica_identity, facts.tables[0].primary_key) = (identity, primary_key);
        })
    };
    assert_eq!(identity(ReplicaIdentity::Default, true), [("source.replica_identity", Alarm)]);
    let keyed = |facts: &mut Facts| facts.tables[0].replica_identity = ReplicaIdentity::Default;
    assert_eq!(noticed(strict, None, keyed), [("source.replica_identity", Failed)], "as the managed service has it");
    assert_eq!(
        noticed(strict, None, |facts| facts.tables[0].interval_partitioned = true),
        [("source.interval_partitions", Failed)]
    );
    assert_eq!(identity(ReplicaIdentity::Default, false), [("source.replica_identity", Failed)]);
    assert_eq!(identity(ReplicaIdentity::Nothing, true), [("source.replica_identity", Failed)]);
    let named = "objects.include = ['public.a', 'public.gone']";
    assert_eq!(noticed(named, None, |_| {}), [("source.tables", Failed)]);
    let elsewhere = "objects.include = ['public.a']";
    assert_eq!(noticed(elsewhere, None, |facts| facts.tables[1].columnar = true), [], "it is not selected");
}

#[test]
fn slot_and_position_belong_together() {
    let at = |end: u64| {
        Some(Stored { system_identifier: "7".to_owned(), slot: "s".to_owned(), end_lsn: Lsn(end), slot_created: true })
    };
    let with = |stored, confirmed| noticed("", stored, move |facts| facts.slot = Some(slot(confirmed)));
    assert_eq!(with(at(500), 400), []);
    assert_eq!(with(at(500), 600), [("source.slot", Failed)], "confirmed past the position");
    assert_eq!(with(at(950), 400), [("source.slot", Failed)], "a failover lost what was delivered");
    assert_eq!(with(None, 400), [("source.slot", Failed)]);
    assert_eq!(noticed("", at(500), |_| {}), [("source.slot", Failed)]);
    let given_up = |facts: &mut Facts| {
        facts.slot = Some(SlotState { wal_status: Some("lost".to_owned()), ..slot(400) });
    };
    assert_eq!(noticed("", at(500), given_up), [("source.slot", Failed)]);
}

#[test]
fn a_long_transaction_holds_the_slot_up() {
    let old = || OpenTransaction {
        pid: Some(140_000_000_000),
        user: None,
        name: None,
        state: Some("active".to_owned()),
        age_seconds: 301,
    };
    assert_eq!(alone(|facts| facts.open = vec![old()]), [("source.long_transactions", Failed)]);
    assert_eq!(alone(|facts| facts.open = vec![OpenTransaction { age_seconds: 300, ..old() }]), []);
}

#[test]
fn the_declared_nodes_are_those_of_the_cluster() {
    let actual = ["dn_1".to_owned(), "dn_2".to_owned()];
    let judged = |declared: &[&str], actual: Option<&[String]>| super::nodes::judge(declared, actual).verdict;
    assert_eq!(judged(&[], Some(&actual)), Passed);
    assert_eq!(judged(&["dn_2", "dn_1"], Some(&actual)), Passed);
    assert_eq!(judged(&["dn_1"], Some(&actual)), Alarm);
    assert_eq!(judged(&["dn_1", "dn_3"], Some(&actual)), Alarm);
    assert_eq!(judged(&["dn_1"], None), Skipped);
}
