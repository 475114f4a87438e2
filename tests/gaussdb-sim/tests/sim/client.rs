//! Connections to a simulated cluster as the gateway makes them.

use millrace_batch::Lsn;
use millrace_decode::mppdb::{Layout, Record, Row, frames, parse};
use millrace_gaussdb_sim::{Cell, Change, Cluster, Literal, Op, Options, Transaction};
use millrace_replication::{
    ConnectOptions, CreateSlot, Dialect, FlushPosition, Frame, Host, ReplicationConnection, ReplicationStream, Secret,
    SslMode, StartReplication, StreamOptions,
};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait of a test for something that must come.
pub const BOUND: Duration = Duration::from_secs(30);

pub fn connect_options(port: u16) -> ConnectOptions {
    let mut options = ConnectOptions::new(Host::Tcp("127.0.0.1".into()), port, "cdc", "shop");
    options.sslmode = SslMode::Disable;
    options.password = Some(Secret::new("Gauss@123"));
    options.dialect = Dialect::GaussDb;
    options
}

pub fn cluster(options: Options) -> Cluster {
    Cluster::start(options).unwrap()
}

/// Waits for something that must come.
pub async fn until(mut is: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !is() {
        assert!(since.elapsed() < BOUND, "it does not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Makes a slot on a data node.
pub async fn create_slot(cluster: &Cluster, node: usize, name: &str) -> Lsn {
    let mut connection = ReplicationConnection::connect(&connect_options(cluster.data_port(node))).await.unwrap();
    let slot = CreateSlot { plugin: "mppdb_decoding".into(), ..CreateSlot::pgoutput(name) };
    let created = connection.create_slot(&slot, BOUND).await.unwrap();
    connection.close().await;
    created.consistent_point
}

/// Starts a stream.
pub async fn start(port: u16, slot: &str, options: &[(&str, &str)], position: FlushPosition) -> ReplicationStream {
    let connection = ReplicationConnection::connect(&connect_options(port)).await.unwrap();
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
    let start = StartReplication { slot: slot.into(), from: Lsn(0), options };
    connection.start(&start, position, StreamOptions::default()).await.unwrap()
}

/// A layout, whether it is batched, and the options that ask for it.
pub type Ask = (Layout, bool, Vec<(&'static str, &'static str)>);

/// All layouts.
pub fn layouts() -> Vec<Ask> {
    let mut all = vec![(Layout::Serial, false, vec![("include-timestamp", "1"), ("skip-empty-xacts", "1")])];
    for (layout, style) in [(Layout::Binary, "b"), (Layout::Json, "j"), (Layout::Text, "t")] {
        for batch in ["0", "1"] {
            all.push((
                layout,
                batch == "1",
                vec![
                    ("parallel-decode-num", "2"),
                    ("decode-style", style),
                    ("sending-batch", batch),
                    ("include-timestamp", "1"),
                ],
            ));
        }
    }
    all
}

/// What a change came out as: table, kind, texts of the new and the old image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub table: String,
    pub op: u8,
    pub new: Vec<Option<String>>,
    pub old: Vec<Option<String>>,
}

/// A transaction as decoded: end of its commit, changes.
pub type SeenTransaction = (u64, Vec<Seen>);

/// Reads until `count` transactions are there, and gives them decoded.
pub async fn decode(
    stream: &mut ReplicationStream,
    layout: Layout,
    batched: bool,
    count: usize,
) -> Vec<SeenTransaction> {
    tokio::time::timeout(BOUND, read(stream, layout, batched, count)).await.expect("more to come")
}

async fn read(stream: &mut ReplicationStream, layout: Layout, batched: bool, count: usize) -> Vec<SeenTransaction> {
    let mut row = Row::default();
    let (mut seen, mut changes) = (Vec::new(), Vec::new());
    while seen.len() < count {
        match stream.reader.next_frame().unwrap() {
            Some(Frame::XLogData { wal_start, payload, .. }) => {
                for frame in frames(layout, batched, payload) {
                    match parse(layout, frame.unwrap(), &mut row).unwrap() {
                        Record::Begin { .. } => assert!(changes.is_empty(), "a transaction inside another"),
                        Record::Row => changes.push(own(&row)),
                        Record::Commit { end_lsn, .. } => {
                            // Only serial decoding tells it in the header; unbatched text does not tell it at all.
                            let end = if layout == Layout::Serial { Some(wal_start) } else { end_lsn };
                            seen.push((end.unwrap_or_default().0, std::mem::take(&mut changes)));
                        }
                        Record::Truncate(_) => {}
                    }
                }
            }
            Some(Frame::Keepalive { .. }) => {}
            Some(Frame::End) => panic!("ended after {} transactions", seen.len()),
            None => {
                stream.reader.fill().await.unwrap();
            }
        }
    }
    seen
}

fn own(row: &Row) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let value = |column: millrace_decode::mppdb::RowColumn<'_>| column.value.map(text);
    Seen {
        table: format!("{}.{}", text(row.schema()), text(row.table())),
        op: row.op() as u8,
        new: row.new_image().map(value).collect(),
        old: row.old_image().map(value).collect(),
    }
}

/// The truth in the same form. `true` and `false` stand for `t` and `f` outside style b.
pub fn expected(truth: &[Arc<Transaction>], layout: Layout) -> Vec<SeenTransaction> {
    let change = |change: &Change| {
        let cell = |(at, cell): (usize, &Cell)| {
            let boolean = change.table.columns[at].literal == Literal::Boolean && layout != Layout::Binary;
            cell.as_deref().map(|text| match text {
                "t" if boolean => "true".to_owned(),
                "f" if boolean => "false".to_owned(),
                text => text.to_owned(),
            })
        };
        Seen {
            table: format!("{}.{}", change.table.schema, change.table.name),
            op: match change.op {
                Op::Insert => 0,
                Op::Update => 1,
                Op::Delete => 2,
                Op::Truncate => 3,
            },
            new: change.new.iter().enumerate().map(cell).collect(),
            old: change.table.identity_columns().into_iter().zip(&change.old).map(cell).collect(),
        }
    };
    let told = |transaction: &Transaction, batched: bool| if batched { transaction.end_lsn.0 } else { 0 };
    let known = matches!(layout, Layout::Serial | Layout::Binary);
    truth.iter().map(|one| (told(one, known), one.changes.iter().map(change).collect())).collect()
}
