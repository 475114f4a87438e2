//! A running cluster: nodes, their listeners, the work that goes on by itself, and what a script can do to it.

use crate::auth::Accounts;
use crate::catalogue::{Catalogue, Locator, Role};
use crate::connection;
use crate::error::Error;
use crate::faults::Fault;
use crate::log::{Log, RowChange, Transaction};
use crate::node::{Feed, Kind, Listeners, Node, OpenTransaction, SharedNode, listen};
use crate::options::{Options, Product};
use crate::slots::{Slot, Slots};
use crate::state::NodeFiles;
use crate::text::{Lsn, now};
use crate::truth::Truth;
use crate::workload::{Generator, Workload};
use openssl::ssl::SslAcceptor;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    catalogue: RwLock<Arc<Catalogue>>,
    accounts: Mutex<Accounts>,
    pub(crate) nodes: Vec<SharedNode>,
    pub(crate) tls: Option<SslAcceptor>,
    pub(crate) csn: Arc<AtomicU64>,
    numbers: AtomicU64,
    /// Running statements by process and key.
    pub(crate) cancels: Mutex<HashMap<(i32, i32), Arc<Notify>>>,
    /// Held while a transaction goes into several logs, so that all have it in the same order.
    commit_lock: Mutex<()>,
    /// Files of the nodes, where there is a state folder.
    files: Vec<Option<NodeFiles>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number nobody else has: processes, runs, open transactions.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Bytes that differ from one log-in to the next. They are no secret: passwords of a simulator protect nothing.
    pub(crate) fn token(&self) -> [u8; 4] {
        fastrand::Rng::with_seed(self.options.seed ^ self.number().wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .u32(..)
            .to_be_bytes()
    }

    /// The node clients speak SQL with first: the coordinator, or the only node.
    pub(crate) fn front(&self) -> &SharedNode {
        &self.nodes[0]
    }

    /// Nodes with rows.
    pub(crate) fn data_nodes(&self) -> impl Iterator<Item = &SharedNode> {
        self.nodes.iter().filter(|node| node.kind == Kind::Data)
    }

    /// Commits the changes of each data node with one sequence number. Nodes without changes take no part.
    pub(crate) fn commit(&self, parts: Vec<Vec<RowChange>>) -> (u64, Vec<Arc<Transaction>>) {
        let _order = self.commit_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let csn = self.csn.fetch_add(1, Ordering::Relaxed);
        let mut committed = Vec::new();
        for (node, changes) in self.data_nodes().zip(parts).filter(|(_, changes)| !changes.is_empty()) {
            let Feed::Log(log) = &node.feed else { panic!("a flood takes no commits") };
            let transaction = log.commit(changes, Some(csn));
            self.append(node, std::slice::from_ref(&transaction));
            committed.push(transaction);
        }
        (csn, committed)
    }

    fn append(&self, node: &SharedNode, transactions: &[Arc<Transaction>]) {
        let at = self.nodes.iter().position(|other| Arc::ptr_eq(other, node));
        if let Some(Some(file)) = at.map(|at| &self.files[at])
            && let Err(error) = file.append(transactions)
        {
            eprintln!("gaussdb-sim: {error}");
        }
    }
}

/// A running cluster. Dropping it resets all connections.
#[derive(Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Cluster {
    /// Starts a cluster on ports of 127.0.0.1.
    ///
    /// # Errors
    /// No port, no state folder, options that do not fit together.
    pub fn start(options: Options) -> Result<Cluster, Error> {
        let distributed = options.product == Product::Distributed;
        if options.data_nodes == 0 || (!distributed && options.data_nodes != 1) {
            return Err(Error::Options(
                "a centralized product has one data node, a distributed one at least one".into(),
            ));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(Error::io("starting threads"))?;
        let csn = Arc::new(AtomicU64::new(2_000));
        let (mut nodes, mut files, mut listeners) = (Vec::new(), Vec::new(), Vec::new());
        let names = distributed.then(|| ("cn_5001".to_owned(), Kind::Coordinator));
        let data = (1..=options.data_nodes)
            .map(|number| (if distributed { format!("dn_600{number}") } else { "sgnode".to_owned() }, Kind::Data));
        let mut port = options.port;
        for (name, kind) in names.into_iter().chain(data) {
            let standby = options.standbys && kind == Kind::Data;
            let mut ports = Vec::new();
            for _ in 0..1 + usize::from(standby) {
                let (bound, pair) = listen(port)?;
                port = port.map(|port| port.saturating_add(10));
                ports.push(bound);
                listeners.push((nodes.len(), ports.len() - 1, pair));
            }
            let file = options.state.as_deref().map(|folder| NodeFiles::new(folder, &name)).transpose()?;
            let slots = file.as_ref().map_or_else(|| Ok(Slots::default()), NodeFiles::read_slots)?;
            let feed = match (&options.flood, kind) {
                (Some(flood), Kind::Data) => Feed::Flood(flood.clone()),
                _ => {
                    let log = Log::new(Arc::clone(&csn));
                    let earlier =
                        file.as_ref().map_or_else(|| Ok(Vec::new()), |file| file.read_log(&options.catalogue))?;
                    earlier.into_iter().for_each(|transaction| log.restore(transaction));
                    Feed::Log(log)
                }
            };
            nodes.push(Arc::new(Node::new(name, kind, feed, slots, &ports)));
            files.push(file);
        }
        let mut accounts = Accounts::new();
        (accounts.sql, accounts.replication) = (options.sql_hba, options.replication_hba);
        options.accounts()?.into_iter().for_each(|account| accounts.add(account));
        let mut catalogue = options.catalogue.clone();
        let set = |on: bool| if on { "on" } else { "off" }.to_owned();
        catalogue.settings.insert("enable_thread_pool".to_owned(), set(options.thread_pool));
        catalogue.settings.insert("ssl".to_owned(), set(options.tls));
        let shared = Arc::new(Shared {
            tls: if options.tls { Some(connection::acceptor()?) } else { None },
            catalogue: RwLock::new(Arc::new(catalogue)),
            accounts: Mutex::new(accounts),
            nodes,
            csn,
            numbers: AtomicU64::new(1_000),
            cancels: Mutex::default(),
            commit_lock: Mutex::default(),
            files,
            options,
        });
        let cluster = Cluster { shared, runtime: Some(runtime) };
        for (node, instance, pair) in listeners {
            cluster.serve(node, instance, pair)?;
        }
        cluster.work();
        Ok(cluster)
    }

    fn handle(&self) -> Option<&tokio::runtime::Handle> {
        self.runtime.as_ref().map(tokio::runtime::Runtime::handle)
    }

    fn serve(&self, node: usize, instance: usize, (data, ha): Listeners) -> Result<(), Error> {
        let Some(handle) = self.handle() else { return Ok(()) };
        let _inside = handle.enter();
        let run = self.shared.number();
        self.shared.nodes[node].started(instance, run);
        for (listener, is_ha) in [(data, false), (ha, true)] {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::io("listening"))?;
            let (shared, node) = (Arc::clone(&self.shared), Arc::clone(&self.shared.nodes[node]));
            handle.spawn(connection::listen(shared, node, instance, run, is_ha, listener));
        }
        Ok(())
    }

    /// Starts what goes on by itself: workload and checkpoints.
    fn work(&self) {
        let Some(handle) = self.handle() else { return };
        let options = &self.shared.options;
        if let Some(workload) = options.workload.clone().filter(|_| options.flood.is_none()) {
            for (number, node) in self.shared.data_nodes().enumerate() {
                let catalogue = self.shared.catalogue();
                let generator = Generator::new(&catalogue, &workload, options.seed, number, options.data_nodes);
                let shared = Arc::clone(&self.shared);
                handle.spawn(generate(shared, Arc::clone(node), generator, workload.clone()));
            }
        }
        let (shared, every) = (Arc::clone(&self.shared), options.checkpoint);
        handle.spawn(async move {
            let mut timer = tokio::time::interval(every);
            // The first tick comes at once.
            timer.tick().await;
            loop {
                timer.tick().await;
                checkpoint(&shared);
            }
        });
    }

    /// Data port clients speak SQL with first: the coordinator's, or the only node's.
    pub fn port(&self) -> u16 {
        self.shared.front().port()
    }

    /// Names of the data nodes.
    pub fn data_nodes(&self) -> Vec<&str> {
        self.shared.data_nodes().map(|node| node.name.as_str()).collect()
    }

    fn data_node(&self, number: usize) -> &SharedNode {
        let node = self.shared.data_nodes().nth(number);
        node.unwrap_or_else(|| panic!("there is no data node {number}"))
    }

    /// Data port of the primary of a data node, counted from 0.
    ///
    /// # Panics
    /// Here and below, where there is no such data node: a mistake in a test.
    pub fn data_port(&self, node: usize) -> u16 {
        self.data_node(node).port()
    }

    /// Data ports of all instances of a data node.
    pub fn instance_ports(&self, node: usize) -> Vec<u16> {
        self.data_node(node).instances.iter().map(|instance| instance.port).collect()
    }

    /// Tables and settings as they are now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue()
    }

    /// Changes tables and settings.
    pub fn change_catalogue(&self, change: impl FnOnce(&mut Catalogue)) {
        let mut catalogue = self.shared.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut catalogue));
    }

    /// Changes a role; false where there is none of this name.
    pub fn change_role(&self, user: &str, change: impl FnOnce(&mut Role)) -> bool {
        self.shared.accounts().get_mut(user).map(|account| change(&mut account.role)).is_some()
    }

    /// Log-ins of a role that were tried, on all nodes together.
    pub fn attempts(&self, user: &str) -> u64 {
        self.shared.accounts().get(user).map_or(0, |account| account.attempts)
    }

    /// Locks an account, or unlocks it and forgets its failures.
    pub fn lock_account(&self, user: &str, locked: bool) {
        if let Some(account) = self.shared.accounts().get_mut(user) {
            (account.locked, account.failures) = (locked, 0);
        }
    }

    /// Commits changes on a data node.
    pub fn commit(&self, node: usize, changes: Vec<RowChange>) -> Arc<Transaction> {
        self.data_node(node);
        let mut parts = vec![Vec::new(); node];
        parts.push(changes);
        let committed = self.shared.commit(parts).1.pop();
        committed.unwrap_or_else(|| panic!("a transaction without changes"))
    }

    /// Commits one transaction of the cluster: `parts` has the changes of each data node, in their order. Nodes with changes have the same
    /// sequence number, which is given.
    pub fn commit_across(&self, parts: Vec<Vec<RowChange>>) -> u64 {
        self.shared.commit(parts).0
    }

    /// Commits the same changes on every data node, with one sequence number: what happens to a replicated table.
    pub fn commit_everywhere(&self, changes: &[RowChange]) -> u64 {
        debug_assert!(changes.iter().all(|change| change.table.locator == Locator::Replicated));
        self.commit_across(vec![changes.to_vec(); self.data_nodes().len()])
    }

    /// Lets the log of a data node grow without a transaction of this database, as the work of others makes it.
    pub fn grow_log(&self, node: usize, bytes: u64) {
        if let Feed::Log(log) = &self.data_node(node).feed {
            log.grow(bytes);
        }
    }

    /// What was committed on each data node. Floods have none: their truth is computed by [`crate::Flood::transaction`].
    pub fn truth(&self) -> Vec<Truth> {
        let truth = |node: &SharedNode| {
            let transactions = if let Feed::Log(log) = &node.feed { log.transactions() } else { Vec::new() };
            Truth { node: node.name.clone(), transactions }
        };
        self.shared.data_nodes().map(truth).collect()
    }

    /// Rows of a flood sent so far by its furthest reader; 0 without a flood.
    pub fn rows_sent(&self, node: usize) -> u64 {
        if let Feed::Flood(flood) = &self.data_node(node).feed { flood.rows_sent() } else { 0 }
    }

    /// A slot of a data node.
    pub fn slot(&self, node: usize, name: &str) -> Option<Slot> {
        self.data_node(node).slots().get(name).cloned()
    }

    /// Names of the slots of a data node.
    pub fn slots(&self, node: usize) -> Vec<String> {
        self.data_node(node).slots().all().keys().cloned().collect()
    }

    /// Drops a slot although somebody may stream from it: the stream's connection is reset.
    pub fn lose_slot(&self, node: usize, name: &str) {
        let node = self.data_node(node);
        node.slots().remove(name);
        node.evict(name);
    }

    /// Moves the confirmed position of a slot, forwards or back; who streams from it is cut off.
    pub fn move_confirmed(&self, node: usize, name: &str, to: Lsn) {
        let node = self.data_node(node);
        if let Some(slot) = node.slots().get_mut(name) {
            (slot.confirmed, slot.restart) = (Some(to), slot.restart.min(to));
        }
        node.evict(name);
    }

    /// Recycles the log of a data node up to its end, slots or no slots: those that needed it are lost.
    pub fn recycle_log(&self, node: usize) {
        if let Feed::Log(log) = &self.data_node(node).feed {
            log.forget(log.end());
        }
    }

    /// Makes positions of slots durable now.
    pub fn checkpoint(&self) {
        checkpoint(&self.shared);
    }

    /// Lets a fault happen to the streams of a data node.
    pub fn inject(&self, node: usize, fault: Fault) {
        self.data_node(node).faults.inject(fault);
    }

    /// Ends the faults of a data node.
    pub fn clear_faults(&self, node: usize) {
        self.data_node(node).faults.clear();
    }

    /// Opens a transaction on a data node; until [`Self::end_transaction`] no slot can be made there.
    pub fn open_transaction(&self, node: usize, query: &str, age: Duration) -> u64 {
        let id = self.shared.number();
        self.data_node(node).open(OpenTransaction {
            id,
            pid: 140_000_000_000_000 + id as i64,
            user: "app".to_owned(),
            query: query.to_owned(),
            since: now() - age.as_micros() as i64,
            gid: None,
        });
        id
    }

    /// Ends an open transaction.
    pub fn end_transaction(&self, node: usize, id: u64) {
        self.data_node(node).close(id);
    }

    /// Kills the primary of a data node, as SIGKILL does: connections are reset, positions since the last checkpoint are lost.
    pub fn kill(&self, node: usize) {
        let node = self.data_node(node);
        node.kill(node.primary());
    }

    /// Starts every instance of a data node that is down, on its old ports.
    ///
    /// # Errors
    /// Somebody took the ports.
    pub fn restart(&self, node: usize) -> Result<(), Error> {
        let at = usize::from(self.shared.front().kind == Kind::Coordinator) + node;
        for instance in 0..self.data_node(node).instances.len() {
            if !self.data_node(node).is_up(instance) {
                let port = self.data_node(node).instances[instance].port;
                // The listeners of the run that was killed are on their way out.
                let since = std::time::Instant::now();
                let pair = loop {
                    match listen(Some(port)) {
                        Err(_) if since.elapsed() < REBIND => std::thread::sleep(Duration::from_millis(5)),
                        bound => break bound?.1,
                    }
                };
                self.serve(at, instance, pair)?;
            }
        }
        Ok(())
    }

    /// The primary of a data node dies and its standby takes over: the catalogue names it, its slots stand where the last checkpoint
    /// left them. [`Self::restart`] brings the old primary back as a standby.
    ///
    /// # Panics
    /// Where the data node has no standby.
    pub fn failover(&self, node: usize) {
        let node = self.data_node(node);
        let old = node.primary();
        let new = node.instances.len().checked_sub(1).map_or(old, |last| last - old);
        assert!(new != old && node.is_up(new), "{} has no standby that is up", node.name);
        node.kill(old);
        node.promote(new);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        checkpoint(&self.shared);
        for node in &self.shared.nodes {
            (0..node.instances.len()).for_each(|instance| node.kill(instance));
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes positions durable and, where asked for, forgets what nobody needs.
fn checkpoint(shared: &Shared) {
    for (node, file) in shared.nodes.iter().zip(&shared.files) {
        let restart = {
            let mut slots = node.slots();
            slots.checkpoint();
            if let Some(file) = file
                && let Err(error) = file.write_slots(slots.durable())
            {
                eprintln!("gaussdb-sim: {error}");
            }
            slots.restart()
        };
        if let (true, Feed::Log(log)) = (shared.options.recycle, &node.feed) {
            log.forget(restart.unwrap_or_else(|| log.end()));
        }
    }
}

/// How long a restart waits for its ports.
const REBIND: Duration = Duration::from_secs(5);

/// How often a throttled generator works.
const BEAT: Duration = Duration::from_millis(10);

async fn generate(shared: Arc<Shared>, node: SharedNode, mut generator: Generator, workload: Workload) {
    let Feed::Log(log) = &node.feed else { return };
    // What an earlier run committed is made again and thrown away, so that the rows go on as if nothing had happened.
    for _ in 0..log.transactions().len() {
        generator.next_transaction();
    }
    let mut timer = tokio::time::interval(BEAT);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut due = 0.0;
    loop {
        timer.tick().await;
        due += workload.rate.map_or(10_000.0, |rate| rate * BEAT.as_secs_f64());
        let mut made = Vec::new();
        while due > 0.0 {
            // A node that is down commits nothing.
            if !node.is_up(node.primary()) {
                due = 0.0;
                break;
            }
            let Some(changes) = generator.next_transaction() else { break };
            due -= changes.len() as f64;
            made.push(log.commit(changes, None));
        }
        shared.append(&node, &made);
        if due > 0.0 && workload.transactions.is_some() && made.is_empty() {
            return;
        }
        if workload.rate.is_none() {
            due = 0.0;
        }
    }
}
