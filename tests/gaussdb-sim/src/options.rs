//! What a cluster is made of.

use crate::auth::{Account, Encryption, Hba};
use crate::catalogue::{Catalogue, Role};
use crate::flood::Flood;
use crate::workload::Workload;
use std::path::PathBuf;
use std::time::Duration;

/// Which product the servers say they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Product {
    /// GaussDB Distributed: one coordinator and data nodes.
    #[default]
    Distributed,
    /// GaussDB centralized: one node.
    Centralized,
    /// openGauss: one node.
    OpenGauss,
}

impl Product {
    /// What `version()` says.
    pub fn version(self) -> &'static str {
        match self {
            Product::Distributed | Product::Centralized => {
                "gaussdb (GaussDB Kernel 505.2.1.SPC0800 build 00000000) compiled at 2025-01-01 00:00:00 commit 0 last mr 0 release"
            }
            Product::OpenGauss => {
                "(openGauss 6.0.2 build 585be54d) compiled at 2026-11-23 00:30:26 commit 0 last mr  release"
            }
        }
    }

    /// What `gs_deployment()` says.
    pub fn deployment(self) -> &'static str {
        match self {
            Product::Distributed => "Distribute",
            Product::Centralized => "BusinessCentralized",
            Product::OpenGauss => "OpenSourceCentralized",
        }
    }
}

/// An account to make.
#[derive(Debug, Clone)]
pub struct Login {
    /// Role.
    pub role: Role,
    /// Password.
    pub password: String,
    /// How it is stored.
    pub encryption: Encryption,
}

/// A cluster to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Product.
    pub product: Product,
    /// Data nodes; 1 where the product is not distributed.
    pub data_nodes: usize,
    /// Each data node has a standby that a failover can promote.
    pub standbys: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// Tables and settings.
    pub catalogue: Catalogue,
    /// Roles that can log in.
    pub logins: Vec<Login>,
    /// Method of the hba line for SQL.
    pub sql_hba: Hba,
    /// Method of the hba line `replication`.
    pub replication_hba: Hba,
    /// Speak TLS to those who ask, with a certificate nobody vouches for.
    pub tls: bool,
    /// Replication only on port + 1, as with `enable_thread_pool = on`.
    pub thread_pool: bool,
    /// Port of the coordinator (of the node, where there is one only); the next nodes follow in steps of 10. Ports are chosen by the
    /// system where `None`.
    pub port: Option<u16>,
    /// Rows that keep coming.
    pub workload: Option<Workload>,
    /// Rows at full speed instead, from templates.
    pub flood: Option<Flood>,
    /// Folder that keeps slots and log over a restart of the simulator.
    pub state: Option<PathBuf>,
    /// How often positions of slots become durable: what is confirmed later than that is lost in a crash.
    pub checkpoint: Duration,
    /// After so long without work a batch that is not full is sent.
    pub batch_idle: Duration,
    /// Forget transactions that every slot has confirmed: for long runs; there is no oracle then.
    pub recycle: bool,
}

impl Options {
    /// GaussDB Distributed with three data nodes, the example tables, user `cdc` with password `Gauss@123`, no workload.
    pub fn new() -> Options {
        Options {
            product: Product::Distributed,
            data_nodes: 3,
            standbys: true,
            seed: 7,
            catalogue: crate::workload::example_catalogue(),
            logins: vec![Login {
                role: Role::replication("cdc"),
                password: "Gauss@123".to_owned(),
                encryption: Encryption::Sha256,
            }],
            sql_hba: Hba::Sha256,
            replication_hba: Hba::Sha256,
            tls: false,
            thread_pool: true,
            port: None,
            workload: None,
            flood: None,
            state: None,
            checkpoint: Duration::from_secs(30),
            batch_idle: Duration::from_secs(1),
            recycle: false,
        }
    }

    pub(crate) fn accounts(&self) -> Result<Vec<Account>, openssl::error::ErrorStack> {
        self.logins.iter().map(|login| Account::new(login.role.clone(), &login.password, login.encryption)).collect()
    }
}

impl Default for Options {
    fn default() -> Self {
        Options::new()
    }
}
