//! Faults, failover, blocked slots, and a simulator that is started again.

use crate::client::{BOUND, cluster, connect_options, create_slot, decode, start, until};
use millrace_batch::Lsn;
use millrace_decode::mppdb::Layout;
use millrace_gaussdb_sim::{Cluster, Fault, Op, Options, RowChange};
use millrace_replication::{CreateSlot, FlushPosition, ReplicationConnection, ReplicationStream, connect_sql};
use std::sync::Arc;
use std::time::Duration;

fn quiet() -> Options {
    Options { workload: None, data_nodes: 2, ..Options::new() }
}

fn commit(cluster: &Cluster, node: usize, id: u64) -> u64 {
    let table = Arc::clone(&cluster.catalogue().tables[1]);
    let new = vec![Some(id.to_string().into()), Some("1".into()), Some("x".into()), None];
    cluster.commit(node, vec![RowChange { table, op: Op::Insert, new, old: Vec::new() }]).end_lsn.0
}

/// Reads until the connection fails.
async fn broken(stream: &mut ReplicationStream) -> String {
    let read = async {
        loop {
            match stream.reader.next_frame() {
                Err(error) => return error.failure().code.to_owned(),
                Ok(Some(_)) => {}
                Ok(None) => {
                    if let Err(error) = stream.reader.fill().await {
                        return error.failure().code.to_owned();
                    }
                }
            }
        }
    };
    tokio::time::timeout(BOUND, read).await.expect("the connection must break")
}

#[tokio::test]
async fn streams_break_as_they_are_told() {
    let cluster = cluster(quiet());
    create_slot(&cluster, 0, "s").await;
    for (fault, code) in [
        (Fault::Reset { after: 100 }, "connection_lost"),
        (Fault::WrongByteOrder, "protocol_violation"),
        (Fault::Garbage, "protocol_violation"),
    ] {
        // The stream before is gone, or it would meet the fault.
        until(|| !cluster.slot(0, "s").unwrap().active).await;
        cluster.inject(0, fault);
        commit(&cluster, 0, 1);
        let mut stream = start(cluster.data_port(0), "s", &[], FlushPosition::default()).await;
        assert_eq!(broken(&mut stream).await, code, "{fault:?}");
        cluster.clear_faults(0);
    }
    until(|| !cluster.slot(0, "s").unwrap().active).await;
    let mut stream = start(cluster.data_port(0), "s", &[], FlushPosition::default()).await;
    assert_eq!(decode(&mut stream, Layout::Serial, false, 3).await.len(), 3, "nothing was lost");
}

#[tokio::test]
async fn a_stalled_node_stalls_alone() {
    let cluster = cluster(quiet());
    for node in 0..2 {
        create_slot(&cluster, node, "s").await;
        commit(&cluster, node, 1);
    }
    cluster.inject(0, Fault::Stall);
    let mut stalled = start(cluster.data_port(0), "s", &[], FlushPosition::default()).await;
    let mut other = start(cluster.data_port(1), "s", &[], FlushPosition::default()).await;
    assert_eq!(decode(&mut other, Layout::Serial, false, 1).await.len(), 1);
    assert!(tokio::time::timeout(Duration::from_millis(300), stalled.reader.fill()).await.is_err(), "something came");
    cluster.clear_faults(0);
    assert_eq!(decode(&mut stalled, Layout::Serial, false, 1).await.len(), 1);
}

#[tokio::test]
async fn a_failover_moves_the_node_and_the_confirmed_position_back() {
    let cluster = cluster(quiet());
    create_slot(&cluster, 0, "s").await;
    let ends: Vec<u64> = (0..3).map(|id| commit(&cluster, 0, id)).collect();
    let position = FlushPosition::default();
    let old = cluster.data_port(0);
    let mut stream = start(old, "s", &[], position.clone()).await;
    decode(&mut stream, Layout::Serial, false, 3).await;
    position.confirm(Lsn(ends[0]));
    position.send_now();
    until(|| cluster.slot(0, "s").unwrap().confirmed.unwrap().0 >= ends[0]).await;
    cluster.checkpoint();
    position.confirm(Lsn(ends[2]));
    position.send_now();
    until(|| cluster.slot(0, "s").unwrap().confirmed.unwrap().0 >= ends[2]).await;
    cluster.failover(0);
    assert_eq!(broken(&mut stream).await, "connection_lost");
    assert!(ReplicationConnection::connect(&connect_options(old)).await.is_err(), "the old primary is gone");
    let new = cluster.data_port(0);
    assert_ne!(new, old);
    let mut stream = start(new, "s", &[], FlushPosition::default()).await;
    let again: Vec<u64> = decode(&mut stream, Layout::Serial, false, 2).await.into_iter().map(|(end, _)| end).collect();
    assert_eq!(again, ends[1..], "what was confirmed after the checkpoint comes again");
    drop(stream);
    // The old primary comes back as a standby, which makes no slots.
    cluster.restart(0).unwrap();
    let mut standby = ReplicationConnection::connect(&connect_options(old)).await.unwrap();
    let slot = CreateSlot { plugin: "mppdb_decoding".into(), ..CreateSlot::pgoutput("t") };
    let refused = standby.create_slot(&slot, BOUND).await.unwrap_err();
    assert!(refused.to_string().contains("Standby mode"), "{refused}");
}

#[tokio::test]
async fn a_lost_slot_ends_its_stream_and_stays_lost() {
    let cluster = cluster(quiet());
    create_slot(&cluster, 0, "s").await;
    let mut stream = start(cluster.data_port(0), "s", &[], FlushPosition::default()).await;
    cluster.lose_slot(0, "s");
    assert_eq!(broken(&mut stream).await, "connection_lost");
    let connection = ReplicationConnection::connect(&connect_options(cluster.data_port(0))).await.unwrap();
    let again = millrace_replication::StartReplication { slot: "s".into(), from: Lsn(0), options: Vec::new() };
    let refused =
        connection.start(&again, FlushPosition::default(), millrace_replication::StreamOptions::default()).await;
    assert_eq!(refused.err().unwrap().failure().code, "slot_missing");
}

#[tokio::test]
async fn a_log_that_is_gone_is_told() {
    let cluster = cluster(quiet());
    create_slot(&cluster, 0, "s").await;
    commit(&cluster, 0, 1);
    cluster.recycle_log(0);
    let connection = ReplicationConnection::connect(&connect_options(cluster.data_port(0))).await.unwrap();
    let again = millrace_replication::StartReplication { slot: "s".into(), from: Lsn(0), options: Vec::new() };
    let refused =
        connection.start(&again, FlushPosition::default(), millrace_replication::StreamOptions::default()).await;
    assert_eq!(refused.err().unwrap().failure().code, "slot_lost");
}

#[tokio::test]
async fn an_open_transaction_blocks_the_creation_of_slots() {
    use millrace_replication::catalog::gauss;
    let cluster = cluster(quiet());
    let open = cluster.open_transaction(0, "UPDATE everything", Duration::from_secs(400));
    let sql = connect_sql(&connect_options(cluster.data_port(0))).await.unwrap();
    let blocked = gauss::create_slot(&sql, "s", "mppdb_decoding", Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(blocked.failure().code, "slot_creation_blocked");
    assert!(cluster.slots(0).is_empty(), "nothing is left behind");
    let listed = gauss::open_transactions(&sql).await.unwrap();
    assert_eq!((listed.len(), listed[0].age_seconds >= 400), (1, true));
    // A client that vanishes leaves a slot that waits.
    let mut connection = ReplicationConnection::connect(&connect_options(cluster.data_port(0))).await.unwrap();
    let slot = CreateSlot { plugin: "mppdb_decoding".into(), ..CreateSlot::pgoutput("vanishes") };
    connection.create_slot(&slot, Duration::from_millis(300)).await.unwrap_err();
    let waiting = cluster.slot(0, "vanishes").unwrap();
    assert!(waiting.active && waiting.confirmed.is_none());
    // The server takes a moment to notice; nothing shows it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.end_transaction(0, open);
    until(|| cluster.slots(0).is_empty()).await;
    gauss::create_slot(&sql, "s", "mppdb_decoding", BOUND).await.unwrap();
    assert!(cluster.slot(0, "s").unwrap().confirmed.is_some());
}

#[tokio::test]
async fn a_simulator_that_is_started_again_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { state: Some(folder.path().to_owned()), ..quiet() };
    let first = cluster(options.clone());
    create_slot(&first, 1, "s").await;
    let end = commit(&first, 1, 5);
    drop(first);
    let again = cluster(options);
    assert_eq!(again.slots(1), ["s"]);
    let next = commit(&again, 1, 6);
    let mut stream = start(again.data_port(1), "s", &[], FlushPosition::default()).await;
    let seen: Vec<u64> = decode(&mut stream, Layout::Serial, false, 2).await.into_iter().map(|(end, _)| end).collect();
    assert_eq!(seen, [end, next]);
}
