//! `gaussdb-sim`: a GaussDB or openGauss cluster to develop and test against, on ports of 127.0.0.1.

use clap::{Parser, ValueEnum};
use millrace_gaussdb_sim::{
    Cluster, Encryption, Error, Flood, Hba, Login, Options, Product, Role, Workload, write_truth,
};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Which product the servers say they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProductName {
    Distributed,
    Centralized,
    Opengauss,
}

/// How the password is stored, which decides the log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PasswordForm {
    Md5,
    Sha256,
    Combined,
    Sm3,
}

/// Method of the hba lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HbaName {
    Trust,
    Reject,
    Md5,
    Sha256,
    Sm3,
}

/// Simulates a GaussDB or openGauss cluster: log-in, catalogue, slots and logical decoding. Runs until interrupted.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Product.
    #[arg(long, value_enum, default_value = "distributed")]
    product: ProductName,
    /// Data nodes of a distributed cluster.
    #[arg(long, default_value_t = 3)]
    data_nodes: usize,
    /// Seed of everything random.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Port of the first node, the next follow in steps of 10 (each has its port and port + 1); chosen by the system without it.
    #[arg(long)]
    port: Option<u16>,
    /// Role that may replicate.
    #[arg(long, default_value = "cdc")]
    user: String,
    /// Its password.
    #[arg(long, default_value = "Gauss@123")]
    password: String,
    /// How the password is stored.
    #[arg(long, value_enum, default_value = "sha256")]
    stored: PasswordForm,
    /// Method of the hba lines.
    #[arg(long, value_enum, default_value = "sha256")]
    hba: HbaName,
    /// Speak TLS to those who ask.
    #[arg(long)]
    tls: bool,
    /// Take replication on the data port too, as with enable_thread_pool = off.
    #[arg(long)]
    no_thread_pool: bool,
    /// Changes per second on each data node; 0 for none, "max" for as many as it goes.
    #[arg(long, default_value = "100")]
    rate: String,
    /// Transactions of each data node, then it is idle.
    #[arg(long)]
    transactions: Option<u64>,
    /// Send inserts into a table of 12 columns from templates instead, at full speed.
    #[arg(long)]
    flood: bool,
    /// Inserts of a transaction of the flood.
    #[arg(long, default_value_t = 100)]
    flood_rows: u64,
    /// Folder that keeps slots and log over a restart.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Where to write what was committed when interrupted, as JSON lines.
    #[arg(long)]
    truth: Option<PathBuf>,
}

fn options(arguments: &Arguments) -> Result<Options, String> {
    let rate = match arguments.rate.as_str() {
        "max" => None,
        text => Some(text.parse::<f64>().ok().filter(|rate| *rate >= 0.0).ok_or("--rate takes a number or max")?),
    };
    let mut options = Options::new();
    let workload = Workload { rate, transactions: arguments.transactions, ..Workload::new() };
    options.workload = (rate != Some(0.0)).then_some(workload);
    if arguments.flood {
        let table = options.catalogue.add(Flood::example_table());
        let transactions = arguments.transactions.unwrap_or(u64::MAX >> 24);
        options.flood = Some(Flood::new(Arc::clone(&table), arguments.flood_rows.max(1), transactions));
    }
    options.product = match arguments.product {
        ProductName::Distributed => Product::Distributed,
        ProductName::Centralized => Product::Centralized,
        ProductName::Opengauss => Product::OpenGauss,
    };
    options.data_nodes = if options.product == Product::Distributed { arguments.data_nodes } else { 1 };
    options.seed = arguments.seed;
    options.port = arguments.port;
    options.tls = arguments.tls;
    options.thread_pool = !arguments.no_thread_pool;
    options.state.clone_from(&arguments.state);
    let encryption = match arguments.stored {
        PasswordForm::Md5 => Encryption::Md5,
        PasswordForm::Sha256 => Encryption::Sha256,
        PasswordForm::Combined => Encryption::Combined,
        PasswordForm::Sm3 => Encryption::Sm3,
    };
    let hba = match arguments.hba {
        HbaName::Trust => Hba::Trust,
        HbaName::Reject => Hba::Reject,
        HbaName::Md5 => Hba::Md5,
        HbaName::Sha256 => Hba::Sha256,
        HbaName::Sm3 => Hba::Sm3,
    };
    (options.sql_hba, options.replication_hba) = (hba, hba);
    let (role, password) = (Role::replication(&arguments.user), arguments.password.clone());
    options.logins = vec![Login { role, password, encryption }];
    Ok(options)
}

fn tell(cluster: &Cluster, arguments: &Arguments) {
    let (user, database) = (&arguments.user, cluster.catalogue().database.clone());
    println!("host=127.0.0.1 port={} dbname={database} user={user}", cluster.port());
    for (number, name) in cluster.data_nodes().iter().enumerate() {
        let port = cluster.data_port(number);
        let all = cluster.instance_ports(number);
        println!("{name}: port {port}, replication {}, instances {all:?}", port + 1);
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start(options(arguments)?)?;
    tell(&cluster, arguments);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    if let Some(path) = &arguments.truth {
        let file =
            std::fs::File::create(path).map_err(|source| Error::Io { during: path.display().to_string(), source })?;
        let mut out = BufWriter::new(file);
        write_truth(&cluster.truth(), &mut out)?;
        out.flush()?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gaussdb-sim: {error}");
            ExitCode::FAILURE
        }
    }
}
