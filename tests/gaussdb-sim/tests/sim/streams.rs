//! Streams: every layout, positions, keepalives, ends.

use crate::client::{BOUND, cluster, connect_options, create_slot, decode, expected, layouts, start, until};
use millrace_batch::Lsn;
use millrace_decode::mppdb::Layout;
use millrace_gaussdb_sim::{Cluster, Flood, Options, Product, Workload};
use millrace_replication::{FlushPosition, Frame, ReplicationConnection};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One node that commits so many transactions and is quiet then.
fn one_node(transactions: u64) -> Options {
    let workload = Workload {
        rate: None,
        transactions: Some(transactions),
        large_every: 40,
        large_changes: 700,
        ..Workload::new()
    };
    Options {
        product: Product::Centralized,
        data_nodes: 1,
        standbys: false,
        workload: Some(workload),
        batch_idle: Duration::from_millis(100),
        ..Options::new()
    }
}

/// Waits until the node has committed so many transactions.
async fn committed(cluster: &Cluster, node: usize, count: usize) {
    until(|| cluster.truth()[node].transactions.len() >= count).await;
}

#[tokio::test]
async fn every_layout_tells_the_truth() {
    for (layout, batched, options) in layouts() {
        let cluster = cluster(Options { workload: None, ..one_node(0) });
        let slot = create_slot(&cluster, 0, "s").await;
        drop(cluster);
        let mut options_of_node = one_node(120);
        if layout == Layout::Text {
            // Names stand bare in that style, so one with a blank cannot be told from two: the decoder refuses it.
            options_of_node.catalogue.tables.retain(|table| !table.name.contains(' '));
        }
        let cluster = self::cluster(options_of_node);
        // Made at once, before the workload has begun much; what came before the slot is not sent.
        let slot = create_slot(&cluster, 0, "s").await.max(slot);
        committed(&cluster, 0, 120).await;
        let truth = cluster.truth().remove(0).transactions;
        let truth: Vec<_> = truth.into_iter().filter(|transaction| transaction.commit_lsn.0 >= slot.0).collect();
        let mut stream = start(cluster.port(), "s", &options, FlushPosition::default()).await;
        let seen = decode(&mut stream, layout, batched, truth.len()).await;
        let mut expected = expected(&truth, layout);
        if batched {
            expected.iter_mut().zip(&truth).for_each(|(expected, truth)| expected.0 = truth.end_lsn.0);
        }
        assert_eq!(seen.len(), expected.len());
        for (seen, expected) in seen.iter().zip(&expected) {
            assert_eq!(seen, expected, "{layout:?} {batched}");
        }
    }
}

#[tokio::test]
async fn what_is_confirmed_is_not_sent_again_and_a_crash_moves_it_back() {
    let cluster = cluster(Options { workload: None, ..one_node(0) });
    create_slot(&cluster, 0, "s").await;
    let table = Arc::clone(&cluster.catalogue().tables[1]);
    let row = |id: u64| millrace_gaussdb_sim::RowChange {
        table: Arc::clone(&table),
        op: millrace_gaussdb_sim::Op::Insert,
        new: vec![Some(id.to_string().into()), Some("1".into()), None, None],
        old: Vec::new(),
    };
    let transactions: Vec<_> = (0..3).map(|id| cluster.commit(0, vec![row(id)])).collect();
    let position = FlushPosition::default();
    let mut stream = start(cluster.port(), "s", &[], position.clone()).await;
    let seen = decode(&mut stream, Layout::Serial, false, 3).await;
    assert_eq!(seen[1].0, transactions[1].end_lsn.0);
    position.confirm(Lsn(transactions[1].end_lsn.0));
    stream.reader.finish(stream.feedback, BOUND).await.unwrap();
    let confirmed = || cluster.slot(0, "s").unwrap().confirmed.unwrap().0;
    assert_eq!(confirmed(), transactions[1].end_lsn.0);
    let mut stream = start(cluster.port(), "s", &[], FlushPosition::default()).await;
    assert_eq!(decode(&mut stream, Layout::Serial, false, 1).await[0].0, transactions[2].end_lsn.0);
    drop(stream);
    // Nothing was written down since the slot was made.
    cluster.kill(0);
    cluster.restart(0).unwrap();
    assert!(confirmed() < transactions[0].end_lsn.0);
    let mut stream = start(cluster.port(), "s", &[], FlushPosition::default()).await;
    assert_eq!(decode(&mut stream, Layout::Serial, false, 3).await.len(), 3);
}

/// Keepalives until the connection ends: seconds since the start, position, reply wanted.
async fn keepalives(options: &[(&str, &str)], bound: Duration) -> (Vec<(u64, Lsn, bool)>, Option<u64>) {
    let cluster = cluster(Options { workload: None, ..one_node(0) });
    create_slot(&cluster, 0, "s").await;
    let mut stream = start(cluster.port(), "s", options, FlushPosition::default()).await;
    // From now on nobody answers.
    drop(stream.feedback);
    let (since, mut seen) = (Instant::now(), Vec::new());
    while since.elapsed() < bound {
        match stream.reader.next_frame().unwrap() {
            Some(Frame::Keepalive { wal_end, reply_requested, .. }) => {
                seen.push((since.elapsed().as_millis() as u64, wal_end, reply_requested));
            }
            Some(_) => panic!("data"),
            None => match tokio::time::timeout(bound.saturating_sub(since.elapsed()), stream.reader.fill()).await {
                Err(_) => break,
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return (seen, Some(since.elapsed().as_millis() as u64)),
            },
        }
    }
    (seen, None)
}

#[tokio::test]
async fn a_silent_client_is_asked_once_and_left_at_the_timeout() {
    let (seen, ended) = keepalives(&[("sender-timeout", "2s")], BOUND).await;
    let asked: Vec<u64> = seen.iter().filter(|(.., reply)| *reply).map(|(at, ..)| *at).collect();
    assert_eq!(asked.len(), 1, "{seen:?}");
    assert!((900..1_500).contains(&asked[0]), "{asked:?}");
    assert!((1_900..3_000).contains(&ended.unwrap()), "{ended:?}");
    let (seen, ended) = keepalives(&[("sender-timeout", "0")], Duration::from_millis(2_500)).await;
    assert!(ended.is_none() && seen.iter().all(|(.., reply)| !reply) && seen.len() >= 4, "{seen:?}");
}

#[tokio::test]
async fn parallel_keepalives_begin_at_nothing_and_come_every_second() {
    let (seen, ended) = keepalives(&[("sender-timeout", "4s"), ("parallel-decode-num", "2")], BOUND).await;
    assert_eq!(seen[0].1, Lsn(0));
    assert!(seen.iter().filter(|(.., reply)| !reply).count() >= 4, "{seen:?}");
    assert!((3_900..5_500).contains(&ended.unwrap()), "{ended:?}");
}

#[tokio::test]
async fn a_slot_serves_one_client() {
    let cluster = cluster(Options { workload: None, ..one_node(0) });
    create_slot(&cluster, 0, "s").await;
    let _stream = start(cluster.port(), "s", &[], FlushPosition::default()).await;
    let mut second = ReplicationConnection::connect(&connect_options(cluster.port())).await.unwrap();
    let refused = second.drop_slot("s", false).await.unwrap_err();
    assert_eq!(refused.failure().code, "slot_in_use");
}

#[tokio::test]
async fn a_flood_is_the_same_from_anywhere() {
    let mut options = Options { workload: None, ..one_node(0) };
    let table = options.catalogue.add(Flood::example_table());
    let flood = Flood::new(table, 50, 200);
    options.flood = Some(flood.clone());
    let cluster = cluster(options);
    create_slot(&cluster, 0, "s").await;
    let truth: Vec<_> = (0..200).map(|number| Arc::new(flood.transaction(number).unwrap())).collect();
    let position = FlushPosition::default();
    let style = [("parallel-decode-num", "2"), ("sending-batch", "1")];
    let mut stream = start(cluster.port(), "s", &style, position.clone()).await;
    let seen = decode(&mut stream, Layout::Binary, true, 200).await;
    let expected = expected(&truth, Layout::Binary);
    assert!(seen == expected, "the flood differs");
    position.confirm(Lsn(truth[99].end_lsn.0));
    stream.reader.finish(stream.feedback, BOUND).await.unwrap();
    let mut stream = start(cluster.port(), "s", &[("include-timestamp", "0")], FlushPosition::default()).await;
    let seen = decode(&mut stream, Layout::Serial, false, 100).await;
    assert_eq!((seen[0].0, seen[99].0), (truth[100].end_lsn.0, truth[199].end_lsn.0));
}
