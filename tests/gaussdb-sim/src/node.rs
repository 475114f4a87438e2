//! A node: its log, slots and faults, and the one or two instances that serve them.

use crate::error::Error;
use crate::faults::Faults;
use crate::flood::Flood;
use crate::log::Log;
use crate::slots::Slots;
use crate::text::Lsn;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Takes SQL, knows the cluster; has no slots of its own here.
    Coordinator,
    /// Has rows.
    Data,
}

/// Where a node's rows come from.
#[derive(Debug)]
pub enum Feed {
    /// What was committed.
    Log(Log),
    /// Rows at full speed, made as they are sent.
    Flood(Flood),
}

impl Feed {
    /// Where the log ends now: the consistent point of a new slot. A flood has not begun for a new slot.
    pub fn end(&self) -> Lsn {
        match self {
            Feed::Log(log) => log.end(),
            Feed::Flood(flood) => flood.start(),
        }
    }

    /// Where the log must be kept for a slot that confirmed up to `flush`.
    pub fn restart(&self, flush: Lsn) -> Lsn {
        match self {
            Feed::Log(log) => {
                let number = log.seek(flush).checked_sub(1);
                number.and_then(|number| log.get(number)).map_or(Lsn(0), |transaction| transaction.first_lsn)
            }
            Feed::Flood(flood) => flood.floor(flush),
        }
    }
}

/// One server process of a node.
#[derive(Debug)]
pub struct Instance {
    /// Its data port; replication has the next.
    pub port: u16,
    /// Number of its run while it is up; `None` while it is down. Connections end when it changes.
    run: watch::Sender<Option<u64>>,
}

/// Listeners of the two ports.
pub(crate) type Listeners = (TcpListener, TcpListener);

/// Two free neighbouring ports, or this one and its neighbour.
pub(crate) fn listen(port: Option<u16>) -> Result<(u16, Listeners), Error> {
    let bind = |port: u16| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let failed = |port: u16| Error::io(format!("listening on port {port}"));
    for _ in 0..200 {
        let first = bind(port.unwrap_or(0)).map_err(failed(port.unwrap_or(0)))?;
        let data = first.local_addr().map_err(failed(0))?.port();
        let second = data.checked_add(1).map(bind);
        match (second, port) {
            (Some(Ok(second)), _) => {
                for listener in [&first, &second] {
                    listener.set_nonblocking(true).map_err(failed(data))?;
                }
                return Ok((data, (first, second)));
            }
            (Some(Err(error)), Some(_)) => return Err(failed(data + 1)(error)),
            _ => {}
        }
    }
    Err(Error::Options("no two free neighbouring ports".to_owned()))
}

/// Somebody's transaction that is open: it blocks the creation of slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Number to end it by.
    pub id: u64,
    /// Process.
    pub pid: i64,
    /// Role.
    pub user: String,
    /// Its query.
    pub query: String,
    /// Start, in microseconds since 1970-01-01 UTC.
    pub since: i64,
    /// Name of the prepared transaction; `None` for a plain one.
    pub gid: Option<String>,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Name in `pgxc_node`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its rows.
    pub feed: Feed,
    /// Faults of its streams.
    pub faults: Faults,
    /// The instances: primary and standby, in the order they were made.
    pub instances: Vec<Instance>,
    primary: AtomicUsize,
    slots: Mutex<Slots>,
    open: watch::Sender<Vec<OpenTransaction>>,
    /// Raised to end the streams of a slot: its name and a number.
    pub(crate) evict: watch::Sender<(String, u64)>,
}

impl Node {
    pub(crate) fn new(name: String, kind: Kind, feed: Feed, slots: Slots, ports: &[u16]) -> Node {
        let instance = |port: &u16| Instance { port: *port, run: watch::Sender::new(None) };
        Node {
            name,
            kind,
            feed,
            faults: Faults::default(),
            instances: ports.iter().map(instance).collect(),
            primary: AtomicUsize::new(0),
            slots: Mutex::new(slots),
            open: watch::Sender::new(Vec::new()),
            evict: watch::Sender::new((String::new(), 0)),
        }
    }

    /// Index of the primary instance.
    pub fn primary(&self) -> usize {
        self.primary.load(Ordering::Acquire)
    }

    /// Data port of the primary.
    pub fn port(&self) -> u16 {
        self.instances[self.primary()].port
    }

    /// The slots.
    pub fn slots(&self) -> MutexGuard<'_, Slots> {
        // Every change of the map is one step, so a panic elsewhere leaves it whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the confirmed position forward by a client's word.
    pub fn confirm(&self, slot: &str, flush: Lsn) {
        let restart = self.feed.restart(flush);
        self.slots().confirm(slot, flush, restart);
    }

    /// Ends the streams of a slot by a reset of their connections.
    pub fn evict(&self, slot: &str) {
        self.evict.send_modify(|(name, number)| {
            slot.clone_into(name);
            *number += 1;
        });
    }

    /// Open transactions, and their changes.
    pub fn open_transactions(&self) -> watch::Receiver<Vec<OpenTransaction>> {
        self.open.subscribe()
    }

    pub(crate) fn open(&self, transaction: OpenTransaction) {
        self.open.send_modify(|open| open.push(transaction));
    }

    pub(crate) fn close(&self, id: u64) {
        self.open.send_modify(|open| open.retain(|transaction| transaction.id != id));
    }

    /// Whether an instance is up.
    pub fn is_up(&self, instance: usize) -> bool {
        self.instances[instance].run.borrow().is_some()
    }

    pub(crate) fn run(&self, instance: usize) -> watch::Receiver<Option<u64>> {
        self.instances[instance].run.subscribe()
    }

    pub(crate) fn started(&self, instance: usize, run: u64) {
        self.instances[instance].run.send_replace(Some(run));
    }

    /// Kills an instance: its connections are reset, nobody listens any more. What the slots lost shows when it runs again.
    pub fn kill(&self, instance: usize) {
        self.instances[instance].run.send_replace(None);
        if instance == self.primary() {
            self.slots().crash();
            self.open.send_replace(Vec::new());
        }
    }

    /// Makes the other instance primary. Its slots stand where the last checkpoint left them.
    pub(crate) fn promote(&self, instance: usize) {
        self.primary.store(instance, Ordering::Release);
    }
}

/// Shared by everything that serves a node.
pub(crate) type SharedNode = Arc<Node>;
