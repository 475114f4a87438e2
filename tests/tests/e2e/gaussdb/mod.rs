//! GaussDB and openGauss as sources: a simulated cluster, the gateway's program, a real Apache Kafka.

mod check;
mod failover;
mod layouts;
mod login;
mod oracle;
mod real_wal;
mod shards;
mod slots;
mod task;
mod types;

use millrace_gaussdb_sim::{Cluster, Options, Product, RowChange, Workload};
use millrace_tests::gateway::Gateway;
use millrace_tests::servers;
use millrace_tests::task::Task;
use millrace_tests::topics::{Reader, Record};
use std::time::Duration;

/// How long something may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);
/// Tables of the task; the example catalogue has more.
pub const TABLES: [&str; 4] = ["sales.orders", "sales.order_lines", "sales.audit", "sales.countries"];

/// A cluster, the task that reads it, and the broker.
pub struct Scene {
    pub cluster: Cluster,
    pub task: Task,
    /// The server is not told which tables to send.
    pub all_sent: bool,
    name: String,
}

impl Scene {
    /// A cluster with these options and a task of this name.
    pub fn new(name: &str, options: Options) -> Scene {
        let cluster = Cluster::start(options).expect("a cluster");
        let mut task = Task::bare(name);
        task.text("source.kind", "gaussdb")
            .set("source.hosts", &format!("[\"127.0.0.1:{}\"]", cluster.port()))
            .text("source.database", "shop")
            .text("source.user", "cdc")
            .text("source.password", "Gauss@123")
            .text("source.sslmode", "disable")
            .set("objects.include", &format!("{TABLES:?}"))
            .text("route.topic_name_format", &format!("{name}-$tablename$"))
            .text("sink.kind", "kafka")
            .set("sink.brokers", &format!("[\"{}\"]", servers::kafka().address()))
            .text("position.topic", &format!("{name}-positions"))
            .text("position.interval", "100ms");
        Scene { cluster, task, all_sent: false, name: name.to_owned() }
    }

    /// Name of the task's slot.
    pub fn slot(&self) -> String {
        format!("millrace_{}", self.name.replace('-', "_"))
    }

    pub fn reader(&self) -> Reader {
        let topics: Vec<String> =
            TABLES.iter().map(|table| format!("{}-{}", self.name, table.trim_start_matches("sales."))).collect();
        servers::kafka().reader(&topics.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Where the slots of all data nodes begin: what was committed before is not expected.
    pub fn begins(&self) -> Vec<u64> {
        let nodes = self.cluster.data_nodes().len();
        let begins =
            |node| self.cluster.slot(node, &self.slot()).and_then(|slot| slot.confirmed).map_or(0, |lsn| lsn.0);
        (0..nodes).map(begins).collect()
    }

    /// Starts the gateway before anything is committed, and waits until it streams; gives where the slots begin.
    pub fn start(&self) -> (Gateway, Vec<u64>) {
        let gateway = Gateway::ready(&self.task);
        let begins = self.begins();
        (gateway, begins)
    }

    /// Reads until everything that was committed is there, and compares.
    pub fn compare(&self, reader: &mut Reader, begins: &[u64]) -> oracle::Agreement {
        let truth = self.cluster.truth();
        let wanted = oracle::count(&truth, &TABLES, begins);
        let all = |records: &[Record]| oracle::distinct(records) >= wanted;
        let records = reader.until(&format!("{wanted} changes"), SOON, all).to_vec();
        oracle::compare(&truth, &TABLES, begins, self.all_sent, &records)
    }
}

/// One server of this product, without standby or workload.
pub fn single(product: Product) -> Options {
    Options { product, data_nodes: 1, ..Options::new() }
}

/// Commits so many transactions of a generated workload on each data node, from here: they are all behind the slots.
pub fn commit(cluster: &Cluster, seed: u64, transactions: u64) {
    let nodes = cluster.data_nodes().len();
    let workload = Workload { rate: None, transactions: Some(transactions), ..Workload::new() };
    for node in 0..nodes {
        let mut generator = millrace_gaussdb_sim::Generator::new(&cluster.catalogue(), &workload, seed, node, nodes);
        while let Some(changes) = generator.next_transaction() {
            cluster.commit(node, changes);
        }
    }
}

/// An insert into sales.orders.
pub fn order(cluster: &Cluster, id: u64) -> RowChange {
    let table = cluster.catalogue().table("sales", "orders").expect("the table").clone();
    let cell = |text: &str| Some(text.into());
    let new = vec![
        cell(&id.to_string()),
        cell("7"),
        cell("placed"),
        cell("12.50"),
        cell("a note of some length, so that many of these are large"),
        cell("2024-02-05 14:46:35"),
    ];
    RowChange { table, op: millrace_gaussdb_sim::Op::Insert, new, old: Vec::new() }
}
